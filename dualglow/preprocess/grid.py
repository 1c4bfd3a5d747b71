"""The grids of the pipeline in MNI152 world coordinates, and resampling between such grids without any transform."""

from dataclasses import dataclass
from functools import cache

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from dualglow.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Shape of an array and its affine, voxel → RAS+ mm (rows as tuples, so that grids compare and hash)."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, image: Nifti1Image) -> "Grid":
        """Give the grid that a 3D image lies on."""
        return cls(
            (int(image.shape[0]), int(image.shape[1]), int(image.shape[2])),
            tuple(tuple(float(v) for v in row) for row in image.affine),
        )

    @property
    def matrix(self) -> np.ndarray:
        """The affine as a 4x4 array, voxel → RAS+ mm."""
        return np.array(self.affine)

    @property
    def voxel_mm(self) -> float:
        """Mean edge length of a voxel in mm."""
        return float(nib.affines.voxel_sizes(self.matrix).mean())

    def image(self, data: np.ndarray) -> Nifti1Image:
        """Put an array on this grid."""
        if data.shape != self.shape:
            raise InputError(f"an array of {data.shape} voxels does not fit the grid of {self.shape}.")
        return with_affine(data, self.matrix)

    def holds(self, image: Nifti1Image) -> bool:
        """Whether the image has this shape and this affine (within 0.001 mm)."""
        return image.shape == self.shape and bool(np.allclose(image.affine, self.matrix, atol=1e-3))


def _isotropic(shape: tuple[int, int, int], mm: float, origin: tuple[float, float, float]) -> Grid:
    rows = [[mm * (i == j) for j in range(3)] + [origin[i]] for i in range(3)]
    return Grid(shape, (*(tuple(row) for row in rows), (0.0, 0.0, 0.0, 1.0)))


# SPM12's bounding box at 1.5 mm (its mask_ICV), in RAS order.
MNI_GRID = _isotropic((121, 145, 121), 1.5, (-90.0, -126.0, -72.0))
# The 96x144x96 crop [13:109, 0:144, 5:101] of MNI_GRID, edge to edge, in voxels 1.5 times larger (paper, §4).
MODEL_GRID = _isotropic((64, 96, 64), 2.25, (-70.125, -125.625, -64.125))


def with_affine(data: np.ndarray, affine: np.ndarray) -> Nifti1Image:
    """Make an image whose sform and qform both say `affine` (RAS+ mm) and whose units are mm; bool becomes uint8."""
    image = Nifti1Image(data.astype(np.uint8) if data.dtype == np.bool_ else data, affine)
    image.set_sform(affine, code="aligned")
    image.set_qform(affine, code="aligned")
    image.header.set_xyzt_units("mm")
    return image


def on_grid(image: Nifti1Image, grid: Grid, order: int = 1) -> np.ndarray:
    """Sample an image at the voxel centres of a grid in the same world space, 0 outside it, by splines of this order.

    Shapes: image (x, y, z) → array of `grid.shape`, float32. Used between MNI152 grids, where no transform is needed.
    """
    step = np.linalg.inv(image.affine) @ grid.matrix
    data = np.asarray(image.dataobj, dtype=np.float32)
    return ndimage.affine_transform(
        data, step[:3, :3], step[:3, 3], output_shape=grid.shape, order=order, mode="constant", cval=0.0
    )


def widened(mask: np.ndarray, affine: np.ndarray, margin_mm: float) -> np.ndarray:
    """Widen a binary mask by a distance in mm."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= margin_mm)


def cropped(image: Nifti1Image, mask: np.ndarray, margin_mm: float) -> Nifti1Image:
    """Cut an image to the box around a mask of its shape, with a margin; the affine follows."""
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    found, margin = np.argwhere(mask), np.ceil(margin_mm / spacing)
    low = np.maximum(found.min(0) - margin, 0).astype(int)
    high = np.minimum(found.max(0) + 1 + margin, mask.shape).astype(int)
    return image.slicer[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]


@cache
def template_mask(grid: Grid) -> np.ndarray:
    """Give the brain mask of nilearn's MNI152 template on a grid (bool)."""
    from nilearn.datasets import load_mni152_brain_mask

    return on_grid(load_mni152_brain_mask(resolution=1), grid) >= 0.5


@cache
def template_t1(grid: Grid) -> np.ndarray:
    """Give nilearn's MNI152 T1, skull-stripped, on a grid (float32)."""
    from nilearn.datasets import load_mni152_template

    return on_grid(load_mni152_template(resolution=1), grid)
