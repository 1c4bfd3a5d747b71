"""What a model makes of a held-out person's MRI when only the age that it is told changes (figures 6, 13 and 14)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dualglow.errors import ConfigError, DualGlowError
from dualglow.files import write_json, write_table, written_folder
from dualglow.models import Batch, Synthesiser
from dualglow.models.interface import COVARIATE_COLUMNS
from dualglow.models.naive import LinearSynthesiser
from dualglow.training.data import Scaling
from dualglow.training.unseen import Unseen, naming

FILES = ("_pet.nii.gz", "ages.tsv", "ages.json")
"""Endings of all that a folder of an age series may hold."""

Measure = Callable[[str, np.ndarray], pd.DataFrame]
"""From pair_id and volume (X, Y, Z; SUVR) to the means of regions: columns region, n_voxels, value."""


@dataclass(frozen=True)
class Series:
    """One person's predictions (X, Y, Z) in SUVR, 0 outside the mask: at other ages (years) and at the own one.

    `own` is what is known of the person: without an age, the prediction for a person of unknown age.
    """

    ages: dict[float, np.ndarray]
    own: np.ndarray


def check_reads_age(model: Synthesiser, method: str) -> None:
    """Raise ConfigError if the model does not read ages: its predictions would be the same at all of them."""
    if not isinstance(model, LinearSynthesiser) and "age" not in getattr(model, "names", ()):
        raise ConfigError(
            f"the model is {method} and does not read ages. Train dualglow-conditional with age among its covariates."
        )


def at_ages(unseen: Unseen, ages: Sequence[float]) -> Iterator[tuple[str, Series]]:
    """Each test pair's pair_id and its predictions (temperature 0), the same MRI told another age each time."""
    check_reads_age(unseen.model, unseen.card["method"])
    scaling = Scaling.from_card(unseen.card)
    for name, batch in unseen.batches():
        with naming(name):
            told = {age: _predicted(unseen, batch, _with_age(batch.covariates, age, scaling)) for age in ages}
            yield name, Series(told, _predicted(unseen, batch, batch.covariates))


def _with_age(covariates: Tensor, age: float, scaling: Scaling) -> Tensor:
    """The same covariates but for the age (years)."""
    changed = covariates.clone()
    column = COVARIATE_COLUMNS["age"]
    changed[:, column] = torch.from_numpy(scaling.covariates(age, None)[column]).to(changed)
    return changed


def _predicted(unseen: Unseen, batch: Batch, covariates: Tensor) -> np.ndarray:
    """(X, Y, Z), SUVR, cut to the window of the training as every synthesis is."""
    pet = unseen.model.predict(batch.mri, covariates, batch.mask).detach()
    if not torch.isfinite(pet).all():
        raise DualGlowError("the model yields values that are not finite. Train it with a lower --learning-rate.")
    return (pet.clamp(0, 1) * unseen.card["window"])[0, 0].float().cpu().numpy()


def age_series(
    unseen: Unseen, out: Path, ages: Sequence[float], measure: Measure, keep: Callable[[str], bool]
) -> pd.DataFrame:
    """Write ages.tsv, and the volumes of the pairs to `keep`, into `out`, whole or absent. Returns the table.

    The table has a row per pair, age told and region; `change` is the value minus the one at the person's own age.
    """
    with written_folder(out, FILES) as part:
        tables = [pd.DataFrame(columns=["pair_id", "told_age", "region", "n_voxels", "value", "change"])]
        for name, series in at_ages(unseen, ages):
            own = measure(name, series.own)["value"].to_numpy()
            for age, volume in series.ages.items():
                means = measure(name, volume)
                tables.append(means.assign(pair_id=name, told_age=age, change=means["value"].to_numpy() - own))
            if keep(name):
                _save(unseen, part, name, series)
        people = unseen.table(pd.DataFrame(index=range(len(unseen.rows))))
        table = people.merge(pd.concat(tables[1:] or tables, ignore_index=True), on="pair_id")
        table.loc[table["age"].isna(), "change"] = np.nan
        write_table(table, part / "ages.tsv")
        write_json({**unseen.record, "ages": list(ages), "units": "SUVR, years"}, part / "ages.json")
    return table


def age_name(age: float) -> str:
    """Its name in files: age050 for 50 years."""
    return f"age{age:03g}"


def _save(unseen: Unseen, part: Path, name: str, series: Series) -> None:
    named = {age_name(age): volume for age, volume in series.ages.items()} | {"ageown": series.own}
    for description, volume in named.items():
        nib.save(unseen.dataset.grid.image(volume), part / f"{name}_desc-{description}_pet.nii.gz")
