"""From what the archive gives to one 3D float32 image in RAS+ orientation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.preprocess.grid import with_affine
from dualglow.preprocess.images import load, save

Modality = Literal["t1", "pet"]
_VOXEL_MM = (0.2, 10.0)
_SMALLEST_EXTENT_MM = 80.0
_NAN_SHARE = 0.01


def convert(paths: Sequence[Path], modality: Modality, out: Path) -> None:
    """Read one image of one or several files, average its frames if it is a PET, and write it in RAS+ orientation.

    Raises
    ------
    InputError
        If a file is damaged, the frames differ in shape or place, a T1 has several frames, more than 1 % of the
        voxels are not numbers, or the geometry cannot be that of a head.
    """
    images = [_squeezed(load(path), path) for path in paths]
    _require_same_place(images, paths)
    frames = [frame for image in images for frame in _frames(image)]
    if modality == "t1" and len(frames) > 1:
        raise InputError(
            f"{paths[0]}: {len(frames)} frames or files for a T1; expected one 3D volume. Give one file of the scan."
        )
    data = _without_nan(np.asarray(np.mean(frames, axis=0, dtype=np.float64), dtype=np.float32), paths[0])
    image = nib.as_closest_canonical(with_affine(data, images[0].affine))
    _require_head_geometry(image, paths[0])
    save(image, out)


def _squeezed(image: Nifti1Image, path: Path) -> Nifti1Image:
    data = np.asarray(image.dataobj)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim not in (3, 4):
        raise InputError(f"{path}: has the shape {data.shape}; expected a 3D volume or a 4D series of frames.")
    return Nifti1Image(data, image.affine)


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
