"""Each person's shape: a smooth diffeomorphism of the template, with ventricles and hippocampi of the wanted size.

A stationary velocity field v (mm, on a 4 mm grid in MNI152 space) is exponentiated by scaling and squaring
(Arsigny 2006). exp(v) carries template points to the person's anatomy, exp(−v) carries them back.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from dualglow.cohort.simulate.anatomy import Array, Template, template, voxel_points

COARSE = 2  # template voxels per field voxel and axis
SQUARINGS = 5
CALIBRATIONS = 3
# Smooth noise of the velocity: kernel (mm, sigma) and size (mm, root mean square).
SCALES = ((6.0, 0.6), (10.0, 1.1), (18.0, 1.5), (32.0, 2.0))
ATROPHY_LIMITS = (-0.9, 1.0)  # log volume ratio that one smooth field can still reach without folds


@dataclass(frozen=True)
class Field:
    """Vectors (3, X, Y, Z) in mm on a grid with `affine` (voxel → MNI152 RAS+ mm)."""

    vectors: Array
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> float:
        return float(self.affine[0, 0])

    def at(self, points: Array) -> Array:
        """Vectors (3, …) at world points (3, …), linearly interpolated; outside the grid, those of its edge."""
        voxels = (points - self.affine[:3, 3].reshape(3, *[1] * (points.ndim - 1)).astype(np.float32)) / self.spacing
        return np.stack([ndimage.map_coordinates(v, voxels, order=1, mode="nearest") for v in self.vectors])


def exponential(velocity: Field) -> Field:
    """Displacement of exp(velocity) by scaling and squaring."""
    points = voxel_points(velocity.vectors.shape[1:], velocity.affine)
    step = Field(velocity.vectors / np.float32(2**SQUARINGS), velocity.affine)
    for _ in range(SQUARINGS):
        step = Field(step.vectors + step.at(points + step.vectors), step.affine)
    return step


def jacobian(displacement: Field) -> Array:
    """Determinant (X, Y, Z) of the Jacobian of x → x + displacement(x)."""
    gradients = np.stack([np.stack(np.gradient(v, displacement.spacing)) for v in displacement.vectors])
    matrices = np.moveaxis(gradients, (0, 1), (-2, -1)) + np.eye(3, dtype=np.float32)
    return np.linalg.det(matrices).astype(np.float32)


def individual_velocity(rng: np.random.Generator) -> Field:
    """Velocity of a random healthy shape: Gaussian noise, smoothed at four scales."""
    shape, affine = _field_grid(template())
    spacing = affine[0, 0]
    vectors = np.zeros((3, *shape), dtype=np.float32)
    for sigma, size in SCALES:
        noise = rng.standard_normal(vectors.shape, dtype=np.float32)
        smooth = ndimage.gaussian_filter(noise, (0, *[sigma / spacing] * 3))
        vectors += smooth * np.float32(size / smooth.std())
    return Field(vectors, affine)


def atrophy_velocity(log_ratios: dict[str, float]) -> Field:
    """Velocity that changes the volume of `ventricles` and `hippocampus` by the wanted log ratios.

    The field is the gradient of a potential whose Laplacian is the wanted log change; the sulcal fluid takes up what
    the regions give or need. One pass falls short of large changes, so that sizes are corrected by what it reached.
    """
    parts = _unit_fields()
    wanted = {name: float(np.clip(log_ratios[name], *ATROPHY_LIMITS)) for name in parts}
    sizes = dict(wanted)
    affine = next(iter(parts.values())).velocity.affine
    for _ in range(CALIBRATIONS):
        determinant = jacobian(exponential(_combine(parts, sizes, affine)))
        for name, part in parts.items():
            sizes[name] += wanted[name] - float(np.log(np.average(determinant, weights=part.share)))
    return _combine(parts, sizes, affine)


@dataclass(frozen=True)
class _Part:
    share: Array
    velocity: Field


def _combine(parts: dict[str, _Part], sizes: dict[str, float], affine: NDArray[np.float64]) -> Field:
    total = sum(np.float32(sizes[name]) * part.velocity.vectors for name, part in parts.items())
    return Field(np.asarray(total, dtype=np.float32), affine)


@cache
def _unit_fields() -> dict[str, _Part]:
    """For each region, the velocity whose divergence is 1 inside it, balanced by the sulcal fluid."""
    base = template()
    _, affine = _field_grid(base)
    ventricles = base.share("Lateral_Ventricle", "Inf_Lat_Vent", "3rd_Ventricle")
    inside = base.depth < 0
    fluid = inside * (1 / (1 + np.exp(-base.csf))) * (1 - ndimage.gaussian_filter(ventricles, 2) > 0.7)
    balance = _coarse(fluid.astype(np.float32))
    regions = {"ventricles": ventricles, "hippocampus": base.share("Hippocampus", "Amygdala")}
    parts = {}
    for name, region in regions.items():
        share = _coarse(region)
        divergence = share - balance * (share.sum() / balance.sum())
        parts[name] = _Part(share, Field(_gradient_of_potential(divergence, affine[0, 0]), affine))
    return parts


def _gradient_of_potential(divergence: Array, spacing: float) -> Array:
    """Solve ∇·v = divergence with v = ∇φ and no flow through the box (DCT, Neumann)."""
    axes = [np.arange(n) for n in divergence.shape]
    eigenvalues = sum(
        ((2 * np.cos(np.pi * k / n) - 2) / spacing**2).reshape([-1 if a == b else 1 for b in range(3)])
        for a, (k, n) in enumerate(zip(axes, divergence.shape, strict=True))
    )
    spectrum = fft.dctn(divergence, norm="ortho")
    eigenvalues = np.asarray(eigenvalues)
    eigenvalues[0, 0, 0] = 1
    spectrum = spectrum / eigenvalues
    spectrum[0, 0, 0] = 0
    potential = fft.idctn(spectrum, norm="ortho")
    return np.stack(np.gradient(potential, spacing)).astype(np.float32)


def _field_grid(base: Template) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    shape = tuple(n // COARSE for n in base.shape)
    affine = base.affine.copy()
    affine[:3, :3] *= COARSE
    affine[:3, 3] += base.affine[:3, :3] @ np.full(3, (COARSE - 1) / 2)
    return shape, affine  # type: ignore[return-value]


def _coarse(data: Array) -> Array:
    x, y, z = (n // COARSE for n in data.shape)
    blocks = data[: x * COARSE, : y * COARSE, : z * COARSE].reshape(x, COARSE, y, COARSE, z, COARSE)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)
