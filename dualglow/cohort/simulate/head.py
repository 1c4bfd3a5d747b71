"""One person's head on the grid of the T1: tissues, labels and noiseless tracer uptake."""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from dualglow.cohort.simulate import effects
from dualglow.cohort.simulate.anatomy import SPACING, Array, template
from dualglow.cohort.simulate.people import Person
from dualglow.cohort.simulate.shape import Field, atrophy_velocity, exponential, individual_velocity

SHARPNESS = 1.8  # how much crisper a person's tissues are than the average's
FOLDING = ((2.5, 0.45), (5.0, 0.45))  # mm (sigma), log-odds (sd): individual cortical thickness and sulci
THINNING_GAIN = 6.0  # log-odds of fluid that take away all of a region's grey matter, measured for small shares
FEMALE_SIZE, SIZE_SD, SHEAR_SD = 0.97, 0.025, 0.007
CENTRE = np.array([0.0, -18.0, 5.0])  # MNI152 mm: what scanners put near their isocentre


@dataclass(frozen=True)
class Grid:
    """Shape and affine (voxel → scanner RAS+ mm)."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """A person's anatomy in MNI152 space: the deformation both ways and what varies on the template grid.

    forward: displacement, template → person; backward: person → template; size: affine (person's shape → person's
    size, centred); folding: log-odds (white, csf) added to the template's.
    """

    forward: Field
    backward: Field
    size: NDArray[np.float64]
    folding: tuple[Array, Array]


@dataclass(frozen=True)
class Head:
    """Maps (X, Y, Z) on one grid: shares of the tissues (they sum to at most 1), labels and uptake factors."""

    grid: Grid
    grey: Array
    white: Array
    csf: Array
    bone: Array
    marrow: Array
    fat: Array
    muscle: Array
    stem: Array
    labels: NDArray[np.int16]


def body(person: Person, rng: np.random.Generator) -> Body:
    """Draw a person's anatomy."""
    volumes = effects.log_volumes(person, rng)
    velocity = Field(individual_velocity(rng).vectors + (atrophy := atrophy_velocity(volumes)).vectors, atrophy.affine)
    mean_size = FEMALE_SIZE if person.sex == "F" else 1.0
    size = np.diag(mean_size * (1 + np.clip(rng.normal(0, SIZE_SD, 3), -0.05, 0.05)))
    size[np.triu_indices(3, 1)] = rng.normal(0, SHEAR_SD, 3)
    opened = opened_sulci(effects.thinning(person, rng))
    folding = (_noise(rng), _noise(rng) + opened)
    backward = exponential(Field(-velocity.vectors, velocity.affine))
    return Body(exponential(velocity), backward, _about_centre(size), folding)


def opened_sulci(lost: dict[int, float]) -> Array:
    """Log-odds of fluid on the template grid where grey matter is lost (share, by label)."""
    shares = effects.painted(lost, template().regions, 0.0)
    return np.float32(THINNING_GAIN) * ndimage.gaussian_filter(shares, 3 / SPACING)


def _noise(rng: np.random.Generator) -> Array:
    total = np.zeros(template().shape, dtype=np.float32)
    for sigma, size in FOLDING:
        smooth = ndimage.gaussian_filter(rng.standard_normal(total.shape, dtype=np.float32), sigma / SPACING)
        total += smooth * np.float32(size / smooth.std())
    return total


def _about_centre(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """4×4 of x → linear (x − CENTRE): the scanner's isocentre becomes the origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = -linear @ CENTRE
    return matrix


def scanner_points(anatomy: Body, pose: NDArray[np.float64], points: Array) -> Array:
    """Scanner coordinates (3, …) of template points (3, …), both RAS+ mm."""
    moved = points + anatomy.forward.at(points)
    return _transform(pose @ anatomy.size, moved)


def template_points(anatomy: Body, pose: NDArray[np.float64], points: Array) -> Array:
    """Template points (3, …) of scanner points (3, …), both RAS+ mm: the inverse of `scanner_points`."""
    moved = _transform(np.linalg.inv(pose @ anatomy.size), points)
    return moved + anatomy.backward.at(moved)


def _transform(matrix: NDArray, points: Array) -> Array:
    moved = apply_affine(matrix, np.moveaxis(points, 0, -1))
    return np.moveaxis(moved, -1, 0).astype(np.float32)


def head(anatomy: Body, points: Array, grid: Grid, scalp: float) -> Head:
    """Tissues at template points (3, X, Y, Z) of a grid. `scalp`: thickness of bone and skin relative to average."""
    base = template()
    offset = base.affine[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)
    voxels = (points - offset) / np.float32(SPACING)

    def sample(data: NDArray, order: int = 1) -> NDArray:
        return ndimage.map_coordinates(data, voxels, order=order, mode="nearest")

    depth = sample(base.depth)
    grey, white, csf = _brain(sample(base.white + anatomy.folding[0]), sample(base.csf + anatomy.folding[1]))
    brain = expit(-depth / 0.8)
    outer = _outer(depth, sample(base.skin), scalp)
    fluid = csf * brain + outer.pop("fluid") * (1 - brain)
    labels = sample(base.labels, order=0)
    return Head(
        grid, grey * brain, white * brain, fluid, stem=sample(base.stem) * brain * (1 - csf), labels=labels, **outer
    )


def _brain(white: Array, csf: Array) -> tuple[Array, Array, Array]:
    """Softmax of the log-odds against grey matter."""
    odds_white, odds_csf = np.exp(np.float32(SHARPNESS) * white), np.exp(np.float32(SHARPNESS) * csf)
    total = 1 + odds_white + odds_csf
    return np.float32(1) / total, odds_white / total, odds_csf / total


def _outer(depth: Array, skin: Array, scalp: float) -> dict[str, Array]:
    """Shells round the brain: fluid to 1.5 mm, bone with marrow to 6.5 mm, then muscle, and fat below the skin."""
    inside = expit(-skin / 0.7)
    inner, outer = 1.5, 1.5 + 5.0 * scalp
    middle = (inner + outer) / 2
    skull = expit((depth - inner) / 0.5) * expit((outer - depth) / 0.6)
    marrow = skull * np.exp(-(((depth - middle) / (0.8 * scalp)) ** 2)) * 0.7
    soft = expit((depth - outer) / 0.6) * inside
    fat = soft * expit((skin + 4.5 * scalp) / 0.8)
    return {
        "fluid": expit((inner - depth) / 0.5),
        "bone": (skull - marrow) * inside,
        "marrow": marrow * inside,
        "fat": fat,
        "muscle": soft - fat,
    }


def uptake(of: Head, factors: Array) -> Array:
    """FDG uptake (X, Y, Z) before the scanner's blur; healthy cerebral grey matter is about 1. `factors`: of grey."""
    brain = of.grey * factors + of.white * effects.WHITE
    brain = brain * (1 - of.stem) + effects.PONS * of.stem
    return (
        brain
        + of.csf * effects.CSF
        + (of.bone + of.marrow) * effects.BONE
        + (of.fat * 0.6 + of.muscle * 1.6) * effects.SCALP
    )


def amyloid_uptake(of: Head, severity: float) -> Array:
    """AV45 uptake: high in white matter, in grey matter only with plaques."""
    return of.white * 1.0 + of.grey * (0.55 + 0.6 * severity) + of.csf * 0.1 + (of.fat + of.muscle) * 0.15


def factor_map(person: Person, points: Array, rng: np.random.Generator) -> Array:
    """Uptake factor of grey matter at template points (3, X, Y, Z), smooth between regions (4 mm FWHM)."""
    return smooth_factors(effects.uptake_factors(person, rng), person.sex, points)


def smooth_factors(factors: dict[int, float], sex: str, points: Array) -> Array:
    """Uptake factors by label as a map at template points (3, X, Y, Z)."""
    base = template()
    regional = effects.painted(factors, base.regions, 1.0)
    regional = ndimage.gaussian_filter(regional, 4 / 2.355 / SPACING)
    if sex == "F":
        regional = regional * np.float32(effects.FEMALE_UPTAKE)
    offset = base.affine[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)
    return ndimage.map_coordinates(regional, (points - offset) / np.float32(SPACING), order=1, mode="nearest")
