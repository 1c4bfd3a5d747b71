"""What the scanners add: pose, field of view, contrast, bias field, blur, noise, frames and motion."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from dualglow.cohort.simulate.anatomy import Array
from dualglow.cohort.simulate.head import Grid, Head

FIELD_T1 = (204.0, 240.0, 240.0)  # mm: left–right, posterior–anterior, inferior–superior
FIELD_PET = (240.0, 240.0, 192.0)
POSE_SD, POSE_LIMIT = (4.0, 6.0), (12.0, 15.0)  # degrees, mm
FWHM_PER_SIGMA = 2.3548
PET_NOISE, NOISE_KERNEL = 0.05, 3.0  # at uptake 1; mm FWHM
FRAMES, FRAME_RISE = 6, 0.03
MOTION_STEP, MOTION_LIMIT = 0.35, 1.5  # per frame and in all: mm and degrees

T1_CONTRAST = {"white": 154, "grey": 106, "csf": 42, "bone": 16, "marrow": 90, "fat": 165, "muscle": 70}
FLAIR_CONTRAST = {"white": 88, "grey": 118, "csf": 22, "bone": 12, "marrow": 70, "fat": 120, "muscle": 60}


def field_of_view(extent: tuple[float, float, float], voxel: float) -> Grid:
    """Grid centred on the isocentre that spans `extent` (mm) with cubic voxels of `voxel` mm; RAS+."""
    shape = tuple(round(e / voxel) for e in extent)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = [-voxel * (n - 1) / 2 for n in shape]
    return Grid(shape, affine)  # type: ignore[arg-type]


def rigid(angles: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """4×4 of a rotation by `angles` (degrees about x, y, z) followed by a shift (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """How a head lies in a scanner: 4×4, head (centred) → scanner RAS+ mm; at most ±12° and ±15 mm per axis."""
    angles = np.clip(rng.normal(0, POSE_SD[0], 3), -POSE_LIMIT[0], POSE_LIMIT[0])
    return rigid(angles, np.clip(rng.normal(0, POSE_SD[1], 3), -POSE_LIMIT[1], POSE_LIMIT[1]))


def magnetic(of: Head, contrast: dict[str, int], bias: float, rng: np.random.Generator) -> Array:
    """MR magnitude image (X, Y, Z): tissue contrast × bias field (relative amplitude) with Rician noise."""
    jitter = {name: value * rng.normal(1, 0.04) for name, value in contrast.items()}
    signal = sum(getattr(of, name) * np.float32(value) for name, value in jitter.items())
    signal = np.asarray(signal, dtype=np.float32) * _texture(of, rng) * _bias_field(of.grid, bias, rng)
    sd = np.float32(jitter["white"] / rng.uniform(18, 32))
    real = signal + sd * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = sd * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary) * np.float32(rng.uniform(1.5, 6.0))


def _texture(of: Head, rng: np.random.Generator) -> Array:
    """Muscles, fat and marrow are uneven; the brain is not changed."""
    noise = ndimage.gaussian_filter(rng.standard_normal(of.grey.shape, dtype=np.float32), 3 / of.grid.affine[0, 0])
    return 1 + np.float32(0.28) * noise / noise.std() * (of.muscle + 0.5 * of.fat + of.marrow)


def _bias_field(grid: Grid, amplitude: float, rng: np.random.Generator) -> Array:
    """exp of a random third-order polynomial over the field of view, largest absolute log = amplitude."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    order = range(4)
    field = np.zeros(grid.shape, dtype=np.float32)
    for i, j, k in ((i, j, k) for i in order for j in order for k in order if 0 < i + j + k <= 3):
        weight = np.float32(rng.normal())
        field += weight * (axes[0] ** i)[:, None, None] * (axes[1] ** j)[:, None] * axes[2] ** k
    field -= field.mean()
    core = tuple(slice(n // 6, n - n // 6) for n in grid.shape)
    return np.exp(np.float32(amplitude) * field / np.abs(field[core]).max())


def blurred(image: Array, fwhm: float, voxel: float) -> Array:
    """Gaussian blur of `fwhm` mm."""
    return ndimage.gaussian_filter(image, fwhm / FWHM_PER_SIGMA / voxel)


def seen_by(image: Array, of: Grid, grid: Grid, world_to_image: NDArray[np.float64]) -> Array:
    """Resample an image on the grid `of` to `grid` (linear, 0 outside). `world_to_image`: grid's world → of's world."""
    matrix = np.linalg.inv(of.affine) @ world_to_image @ grid.affine
    return ndimage.affine_transform(image, matrix[:3, :3], matrix[:3, 3], grid.shape, order=1)


def emission(clean: Array, voxel: float, level: float, rng: np.random.Generator) -> Array:
    """Add PET noise of standard deviation `level`·√uptake, correlated over 3 mm, to a noiseless image."""
    noise = blurred(rng.standard_normal(clean.shape, dtype=np.float32), NOISE_KERNEL, voxel)
    return clean + np.float32(level) * np.sqrt(np.maximum(clean, 0)) * noise / noise.std()


def motion(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Pose of the head in each frame relative to the first (4×4, RAS+ mm): a random walk within ±1.5 mm and ±1.5°."""
    steps = rng.normal(0, MOTION_STEP, (FRAMES, 6))
    steps[0] = 0
    walk = np.clip(np.cumsum(steps, axis=0), -MOTION_LIMIT, MOTION_LIMIT)
    return [rigid(row[:3], row[3:]) for row in walk]


def averaged(
    truth: Array, of: Grid, grid: Grid, t1_from_pet: NDArray[np.float64], rng: np.random.Generator
) -> list[Array]:
    """One static image of 30 minutes."""
    return [emission(seen_by(truth, of, grid, t1_from_pet), float(grid.affine[0, 0]), PET_NOISE, rng)]


def dynamic(
    truth: Array,
    of: Grid,
    grid: Grid,
    t1_from_pet: NDArray[np.float64],
    poses: list[NDArray[np.float64]],
    rng: np.random.Generator,
) -> list[Array]:
    """Six 5-minute frames: uptake rises by 3 % per frame, noise is √6 of the mean's, the head moves as in `poses`."""
    voxel, frames = float(grid.affine[0, 0]), []
    for index, pose in enumerate(poses):
        clean = seen_by(truth, of, grid, t1_from_pet @ np.linalg.inv(pose)) * np.float32(1 + FRAME_RISE * index)
        frames.append(emission(clean, voxel, PET_NOISE * float(np.sqrt(FRAMES)), rng))
    return frames
