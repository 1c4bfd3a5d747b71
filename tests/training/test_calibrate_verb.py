"""`calibrate`, its table and its figure as a person gives them."""

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from dualglow import models
from dualglow.models import Batch, Synthesiser
from dualglow.training.fold import Request, train_fold
from tests.conftest import Dualglow
from tests.training.conftest import AFFINE, PARTS, SHAPE

ANSWER = 0.5
"""Of the window: what the method `sure` says of everyone."""


class Sure(Synthesiser):
    """The same uptake everywhere, without randomness."""

    iterative = False

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("answer", torch.full((1,), ANSWER))

    def initialise(self, batches: Iterable[Batch]) -> None:
        list(batches)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return (batch.pet - self.answer).abs().mean(), {}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return self.answer * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        return self.predict(mri, covariates, mask)


@pytest.fixture
def words(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """`calibrate` of a method without randomness, with an atlas of two regions."""
    monkeypatch.setitem(models.METHODS, "sure", Sure)
    train_fold(Request(dataset, folds, 0, "sure", tmp_path / "model"), torch.device("cpu"))
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4], labels[4:7] = 1, 2
    nib.save(nib.Nifti1Image(labels, np.array(AFFINE)), tmp_path / "atlas.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\tname\n1\tleft\n2\tright\n")
    where = ["--model", tmp_path / "model", "--dataset", dataset, "--folds", folds, "--fold", 0, "--device", "cpu"]
    return ["calibrate", *where, "--atlas", tmp_path / "atlas.nii.gz", "--out", tmp_path / "calibration.tsv"]


def test_a_model_without_randomness_covers_nothing_and_its_crps_is_its_error(
    words: list[object], dataset: Path, tmp_path: Path, dualglow: Dualglow
) -> None:
    assert dualglow(*words) == ""
    table = pd.read_csv(tmp_path / "calibration.tsv", sep="\t")
    window = json.loads((tmp_path / "model" / "model.json").read_text())["window"]
    pet = np.load(dataset / "volumes.npy")[:, 1].clip(0, window)
    error = (pet[np.array(PARTS) == "test"] - ANSWER * window)[:, np.load(dataset / "masks.npy")[0]]
    found = table.set_index(["target", "pair_id"])
    assert found.loc["voxels", "crps"].to_numpy() == pytest.approx(np.abs(error).mean(axis=1), rel=1e-5)
    halves = error.reshape(2, 6, 6, 6)
    regions = np.stack([halves[:, :3].mean(axis=(1, 2, 3)), halves[:, 3:].mean(axis=(1, 2, 3))])
    assert found.loc["regions", "crps"].to_numpy() == pytest.approx(np.abs(regions).mean(axis=0), rel=1e-4)
    assert (table.filter(like="inside_") == 0).all(axis=None)
    assert table["n"].tolist() == [216, 216, 2, 2]

    out = tmp_path / "tables" / "calibration.tsv"
    assert dualglow("table", "calibration", "--calibration", tmp_path / "calibration.tsv", "--out", out) == ""
    summary = pd.read_csv(out, sep="\t").set_index("target")
    assert summary.loc["voxels", "crps_mean"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    figure = tmp_path / "figure"
    assert dualglow("figure", "calibration", "--calibration", tmp_path / "calibration.tsv", "--out", figure) == ""
    assert figure.with_name("figure.png").stat().st_size > 10_000
    assert pd.read_csv(figure.with_name("figure.tsv"), sep="\t")["simulated"].all()


def test_too_few_samples_are_one_line(words: list[object], tmp_path: Path, dualglow: Dualglow) -> None:
    line = dualglow(*words, "--samples", 38)
    assert line == "dualglow calibrate: --samples 38: the 95% interval needs 39 or more.\n"
    assert not (tmp_path / "calibration.tsv").exists()


def test_another_split_is_one_line(words: list[object], folds: Path, tmp_path: Path, dualglow: Dualglow) -> None:
    table = pd.read_csv(folds, sep="\t")
    first = (table["fold"] == 0) & table["part"].isin(["train", "test"])
    table.loc[first, "part"] = table.loc[first, "part"].to_numpy()[::-1]
    table.to_csv(folds, sep="\t", index=False)
    line = dualglow(*words)
    assert line.startswith("dualglow calibrate: ")
    assert line.count("\n") == 1
    assert "split" in line
    assert not (tmp_path / "calibration.tsv").exists()


@pytest.mark.parametrize(("lost", "said"), [("model/model.json", "model.json"), ("atlas.nii.gz", "atlas.nii.gz")])
def test_what_is_missing_is_one_line(
    lost: str, said: str, words: list[object], tmp_path: Path, dualglow: Dualglow
) -> None:
    (tmp_path / lost).unlink()
    line = dualglow(*words)
    assert said in line
    assert line.count("\n") == 1
    assert not (tmp_path / "calibration.tsv").exists()


def test_a_table_without_its_columns_is_one_line(tmp_path: Path, dualglow: Dualglow) -> None:
    (tmp_path / "c.tsv").write_text("method\tfold\nmean\t0\n")
    line = dualglow("table", "calibration", "--calibration", tmp_path / "c.tsv", "--out", tmp_path / "out.tsv")
    assert "lacks the column(s) pair_id, target, inside_50" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "out.tsv").exists()


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """Two pairs of one method, as `calibrate` writes them."""
    rows = [
        {"method": "cvae", "fold": 0, "pair_id": pair_id, "target": target, "n": 9, "simulated": True}
        | {f"inside_{level}": level / 100 for level in (50, 90, 95)}
        | {"crps": 0.1, "mae_median": 0.1, "sd": 0.1, "samples": 39, "temperature": 1.0, "atlas": "aal"}
        for target in ("voxels", "regions")
        for pair_id in ("p", "q")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "cvae.tsv", sep="\t", index=False)
    return tmp_path / "cvae.tsv"


def other(calibrated: Path, **changes: object) -> Path:
    """The same table of another method."""
    path = calibrated.with_name("cgan.tsv")
    pd.read_csv(calibrated, sep="\t").assign(**{"method": "cgan"} | changes).to_csv(path, sep="\t", index=False)
    return path


@pytest.mark.parametrize("kind", ["table", "figure"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples": 99}, "differ in samples (39, 99)"),
        ({"temperature": 0.7}, "differ in temperature (0.7, 1.0)"),
        ({"atlas": "aal2"}, "differ in atlas (aal, aal2)"),
        ({"pair_id": ["p", "r"] * 2}, "scored on different pairs (cvae 2, cgan 2)"),
        ({"method": "cvae"}, "p of cvae, fold 0 twice"),
    ],
)
def test_calibrations_that_cannot_be_mixed_are_one_line(
    kind: str, changes: dict[str, object], said: str, calibrated: Path, dualglow: Dualglow
) -> None:
    out = calibrated.with_name("out.tsv")
    line = dualglow(kind, "calibration", "--calibration", calibrated, other(calibrated, **changes), "--out", out)
    assert line.startswith(f"dualglow {kind}: ")
    assert said in line
    assert line.count("\n") == 1
    assert not out.exists()


def test_the_caption_of_a_calibration_says_what_was_drawn_and_how_aal_lies(
    calibrated: Path, dualglow: Dualglow
) -> None:
    out = calibrated.with_name("out.tsv")
    files = [calibrated, other(calibrated)]
    assert dualglow("table", "calibration", "--calibration", *files, "--out", out) == ""
    page = out.with_suffix(".html").read_text()
    assert "39 samples of the model (temperature 1)" in page
    assert "Regions: of AAL as it is, not warped to the template." in page
    assert pd.read_csv(out, sep="\t")["n"].tolist() == [2] * 4


@pytest.mark.parametrize("lost", ["sd", "mae_median"])
@pytest.mark.parametrize("kind", ["table", "figure"])
def test_calibrations_without_a_column_or_a_row_are_one_line(
    kind: str, lost: str, calibrated: Path, dualglow: Dualglow
) -> None:
    whole, out = pd.read_csv(calibrated, sep="\t"), calibrated.with_name("out")
    whole.drop(columns=lost).to_csv(calibrated, sep="\t", index=False)
    line = dualglow(kind, "calibration", "--calibration", calibrated, "--out", out)
    assert f"lacks the column(s) {lost};" in line
    whole.iloc[:0].to_csv(calibrated, sep="\t", index=False)
    line = dualglow(kind, "calibration", "--calibration", calibrated, "--out", out)
    assert line == (
        f"dualglow {kind}: {calibrated}: has no rows. Give the tables of folds in which somebody was held out.\n"
    )
