"""What a NIfTI or Analyze header says of an image, from its first bytes; and whether the file can be whole."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.analyze import AnalyzeHeader

from dualglow.cohort.disk import CHUNK, DAMAGE, Disk, Found, found_at

Header = AnalyzeHeader
HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 and Analyze have 348
MAGIC: dict[bytes, type[Header]] = {
    b"n+1\0": nib.Nifti1Header,
    b"ni1\0": nib.nifti1.Nifti1PairHeader,
    b"n+2\0": nib.Nifti2Header,
    b"ni2\0": nib.nifti2.Nifti2PairHeader,
}
ORIENTATION_ASSUMED = "orientation_assumed"
FORMS_DIFFER = "qform_sform_differ"


@dataclass(frozen=True)
class Facts:
    """What a header tells; with a problem the rest is unknown."""

    shape: tuple[int, ...] = ()  # voxels; trailing axes of length 1 are dropped, a fourth axis counts frames
    voxel: tuple[float, ...] = ()  # mm
    affine: tuple[float, ...] = ()  # voxel → RAS+ mm, three rows one after another
    warnings: tuple[str, ...] = ()
    simulated: bool = False  # the header says SYNTHETIC
    reason: str = ""  # code of what is wrong
    problem: str = ""  # what is wrong, in words

    @property
    def frames(self) -> int:
        return self.shape[3] if len(self.shape) > 3 else 1


def unreadable(problem: str) -> Facts:
    """Facts of a file that cannot be used."""
    return Facts(reason="unreadable", problem=problem)


def restored(kept: dict[str, Any]) -> Facts:
    """Facts as they were before JSON made lists of tuples."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return Facts(**values)


def image_facts(found: Found, disk: Disk, header: Found | None = None) -> Facts:
    """Read the header of a NIfTI file or of an image whose header is another file (.hdr); never raises for damage."""
    if nothing := _no_content(found):
        return unreadable(nothing)
    try:
        head, tail = disk.ends(header or found)
        compressed = (header or found).name.lower().endswith(".gz")
        block = zlib.decompressobj(31).decompress(head, HEADER_BYTES) if compressed else head[:HEADER_BYTES]
        parsed, facts = _parsed(block, found.name, header is not None)
        if facts.problem:
            return facts
        short = _cut_short(parsed, found, disk, tail if compressed else b"", header is not None)
        return unreadable(short) if short else facts
    except Exception as error:  # damaged bytes raise many kinds in nibabel, numpy and zlib; any of them excludes it
        return unreadable(f"{found.name}: {' '.join(str(error).split()) or type(error).__name__}")


def header_problem(path: Path) -> str:
    """Say what is wrong with an image file as far as its header and size tell; an empty string if nothing is."""
    with Disk() as disk:
        return image_facts(found_at(path), disk).problem


def _no_content(found: Found) -> str:
    if found.size < 0:
        return f"{found.name} is a link to a file that is not there"
    return f"{found.name} is empty (0 bytes); download it again" if found.size == 0 else ""


def _parsed(block: bytes, name: str, pair: bool) -> tuple[Header, Facts]:
    if block.startswith(b"version https://git-lfs"):
        raise ValueError("is a Git LFS pointer, not the image; fetch it with git lfs pull")
    kind = _kind(block, pair)
    if kind is None:
        raise ValueError("is not a NIfTI image")
    header = kind(block[: HEADER_BYTES if issubclass(kind, nib.Nifti2Header) else 348], check=False)
    shape = tuple(int(length) for length in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        return header, unreadable(f"{name} has the shape {shape}, not a volume's")
    if header.get_data_dtype().kind not in "iuf":
        return header, unreadable(f"{name} holds {header.get_data_dtype()}, not intensities")
    affine, warnings = _affine(header)
    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        return header, unreadable(f"{name}: the affine in its header is not one ({affine[:3].tolist()})")
    rows = tuple(float(value) for value in affine[:3].round(4).ravel())
    simulated = b"SYNTHETIC" in header["descrip"].tobytes()
    return header, Facts(shape, tuple(float(size) for size in voxel.round(4)), rows, warnings, simulated)


def _kind(block: bytes, pair: bool) -> type[Header] | None:
    """Tell the format by its magic, not by the file's name; a .hdr without one is Analyze."""
    if len(block) < 348:
        return None
    kind = MAGIC.get(block[344:348]) or MAGIC.get(block[4:8])
    size = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    return AnalyzeHeader if kind is None and pair and 348 in size else kind


def _affine(header: Header) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return voxel → RAS+ mm as nibabel takes it: sform, else qform, else LAS with the origin at the centre."""
    if not isinstance(header, nib.Nifti1Header):
        return header.get_base_affine(), (ORIENTATION_ASSUMED,)
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None and qform is None:
        return header.get_base_affine(), (ORIENTATION_ASSUMED,)
    if sform is None or qform is None:
        return qform if sform is None else sform, ()
    return sform, () if np.allclose(sform, qform, rtol=1e-3, atol=1e-2) else (FORMS_DIFFER,)


def _cut_short(header: Header, found: Found, disk: Disk, gzip_length: bytes, pair: bool) -> str:
    """Compare the length that the header announces with the file's, or with what a gzip says is in it.

    A gzip whose last bytes (the length modulo 2³²) say otherwise is read to its end: only then is it known.
    """
    offset = 0 if pair else int(header.get_data_offset())
    voxels = int(np.prod(header.get_data_shape(), dtype=object))
    needed = offset + voxels * header.get_data_dtype().itemsize
    if not found.name.lower().endswith(".gz"):
        short = found.size < needed
        return f"{found.name} is cut short: {found.size} bytes where its header announces {needed}" if short else ""
    if found.member or pair or int.from_bytes(gzip_length, "little") == needed % (1 << 32):
        return ""
    length = _unpacked(found, disk)
    return f"{found.name} is cut short or damaged: {length} of {needed} bytes can be read" if length < needed else ""


def _unpacked(found: Found, disk: Disk) -> int:
    """Count the bytes that a gzip yields until its end or its damage."""
    length = 0
    try:
        with disk.open(found) as raw, gzip.open(raw) as stream:
            while block := stream.read(CHUNK):
                length += len(block)
    except DAMAGE:
        pass
    return length
