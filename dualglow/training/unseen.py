"""A trained model and the pairs that its fold holds out: what every measurement of the model starts from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dualglow.errors import DualGlowError, InputError
from dualglow.models import Batch, Synthesiser
from dualglow.preprocess.pack import Dataset
from dualglow.training.checkpoint import load_model
from dualglow.training.data import Fold, Pairs, Scaling, in_order, read_fold, to_device

PERSON = ["pair_id", "subject", "group", "sex", "age"]
RECORDED = ("method", "fold", "split_hash", "reference_region", "simulated", "window", "versions")


@dataclass(frozen=True)
class Unseen:
    """A trained model with its card, on its device, and the dataset's rows of the test pairs of its fold."""

    model: Synthesiser
    card: dict[str, Any]
    dataset: Dataset
    rows: np.ndarray
    device: torch.device

    @classmethod
    def load(cls, model_folder: Path, dataset_folder: Path, folds: Path, fold: int, device: torch.device) -> "Unseen":
        """Read the model and find the test pairs of `fold`.

        Raises InputError if the model was trained on another split, for it may have seen these people, on another grid
        or with another SUVR reference region.
        """
        model, card = load_model(model_folder, device)
        dataset = Dataset.load(dataset_folder)
        chosen = read_fold(folds, fold, dataset)
        _check_split(card, chosen, model_folder, folds)
        _check_grid(card, dataset, model_folder, dataset_folder)
        return cls(model, card, dataset, chosen.test, device)

    @property
    def names(self) -> list[str]:
        """pair_ids, in the dataset's order of the fold."""
        return self.dataset.pairs.iloc[self.rows]["pair_id"].tolist()

    @property
    def people(self) -> pd.DataFrame:
        """pair_id, subject, group, sex and age of the test pairs; what the dataset does not say is missing."""
        return self.dataset.pairs.iloc[self.rows].reindex(columns=PERSON).reset_index(drop=True)

    @property
    def record(self) -> dict[str, Any]:
        """What of the card a result made with the model should carry, and which covariates the model is told."""
        return {name: self.card.get(name) for name in RECORDED} | {"told": list(self.model.told)}

    def batches(self) -> Iterator[tuple[str, Batch]]:
        """Each test pair's pair_id and its Batch of one, in the model's units and on its device."""
        pairs = Pairs(self.dataset, self.rows, Scaling.from_card(self.card))
        return zip(self.names, to_device(in_order(pairs, 1), self.device), strict=True)

    def table(self, measured: pd.DataFrame) -> pd.DataFrame:
        """A tidy table of results: model, person, what was measured of each, and where it comes from."""
        model = {"method": self.card["method"], "fold": self.card["fold"]}
        source = {"split_hash": self.card["split_hash"], "simulated": bool(self.card.get("simulated"))}
        parts = [self._repeated(model), self.people, measured.reset_index(drop=True), self._repeated(source)]
        return pd.concat(parts, axis="columns")

    def _repeated(self, row: dict[str, Any]) -> pd.DataFrame:
        return pd.DataFrame([row] * len(self.rows), columns=list(row))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the pair_id before the message of an error that its data cause."""
    try:
        yield
    except DualGlowError as error:
        raise type(error)(f"{name}: {error}") from error


def _check_split(card: dict[str, Any], fold: Fold, model_folder: Path, folds: Path) -> None:
    if card["fold"] != fold.number:
        raise InputError(f"{model_folder}: was trained on fold {card['fold']}, not on fold {fold.number}.")
    if card["split_hash"] != fold.split_hash:
        raise InputError(
            f"{model_folder}: was trained on another split ({card['split_hash']}) than fold {fold.number} of {folds} "
            f"({fold.split_hash}), so it may have seen its test people. Train it again on this split."
        )


def _check_grid(card: dict[str, Any], dataset: Dataset, model_folder: Path, dataset_folder: Path) -> None:
    same_grid = list(card["shape"]) == list(dataset.grid.shape) and np.allclose(card["affine"], dataset.grid.affine)
    if not same_grid:
        raise InputError(f"{dataset_folder}: is on another grid than {model_folder}. Pack it again, or train again.")
    region = dataset.info.get("reference_region")
    if card.get("reference_region") != region:
        raise InputError(
            f"{dataset_folder}: SUVR is relative to {region}, but {model_folder} was trained on "
            f"{card.get('reference_region')}. Train again."
        )
