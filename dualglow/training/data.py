"""Volumes for the models: memory-mapped, in the models' units, in an order that depends only on seed and epoch."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dualglow.cohort.splits import read_folds, split_hash
from dualglow.errors import ConfigError, InputError
from dualglow.models.interface import COVARIATE_COLUMNS, COVARIATES, GROUPS, Batch
from dualglow.preprocess.pack import Dataset
from dualglow.training.seeds import derived_seed

SEX = {"F": -1.0, "M": 1.0}


@dataclass(frozen=True)
class Fold:
    """The dataset rows of one fold's parts; `split_hash` names the split that they come from."""

    number: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    split_hash: str


def read_fold(path: Path, number: int, dataset: Dataset) -> Fold:
    """Find the rows of fold `number` of folds.tsv in the dataset, without the pairs that preprocessing left out.

    Nobody may be left to test. Raises InputError or ConfigError if the table is not a valid split of the dataset, lacks
    the fold, or has nobody to train or to validate in it.
    """
    folds = read_folds(path, dataset.pairs, dataset.left_out)
    chosen = folds[folds["fold"] == number]
    if chosen.empty:
        known = ", ".join(str(fold) for fold in sorted(folds["fold"].unique()))
        raise ConfigError(f"--fold {number}: {path} has no such fold. Choose one of {known}.")
    parts = {part: _rows(dataset, chosen, part, path) for part in ("train", "validation", "test")}
    return Fold(number=number, split_hash=split_hash(folds, number), **parts)


def _rows(dataset: Dataset, fold: pd.DataFrame, part: str, path: Path) -> np.ndarray:
    pair_ids = fold.loc[fold["part"] == part, "pair_id"].tolist()
    if not pair_ids and part != "test":
        raise InputError(
            f"{path}: fold {fold['fold'].iloc[0]} has no {part} pairs in the dataset. "
            "Move a person to it in that table, or split with another seed."
        )
    return np.asarray(dataset.rows(pair_ids), dtype=np.int64)


@dataclass(frozen=True)
class Scaling:
    """What brings SUVR, age and sex to the models' units; fitted on training pairs only.

    `window` (SUVR) maps to 1; age is a z-score (mean and sd in years), sex −1 for F and 1 for M, the diagnostic group
    one-hot; what is missing or unknown is 0.
    """

    window: float
    percentile: float
    age_mean: float
    age_sd: float

    def covariates(self, age: float | None, sex: str | None, group: str | None = None) -> np.ndarray:
        """Age, sex and group of one person in the models' columns (COVARIATE_COLUMNS), float32."""
        columns = np.zeros(COVARIATES, dtype=np.float32)
        if age is not None and not pd.isna(age):
            columns[COVARIATE_COLUMNS["age"]] = (float(age) - self.age_mean) / self.age_sd
        columns[COVARIATE_COLUMNS["sex"]] = SEX.get(str(sex), 0.0)
        columns[COVARIATE_COLUMNS["group"]] = [group == name for name in GROUPS]
        return columns

    def as_card(self) -> dict[str, Any]:
        """The entries of model.json that `from_card` reads."""
        rest = COVARIATES - 1
        covariates = {
            "names": ["age", "sex", *(f"group {name}" for name in GROUPS)],
            "mean": [self.age_mean, *[0.0] * rest],
            "sd": [self.age_sd, *[1.0] * rest],
            "sex": SEX,
            "groups": list(GROUPS),
        }
        return {"window": self.window, "window_percentile": self.percentile, "covariates": covariates}

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> "Scaling":
        covariates = card["covariates"]
        return cls(card["window"], card["window_percentile"], covariates["mean"][0], covariates["sd"][0])


def fit_scaling(dataset: Dataset, rows: np.ndarray, percentile: float) -> Scaling:
    """Fit the intensity window (percentile of PET within the brain masks) and the age z-score on these rows alone.

    Raises InputError if the PETs hold values that are not finite, or nothing above zero.
    """
    window = pet_percentile(dataset, rows, percentile)
    if not np.isfinite(window) or window <= 0:
        raise InputError(f"the training PETs' {percentile} percentile is {window} SUVR; pack the dataset again.")
    try:
        age = dataset.pairs.reindex(columns=["age"]).iloc[rows]["age"].astype(float)
    except ValueError as error:
        raise InputError(f"pairs.tsv of the dataset: the column age holds what is not a number ({error}).") from error
    mean, sd = float(age.mean()), float(age.std(ddof=0))
    return Scaling(window, percentile, mean if np.isfinite(mean) else 0.0, sd if sd > 0 else 1.0)


def pet_percentile(dataset: Dataset, rows: np.ndarray, percentile: float) -> float:
    """Exact percentile (linear interpolation, as numpy's) of PET over the masks of `rows`, one volume at a time.

    Only the values above the percentile are kept, a thousandth of all for 99.9.
    """
    if not 0 < percentile <= 100:
        raise ConfigError(f"--window-percentile {percentile}: must be above 0 and at most 100.")
    count = sum(int(np.count_nonzero(dataset.masks[row])) for row in rows)
    if count == 0:
        raise InputError("the training pairs' brain masks are empty; pack the dataset again.")
    position = percentile / 100 * (count - 1)
    below = int(np.floor(position))
    top = np.empty(0, dtype=np.float32)
    for row in rows:
        top = np.concatenate([top, dataset.volumes[row, 1][dataset.masks[row]]])
        keep = min(len(top), count - below)
        top = np.partition(top, len(top) - keep)[len(top) - keep :]
    low, high = np.sort(top)[[0, min(1, len(top) - 1)]].astype(float)
    return float(low + (position - below) * (high - low))


def dataset_hash(folder: Path) -> str:
    """Names the dataset's content, so that a training is not resumed on other data."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("volumes.npy", "masks.npy", "pairs.tsv", "grid.json"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


class PairSource(Protocol):
    """Pairs that come in batches: `Pairs`, from the memory map, or `ResidentPairs`, from the GPU's memory."""

    scaling: Scaling

    def __len__(self) -> int: ...

    @property
    def covariates(self) -> Tensor: ...

    def batches(self, chosen: Sequence[list[int]]) -> Iterable[Batch]: ...


class Pairs(TorchDataset[Batch]):
    """Pairs of a dataset in the models' units; each item is a Batch without its batch axis."""

    def __init__(self, dataset: Dataset, rows: np.ndarray, scaling: Scaling) -> None:
        self.dataset, self.rows, self.scaling = dataset, rows, scaling

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        row = self.rows[index]
        mri, pet = np.array(self.dataset.volumes[row], dtype=np.float32)
        mask = np.array(self.dataset.masks[row], dtype=np.float32)
        pet = np.clip(pet / self.scaling.window, 0, 1)
        images = [torch.from_numpy(volume)[None] for volume in (mri, pet, mask)]
        return Batch(images[0], images[1], images[2], self.covariates[index])

    @cached_property
    def covariates(self) -> Tensor:
        """(pairs, COVARIATES), in the models' units."""
        people = (self.dataset.pairs.iloc[row] for row in self.rows)
        columns = [self.scaling.covariates(each.get("age"), each.get("sex"), each.get("group")) for each in people]
        return torch.from_numpy(np.stack(columns)) if columns else torch.empty(0, COVARIATES)

    def batches(self, chosen: Sequence[list[int]]) -> "DataLoader[Batch]":
        """The chosen pairs, batch by batch, each read from the memory map when its turn comes."""
        return DataLoader(self, batch_sampler=chosen)


def epoch_steps(size: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The numbers of the pairs in each batch of an epoch (from 1), in an order from seed and epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    return cut(torch.randperm(size, generator=generator).tolist(), batch_size)


def cut(order: list[int], batch_size: int) -> list[list[int]]:
    """Into batches, the last of which may be smaller."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def in_order(pairs: PairSource, batch_size: int) -> Iterable[Batch]:
    """Batches in the dataset's order."""
    return pairs.batches(cut(list(range(len(pairs))), batch_size))


def to_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, one at a time, on `device`."""
    for batch in batches:
        yield Batch(*(tensor.to(device) for tensor in batch))
