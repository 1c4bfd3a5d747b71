"""Distances, overlaps and volume changes by which the preprocessing is judged."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage

from dualglow.preprocess.ants import read_affine
from dualglow.preprocess.grid import MNI_GRID, template_mask
from dualglow.preprocess.t1 import PreparedT1
from tests.benchmarks.preprocessing_truth import Points, sampled, world

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SMALLEST_REGION = 50  # voxels of 1.5 mm


@dataclass(frozen=True)
class MniToT1:
    """The map of MNI152 points to T1 points that `normalise` found: displacement (x, y, z, 3), RAS mm, then affine."""

    displacement: NDArray[np.float64]
    grid: Nifti1Image
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, prepared: PreparedT1) -> "MniToT1":
        """Read the transforms of a prepared T1, without ANTs."""
        image = nib.load(prepared.normalised.warp)
        field = np.asarray(image.dataobj, dtype=np.float64)[..., 0, :] * _LPS_TO_RAS
        grid = Nifti1Image(np.zeros(field.shape[:3], np.uint8), image.affine)
        return cls(field, grid, read_affine(prepared.normalised.affine))

    def __call__(self, points: Points) -> Points:
        voxels = np.moveaxis(apply_affine(np.linalg.inv(self.grid.affine), points), -1, 0)
        parts = [ndimage.map_coordinates(self.displacement[..., i], voxels, order=1, mode="nearest") for i in range(3)]
        return np.asarray(apply_affine(self.affine, points + np.stack(parts, axis=-1)))

    def volume_change(self) -> dict[str, float]:
        """Jacobian determinant over the brain: range of all of the map and of the warp alone; share folded (%)."""
        spacing = nib.affines.voxel_sizes(self.grid.affine)
        slopes = [np.stack(np.gradient(self.displacement[..., i], *spacing), axis=-1) for i in range(3)]
        brain = sampled(MNI_GRID.image(template_mask(MNI_GRID).astype(np.float32)), world(self.grid)) > 0.5
        warp = np.linalg.det(np.stack(slopes, axis=-2)[brain] + np.eye(3))
        total = warp * np.linalg.det(self.affine[:3, :3])
        return {
            "Jacobian min": float(total.min()),
            "Jacobian max": float(total.max()),
            "warp alone min": float(warp.min()),
            "warp alone max": float(warp.max()),
            "folded (%)": 100 * float((warp <= 0).mean()),
        }


def mni_brain() -> Points:
    """World points (n, 3) of the template's brain, every voxel of MNI_GRID."""
    return np.asarray(apply_affine(MNI_GRID.matrix, np.argwhere(template_mask(MNI_GRID))))


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def overlaps(one: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.float64]:
    """Dice of every label that has at least _SMALLEST_REGION voxels in the first array."""
    labels, sizes = np.unique(one[one > 0], return_counts=True)
    kept = labels[sizes >= _SMALLEST_REGION]
    return np.array([dice(one == label, other == label) for label in kept])


def distances(found: Points, true: Points) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum of the distances (mm) between points (n, 3)."""
    error = np.linalg.norm(found - true, axis=-1)
    return {
        "mean (mm)": float(error.mean()),
        "median (mm)": float(np.median(error)),
        "p95 (mm)": float(np.percentile(error, 95)),
        "max (mm)": float(error.max()),
    }


def read(path: Path) -> Nifti1Image:
    """Read an image as float32."""
    image = nib.load(path)
    return Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def segmentation(prepared: PreparedT1) -> dict[str, Nifti1Image]:
    """GM, WM, CSF and brain mask of a prepared T1, in its space."""
    found = prepared.segmented
    return {"GM": read(found.gm), "WM": read(found.wm), "CSF": read(found.csf), "brain": read(found.mask)}
