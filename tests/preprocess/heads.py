"""Simulated heads with a known truth, and what scanners and headers can do to them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from dualglow.cohort.simulate import scanner
from dualglow.cohort.simulate.anatomy import template
from dualglow.cohort.simulate.head import uptake
from dualglow.cohort.simulate.people import cohort
from dualglow.cohort.simulate.subject import make_person

Matrix = NDArray[np.float64]
SEED = 11


@dataclass(frozen=True)
class Person:
    """A simulated person at 2 mm: T1 with skull, FDG uptake on its grid (not blurred), and points that belong together.

    brain_points: (n, 3) of the brain in T1 world mm; mni_points and their true places t1_points, both (n, 3) in mm.
    """

    t1: Nifti1Image
    uptake: Nifti1Image
    brain_points: Matrix
    mni_points: Matrix
    t1_points: Matrix
    ventricles: NDArray[np.bool_]  # on the T1's grid


@cache
def person(number: int = 1, voxel: float = 2.0) -> Person:
    """Simulate person `number` (from 1) of 24."""
    someone = cohort(24, SEED)[number - 1]
    scans, truth = make_person(someone, SEED, voxel)
    grid = truth.head.grid
    t1 = next(scan for scan in scans if scan.kind == "T1").frames[0]
    brain = truth.head.grey + truth.head.white > 0.5
    places = np.moveaxis(truth.landmarks, 0, -1)
    mni = apply_affine(truth.landmarks_affine, np.moveaxis(np.indices(places.shape[:3]), 0, -1))
    inside = ndimage.map_coordinates(
        brain.astype(np.float32), np.moveaxis(apply_affine(np.linalg.inv(grid.affine), places), -1, 0), order=0
    )
    return Person(
        Nifti1Image(t1, grid.affine),
        Nifti1Image(uptake(truth.head, np.float32(1)), grid.affine),
        apply_affine(grid.affine, np.argwhere(brain)[::50]),
        mni[inside > 0],
        places[inside > 0],
        np.isin(truth.head.labels, _codes("Lateral_Ventricle", "Inf_Lat_Vent")),
    )


def _codes(*fragments: str) -> list[int]:
    return [code for code, name in template().names.items() if any(fragment in name for fragment in fragments)]


def most_atrophied() -> int:
    """Number of the person with the most severe disease."""
    people = cohort(24, SEED)
    return 1 + max(range(24), key=lambda index: (people[index].severity, people[index].age))


def large_ventricles(of: Person, mm: float = 6.0) -> Nifti1Image:
    """The T1 with ventricles that reach `mm` further into the white matter."""
    data = np.asarray(of.t1.dataobj).copy()
    wide = ndimage.distance_transform_edt(~of.ventricles) * of.t1.affine[0, 0] <= mm
    data[wide] = np.random.default_rng(0).choice(data[of.ventricles], wide.sum())
    return Nifti1Image(data, of.t1.affine)


def moved(image: Nifti1Image, matrix: Matrix) -> Nifti1Image:
    """The same voxels elsewhere: the header says that the head lies at matrix · x (RAS+ mm)."""
    return Nifti1Image(np.asarray(image.dataobj), matrix @ image.affine)


def pose(turn_deg: float, axis: str | tuple[float, float, float], shift: tuple[float, float, float]) -> Matrix:
    """Turn about an axis (x, y, z or a vector) through the origin, then a shift in mm."""
    vector = np.array({"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}[axis] if isinstance(axis, str) else axis, float)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn_deg * vector / np.linalg.norm(vector), degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def seen(image: Nifti1Image, spacing: tuple[float, float, float], noise: float = 0.0, seed: int = 0) -> Nifti1Image:
    """Acquire again with other voxels over the same field of view: each is the mean of what lies in it."""
    old = np.linalg.norm(image.affine[:3, :3], axis=0)
    shape = np.round(np.array(image.shape) * old / spacing).astype(int)
    affine = image.affine @ np.diag([*(np.array(spacing) / old), 1.0])
    affine[:3, 3] += image.affine[:3, :3] @ ((np.array(spacing) / old - 1) / 2)
    sigma = np.sqrt(np.maximum(np.array(spacing) ** 2 - old**2, 0)) / 2.3548 / old
    smooth = ndimage.gaussian_filter(np.asarray(image.dataobj, np.float32), sigma)
    step = np.linalg.inv(image.affine) @ affine
    data = ndimage.affine_transform(smooth, step[:3, :3], step[:3, 3], output_shape=tuple(shape), order=1)
    data += noise * data.max() * np.random.default_rng(seed).standard_normal(data.shape)
    return Nifti1Image(np.maximum(data, 0).astype(np.float32), affine)


def pet(of: Person, voxel: float = 2.0, fwhm: float = 6.0, noise: float = 0.02) -> Nifti1Image:
    """A PET of this person in the T1's own world: blur (mm FWHM) and voxels (mm) of some scanner."""
    spacing = float(of.uptake.affine[0, 0])
    blurred = scanner.blurred(np.asarray(of.uptake.dataobj, np.float32), fwhm, spacing)
    return seen(Nifti1Image(blurred, of.uptake.affine), (voxel,) * 3, noise)


def cut(image: Nifti1Image, axis: int, low_mm: float | None = None, high_mm: float | None = None) -> Nifti1Image:
    """Keep what lies between two world coordinates along an axis (of an image whose axes are the world's)."""
    world = image.affine[axis, 3] + image.affine[axis, axis] * np.arange(image.shape[axis])
    kept = (world >= (-np.inf if low_mm is None else low_mm)) & (world <= (np.inf if high_mm is None else high_mm))
    indices = np.flatnonzero(kept)
    slices = [slice(None)] * 3
    slices[axis] = slice(indices[0], indices[-1] + 1)
    return image.slicer[tuple(slices)]


def corner_header(image: Nifti1Image) -> Nifti1Image:
    """The same voxels with an origin at the corner, as some converters write it."""
    affine = image.affine.copy()
    affine[:3, 3] = 0
    return Nifti1Image(np.asarray(image.dataobj), affine)


def biased(image: Nifti1Image, amplitude: float) -> Nifti1Image:
    """Multiply by a coil's sensitivity that rises by twice `amplitude` from one corner of the head to the other."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape], indexing="ij", sparse=True)
    field = 1 + amplitude * np.tanh(x + 0.7 * y - 0.8 * z)
    return Nifti1Image((np.asarray(image.dataobj) * field).astype(np.float32), image.affine)


def with_neck(image: Nifti1Image, mm: float = 60.0) -> Nifti1Image:
    """Prolong the lowest slice downwards: a neck of `mm` below the field of view."""
    n = round(mm / image.affine[2, 2])
    data = np.asarray(image.dataobj)
    neck = np.repeat(data[:, :, :1], n, axis=2)
    affine = image.affine.copy()
    affine[2, 3] -= n * affine[2, 2]
    return Nifti1Image(np.concatenate([neck, data], axis=2), affine)


def noise(like: Nifti1Image) -> Nifti1Image:
    """Nothing but noise."""
    data = np.random.default_rng(0).uniform(0, 1000, like.shape)
    return Nifti1Image(data.astype(np.float32), like.affine)


def organ(like: Nifti1Image) -> Nifti1Image:
    """A body with two hot organs in it, as of a PET of the belly."""
    x = (np.moveaxis(np.indices(like.shape), 0, -1) - np.array(like.shape) / 2) * np.linalg.norm(
        like.affine[:3, :3], axis=0
    )

    def ball(centre: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
        return np.asarray((((x - centre) / radii) ** 2).sum(-1) < 1)

    data = (
        1.0 * ball((0, 0, 0), (90, 60, 120))
        + 3 * ball((40, 10, 20), (24, 20, 28))
        + 2 * ball((-40, -10, -20), (30, 20, 36))
    )
    return Nifti1Image(ndimage.gaussian_filter(data.astype(np.float32), 1.3), like.affine)


def ball(like: Nifti1Image) -> Nifti1Image:
    """An even ellipsoid of a head's size."""
    x = (np.moveaxis(np.indices(like.shape), 0, -1) - np.array(like.shape) / 2) * np.linalg.norm(
        like.affine[:3, :3], axis=0
    )
    data = ((x / [76, 96, 80]) ** 2).sum(-1) < 1
    return Nifti1Image(ndimage.gaussian_filter(1000 * data.astype(np.float32), 1.3), like.affine)
