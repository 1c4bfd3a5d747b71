"""A packed dataset, written by hand, and a method small enough to train in a moment."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from dualglow import models
from dualglow.models import Batch, Synthesiser
from tests.training.commands import DUALGLOW, finish, start, words

SHAPE = (8, 8, 8)
AFFINE = [[2.25, 0, 0, -70.125], [0, 2.25, 0, -125.625], [0, 0, 2.25, -64.125], [0, 0, 0, 1]]
PARTS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


class Tiny(Synthesiser):
    """One convolution; its loss draws noise, so that random states matter. `poison` makes the loss nan at that call."""

    def __init__(self, shape: tuple[int, int, int], width: int = 2, poison: int = 0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.ReLU(), nn.Conv3d(width, 1, 3, padding=1))
        self.poison, self.calls = poison, 0
        self.register_buffer("offset", torch.zeros(1))

    def initialise(self, batches: Iterable[Batch]) -> None:
        self.offset.fill_(float(next(iter(batches)).pet.mean()))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += self.training
        noisy = batch.mri + 0.1 * torch.rand_like(batch.mri)
        error = (self.predict(noisy, batch.covariates, batch.mask) - batch.pet).square().mean()
        if self.poison and self.calls == self.poison:
            error = error * float("nan")
        return 2 * error, {"error": error.detach()}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return (self.net(mri) + self.offset) * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        noise = torch.randn(mri.shape, generator=generator)
        return self.predict(mri, covariates, mask) + 0.1 * temperature * noise * mask


@pytest.fixture(autouse=True)
def tiny_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.METHODS, "tiny", Tiny)
    torch.set_num_threads(1)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten pairs of 8×8×8; PET (SUVR about 1.5) follows the MRI; one age is missing."""
    return write_dataset(tmp_path / "dataset")


def write_dataset(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    masks = np.zeros((10, *SHAPE), dtype=bool)
    masks[:, 1:7, 1:7, 1:7] = True
    mri = rng.uniform(0.2, 1, (10, *SHAPE)) * masks
    pet = (0.5 + mri + 0.1 * rng.normal(size=mri.shape)).clip(0) * masks
    np.save(folder / "volumes.npy", np.stack([mri, pet], axis=1).astype(np.float32))
    np.save(folder / "masks.npy", masks)
    names = [f"sub-900S90{index:02d}_ses-20060523" for index in range(10)]
    table = pd.DataFrame({"pair_id": names, "subject": [f"900_S_90{index:02d}" for index in range(10)]})
    table["group"], table["sex"], table["age"] = "CN", ["F", "M"] * 5, [60.0, 70, 80, 65, 75, np.nan, 50, 90, 55, 85]
    table.to_csv(folder / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    info = {"shape": SHAPE, "affine": AFFINE, "space": "MNI152", "reference_region": "pons", "simulated": True}
    (folder / "grid.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def folds(tmp_path: Path, dataset: Path) -> Path:
    """Fold 0: six training, two validation, two test pairs; fold 1 swaps the test pairs with two of training."""
    return write_folds(tmp_path / "folds.tsv", dataset)


def write_folds(path: Path, dataset: Path) -> Path:
    pairs = pd.read_csv(dataset / "pairs.tsv", sep="\t")[["pair_id", "subject"]]
    other = ["test"] * 2 + PARTS[2:8] + ["train"] * 2
    table = pd.concat([pairs.assign(fold=0, part=PARTS), pairs.assign(fold=1, part=other)])
    table[["fold", "pair_id", "subject", "part"]].to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a model that one process has trained without any incident, on the same data, by `words(*more)`."""
    root = tmp_path_factory.mktemp("undisturbed")
    dataset = write_dataset(root / "dataset")
    folds = write_folds(root / "folds.tsv", dataset)

    @cache
    def trained(*more: object) -> Path:
        out = root / "-".join(["model", *map(str, more)])
        status, said = finish(start(DUALGLOW, words(dataset, folds, out, *more)))
        assert status == 0, said
        return out

    return trained
