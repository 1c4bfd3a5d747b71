"""Training a fold from folder to folder: resuming, choosing the epoch, guarding, writing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dualglow.errors import DualGlowError
from dualglow.training import fold as fold_module
from dualglow.training.checkpoint import load_model
from dualglow.training.fold import Request, train_fold
from dualglow.training.guard import DivergenceError
from dualglow.training.optimisation import Optimisation
from dualglow.training.resume import Progress, ResumeFolder

CPU = torch.device("cpu")
KEYS = {
    "method", "options", "shape", "affine", "window", "covariates", "split_hash", "fold", "seed", "reference_region",
    "space", "versions", "epochs", "best_epoch", "simulated", "device", "precision",
}  # fmt: skip


class Killed(BaseException):
    """As if the node had failed."""


def request(dataset: Path, folds: Path, out: Path, **changes: Any) -> Request:  # noqa: ANN401
    how = {"epochs": 4, "batch_size": 2, "learning_rate": 0.01, "warmup_epochs": 2}
    how |= {name: changes.pop(name) for name in list(changes) if name in Optimisation.__dataclass_fields__}
    fields = {"fold": 0, "method": "tiny", "options": {"width": 3}} | changes
    return Request(dataset=dataset, folds=folds, out=out, optimisation=Optimisation(**how), **fields)


def kill_after(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let the training die right after `epoch` was written."""
    save = ResumeFolder.save

    def save_and_die(self: ResumeFolder, progress: Progress) -> None:
        save(self, progress)
        if progress.epoch == epoch:
            raise Killed

    monkeypatch.setattr(ResumeFolder, "save", save_and_die)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("method", ["tiny", "dualglow"])
def test_a_resumed_training_is_the_uninterrupted_one_to_the_last_bit(
    dataset: Path,
    folds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    ema_decay: float,
) -> None:
    options = {"tiny": {}, "dualglow": {"levels": 2, "steps": 1, "hidden": 4}}[method]
    whole, broken = (
        request(dataset, folds, tmp_path / name, method=method, options=options, ema_decay=ema_decay) for name in "ab"
    )
    train_fold(whole, CPU)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            train_fold(broken, CPU)
    assert (tmp_path / ".b.resume" / "last.ckpt").is_file()
    torch.manual_seed(999)  # whatever the new process starts with
    train_fold(broken, CPU)
    assert "Going on after epoch 2" in capsys.readouterr().err
    assert _same_weights(tmp_path / "a", tmp_path / "b")
    assert _same_weights(tmp_path / "a", tmp_path / "b", "last.safetensors")
    tables = [pd.read_csv(tmp_path / name / "training.tsv", sep="\t").drop(columns="seconds") for name in "ab"]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not (tmp_path / ".b.resume").exists()


@pytest.mark.parametrize("killed", [1, 4])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_whole_last_state_is_the_same_not_only_the_best(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int, ema_decay: float
) -> None:
    last = {}
    for name in ("whole", "broken"):
        wanted = request(dataset, folds, tmp_path / name, ema_decay=ema_decay)
        if name == "broken":
            with monkeypatch.context() as patch:
                kill_after(patch, killed)
                with pytest.raises(Killed):
                    train_fold(wanted, CPU)
        with monkeypatch.context() as patch:
            patch.setattr(ResumeFolder, "remove", lambda self: None)
            train_fold(wanted, CPU)
        last[name] = torch.load(tmp_path / f".{name}.resume" / "last.ckpt", weights_only=True)["progress"]
    assert last["whole"]["limit"] == last["broken"]["limit"] < float("inf")
    for part in ("weights", "optimizer", "average") if ema_decay else ("weights", "optimizer"):
        first, second = (_tensors(last[name][part]) for name in ("whole", "broken"))
        assert len(first) == len(second) > 0
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_best_and_last_epoch_are_both_kept(dataset: Path, folds: Path, tmp_path: Path) -> None:
    """The best epoch of a training that gets worse is that of a shorter training; the last one is not."""
    _upside_down(dataset)
    train_fold(request(dataset, folds, tmp_path / "long", epochs=12, learning_rate=0.05), CPU)
    best = json.loads((tmp_path / "long" / "model.json").read_text())["best_epoch"]
    assert best < 12
    train_fold(request(dataset, folds, tmp_path / "short", epochs=best, learning_rate=0.05), CPU)
    last, short = (load_file(tmp_path / name / "last.safetensors") for name in ("long", "short"))
    kept = load_file(tmp_path / "long" / "model.safetensors")
    assert all(torch.equal(kept[name], short[name]) for name in kept)
    assert not all(torch.equal(last[name], kept[name]) for name in kept)


def test_other_settings_start_anew_and_say_what_differs(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            train_fold(request(dataset, folds, tmp_path / "a"), CPU)
    train_fold(request(dataset, folds, tmp_path / "a", learning_rate=0.02), CPU)
    assert "learning_rate (0.01, now 0.02)" in capsys.readouterr().err
    train_fold(request(dataset, folds, tmp_path / "b", learning_rate=0.02), CPU)
    assert _same_weights(tmp_path / "a", tmp_path / "b")


def test_a_damaged_resume_file_starts_anew(
    dataset: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".a.resume").mkdir()
    (tmp_path / ".a.resume" / "last.ckpt").write_bytes(b"cut off")
    train_fold(request(dataset, folds, tmp_path / "a", epochs=1), CPU)
    assert "cannot be read" in capsys.readouterr().err


def test_test_rows_are_not_read(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(request(dataset, folds, tmp_path / "a"), CPU)
    volumes = np.load(dataset / "volumes.npy")
    volumes[8:] = np.nan
    np.save(dataset / "volumes.npy", volumes)
    train_fold(request(dataset, folds, tmp_path / "b"), CPU)
    assert _same_weights(tmp_path / "a", tmp_path / "b")


def test_the_best_epoch_is_the_one_of_the_lowest_validation_error(dataset: Path, folds: Path, tmp_path: Path) -> None:
    _upside_down(dataset)
    train_fold(request(dataset, folds, tmp_path / "a", epochs=12, learning_rate=0.05), CPU)
    table = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    card = json.loads((tmp_path / "a" / "model.json").read_text())
    assert card["best_epoch"] == table["epoch"][table["mae_validation"].idxmin()] < 12
    assert table["loss_train"].idxmin() + 1 != card["best_epoch"]
    model, _ = load_model(tmp_path / "a")
    pairs = fold_module._read(request(dataset, folds, tmp_path / "a")).validation
    with torch.no_grad():
        error = np.mean([float(fold_module.mae(model, batch, card["window"])) for batch in _batches(pairs)])
    assert error == pytest.approx(table["mae_validation"][card["best_epoch"] - 1], rel=1e-5)


def test_nan_stops_with_epoch_step_and_term(dataset: Path, folds: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"^error is nan in epoch 2, step 2\. .* Train with a lower"):
        train_fold(request(dataset, folds, tmp_path / "a", options={"poison": 5}), CPU)
    assert (tmp_path / ".a.resume" / "last.ckpt").is_file()
    assert not (tmp_path / "a" / "model.safetensors").exists()


def test_the_learning_rate_warms_up_linearly_over_epochs() -> None:
    how = Optimisation(learning_rate=1.0, warmup_epochs=2)
    assert [how.rate(step, 2) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert Optimisation(learning_rate=1.0).rate(0, 2) == 1


def test_outputs_and_card(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(request(dataset, folds, tmp_path / "a"), CPU)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "model.safetensors", "last.safetensors", "model.json", "training.tsv", "training.png", "tensorboard",
    }  # fmt: skip
    card = json.loads((tmp_path / "a" / "model.json").read_text())
    assert set(card) >= KEYS
    assert card["simulated"] is True
    assert card["affine"][0] == [2.25, 0, 0, -70.125]
    assert card["options"] == {"width": 3}
    assert (card["seed"], card["precision"], card["versions"]["torch"]) == (1, "fp32", torch.__version__)
    assert card["device"].startswith("CPU")
    table = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert {"loss_train", "loss_validation", "error_train", "mae_validation", "seconds"} <= set(table)
    assert table["loss_train"].iloc[-1] < table["loss_train"].iloc[0]


@pytest.mark.parametrize("method", ["mean", "linear"])
def test_closed_forms_are_fitted_in_one_call(dataset: Path, folds: Path, tmp_path: Path, method: str) -> None:
    train_fold(request(dataset, folds, tmp_path / "a", method=method, options={}), CPU)
    table = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    assert len(table) == 1
    assert table["mae_validation"][0] > 0
    assert set(json.loads((tmp_path / "a" / "model.json").read_text())) >= KEYS
    assert (tmp_path / "a" / "training.png").stat().st_size > 1000


def test_the_mean_model_is_the_mean_of_the_training_pets(dataset: Path, folds: Path, tmp_path: Path) -> None:
    train_fold(request(dataset, folds, tmp_path / "a", method="mean", options={}, window_percentile=100), CPU)
    model, card = load_model(tmp_path / "a")
    pets = np.load(dataset / "volumes.npy")[:6, 1]
    empty = torch.zeros(1, 1, 8, 8, 8)
    predicted = model.predict(empty, torch.zeros(1, 2), empty + 1)[0, 0].numpy() * card["window"]
    np.testing.assert_allclose(predicted, pets.mean(0), rtol=1e-5)
    table = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    masks = np.load(dataset / "masks.npy")
    expected = np.mean([np.abs(pets.mean(0) - pet)[mask].mean() for pet, mask in zip(pets, masks[:6], strict=True)])
    assert table["mae_train"][0] == pytest.approx(expected, rel=1e-5)


def test_bad_settings_are_one_line(dataset: Path, folds: Path, tmp_path: Path) -> None:
    with pytest.raises(DualGlowError, match="--epochs 0: must be above 0"):
        request(dataset, folds, tmp_path / "a", epochs=0)
    with pytest.raises(DualGlowError, match="unknown"):
        train_fold(request(dataset, folds, tmp_path / "a", method="magic"), CPU)


def _upside_down(dataset: Path) -> None:
    """Validation PETs become training PETs upside down: the better the training, the worse the validation."""
    volumes = np.load(dataset / "volumes.npy")
    volumes[6:8, 1] = np.where(volumes[6:8, 1] > 0, 2 - volumes[6:8, 1], 0).clip(0)
    np.save(dataset / "volumes.npy", volumes)


def _same_weights(first: Path, second: Path, name: str = "model.safetensors") -> bool:
    a, b = (load_file(folder / name) for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _tensors(tree: Any) -> list[Tensor]:  # noqa: ANN401
    if isinstance(tree, dict):
        return [tensor for key in sorted(tree, key=str) for tensor in _tensors(tree[key])]
    return [tree] if isinstance(tree, Tensor) else []


def _batches(pairs: Any) -> Any:  # noqa: ANN401
    return fold_module.in_order(pairs, 1)
