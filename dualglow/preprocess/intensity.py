"""Intensities: T1 to [0, 1] per image, PET to SUVR by a reference region."""

from dataclasses import dataclass

import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.atlases import REFERENCE_REGIONS, reference_mask
from dualglow.errors import ConfigError, InputError
from dualglow.preprocess.grid import Grid, on_grid

_T1_PERCENTILES = (0.1, 99.9)
_SEEN = 0.01  # of the brain's median: below it a voxel lies outside the scanner's field of view


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
    mean: float  # in the PET's own units
    cv: float  # standard deviation / mean
    coverage: float  # share of the region with signal, 0 to 1


def region_mask(region: str, brain: Nifti1Image) -> np.ndarray:
    """Give a reference region on the grid of an MNI152 brain mask (bool); `global` is the brain mask itself.

    Raises
    ------
    ConfigError
        If the region is unknown.
    """
    if region not in REFERENCE_REGIONS:
        raise ConfigError(f"reference region {region!r} is unknown: expected one of {', '.join(REFERENCE_REGIONS)}.")
    if region in ("global", "none"):
        return np.asarray(brain.dataobj) > 0
    return on_grid(reference_mask(region), Grid.of(brain), order=0) > 0


def measure_reference(pet: Nifti1Image, brain: Nifti1Image, region: str) -> Reference:
    """Measure the reference region of a PET in MNI152 space; `none` gives the mean 1 (the PET stays as it is).

    Raises
    ------
    InputError
        If the region holds no signal: the PET does not cover it or is not in MNI152 space.
    """
    mask = region_mask(region, brain)
    data = np.asarray(pet.dataobj)
    values = data[mask]
    coverage = float((values > _SEEN * np.median(data[np.asarray(brain.dataobj) > 0])).mean())
    mean = float(values.mean(dtype=np.float64))
    if mean <= 0 or coverage == 0:
        raise InputError(
            f"the PET has no signal in the reference region {region} (mean {mean:.3g}). "
            "Its field of view may not reach there: choose another with --reference."
        )
    cv = float(values.std(dtype=np.float64)) / mean
    return Reference(region, 1.0 if region == "none" else mean, cv, coverage)
