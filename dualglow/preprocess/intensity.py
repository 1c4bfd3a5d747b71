"""Intensities: T1 to [0, 1] per image, PET to SUVR by a reference region."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.atlases import REFERENCE_REGIONS, reference_mask
from dualglow.errors import ConfigError, InputError
from dualglow.preprocess.grid import Grid, on_grid, template_mask, template_t1, widened
from dualglow.preprocess.images import load_3d

_T1_PERCENTILES = (0.1, 99.9)
_SEEN = 0.01  # of the brain's median: below it a voxel lies outside the scanner's field of view
_LEAST_COVERAGE = 0.5
_HALF, _FEWEST_VOXELS, _SHARE_IN_BRAIN = 0.5, 30, 0.8  # of a user's mask
_SEARCH_MM, _SEARCH_VOXELS = 9.0, 10_000


def t1_to_unit(t1: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Scale a T1 linearly so that its 0.1 and 99.9 percentiles within the mask become 0 and 1; clip; 0 outside.

    T1 intensities have no units. Shapes: both (x, y, z); the mask is boolean.
    """
    low, high = np.percentile(t1[mask], _T1_PERCENTILES)
    if high <= low:
        raise InputError("the T1 has one single value within the brain mask; the image is empty.")
    return np.where(mask, np.clip((t1 - low) / (high - low), 0, 1), 0).astype(np.float32)


@dataclass(frozen=True)
class Reference:
    """The region whose mean PET is SUVR 1, and how well the PET covers it."""

    region: str
    mean: float  # in the PET's own units; of the upper half of the values for pons-vermis; 1 for none
    cv: float | None  # standard deviation / mean; None without signal
    coverage: float  # share of the region with signal, 0 to 1
    ml: float  # volume

    @property
    def fault(self) -> str:
        """Why the PET cannot be put in relation to this region; empty if it can."""
        where = "the brain" if self.region in ("global", "none") else f"the reference region {self.region}"
        if self.mean <= 0 or self.coverage == 0:
            return f"the PET has no signal in {where}"
        if self.coverage < _LEAST_COVERAGE:
            return f"the PET covers only {self.coverage:.0%} of {where}"
        return ""


def region_mask(region: str, brain: Nifti1Image) -> np.ndarray:
    """Give a reference region on the grid of an MNI152 brain mask (bool); `global` is the brain mask itself.

    A region that ends in .nii or .nii.gz is the path of a mask in MNI152.

    Raises
    ------
    ConfigError
        If the region is unknown.
    InputError
        If a mask cannot be read, is empty or no mask, or does not lie in the MNI152 brain.
    """
    if region in ("global", "none"):
        return np.asarray(brain.dataobj) > 0
    if region.endswith((".nii", ".nii.gz")):
        return _own_mask(Path(region), Grid.of(brain))
    if region not in REFERENCE_REGIONS:
        known = ", ".join(REFERENCE_REGIONS)
        raise ConfigError(
            f"reference region {region!r} is unknown: expected one of {known}, or the path of a mask (.nii, .nii.gz)."
        )
    return on_grid(reference_mask(region), Grid.of(brain), order=0) > 0


def _own_mask(path: Path, grid: Grid) -> np.ndarray:
    """Read a user's mask (0 and 1, or probabilities) onto a grid by the nearest voxel."""
    image = load_3d(path)
    data = np.asarray(image.dataobj)
    if data.min() < 0 or data.max() > 1:
        raise InputError(
            f"{path}: its values run from {data.min():g} to {data.max():g}; expected a mask of 0 and 1. "
            "Save the one label that is meant as a mask."
        )
    mask = on_grid(image, grid, order=0) >= _HALF
    if mask.sum() < _FEWEST_VOXELS:
        raise InputError(
            f"{path}: marks {mask.sum()} voxels of the MNI152 grid (1.5 mm); expected at least {_FEWEST_VOXELS}. "
            "Is it empty, or in another space than MNI152?"
        )
    if (inside := float(template_mask(grid)[mask].mean())) < _SHARE_IN_BRAIN:
        raise InputError(
            f"{path}: only {inside:.0%} of it lies in the MNI152 brain; expected at least {_SHARE_IN_BRAIN:.0%}. "
            "Bring it to MNI152 (ICBM 2009a) world coordinates first."
        )
    return mask


def measure_reference(pet: Nifti1Image, brain: Nifti1Image, region: str) -> Reference:
    """Measure the reference region of a PET in MNI152 space, where the PET has signal.

    `pons-vermis` is measured by the mean of the upper half of its values, as is the reference of ADNI's FDG meta-ROIs
    (Landau et al. 2011; UC Berkeley's methods sheet): the half that CSF hardly reaches. `none` gives the mean 1.
    """
    mask = region_mask(region, brain)
    data = np.asarray(pet.dataobj)
    values = data[mask]
    seen = values > max(_SEEN * float(np.median(data[np.asarray(brain.dataobj) > 0])), 0.0)
    used = _upper_half(values[seen]) if region == "pons-vermis" else values[seen]
    mean = float(used.mean(dtype=np.float64)) if len(used) else 0.0
    return Reference(
        region,
        1.0 if region == "none" and len(used) else mean,
        float(used.std(dtype=np.float64)) / mean if mean > 0 else None,
        float(seen.mean()) if len(seen) else 0.0,
        float(mask.sum() * abs(np.linalg.det(brain.affine[:3, :3])) / 1000),
    )


def _upper_half(values: np.ndarray) -> np.ndarray:
    return values[values >= np.median(values)] if len(values) else values


@dataclass(frozen=True)
class Position:
    """Where a reference region lies in one person's anatomy, in MNI152 space."""

    tissue: float  # share of the region that is this person's GM or WM, 0 to 1
    offset_mm: float | None  # from the template's anatomy to this person's, around the region; None: not measured


def region_position(region: str, t1: Nifti1Image, tissue: np.ndarray, brain: Nifti1Image) -> Position:
    """Measure whether a reference region lies where it should in this person's T1 (brain only, MNI152).

    `tissue` is GM + WM (x, y, z). The offset is the shift at which the T1 within 9 mm of the region is most like the
    template's there; the atlas lies on the template, so it is how far the region misses its anatomy.
    """
    mask = region_mask(region, brain)
    share = float((tissue[mask] >= _HALF).mean()) if mask.any() else 0.0
    own = region not in ("global", "none")
    return Position(share, _offset_mm(np.asarray(t1.dataobj), Grid.of(t1), mask) if own else None)


def _offset_mm(t1: np.ndarray, grid: Grid, mask: np.ndarray) -> float | None:
    """Length of the shift (whole voxels, at most 9 mm per axis) with the highest correlation of T1 and template."""
    near = widened(mask, grid.matrix, _SEARCH_MM)
    reach = int(_SEARCH_MM / grid.voxel_mm)
    found = np.argwhere(near)
    low, high = np.maximum(found.min(0), reach), np.minimum(found.max(0) + 1, np.array(grid.shape) - reach)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    thinned = np.flatnonzero(near[box])[:: max(1, int(near[box].sum()) // _SEARCH_VOXELS)]
    wanted = template_t1(grid)[box].flat[thinned]
    best, offset = 0.0, None
    for shift in product(range(-reach, reach + 1), repeat=3):
        there = t1[tuple(slice(a + d, b + d) for a, b, d in zip(low, high, shift, strict=True))].flat[thinned]
        if there.std() > 0 and (r := float(np.corrcoef(there, wanted)[0, 1])) > best:
            best, offset = r, float(np.linalg.norm(shift)) * grid.voxel_mm
    return offset
