"""A model's folder, and the PETs made from it."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.errors import ConfigError, DualGlowError
from dualglow.models import COVARIATES
from dualglow.training.checkpoint import load_model, save_model
from dualglow.training.fold import Request, train_fold
from dualglow.training.optimisation import Optimisation
from dualglow.training.synthesis import Sampling, predict_volume, quantile_map, quantile_name, synthesise_fold
from dualglow.training.unseen import Unseen

CPU = torch.device("cpu")
AFFINE = np.array([[2.25, 0, 0, -70.125], [0, 2.25, 0, -125.625], [0, 0, 2.25, -64.125], [0, 0, 0, 1]])


@pytest.fixture
def model(dataset: Path, folds: Path, tmp_path: Path) -> Path:
    out = tmp_path / "model"
    train_fold(Request(dataset, folds, 0, "tiny", out, {"width": 2}, Optimisation(epochs=1, batch_size=2)), CPU)
    return out


def synthesise(model: Path, dataset: Path, folds: Path, out: Path, fold: int = 0, seed: int = 1) -> list[str]:
    return synthesise_fold(Unseen.load(model, dataset, folds, fold, CPU), out, Sampling(4, 0.7), seed)


def test_images_have_the_grids_affine_and_suvr_units(model: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    names = synthesise(model, dataset, folds, tmp_path / "out")
    assert names == ["sub-900S9008_ses-20060523", "sub-900S9009_ses-20060523"]
    image = nib.load(tmp_path / "out" / f"{names[0]}_desc-synthetic_pet.nii.gz")
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(image.affine, AFFINE)
    np.testing.assert_allclose(image.get_qform(), AFFINE)
    assert image.header["sform_code"] == image.header["qform_code"] > 0
    network, card = load_model(model)
    mri = torch.from_numpy(np.load(dataset / "volumes.npy")[8, 0])[None, None]
    mask = torch.from_numpy(np.load(dataset / "masks.npy")[8])[None, None].float()
    expected = network.predict(mri, torch.zeros(1, COVARIATES), mask)[0, 0].detach().numpy().clip(0, 1) * card["window"]
    np.testing.assert_allclose(image.get_fdata(), expected, rtol=1e-5)
    record = json.loads((tmp_path / "out" / "synthesis.json").read_text())
    assert (record["units"], record["split_hash"]) == ("SUVR", card["split_hash"])
    assert record["told"] == []


def test_sd_is_that_of_the_models_noise(model: Path, dataset: Path) -> None:
    """Tiny adds noise of sd 0.1 × temperature in window units; 2000 samples give it to 3 %."""
    network, card = load_model(model)
    mask = np.ones((8, 8, 8), dtype=bool)
    mask[0] = False
    with torch.no_grad():
        network.offset += 0.3  # away from 0, where values are cut
    sd = predict_volume(network, card, mask * 0.5, mask, 70, "F", None, Sampling(2000, 0.5), seed=3)["std"]
    assert sd[mask].mean() == pytest.approx(0.05 * card["window"], rel=0.03)
    assert np.all(sd[0] == 0)


def test_a_pairs_images_do_not_depend_on_the_other_pairs(
    model: Path, dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = synthesise(model, dataset, folds, tmp_path / "both")
    monkeypatch.setattr("dualglow.training.unseen._check_split", lambda *_: None)
    table = pd.read_csv(folds, sep="\t")
    fewer = table[table["fold"].eq(0)].copy()
    fewer.loc[fewer["pair_id"] == names[0], "part"] = "train"
    fewer.to_csv(folds, sep="\t", index=False)
    assert synthesise(model, dataset, folds, tmp_path / "one") == names[1:]
    for description in ("synthetic", "std"):
        one, both = (
            nib.load(tmp_path / folder / f"{names[1]}_desc-{description}_pet.nii.gz").get_fdata()
            for folder in ("one", "both")
        )
        np.testing.assert_array_equal(one, both)


def test_a_model_of_another_split_is_refused(model: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    lines = folds.read_text().splitlines()  # a training and a test person change places
    train, test = (next(i for i, line in enumerate(lines) if line.endswith(part)) for part in ("train", "test"))
    lines[train] = lines[train].replace("train", "test")
    lines[test] = lines[test].replace("test", "train")
    folds.write_text("\n".join(lines) + "\n")
    with pytest.raises(DualGlowError, match="trained on another split") as caught:
        synthesise(model, dataset, folds, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_fold_or_grid_or_region_is_refused(
    model: Path, dataset: Path, folds: Path, tmp_path: Path
) -> None:
    with pytest.raises(DualGlowError, match="trained on fold 0, not on fold 1"):
        synthesise(model, dataset, folds, tmp_path / "out", fold=1)
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(card | {"affine": np.eye(4).tolist()}))
    with pytest.raises(DualGlowError, match="another grid"):
        synthesise(model, dataset, folds, tmp_path / "out")
    (model / "model.json").write_text(json.dumps(card | {"reference_region": "cerebellum"}))
    with pytest.raises(DualGlowError, match="cerebellum"):
        synthesise(model, dataset, folds, tmp_path / "out")


def test_an_earlier_synthesis_is_replaced_but_other_files_are_not(
    model: Path, dataset: Path, folds: Path, tmp_path: Path
) -> None:
    synthesise(model, dataset, folds, tmp_path / "out")
    (tmp_path / "out" / ".snakemake_timestamp").touch()
    synthesise(model, dataset, folds, tmp_path / "out", seed=2)
    (tmp_path / "out" / "thesis.doc").write_text("precious")
    with pytest.raises(DualGlowError, match=r"thesis\.doc"):
        synthesise(model, dataset, folds, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.doc").read_text() == "precious"


def test_a_loaded_model_predicts_what_the_saved_one_did(model: Path, tmp_path: Path) -> None:
    network, card = load_model(model)
    save_model(tmp_path / "copy", network, card)
    again, same = load_model(tmp_path / "copy")
    mri = torch.rand(1, 1, 8, 8, 8)
    arguments = mri, torch.zeros(1, COVARIATES), torch.ones_like(mri)
    assert same == card
    assert torch.equal(network.predict(*arguments), again.predict(*arguments))
    assert not again.training


def test_weights_can_be_read_by_those_who_can_read_the_card(model: Path) -> None:
    assert (model / "model.safetensors").stat().st_mode == (model / "model.json").stat().st_mode


def test_damaged_model_folders_are_explained(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DualGlowError, match="no such file"):
        load_model(tmp_path / "nowhere")
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-8])
    with pytest.raises(DualGlowError, match="safetensors"):
        load_model(model)
    (model / "model.safetensors").write_bytes(weights)
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(card | {"options": {"width": 5}}))
    with pytest.raises(DualGlowError, match=r"does not fit the model\.json"):
        load_model(model)
    (model / "model.json").write_text("{}")
    with pytest.raises(DualGlowError, match="lacks method"):
        load_model(model)


def test_wrong_shape_and_wild_output_are_explained(model: Path) -> None:
    network, card = load_model(model)
    ones = np.ones((8, 8, 8))
    with pytest.raises(DualGlowError, match="shape"):
        predict_volume(network, card, ones[:4], ones[:4], None, None, None, Sampling(2), 1)
    with pytest.raises(DualGlowError, match="not finite"):
        predict_volume(network, card, ones * np.nan, ones, None, None, None, Sampling(2), 1)


def test_quantiles_are_those_of_the_models_noise(model: Path) -> None:
    """Tiny's noise is normal: 1.645 sd between its median and its 5 % quantile; 1999 samples give it to 3 %."""
    network, card = load_model(model)
    mask = np.ones((8, 8, 8), dtype=bool)
    with torch.no_grad():
        network.offset += 0.3
    sampling = Sampling(1999, 0.5, (0.95, 0.05, 0.5))
    maps = predict_volume(network, card, mask * 0.5, mask, 70, "F", None, sampling, seed=3)
    assert list(maps) == ["synthetic", "std", "q05", "q50", "q95"]
    sd = 0.05 * card["window"]
    np.testing.assert_allclose((maps["q95"] - maps["q50"]).mean(), 1.645 * sd, rtol=0.03)
    np.testing.assert_allclose((maps["q50"] - maps["q05"]).mean(), 1.645 * sd, rtol=0.03)
    np.testing.assert_allclose(maps["q50"].mean(), maps["synthetic"].mean(), rtol=0.01)
    plain = predict_volume(network, card, mask * 0.5, mask, 70, "F", None, Sampling(1999, 0.5), seed=3)
    np.testing.assert_allclose(maps["std"], plain["std"], rtol=1e-5)


@pytest.mark.parametrize("quantile", [0.05, 0.3, 0.95])
def test_one_more_sample_lies_below_a_quantile_of_few_with_its_probability(quantile: float) -> None:
    drawn = np.random.default_rng(0).gamma(2, size=(20, 100, 50, 20))
    below = drawn[19] < quantile_map(drawn[:19], quantile)
    assert below.mean() == pytest.approx(quantile, abs=4 * np.sqrt(quantile * (1 - quantile) / below.size))


def test_quantiles_have_names_that_tell_them_apart() -> None:
    assert [quantile_name(q) for q in (0.05, 0.5, 0.025, 0.25, 0.975)] == ["q05", "q50", "q025", "q25", "q975"]


def test_samplings_that_say_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="--samples 1"):
        Sampling(1)
    with pytest.raises(ConfigError, match="needs --samples 19 or more, not 18"):
        Sampling(18, quantiles=(0.5, 0.95))
    Sampling(19, quantiles=(0.05, 0.95))
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        Sampling(19, quantiles=(1.0,))


def test_the_command_writes_quantiles_and_pictures(model: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--dataset", str(dataset), "--folds", str(folds), "--fold", "0", "--samples", "19"]
    arguments += ["--quantiles", "0.95,0.05", "--temperature", "1", "--device", "cpu", "--out", str(out)]
    result = CliRunner().invoke(app, ["synthesise", "--model", str(model), *arguments])
    assert result.exit_code == 0, result.output
    name = "sub-900S9008_ses-20060523"
    maps = {kind: nib.load(out / f"{name}_desc-{kind}_pet.nii.gz").get_fdata() for kind in ("synthetic", "q05", "q95")}
    assert np.all(maps["q05"] <= maps["q95"])
    assert (maps["q05"] < maps["synthetic"]).any()
    assert (out / f"{name}_synthesis.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "synthesis.json").read_text())["quantiles"] == [0.95, 0.05]
    assert len(list(out.iterdir())) == 2 * 5 + 1
    bad = CliRunner().invoke(app, ["synthesise", "--model", str(model), *arguments, "--quantiles", "five"])
    assert "0.05,0.95" in str(bad.exception)


def test_a_failed_synthesis_leaves_the_earlier_one(model: Path, dataset: Path, folds: Path, tmp_path: Path) -> None:
    unseen = Unseen.load(model, dataset, folds, 0, CPU)
    synthesise_fold(unseen, tmp_path / "out", Sampling(2), 1)
    before = sorted(tmp_path.iterdir())

    def fail(part: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise_fold(unseen, tmp_path / "out", Sampling(3), 1, fail)
    assert sorted(tmp_path.iterdir()) == before
    assert json.loads((tmp_path / "out" / "synthesis.json").read_text())["samples"] == 2
