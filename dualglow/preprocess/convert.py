"""From what the archive gives to one 3D float32 image in RAS+ orientation."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.preprocess.grid import with_affine
from dualglow.preprocess.images import load, save
from dualglow.preprocess.sources import as_files

log = logging.getLogger(__name__)

Modality = Literal["t1", "pet"]
_VOXEL_MM = (0.2, 10.0)
_SMALLEST_EXTENT_MM = 80.0
_NAN_SHARE = 0.01
_NEGATIVE_SHARE = 0.05
_OVERFLOW = (0.9, 1.12)  # of a wrapped integer, minus the smallest value is about the largest


def convert(paths: Sequence[Path], modality: Modality, out: Path) -> None:
    """Read one image of one or several files, average its frames if it is a PET, and write it in RAS+ orientation.

    A path may lead to NIfTI, Analyze, MGH or ECAT, into a zip, or to DICOM slices (see `sources`). Negative voxels of
    a PET, which reconstruction leaves where nothing is, become 0. Without an orientation in the header the voxel axes
    are taken as LAS, with a warning.

    Raises
    ------
    InputError
        If a file is damaged or empty, the frames differ in shape or place, a T1 has several frames, more than 1 % of
        the voxels are not numbers, integers have overflowed, or the geometry cannot be that of a head.
    """
    images = _read(paths)
    _require_same_place(images, paths)
    frames = [frame for image in images for frame in _frames(image)]
    if modality == "t1" and len(frames) > 1:
        raise InputError(
            f"{paths[0]}: {len(frames)} frames or files for a T1; expected one 3D volume. Give one file of the scan."
        )
    data = _without_nan(np.asarray(np.mean(frames, axis=0, dtype=np.float64), dtype=np.float32), paths[0])
    data = _without_negatives(data, paths[0]) if modality == "pet" else data
    if data.min() == data.max():
        raise InputError(f"{paths[0]}: all voxels have the same value ({data.flat[0]}). Fetch the file again.")
    image = nib.as_closest_canonical(with_affine(data, images[0].affine))
    _require_head_geometry(image, paths[0])
    save(image, out)


def _read(paths: Sequence[Path]) -> list[Nifti1Image]:
    """Load every path; a message about a temporary file names the path that it comes from."""
    with as_files(paths) as files:
        images = []
        for path, file in zip(paths, files, strict=True):
            try:
                image = load(file)
            except InputError as error:
                raise InputError(str(error).replace(str(file), str(path))) from error
            if 0 in image.shape:
                raise InputError(f"{path}: has the shape {image.shape}, so no voxels. Fetch the file again.")
            _require_no_overflow(image, path)
            _warn_of_orientation(image, path)
            images.append(_squeezed(image, path))
        return images


def _squeezed(image: Nifti1Image, path: Path) -> Nifti1Image:
    data = np.asarray(image.dataobj)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim not in (3, 4):
        raise InputError(f"{path}: has the shape {data.shape}; expected a 3D volume or a 4D series of frames.")
    return Nifti1Image(data, image.affine)


def _require_no_overflow(image: Nifti1Image, path: Path) -> None:
    """Refuse 16-bit integers that ran over: the brightest voxels then are the most negative ones."""
    data = np.asarray(image.dataobj)
    if image.get_data_dtype() != np.int16:
        return
    low, high = float(data.min()), float(data.max())
    if high > 0 and _OVERFLOW[0] < -low / high < _OVERFLOW[1]:
        raise InputError(
            f"{path}: its values run from {low:.5g} to {high:.5g}, as those of 16-bit integers do that overflowed. "
            "Fetch the file again or convert it anew from its source."
        )


def _warn_of_orientation(image: Nifti1Image, path: Path) -> None:
    if int(image.header["qform_code"]) == 0 and int(image.header["sform_code"]) == 0:
        log.warning("%s: its header says nothing of left and right; its axes are taken as LAS.", path)


def _require_same_place(images: Sequence[Nifti1Image], paths: Sequence[Path]) -> None:
    first = images[0]
    for image, path in zip(images, paths, strict=True):
        if image.shape[:3] != first.shape[:3]:
            raise InputError(
                f"{path}: frames of {image.shape[:3]} voxels, but {paths[0]} has {first.shape[:3]}. "
                "All frames of a scan must have the same shape; give the files of one series."
            )
        if not np.allclose(image.affine, first.affine, atol=1e-2):
            raise InputError(f"{path}: its affine differs from that of {paths[0]}. Give the files of one series.")


def _frames(image: Nifti1Image) -> list[np.ndarray]:
    data = np.asarray(image.dataobj)
    return [data] if data.ndim == 3 else [data[..., i] for i in range(data.shape[3])]


def _without_nan(data: np.ndarray, path: Path) -> np.ndarray:
    bad = ~np.isfinite(data)
    if bad.mean() >= _NAN_SHARE:
        raise InputError(f"{path}: {bad.mean():.0%} of the voxels are NaN or infinite; expected less than 1 %.")
    return np.where(bad, np.float32(0), data)


def _without_negatives(data: np.ndarray, path: Path) -> np.ndarray:
    """Set negative voxels to 0; many of them in the middle of the image, where the head is, are worth a warning."""
    middle = data[tuple(slice(length // 4, length - length // 4) for length in data.shape)]
    if (share := float((middle < 0).mean())) > _NEGATIVE_SHARE:
        log.warning(
            "%s: %.0f %% of the voxels in the middle of this PET are negative; they become 0.", path, 100 * share
        )
    return np.maximum(data, np.float32(0))


def _require_head_geometry(image: Nifti1Image, path: Path) -> None:
    """Refuse what cannot be a head in mm: sheared axes, absurd voxels, a slab."""
    axes = image.affine[:3, :3]
    sizes = np.linalg.norm(axes, axis=0)
    if not np.all((sizes >= _VOXEL_MM[0]) & (sizes <= _VOXEL_MM[1])):
        raise InputError(f"{path}: voxels of {_mm(sizes)} mm; expected {_VOXEL_MM[0]} to {_VOXEL_MM[1]} mm per axis.")
    cosines = (axes / sizes).T @ (axes / sizes)
    if not np.allclose(cosines, np.eye(3), atol=1e-3):
        raise InputError(f"{path}: its axes are sheared; expected perpendicular ones. Reslice the image first.")
    extent = sizes * image.shape
    if extent.min() < _SMALLEST_EXTENT_MM:
        raise InputError(f"{path}: covers {_mm(extent)} mm; expected at least {_SMALLEST_EXTENT_MM:.0f} mm per axis.")


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
