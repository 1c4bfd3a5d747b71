"""From what the archive gives to one 3D float32 image in RAS+ orientation; a PET's frames are brought to one pose."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.files import write_table, written
from dualglow.preprocess.ants import workspace, write_affine
from dualglow.preprocess.frames import find_motion, mean_frame, poses, split, still
from dualglow.preprocess.grid import with_affine
from dualglow.preprocess.images import load, save, scratch
from dualglow.preprocess.register import Step, resample
from dualglow.preprocess.sources import as_files

log = logging.getLogger(__name__)

Modality = Literal["t1", "pet"]
_VOXEL_MM = (0.2, 10.0)
_SMALLEST_EXTENT_MM = 80.0
_NAN_SHARE = 0.01
_NEGATIVE_SHARE = 0.05
_OVERFLOW = (0.9, 1.12)  # of a wrapped integer, minus the smallest value is about the largest


@dataclass(frozen=True)
class Series:
    """What is kept of a PET besides its mean: all frames as scanned (4D; 3D for one frame), and their motion."""

    frames: Path
    motion: Path


def convert(paths: Sequence[Path], modality: Modality, out: Path, series: Series | None = None, seed: int = 1) -> None:
    """Read one image of one or several files and write it in RAS+ orientation; frames of a PET become their mean.

    A path may lead to NIfTI, Analyze, MGH or ECAT, into a zip, or to DICOM slices (see `sources`). Frames are
    registered to their mean, then averaged by their durations where BIDS sidecars state these, else alike. The mean
    serves registration; `series` keeps the frames themselves, which `resample` carries to their targets without a
    second interpolation. Negative voxels of a mean PET, which reconstruction leaves where nothing is, become 0.
    Without an orientation in the header the voxel axes are taken as LAS, with a warning.

    Raises
    ------
    InputError
        If a file is damaged or empty, the frames differ in shape or place, a T1 has several frames, more than 1 % of
        the voxels are not numbers, integers have overflowed, or the geometry cannot be that of a head.
    """
    images = _read(paths)
    _require_same_place(images, paths)
    affine = images[0].affine
    frames = [_upright(frame, affine, paths[0]) for image in images for frame in split(image)]
    if modality == "t1" and len(frames) > 1:
        raise InputError(
            f"{paths[0]}: {len(frames)} frames or files for a T1; expected one 3D volume. Give one file of the scan."
        )
    data = [np.asarray(frame.dataobj) for frame in frames]
    if all(frame.min() == frame.max() for frame in data):
        raise InputError(f"{paths[0]}: all voxels have the same value ({data[0].flat[0]}). Fetch the file again.")
    _require_head_geometry(frames[0], paths[0])
    motion = _motion(data, frames[0].affine, paths, seed)
    mean = _mean_in_place(data, frames[0].affine, motion)
    mean = _without_negatives(mean, paths[0]) if modality == "pet" else mean
    save(with_affine(mean, frames[0].affine), out)
    if series:
        _save_frames(data if len(data) > 1 else [mean], frames[0].affine, series.frames)
        write_table(motion, series.motion)


def _upright(frame: np.ndarray, affine: np.ndarray, path: Path) -> Nifti1Image:
    """Turn a frame (x, y, z) to RAS+ orientation, float32, without NaN."""
    data = _without_nan(np.asarray(frame, dtype=np.float32), path)
    return nib.as_closest_canonical(with_affine(data, affine))


def _motion(frames: list[np.ndarray], affine: np.ndarray, paths: Sequence[Path], seed: int) -> pd.DataFrame:
    if len(frames) == 1:
        return still()
    table = find_motion(frames, affine, _durations(paths, len(frames)), seed)
    if not table["registered"].all():
        which = ", ".join(str(number) for number in table.loc[~table["registered"], "frame"])
        log.warning("%s: frame(s) %s show no head to register; they take their neighbour's pose.", paths[0], which)
    return table


def _durations(paths: Sequence[Path], frames: int) -> np.ndarray:
    """Seconds of every frame, from the BIDS sidecars beside the files; 1 each if they do not say so of all frames."""
    found: list[float] = []
    for path in paths:
        sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
        try:
            found += json.loads(sidecar.read_text())["FrameDuration"]
        except (OSError, ValueError, KeyError, TypeError):
            break
    known = len(found) == frames and all(isinstance(value, int | float) and value > 0 for value in found)
    return np.array(found if known else [1.0] * frames, dtype=np.float64)


def _mean_in_place(frames: list[np.ndarray], affine: np.ndarray, motion: pd.DataFrame) -> np.ndarray:
    """Average the frames in the mean's pose (cubic B-splines); one frame alone stays as it is."""
    if len(frames) == 1:
        return frames[0]
    with workspace() as folder:
        moved = []
        for number, (frame, pose) in enumerate(zip(frames, poses(motion, affine, frames[0].shape), strict=True)):
            if frame.min() == frame.max() or np.array_equal(pose, np.eye(4)):
                moved.append(frame)
                continue
            source = scratch(frame, affine, folder / f"frame{number}.nii")
            steps = [Step(write_affine(pose, folder / f"pose{number}.mat"))]
            moved.append(resample(source, source, steps, folder / f"moved{number}.nii", "BSpline"))
    return mean_frame(moved, motion["weight"])


def _save_frames(frames: list[np.ndarray], affine: np.ndarray, out: Path) -> None:
    data = frames[0] if len(frames) == 1 else np.stack(frames, axis=-1)
    with written(out) as part:
        nib.save(with_affine(data, affine), part)


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
