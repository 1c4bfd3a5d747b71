"""The verbs as a person runs them."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualglow.cli import app, main
from dualglow.cli.model import names_of, train
from dualglow.models import METHODS
from dualglow.training.fold import Request
from dualglow.training.optimisation import Optimisation

OTHERS = ("cgan", "ucgan", "cvae", "pix2pix", "iglow", "mean", "linear")
SMALL = ["--levels", "2", "--steps", "1", "--hidden", "4", "--epochs", "2", "--threads", "1", "--device", "cpu"]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit status of `dualglow` with these words."""
    monkeypatch.setattr(sys, "argv", ["dualglow", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("method", ["dualglow", "dualglow-conditional", "mean", "linear"])
def test_train_and_synthesise(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    where = ["--dataset", str(dataset), "--folds", str(folds), "--fold", "0"]
    model, out = str(tmp_path / "model"), tmp_path / "synthesis"
    chosen = ["--covariates", "age,sex", "--steps", "1,2", "--ema-decay", "0.5", "--memory", "plain"]
    assert run(monkeypatch, "train", *where, "--method", method, *SMALL, *chosen, "--out", model) == 0
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    if method.startswith("dualglow"):
        options = card["options"]
        assert (options["covariates"], options["steps"], options["memory"]) == (["age", "sex"], [1, 2], "plain")
    else:
        assert card["options"] == {}
    assert run(monkeypatch, "synthesise", *where, "--model", model, "--samples", "2", "--out", str(out)) == 0
    assert len(list(out.glob("*_pet.nii.gz"))) == 4


def test_mistakes_are_one_line(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"--dataset": str(dataset), "--folds": str(folds), "--fold": "0", "--out": str(tmp_path / "model")}
    mistakes = {"--dataset": "/nowhere", "--folds": "/nowhere.tsv", "--fold": "9", "--method": "magic", "--epochs": "0"}
    mistakes |= {"--device": "abacus", "--learning-rate": "-1", "--window-percentile": "0", "--levels": "9"}
    mistakes |= {"--precision": "fp16", "--ema-decay": "1", "--steps": "1;2", "--covariates": "age,height"}
    mistakes |= {"--memory": "swap", "--mixing": "qr", "--coupling": "tanh", "--conditioning": "multiply"}
    for option, value in mistakes.items():
        words = [word for pair in (good | {option: value}).items() for word in pair]
        assert run(monkeypatch, "train", *words) == 1, option
        error = capsys.readouterr().err.strip()
        assert error.startswith("dualglow train: "), option
        assert error.count("\n") == 0, error


def test_help_shows_the_papers_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    app(["train", "--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    for default in ("90", "0.001", "512", "99.9"):
        assert f"default: {default}]" in shown
    assert "─ Training ─" in shown
    assert "─ Network (dualglow" in shown


def test_options_have_the_defaults_of_what_they_set() -> None:
    """Every option of DualGlow and of Optimisation is an option of `train`, with the same default."""
    given = {name: option.default for name, option in inspect.signature(train).parameters.items()}
    given["covariates"] = tuple(names_of(given["covariates"]))
    without = {"shape", "channels", "steps"}  # every dataset has one channel each; iglow has other steps
    network = _defaults(METHODS["dualglow"], without)
    assert network == _defaults(METHODS["dualglow-conditional"], without)
    optimisation = _defaults(Optimisation, without=set())
    assert {name: given[name] for name in network} == network
    assert {name: given[name] for name in optimisation} == optimisation
    window = Request.__dataclass_fields__["window_percentile"].default
    rest = {"window_percentile": window, "method": "dualglow", "device": "auto", "threads": None}
    rest |= {"gpus": 1, "save_minutes": Request.__dataclass_fields__["save_minutes"].default}
    rest |= dict.fromkeys(("dataset", "folds", "fold", "out"), inspect.Parameter.empty)
    not_set = without | {"ridge"}  # which only keeps from dividing by 0
    own = set().union(*(_defaults(METHODS[name], not_set.union(network)) for name in OTHERS))
    rest |= dict.fromkeys({"steps", *own})  # None: the method's own default
    assert {name: value for name, value in given.items() if name not in network | optimisation} == rest


def _defaults(of: Callable[..., object], without: set[str]) -> dict[str, object]:
    return {name: p.default for name, p in inspect.signature(of).parameters.items() if name not in without}


def test_a_failing_test_row_does_not_stop_training(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged test MRI is the synthesis's to report, with the pair's name."""
    volumes = np.load(dataset / "volumes.npy")
    volumes[9, 0] = np.nan
    np.save(dataset / "volumes.npy", volumes)
    where = ["--dataset", str(dataset), "--folds", str(folds), "--fold", "0"]
    model = str(tmp_path / "model")
    assert run(monkeypatch, "train", *where, "--method", "linear", "--out", model) == 0
    assert run(monkeypatch, "synthesise", *where, "--model", model, "--out", str(tmp_path / "out")) == 1
    assert "dualglow synthesise: sub-900S9009_ses-20060523: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
