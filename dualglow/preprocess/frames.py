"""Frames of a dynamic PET: the head's pose in each, so that every frame is carried to its target in one interpolation.

The motion table has one row a frame: `frame` (from 1), `trans_x`, `trans_y`, `trans_z` (mm), `rot_x`, `rot_y`, `rot_z`
(degrees), `displacement` (mm), `weight` (share of the mean) and `registered` (false: no signal, its neighbour's pose).
A point x of the mean lies in a frame at R (x - c) + c + t, in RAS+ mm: R turns about x, then y, then z (fixed axes), c
is the centre of the field of view. `displacement` is the mean length of that way over a sphere of 65 mm about the head.
"""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from dualglow.errors import InputError
from dualglow.files import read_table
from dualglow.preprocess.ants import read_affine, workspace, write_affine
from dualglow.preprocess.grid import widened
from dualglow.preprocess.images import scratch
from dualglow.preprocess.presets import Levels
from dualglow.preprocess.register import register_linear

TRANSLATIONS, ROTATIONS = ("trans_x", "trans_y", "trans_z"), ("rot_x", "rot_y", "rot_z")
COLUMNS = ("frame", *TRANSLATIONS, *ROTATIONS, "displacement", "weight", "registered")
RADIUS_MM = 65.0
_ROUNDS, _STILL_MM = 4, 0.25  # until no frame moves further than this
_FWHM_MM = 6.0  # frames are noisy: they are registered smooth and coarse
_COARSE_MM = 3.0
_LEVELS = Levels((60, 40), (2, 1), (1, 0))
_SAMPLING = 0.25
_LEAST_CORRELATION = 0.5  # with the other frames' mean; below it a frame shows no head to register
_LARGEST_MM = 40.0  # nobody moves further within a scanner
_HEAD_SHARE, _HEAD_MARGIN_MM = 0.15, 10.0  # of the 98th percentile


def find_motion(frames: Sequence[np.ndarray], affine: np.ndarray, weights: np.ndarray, seed: int) -> pd.DataFrame:
    """Register every frame (x, y, z) rigidly to the weighted mean of the others; gives the motion table.

    Repeatedly: first to the frames as they are, then to the frames as moved, each from the pose found before (at first
    from the header's: a centre of mass follows the noise). A frame's own noise must not hold it in place, so it is
    compared with the others alone and goes as far as the mean of all lies. A frame without signal, such as the first
    seconds after the injection, takes the pose of the nearest frame that has some. One frame alone does not move.
    """
    coarse = [_coarse(frame, affine) for frame in frames]
    head = _head(coarse, weights)
    head_centre = nib.affines.apply_affine(coarse[0].affine, np.argwhere(head).mean(axis=0))
    seen = np.array([_resembles(coarse, weights, index, head) for index in range(len(coarse))])
    found = [np.eye(4) for _ in frames]
    for _ in range(_ROUNDS if seen.sum() > 1 else 0):
        others = _all_registered(coarse, found, weights, seen, head, seed)
        shares = 1 - weights * seen / (weights * seen).sum()  # the mean of all lies this far on the way to the others
        before = found
        found = [
            _part(new @ np.linalg.inv(old), share, head_centre) @ old
            for new, old, share in zip(others, before, shares, strict=True)
        ]
        steps = [_displacement(new @ np.linalg.inv(old), head_centre) for new, old in zip(found, before, strict=True)]
        if max(steps) <= _STILL_MM:
            break
    seen &= np.array([_displacement(pose, head_centre) <= _LARGEST_MM for pose in found])
    return _table(_with_neighbours(found, seen), _centre(affine, frames[0].shape), head_centre, weights, seen)


def still(frames: int = 1) -> pd.DataFrame:
    """Give the motion table of frames that do not move and weigh the same."""
    return _table([np.eye(4)] * frames, np.zeros(3), np.zeros(3), np.ones(frames), np.ones(frames, dtype=bool))


def poses(table: pd.DataFrame, affine: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    """Give the poses of a motion table (4x4, mean → frame, RAS+ mm) of frames with these voxels."""
    middle = _centre(affine, shape)
    return [_matrix(row, middle) for _, row in table.iterrows()]


def split(image: Nifti1Image) -> list[np.ndarray]:
    """Give the frames (x, y, z) of a 3D or 4D image."""
    data = np.asarray(image.dataobj)
    return [data] if data.ndim == 3 else [data[..., index] for index in range(data.shape[3])]


def read_motion(path: Path, frames: int) -> pd.DataFrame:
    """Read the motion table of a PET of so many frames; raises InputError if it is of another PET."""
    table = read_table(path, list(COLUMNS))
    if len(table) != frames:
        raise InputError(f"{path}: has {len(table)} rows for {frames} frames of the PET. Convert the PET again.")
    return table


def mean_frame(frames: Sequence[np.ndarray], weights: np.ndarray | pd.Series) -> np.ndarray:
    """Weighted mean of frames (x, y, z), float32; the weights are made to sum to 1."""
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    return np.einsum("i,i...->...", share, np.stack(frames), dtype=np.float64).astype(np.float32)


def _coarse(frame: np.ndarray, affine: np.ndarray) -> Nifti1Image:
    """Smooth a frame and keep every n-th voxel, for registration only."""
    spacing = nib.affines.voxel_sizes(affine)
    every = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
    smooth = ndimage.gaussian_filter(np.nan_to_num(frame).astype(np.float32), _FWHM_MM / 2.3548 / spacing)
    kept = smooth[:: every[0], :: every[1], :: every[2]]
    return Nifti1Image(kept, affine @ np.diag([*every, 1.0]))


def _head(images: Sequence[Nifti1Image], weights: np.ndarray) -> np.ndarray:
    """Where the head is in the mean, widened (bool, x, y, z)."""
    mean = mean_frame([np.asarray(image.dataobj) for image in images], weights)
    bright = mean > _HEAD_SHARE * np.percentile(mean, 98)
    return widened(bright, images[0].affine, _HEAD_MARGIN_MM) if bright.any() else np.ones_like(bright)


def _without(images: Sequence[Nifti1Image], weights: np.ndarray, index: int) -> Nifti1Image:
    """Mean of all other frames."""
    others = [np.asarray(image.dataobj) for position, image in enumerate(images) if position != index]
    left = np.delete(weights, index)
    return Nifti1Image(mean_frame(others, left if left.sum() > 0 else np.ones_like(left)), images[0].affine)


def _resembles(images: Sequence[Nifti1Image], weights: np.ndarray, index: int, head: np.ndarray) -> bool:
    if len(images) == 1:
        return True
    one = np.asarray(images[index].dataobj)[head]
    other = np.asarray(_without(images, weights, index).dataobj)[head]
    return min(one.std(), other.std()) > 0 and float(np.corrcoef(one, other)[0, 1]) >= _LEAST_CORRELATION


def _all_registered(
    images: Sequence[Nifti1Image],
    starts: Sequence[np.ndarray],
    weights: np.ndarray,
    seen: np.ndarray,
    head: np.ndarray,
    seed: int,
) -> list[np.ndarray]:
    """Register each frame that shows something to the mean of the others as they lie in `starts`."""
    moved = [_moved(image, pose) for image, pose in zip(images, starts, strict=True)]
    return [
        _registered(_without(moved, weights * seen, index), image, head, starts[index], seed)
        if seen[index]
        else starts[index]
        for index, image in enumerate(images)
    ]


def _registered(fixed: Nifti1Image, moving: Nifti1Image, head: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    """Pose of one frame, mean → frame (4x4, RAS+ mm)."""
    with workspace() as folder:
        found = register_linear(
            scratch(np.asarray(fixed.dataobj), fixed.affine, folder / "mean.nii"),
            scratch(np.asarray(moving.dataobj), moving.affine, folder / "frame.nii"),
            ["Rigid"],
            _LEVELS,
            _SAMPLING,
            seed,
            folder,
            [scratch(head, fixed.affine, folder / "head.nii")],
            write_affine(start, folder / "start.mat"),
        )
        return read_affine(found)


def _part(motion: np.ndarray, share: float, centre: np.ndarray) -> np.ndarray:
    """Go a share of the way of a rigid motion (4x4): of its turn about `centre`, and of that point's shift."""
    part = np.eye(4)
    part[:3, :3] = Rotation.from_rotvec(share * Rotation.from_matrix(motion[:3, :3]).as_rotvec()).as_matrix()
    shift = motion[:3, :3] @ centre + motion[:3, 3] - centre
    part[:3, 3] = centre - part[:3, :3] @ centre + share * shift
    return part


def _moved(image: Nifti1Image, pose: np.ndarray) -> Nifti1Image:
    """Sample a coarse frame in the mean's pose (linear), for registration only."""
    step = np.linalg.inv(image.affine) @ pose @ image.affine
    data = ndimage.affine_transform(np.asarray(image.dataobj), step[:3, :3], step[:3, 3], order=1, mode="nearest")
    return Nifti1Image(data, image.affine)


def _with_neighbours(found: Sequence[np.ndarray], seen: np.ndarray) -> list[np.ndarray]:
    """Give each frame that was not registered the pose of the nearest that was, the later one of two."""
    if not seen.any():
        return [np.eye(4) for _ in found]
    there = np.flatnonzero(seen)
    nearest = [there[np.argmin(np.abs(there - index) - 0.1 * (there > index))] for index in range(len(found))]
    return [found[index] for index in nearest]


def _table(
    found: Sequence[np.ndarray], middle: np.ndarray, head_centre: np.ndarray, weights: np.ndarray, seen: np.ndarray
) -> pd.DataFrame:
    rows = []
    for index, pose in enumerate(found):
        angles = Rotation.from_matrix(pose[:3, :3]).as_euler("xyz", degrees=True)
        shift = pose[:3, :3] @ middle + pose[:3, 3] - middle
        rows.append([index + 1, *shift, *angles, _displacement(pose, head_centre), weights[index] / weights.sum()])
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1])).round(6)
    return table.assign(registered=seen)


def _matrix(row: pd.Series, middle: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [float(row[n]) for n in ROTATIONS], degrees=True).as_matrix()
    pose[:3, 3] = middle - pose[:3, :3] @ middle + [float(row[n]) for n in TRANSLATIONS]
    return pose


def _centre(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return nib.affines.apply_affine(affine, (np.array(shape[:3]) - 1) / 2)


def _displacement(pose: np.ndarray, centre: np.ndarray) -> float:
    """Mean way in mm of the points of a sphere's surface (Fibonacci lattice) around `centre`."""
    steps = np.arange(500) + 0.5
    z, turn = 1 - 2 * steps / 500, np.pi * (1 + 5**0.5) * steps
    ring = np.sqrt(1 - z**2)
    points = centre + RADIUS_MM * np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=-1)
    return float(np.linalg.norm(nib.affines.apply_affine(pose, points) - points, axis=1).mean())
