"""Where an image lies: a plain file, a member of a zip, or DICOM slices; each becomes a file that nibabel reads.

`archive.zip!/inner/x.nii` is a member of a zip, `folder!/I123` the slices `*_I123.dcm` of one image in a folder (which
may be in a zip, too), and a plain folder holds the slices of one image. Nothing is written beside the inputs.
"""

import re
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import dcm2niix
import nibabel as nib
import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dualglow.errors import InputError
from dualglow.files import INSIDE

_ZIP_DAMAGE = (OSError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_SCALE_TOLERANCE = 1e-3


@contextmanager
def as_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield for each path a file that nibabel reads; what had to be unpacked or converted is removed afterwards.

    Raises
    ------
    InputError
        If a zip, a member or the slices are missing or damaged, or the slices are not those of one whole volume.
    """
    with tempfile.TemporaryDirectory(prefix="dualglow-") as folder:
        yield [_file(path, Path(folder, str(number))) for number, path in enumerate(paths)]


def _file(path: Path, scratch: Path) -> Path:
    archive, inner, image = split(str(path))
    if archive:
        scratch.mkdir()
        members = _unpacked(path, Path(archive), inner, image, scratch)
        return _converted(path, members, scratch) if image else members[0]
    if image or path.is_dir():
        scratch.mkdir()
        return _converted(path, _slices(Path(inner), image), scratch)
    return path


def split(path: str) -> tuple[str, str, str]:
    """Split a path into the zip, what lies in it (or on disk), and the image ID of DICOM slices; parts may be empty."""
    archive, inside, rest = path.partition(f".zip{INSIDE}")
    archive, rest = (f"{archive}.zip", rest) if inside else ("", path)
    inner, inside, image = rest.rpartition(INSIDE)
    return (archive, inner, image) if inside else (archive, rest, "")


def _of_image(names: Sequence[str], image: str) -> list[str]:
    """Return the slices of one image ID: a folder may hold those of two."""
    wanted = re.compile(rf".*_I0*{re.escape(image.removeprefix('I'))}\.dcm", re.IGNORECASE)
    return sorted(name for name in names if wanted.fullmatch(PurePosixPath(name).name))


def _slices(folder: Path, image: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    names = _of_image(names, image) if image else names
    if not names:
        raise InputError(f"{folder}: holds no DICOM slices{f' of {image}' if image else ''}. Download them again.")
    return [folder / name for name in names]


def _unpacked(path: Path, archive: Path, inner: str, image: str, scratch: Path) -> list[Path]:
    """Unpack an image, its separate header, or its slices from a zip; the checksums of the zip are verified."""
    if not archive.is_file():
        raise InputError(f"{archive}: no such zip.")
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            if image:
                members = _of_image([name for name in names if str(PurePosixPath(name).parent) == inner], image)
            else:
                members = [inner, *_partners(inner, names)]
            return [_member(opened, name, scratch) for name in members] or _missing(path)
    except _ZIP_DAMAGE as error:
        raise InputError(
            f"{path}: cannot be unpacked ({' '.join(str(error).split())}). Fetch the zip again."
        ) from error


def _missing(path: Path) -> list[Path]:
    raise InputError(f"{path}: no slices of this image are in the zip. Scan the download again.")


def _partners(name: str, names: Sequence[str]) -> list[str]:
    """Return the other file of an Analyze pair."""
    stem, dot, suffix = name.rpartition(".")
    other = {"img": "hdr", "hdr": "img"}.get(suffix.lower())
    return [present for present in names if other and present.lower() == f"{stem}{dot}{other}".lower()]


def _member(opened: zipfile.ZipFile, name: str, scratch: Path) -> Path:
    """Unpack one member under its own name, whatever folders the zip says: nothing can land outside `scratch`."""
    target = scratch / PurePosixPath(name).name
    with opened.open(name) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    return target


def _converted(path: Path, slices: Sequence[Path], scratch: Path) -> Path:
    """Convert the slices of one image by dcm2niix, and check their scale against pydicom."""
    series, out = scratch / "slices", scratch / "out"
    series.mkdir()
    out.mkdir()
    for number, name in enumerate(slices):
        (series / f"{number:06d}.dcm").symlink_to(name.absolute())
    run = subprocess.run(
        [dcm2niix.bin, "-b", "n", "-z", "n", "-m", "y", "-f", "image", "-o", str(out), str(series)],
        capture_output=True,
        text=True,
        check=False,
    )
    made = sorted(out.glob("*.nii"))
    if len(made) != 1:
        said = [line for line in (run.stdout + run.stderr).splitlines() if re.match("Warning|Error", line)]
        raise InputError(
            f"{path}: dcm2niix made {len(made)} images of {len(slices)} DICOM slices; expected one whole volume"
            f"{f' ({said[-1]})' if said else ''}. Slices may be missing or of two series: download them again."
        )
    _require_scale(path, slices, made[0])
    return made[0]


def _require_scale(path: Path, slices: Sequence[Path], made: Path) -> None:
    """Refuse a conversion whose largest value is not that of the slices, each with its own slope (PET)."""
    try:
        largest = max(_largest(name) for name in slices)
    except NotImplementedError:
        return  # compressed pixels, which dcm2niix reads and pydicom alone does not
    except (InvalidDicomError, AttributeError, ValueError, OSError) as error:
        raise InputError(f"{path}: a slice cannot be read ({error}). Download the image again.") from error
    found = float(np.max(np.asarray(nib.load(made).dataobj)))  # type: ignore[attr-defined]
    if abs(found - largest) > _SCALE_TOLERANCE * max(abs(largest), 1e-6):
        raise InputError(
            f"{path}: its largest value is {largest:.6g} in the DICOM slices, but {found:.6g} after dcm2niix. "
            "Convert it by other means and give the NIfTI."
        )


def _largest(name: Path) -> float:
    header = dcmread(name)
    if header.file_meta.TransferSyntaxUID.is_compressed:
        raise NotImplementedError
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return float(header.pixel_array.max()) * slope + intercept
