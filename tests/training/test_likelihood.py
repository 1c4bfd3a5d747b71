"""How probable real PETs are under a method that knows."""

from collections.abc import Iterable
from math import log2
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor
from typer.testing import CliRunner

from dualglow import models
from dualglow.cli import app
from dualglow.errors import ConfigError, InputError
from dualglow.models import Batch, Density, Synthesiser
from dualglow.training.fold import Request, train_fold
from dualglow.training.likelihood import importance_bits, likelihood_table
from dualglow.training.unseen import Unseen

CPU = torch.device("cpu")
MEAN, SD, GREY = 0.6, 0.2, 1 / 256


class Normal(Synthesiser, Density):
    """The same normal distribution at every voxel."""

    iterative = False

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1,), MEAN))

    def initialise(self, batches: Iterable[Batch]) -> None:
        list(batches)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.bits(batch).mean(), {}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return self.mean * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        return (self.mean + temperature * SD * torch.randn(mri.shape, generator=generator)) * mask

    def bits(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        noise = 0.5 if generator is None else torch.rand(batch.pet.shape, generator=generator)
        density = torch.distributions.Normal(self.mean, SD, validate_args=False).log_prob(batch.pet + GREY * noise)
        return -density.flatten(1).mean(1) / np.log(2) - log2(GREY)


@pytest.fixture
def unseen(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unseen:
    monkeypatch.setitem(models.METHODS, "normal", Normal)
    train_fold(Request(dataset, folds, 0, "normal", tmp_path / "model"), CPU)
    return Unseen.load(tmp_path / "model", dataset, folds, 0, CPU)


def exact_bits(unseen: Unseen, row: int) -> float:
    """Bits per voxel of the grey values' exact probabilities, from the normal distribution function."""
    low = np.clip(np.asarray(unseen.dataset.volumes[row, 1], dtype=np.float64) / unseen.card["window"], 0, 1)
    return float(-np.log2(stats.norm.cdf(low + GREY, MEAN, SD) - stats.norm.cdf(low, MEAN, SD)).mean())


def test_bits_are_those_of_the_known_density(unseen: Unseen) -> None:
    table = likelihood_table(unseen, draws=16, seed=1)
    assert table["pair_id"].tolist() == unseen.names
    for bits, row in zip(table["bits"], (8, 9), strict=True):
        assert bits == pytest.approx(exact_bits(unseen, row), abs=1e-3)
    assert (table["bits_importance"] <= table["bits"]).all()
    assert (table["bits_sd"] > 0).all()
    assert table["mask_share"].tolist() == [216 / 512] * 2
    assert table["grey_value"][0] == pytest.approx(unseen.card["window"] / 256)


def test_the_mean_over_draws_bounds_the_exact_bits_and_importance_weights_come_closer() -> None:
    """One voxel with a density that falls steeply within its grey value; 4000 draws of the noise."""
    u = np.random.default_rng(0).random(4000)
    bits = -np.log2(8 * np.exp(-8 * u))  # exponential density, the mass of [0, 1] is 1 − e⁻⁸
    exact = -np.log2(1 - np.exp(-8))
    assert bits.mean() > exact + 1
    assert importance_bits(bits, voxels=1) == pytest.approx(exact, abs=0.1)


def test_importance_bits_of_many_voxels_do_not_underflow() -> None:
    voxels = 64 * 96 * 64
    assert importance_bits([4.0, 4.0], voxels) == pytest.approx(4.0)
    assert importance_bits([4.0, 5.0], voxels) == pytest.approx(4.0 + 1 / voxels)  # one of two draws decides


def test_a_pairs_bits_do_not_depend_on_the_other_pairs_nor_on_the_draws_after(unseen: Unseen) -> None:
    both = likelihood_table(unseen, draws=1, seed=1)
    alone = Unseen(unseen.model, unseen.card, unseen.dataset, unseen.rows[1:], CPU)
    assert likelihood_table(alone, draws=1, seed=1)["bits"][0] == both["bits"][1]
    assert likelihood_table(unseen, draws=1, seed=2)["bits"][0] != both["bits"][0]
    assert both["bits_sd"].isna().all()


def test_what_has_no_likelihood_is_explained_in_one_line(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(Request(dataset, folds, 0, "mean", tmp_path / "mean"), CPU)
    mean = Unseen.load(tmp_path / "mean", dataset, folds, 0, CPU)
    with pytest.raises(InputError, match=r"method mean has no likelihood.*dualglow") as caught:
        likelihood_table(mean, draws=1, seed=1)
    assert "\n" not in str(caught.value)


def test_pets_and_draws_that_make_no_sense_are_explained(unseen: Unseen, dataset: Path) -> None:
    with pytest.raises(ConfigError, match="--draws 0"):
        likelihood_table(unseen, draws=0, seed=1)
    volumes = np.load(dataset / "volumes.npy")
    volumes[8, 1, 4, 4, 4] = np.nan
    np.save(dataset / "volumes.npy", volumes)
    with pytest.raises(InputError, match=f"{unseen.names[0]}: its likelihood is not finite"):
        likelihood_table(unseen, draws=1, seed=1)


def test_the_commands_write_table_and_figure(unseen: Unseen, dataset: Path, folds: Path, tmp_path: Path) -> None:
    table = tmp_path / "likelihood" / "fold-0.tsv"
    arguments = ["--model", str(tmp_path / "model"), "--dataset", str(dataset), "--folds", str(folds), "--fold", "0"]
    result = CliRunner().invoke(app, ["likelihood", *arguments, "--draws", "2", "--device", "cpu", "--out", str(table)])
    assert result.exit_code == 0, (result.output, result.exception)
    written = pd.read_csv(table, sep="\t", dtype={"pair_id": str})
    expected = likelihood_table(unseen, draws=2, seed=1)
    np.testing.assert_allclose(written["bits"], expected["bits"])
    assert written["simulated"].all()
    stem = tmp_path / "figures" / "likelihood"
    result = CliRunner().invoke(app, ["figure", "likelihood", "--likelihood", str(table), "--out", str(stem)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert pd.read_csv(stem.with_suffix(".tsv"), sep="\t")["bits"].tolist() == written["bits"].tolist()
    out = tmp_path / "tables" / "likelihood.tsv"
    result = CliRunner().invoke(app, ["table", "likelihood", "--likelihood", str(table), "--out", str(out)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert pd.read_csv(out, sep="\t")["bits_mean"].tolist() == pytest.approx([written["bits"].mean()])
