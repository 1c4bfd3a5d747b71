"""A head moved by a known map, what the preprocessing benchmark holds the chain against."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.float64]

LARGEST_MM = 6.0
SCALING = 1.05
BIAS = 0.2  # largest absolute log of the bias field
NOISE = 1 / 30  # of white matter's signal
_WAVES = 6
_WAVELENGTHS_MM = (90.0, 180.0)
_FIXED_POINTS = 50


@dataclass(frozen=True)
class KnownMap:
    """A smooth map of world points (..., 3) in RAS+ mm: waves of displacement, then scaling about `centre`.

    y = centre + SCALING (x + u(x) - centre),   u(x) = sum of amplitude · sin(direction · x + phase)

    directions: (waves, 3) in rad/mm; amplitudes: (waves, 3) in mm; phases: (waves,) in rad.
    """

    directions: Points
    amplitudes: Points
    phases: Points
    centre: Points

    @classmethod
    def random(cls, seed: int, points: Points, centre: Points) -> "KnownMap":
        """Draw waves; their sum is scaled so that the largest displacement of `points` is LARGEST_MM."""
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(_WAVES, 3))
        lengths = rng.uniform(*_WAVELENGTHS_MM, _WAVES)
        directions *= (2 * np.pi / lengths / np.linalg.norm(directions, axis=1))[:, None]
        drawn = cls(directions, rng.normal(size=(_WAVES, 3)), rng.uniform(0, 2 * np.pi, _WAVES), centre)
        largest = np.linalg.norm(drawn.displacement(points), axis=-1).max()
        return cls(directions, drawn.amplitudes * LARGEST_MM / largest, drawn.phases, centre)

    def displacement(self, points: Points) -> Points:
        """Displacement u in mm, without the scaling."""
        return np.sin(points @ self.directions.T + self.phases) @ self.amplitudes

    def __call__(self, points: Points) -> Points:
        return self.centre + SCALING * (points + self.displacement(points) - self.centre)

    def inverse(self, points: Points) -> Points:
        """Solve y = map(x) for x by fixed-point iteration (the displacement's slope is below 1)."""
        target = self.centre + (points - self.centre) / SCALING
        found = target
        for _ in range(_FIXED_POINTS):
            found = target - self.displacement(found)
        return found


def world(image: Nifti1Image) -> Points:
    """World coordinates (x, y, z, 3) of an image's voxel centres."""
    return np.asarray(apply_affine(image.affine, np.moveaxis(np.indices(image.shape[:3]), 0, -1)))


def sampled(image: Nifti1Image, points: Points, order: int = 1) -> NDArray[np.float32]:
    """Values of an image at world points (..., 3), 0 outside it."""
    voxels = np.moveaxis(apply_affine(np.linalg.inv(image.affine), points), -1, 0)
    data = np.asarray(image.dataobj, dtype=np.float32)
    return np.asarray(ndimage.map_coordinates(data, voxels, order=order, mode="constant", cval=0.0))


def moved_head(head: Nifti1Image, to_head: KnownMap, seed: int) -> Nifti1Image:
    """Move a head: the value at x is the head's at `to_head(x)`, under another bias field, with Rician noise.

    The field of view grows so that the moved head fits in.
    """
    grid = _grown(head, 8)
    signal = np.maximum(sampled(head, to_head(world(grid)), order=3), 0)
    rng = np.random.default_rng(seed)
    signal = signal * _bias(grid.shape, rng)
    sd = NOISE * float(np.percentile(signal[signal > 0.2 * signal.max()], 80))
    noisy = np.hypot(signal + sd * rng.standard_normal(signal.shape), sd * rng.standard_normal(signal.shape))
    return Nifti1Image(noisy.astype(np.float32), grid.affine)


def _grown(image: Nifti1Image, voxels: int) -> Nifti1Image:
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, voxels)
    return Nifti1Image(np.zeros([n + 2 * voxels for n in image.shape], np.uint8), affine)


def _bias(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Exp of a random third-order polynomial; BIAS is its largest absolute value."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij", sparse=True)
    powers = [p for p in np.ndindex(4, 4, 4) if 0 < sum(p) <= 3]
    field = sum(rng.normal() * axes[0] ** i * axes[1] ** j * axes[2] ** k for i, j, k in powers)
    field = np.asarray(field) - np.mean(field)
    return np.exp(BIAS * field / np.abs(field).max())


def canonical(path: str) -> Nifti1Image:
    """Read an image in RAS+ orientation, float32, with one affine."""
    image = nib.as_closest_canonical(nib.load(path))
    return Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)
