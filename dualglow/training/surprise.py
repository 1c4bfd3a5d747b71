"""Where a real PET is unlike what the model expects from the MRI: a z-score per voxel against the model's samples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import stats

from dualglow.errors import ConfigError, InputError
from dualglow.files import write_json, write_table, written_folder
from dualglow.models import Batch
from dualglow.training.seeds import derived_seed
from dualglow.training.synthesis import Sampling, moments, samples
from dualglow.training.unseen import Unseen, naming

FILES = ("_pet.nii.gz", "_surprise.png", "surprise.tsv", "surprise.json", "regions.tsv")
"""Endings of all that a folder of z maps may hold."""

FLOOR = 0.02
"""SUVR, added in quadrature to the samples' sd, so that voxels where the samples hardly vary do not divide by nothing.

A convention, not an estimate of measurement error: two grey values and a half of a window of 2 SUVR.
"""

LIMIT = 1.96
"""Of |z|: 5 % of a standard normal distribution lie beyond."""

SUMMARY = ["z_mean", "z_sd", "share_surprising", "share_calibrated", "share_floor"]


@dataclass(frozen=True)
class Surprise:
    """One person's maps, float32 (X, Y, Z), 0 outside the mask: z, and the mean and sd of the samples in SUVR."""

    z: np.ndarray
    expected: np.ndarray
    sd: np.ndarray


def surprise(real: np.ndarray, drawn: Iterable[np.ndarray], mask: np.ndarray, count: int, floor: float) -> Surprise:
    """z = (real − mean of the samples) / √((1 + 1/count) sd² + floor²).

    The 1/count is the error of the mean itself. If `real` were one more of the samples, normal and without a floor, z
    would follow Student's t with count − 1 degrees of freedom.

    Parameters
    ----------
    real, drawn
        (X, Y, Z) in SUVR: the PET and `count` samples, which are only passed once.
    mask
        (X, Y, Z) bool, the brain.
    floor
        SUVR, above 0.
    """
    expected, sd = moments(drawn)
    spread = np.sqrt((1 + 1 / count) * sd.astype(np.float64) ** 2 + floor**2)
    z = np.where(mask, (real - expected) / spread, 0)
    return Surprise(z.astype(np.float32), expected, sd)


def summary(found: Surprise, mask: np.ndarray, count: int, floor: float) -> dict[str, float]:
    """One row of surprise.tsv: how z is spread over the brain, and what a calibrated model would give.

    Returns
    -------
    z_mean, z_sd; share_surprising, of |z| > 1.96; share_calibrated, what it would be for one more normal sample of the
    model, were there no floor; share_floor, of voxels whose sd is below the floor, where the floor makes z small.
    """
    z = found.z[mask].astype(np.float64)
    return {
        "z_mean": float(z.mean()),
        "z_sd": float(z.std()),
        "share_surprising": float((np.abs(z) > LIMIT).mean()),
        "share_calibrated": float(2 * stats.t.sf(LIMIT, count - 1)),
        "share_floor": float((found.sd[mask] < floor).mean()),
    }


def surprise_fold(
    unseen: Unseen,
    out: Path,
    sampling: Sampling,
    floor: float,
    seed: int,
    finish: Callable[[Path], None] | None = None,
) -> pd.DataFrame:
    """Write z and the samples' mean and sd of every test pair, and surprise.tsv, into `out`, whole or absent.

    The real PET is cut to [0, window] as in training, as are the samples. `finish` may add pictures to the folder
    before it takes its place. Returns the table.

    Raises
    ------
    ConfigError, InputError
        If the floor is not above 0; if a brain mask is empty or a real PET is not finite.
    """
    if not floor > 0:
        raise ConfigError(f"--floor {floor:g}: must be above 0 SUVR, or voxels without spread divide by nothing.")
    with written_folder(out, FILES) as part:
        rows = []
        for name, batch in unseen.batches():
            with naming(name):
                found, row = _of_pair(unseen, batch, sampling, floor, derived_seed(seed, "surprise", name))
            rows.append(row)
            for description, volume in (("z", found.z), ("expected", found.expected), ("std", found.sd)):
                nib.save(unseen.dataset.grid.image(volume), part / f"{name}_desc-{description}_pet.nii.gz")
        settings = {"samples": sampling.samples, "temperature": sampling.temperature, "floor": floor}
        table = unseen.table(pd.DataFrame(rows, columns=SUMMARY).assign(**settings))
        write_table(table, part / "surprise.tsv")
        units = {"z": "standard deviations", "expected": "SUVR", "std": "SUVR", "floor": "SUVR"}
        write_json({**unseen.record, **settings, "seed": seed, "units": units}, part / "surprise.json")
        if finish:
            finish(part)
    return table


def _of_pair(
    unseen: Unseen, batch: Batch, sampling: Sampling, floor: float, seed: int
) -> tuple[Surprise, dict[str, float]]:
    window, count = unseen.card["window"], sampling.samples
    real, mask = (batch.pet * window)[0, 0].cpu().numpy(), batch.mask[0, 0].cpu().numpy() > 0
    if not mask.any() or not np.isfinite(real).all():
        raise InputError("the PET is not finite, or the brain mask is empty. Pack the dataset again.")
    found = surprise(real, samples(unseen.model, batch, window, sampling, seed), mask, count, floor)
    return found, summary(found, mask, count, floor)
