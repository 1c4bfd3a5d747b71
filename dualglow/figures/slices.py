"""Slices of volumes in MNI152: axial, coronal and sagittal planes through one point, beside each other."""

import numpy as np
from matplotlib.axes import Axes

POINT_MM = (4.0, -46.0, 28.0)
"""Where the three planes cross, MNI152 RAS+ mm: the right posterior cingulate, first to lose uptake in AD."""


def top_of_scale(volumes: list[np.ndarray], percentile: float) -> float:
    """The percentile of all values above 0, for the top of a colour scale that the volumes share."""
    values = np.concatenate([volume[volume > 0] for volume in volumes])
    return float(np.percentile(values, percentile)) if len(values) else 1.0


def voxel_of_point(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The voxel (3,) nearest to POINT_MM on the grid of `affine` (4 x 4, voxel → MNI152 RAS+ mm)."""
    index = np.rint(np.linalg.inv(affine) @ np.array([*POINT_MM, 1.0]))[:3].astype(int)
    return np.clip(index, 0, np.array(shape) - 1)


def planes(volume: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Axial (x right), coronal (x right) and sagittal (y right) planes beside each other, centred in height."""
    x, y, z = index
    cuts = [volume[:, :, z].T, volume[:, y, :].T, volume[x, :, :].T]
    height = max(plane.shape[0] for plane in cuts)
    return np.hstack([_centred(np.asarray(plane, float), height) for plane in cuts])


def _centred(plane: np.ndarray, height: int) -> np.ndarray:
    below = (height - plane.shape[0]) // 2
    return np.pad(plane, ((below, height - plane.shape[0] - below), (0, 0)))


def bare(axes: Axes) -> None:
    """No ticks, no frame, black where nothing is drawn."""
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def mark_sides(axes: Axes, shape: tuple[int, ...]) -> None:
    """L and R at the feet of the axial plane, which is shape[0] voxels wide and shape[1] high."""
    for x, side, align in ((2, "L", "left"), (shape[0] - 3, "R", "right")):
        axes.text(x, shape[1] - 4, side, color="white", fontsize=8, ha=align, va="top")
