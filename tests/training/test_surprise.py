"""Where a real PET is unlike the model's samples."""

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor
from typer.testing import CliRunner

from dualglow import models
from dualglow.cli import app
from dualglow.errors import ConfigError
from dualglow.models import Batch, Synthesiser
from dualglow.training.fold import Request, train_fold
from dualglow.training.surprise import summary, surprise, surprise_fold
from dualglow.training.synthesis import Sampling
from dualglow.training.unseen import Unseen

CPU = torch.device("cpu")
SD = 0.05
LESION = (slice(2, 5),) * 3


class Known(Synthesiser):
    """A normal distribution at each voxel: mean 0.5, a known sd; both in window units."""

    iterative = False

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, *shape), 0.5))

    def initialise(self, batches: Iterable[Batch]) -> None:
        list(batches)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return batch.pet.mean(), {}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return self.mean * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        return (self.mean + temperature * SD * torch.randn(mri.shape, generator=generator)) * mask


@pytest.fixture
def unseen(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unseen:
    """Two held-out people: one drawn from the model itself, one at its mean but for a lesion of 4 sd in a cube."""
    monkeypatch.setitem(models.METHODS, "known", Known)
    train_fold(Request(dataset, folds, 0, "known", tmp_path / "model"), CPU)
    loaded = Unseen.load(tmp_path / "model", dataset, folds, 0, CPU)
    window = loaded.card["window"]
    volumes, masks = np.load(dataset / "volumes.npy"), np.load(dataset / "masks.npy")
    noise = np.random.default_rng(5).normal(size=volumes.shape[2:])
    volumes[8, 1] = (0.5 + SD * noise) * window * masks[8]
    volumes[9, 1] = 0.5 * window * masks[9]
    volumes[9, 1][LESION] += 4 * SD * window
    np.save(dataset / "volumes.npy", volumes)
    return Unseen.load(tmp_path / "model", dataset, folds, 0, CPU)


def z_map(folder: Path, name: str) -> np.ndarray:
    return nib.load(folder / f"{name}_desc-z_pet.nii.gz").get_fdata()


def test_a_planted_lesion_has_its_z_and_the_rest_has_none(unseen: Unseen, tmp_path: Path) -> None:
    table = surprise_fold(unseen, tmp_path / "out", Sampling(2000, 1.0), floor=1e-6, seed=1)
    z, mask = z_map(tmp_path / "out", unseen.names[1]), np.asarray(unseen.dataset.masks[9])
    lesion = np.zeros_like(mask)
    lesion[LESION] = True
    np.testing.assert_allclose(z[lesion], 4, atol=0.35)  # the sd of 2000 samples is known to 1.6 %
    assert np.abs(z[mask & ~lesion]).max() < 0.15
    assert np.all(z[~mask] == 0)
    assert table["share_surprising"][1] == pytest.approx(lesion.sum() / mask.sum())


def test_a_pet_from_the_model_itself_is_standard_normal(unseen: Unseen, tmp_path: Path) -> None:
    table = surprise_fold(unseen, tmp_path / "out", Sampling(2000, 1.0), floor=1e-6, seed=1)
    z = z_map(tmp_path / "out", unseen.names[0])[unseen.dataset.masks[8]]
    assert stats.kstest(z, "norm").pvalue > 0.01
    assert table["share_surprising"][0] == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / z.size))
    assert table["share_calibrated"][0] == pytest.approx(0.05, abs=0.001)
    assert table["z_sd"][0] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("count", [4, 16])
def test_with_few_samples_z_follows_students_t(count: int) -> None:
    rng = np.random.default_rng(2)
    mask = np.ones((40, 40, 40), dtype=bool)
    found = surprise(rng.normal(size=mask.shape), rng.normal(size=(count, *mask.shape)), mask, count, floor=1e-9)
    row = summary(found, mask, count, 1e-9)
    assert row["share_surprising"] == pytest.approx(row["share_calibrated"], abs=0.004)
    assert row["share_calibrated"] > 0.06
    assert row["share_floor"] == 0


def test_the_floor_keeps_voxels_that_never_vary_finite() -> None:
    mask = np.ones((4, 4, 4), dtype=bool)
    found = surprise(np.full(mask.shape, 1.1), np.ones((8, 4, 4, 4)), mask, 8, floor=0.02)
    np.testing.assert_allclose(found.z, 5, rtol=1e-6)  # 0.1 SUVR above what never varies, in units of the floor
    assert summary(found, mask, 8, 0.02)["share_floor"] == 1


def test_pet_beyond_the_window_is_cut_as_in_training(unseen: Unseen, dataset: Path, tmp_path: Path) -> None:
    volumes = np.load(dataset / "volumes.npy")
    volumes[8, 1] = 100 * unseen.dataset.masks[8]
    np.save(dataset / "volumes.npy", volumes)
    table = surprise_fold(unseen, tmp_path / "out", Sampling(500, 1.0), floor=1e-6, seed=1)
    assert table["z_mean"][0] == pytest.approx(0.5 / SD, rel=0.05)


def test_a_floor_of_nothing_is_refused(unseen: Unseen, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--floor 0"):
        surprise_fold(unseen, tmp_path / "out", Sampling(4), floor=0, seed=1)
    assert not (tmp_path / "out").exists()


def test_the_command_writes_maps_table_regions_and_pictures(
    unseen: Unseen, dataset: Path, folds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "surprise"
    labels = np.zeros(unseen.dataset.grid.shape, dtype=np.uint8)
    labels[LESION] = 7
    nib.save(unseen.dataset.grid.image(labels), tmp_path / "atlas.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\tname\n7\tLesion\n")
    arguments = ["--model", str(tmp_path / "model"), "--dataset", str(dataset), "--folds", str(folds), "--fold", "0"]
    arguments += ["--samples", "8", "--atlas", str(tmp_path / "atlas.nii.gz"), "--device", "cpu", "--out", str(out)]
    result = CliRunner().invoke(app, ["surprise", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    image = nib.load(out / f"{unseen.names[0]}_desc-z_pet.nii.gz")
    np.testing.assert_allclose(image.affine, unseen.dataset.grid.matrix)
    table = pd.read_csv(out / "surprise.tsv", sep="\t", dtype={"pair_id": str})
    assert table["pair_id"].tolist() == unseen.names
    assert (
        table[["method", "samples", "temperature", "floor", "simulated"]].values.tolist()
        == [["known", 8, 1.0, 0.02, True]] * 2
    )
    regions = pd.read_csv(out / "regions.tsv", sep="\t")
    assert regions[["region", "n_voxels"]].values.tolist() == [["Lesion", 27]] * 2
    z = z_map(out, unseen.names[1])
    assert regions["z_mean"][1] == pytest.approx(z[LESION].mean(), rel=1e-5)
    assert json.loads((out / "surprise.json").read_text())["floor"] == 0.02
    for name in unseen.names:
        assert (out / f"{name}_surprise.png").read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, ["surprise", *arguments]).exit_code == 0  # replaces its own result


def test_nobody_left_to_test_gives_tables_without_rows(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preprocessing lost both test people of the fold."""
    monkeypatch.setitem(models.METHODS, "known", Known)
    pairs = pd.read_csv(dataset / "pairs.tsv", sep="\t")
    for name in ("volumes.npy", "masks.npy"):
        np.save(dataset / name, np.load(dataset / name)[:8])
    pairs.iloc[:8].to_csv(dataset / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    pairs.iloc[8:][["pair_id"]].assign(reason="quality_control", detail="x").to_csv(
        dataset / "exclusions.tsv", sep="\t", index=False
    )
    train_fold(Request(dataset, folds, 0, "known", tmp_path / "model"), CPU)
    where = ["--model", tmp_path / "model", "--dataset", dataset, "--folds", folds, "--fold", 0]
    for verb in ("surprise", "synthesise"):
        words = [verb, *where, "--out", tmp_path / verb]
        outcome = CliRunner().invoke(app, [str(word) for word in words])
        assert outcome.exit_code == 0, outcome.output
    table = pd.read_csv(tmp_path / "surprise" / "surprise.tsv", sep="\t")
    assert table.empty
    assert {"method", "pair_id", "group", "z_mean", "share_surprising", "simulated"} <= set(table.columns)
    assert not list((tmp_path / "synthesis").glob("*.nii.gz"))
