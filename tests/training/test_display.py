"""What a person reads while a training runs."""

import sys
from pathlib import Path

import pytest
import torch

from dualglow.training.display import duration, epoch_line
from dualglow.training.fold import Request, train_fold
from dualglow.training.optimisation import Optimisation
from dualglow.training.resume import Progress


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (45.4, "45 s"), (99, "99 s"), (100, "2 min"), (720, "12 min"), (5970, "1 h 40 min"),
        (12_000, "3 h 20 min"), (2 * 86_400 + 4 * 3600, "2 d 4 h"),
    ],
)  # fmt: skip
def test_a_time_is_said_in_sensible_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def progress(**terms: float) -> Progress:
    records = [
        {"epoch": epoch, "loss_train": 9.0, "loss_validation": 9.5, "mae_validation": 0.08, **terms, "seconds": seconds}
        for epoch, seconds in enumerate([1000.0, 100.0, 140.0], start=1)
    ]
    return Progress(epoch=3, best_epoch=2, best_error=0.07, records=records)


def test_a_line_per_epoch_has_bits_and_the_time_left() -> None:
    """Seven epochs of (100 + 140) / 2 s are left; the first one ran before an interruption, elsewhere."""
    flow = progress(pet_bits_train=3.25, pet_bits_validation=3.5)
    assert epoch_line(flow, 10, done_before=1) == (
        "epoch 3/10: bits/voxel 3.2500, validation 3.5000, MAE 0.0800 SUVR, best epoch 2, 2 min, 14 min left"
    )
    assert epoch_line(flow, 3).endswith("best epoch 2, 2 min")
    assert epoch_line(progress(), 10).startswith("epoch 3/10: loss 9.0000, validation 9.5000, MAE")


def test_a_terminal_shows_bits_and_the_time_left(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    how = Optimisation(epochs=2, batch_size=2)
    options = {"levels": 1, "steps": 1, "hidden": 2}
    train_fold(Request(dataset, folds, 0, "dualglow", tmp_path / "a", options, how), torch.device("cpu"))
    shown = capsys.readouterr().err
    assert "epoch 1/2" in shown
    assert "epoch 2/2" in shown
    assert "bits/voxel=" in shown
    assert "left=" in shown
