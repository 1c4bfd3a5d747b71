"""The same MRI at other ages, by a method whose answer is known."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from dualglow import models
from dualglow.cli import app
from dualglow.errors import ConfigError
from dualglow.models import Batch, Synthesiser
from dualglow.training.ageing import at_ages
from dualglow.training.data import Scaling
from dualglow.training.fold import Request, train_fold
from dualglow.training.unseen import Unseen

CPU = torch.device("cpu")
SLOPE, SEX = 0.05, 0.02  # window units per sd of age; of men against women, halved


class Falling(Synthesiser):
    """Uptake that falls with age by a known slope, and depends on the sex and on the MRI."""

    iterative = False
    names = ("age", "sex")

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("level", torch.full((1,), 0.4))

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Nothing to set."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        told = covariates[:, :2, None, None, None]
        return (self.level + 0.1 * mri - SLOPE * told[:, :1] + SEX * told[:, 1:]) * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        return self.predict(mri, covariates, mask)


@pytest.fixture
def model(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(models.METHODS, "falling", Falling)
    train_fold(Request(dataset, folds, 0, "falling", tmp_path / "model"), CPU)
    return tmp_path / "model"


def test_only_the_age_changes(model: Path, dataset: Path, folds: Path) -> None:
    unseen = Unseen.load(model, dataset, folds, 0, CPU)
    window, scaling = unseen.card["window"], Scaling.from_card(unseen.card)
    masks = unseen.dataset.masks[unseen.rows]
    for (_, series), mask, own_age in zip(at_ages(unseen, (50, 80)), masks, (55.0, 85.0), strict=True):
        for age in (50, 80):
            change = (series.ages[age] - series.own)[mask]
            assert change == pytest.approx(-SLOPE * (age - own_age) / scaling.age_sd * window, abs=1e-5)
            assert not series.ages[age][~mask].any()


def test_the_command_writes_a_row_per_person_age_and_region(
    model: Path, dataset: Path, folds: Path, tmp_path: Path
) -> None:
    unseen = Unseen.load(model, dataset, folds, 0, CPU)
    labels = np.zeros(unseen.dataset.grid.shape, dtype=np.uint8)
    labels[2:4], labels[4:6], labels[6] = 1, 2, 3
    nib.save(unseen.dataset.grid.image(labels), tmp_path / "atlas.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\tname\n1\tCuneus_L\n2\tCuneus_R\n3\tVermis\n")
    metrics = unseen.people.assign(method="falling", fold=0, mae_mask=[0.2, 0.1], data_range=2.5)
    metrics = metrics.assign(split_hash="x", simulated=True)
    metrics.to_csv(tmp_path / "metrics.tsv", sep="\t", index=False, na_rep="n/a")
    words = ["age-series", "--model", model, "--dataset", dataset, "--folds", folds, "--fold", 0, "--device", "cpu"]
    words += ["--ages", "50,75", "--atlas", tmp_path / "atlas.nii.gz", "--metrics", tmp_path / "metrics.tsv"]
    result = CliRunner().invoke(app, [str(word) for word in [*words, "--out", tmp_path / "out"]])
    assert result.exit_code == 0, (result.output, result.exception)
    table = pd.read_csv(tmp_path / "out" / "ages.tsv", sep="\t")
    assert list(zip(table["pair_id"], table["told_age"], table["region"], strict=True)) == [
        (name, age, region) for name in unseen.names for age in (50, 75) for region in ("Cuneus", "Vermis")
    ]
    kept = unseen.names[1]  # the lower of the two errors: the lower middle one
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {
        f"{kept}_desc-{kind}_pet.nii.gz" for kind in ("age050", "age075", "ageown")
    }
    image = nib.load(tmp_path / "out" / f"{kept}_desc-age075_pet.nii.gz")
    np.testing.assert_allclose(image.affine, unseen.dataset.grid.matrix)
    row = table[(table["pair_id"] == kept) & (table["told_age"] == 75)].iloc[0]
    inside = np.isin(labels, [1, 2]) & unseen.dataset.masks[unseen.rows[1]]
    assert row["value"] == pytest.approx(image.get_fdata()[inside].mean(), rel=1e-5)
    assert (row["age"], row["n_voxels"], bool(row["simulated"])) == (85.0, inside.sum(), True)
    own = nib.load(tmp_path / "out" / f"{kept}_desc-ageown_pet.nii.gz").get_fdata()
    assert row["change"] == pytest.approx((image.get_fdata() - own)[inside].mean(), rel=1e-4)


def test_a_model_that_reads_no_ages_is_refused(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(Request(dataset, folds, 0, "mean", tmp_path / "model"), CPU)
    unseen = Unseen.load(tmp_path / "model", dataset, folds, 0, CPU)
    with pytest.raises(ConfigError, match="mean and does not read ages"):
        next(at_ages(unseen, (50,)))


def test_the_linear_baseline_reads_ages(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(Request(dataset, folds, 0, "linear", tmp_path / "model"), CPU)
    _, series = next(at_ages(Unseen.load(tmp_path / "model", dataset, folds, 0, CPU), (50, 100)))
    assert np.ptp(series.ages[50] - series.ages[100]) > 0
