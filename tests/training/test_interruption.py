"""A training that is told to stop, or killed, at any moment: the same command ends at the very same bytes."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualglow.cli import main
from tests.training.commands import DUALGLOW, complaints, finish, planted, same_bytes, saved, start, words

TERM, KILL, INT = signal.SIGTERM, signal.SIGKILL, signal.SIGINT
TRAINING = "dualglow.training.steps:Training"


def go_on(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Run `dualglow` with these arguments to its end, in this process."""
    monkeypatch.setattr(sys, "argv", ["dualglow", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code


@pytest.mark.parametrize(
    ("where", "name", "call", "times", "ema_decay", "said", "done"),
    [
        ("dualglow.training.fold", "fit_scaling", 1, 1, 0, "before a step was done; nothing is lost", None),
        ("dualglow.models.dualglow:DualGlow", "initialise", 1, 2, 0, "before a step was done; nothing is lost", None),
        (TRAINING, "_step", 1, 1, 0.9, "after step 1 of epoch 1; that state is saved", (0, 1)),
        (TRAINING, "_step", 5, 2, 0, "after step 2 of epoch 2; that state is saved", (1, 2)),
        (TRAINING, "_step", 5, 1, 0.9, "after step 2 of epoch 2; that state is saved", (1, 2)),
        (TRAINING, "_validation_step", 2, 1, 0.9, "after step 3 of epoch 2; that state is saved", (1, 3)),
        ("dualglow.training.resume:ResumeFolder", "save", 2, 2, 0, "after epoch 2; that state is saved", (2, 0)),
    ],
)  # fmt: skip
def test_told_to_stop_nothing_is_lost(
    dataset: Path,
    folds: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    name: str,
    call: int,
    times: int,
    ema_decay: float,
    said: str,
    done: tuple[int, int] | None,
) -> None:
    """SIGTERM while data are read, in the initialisation, in a step, in the validation, while saving; also twice."""
    broken = words(dataset, folds, tmp_path / "broken", "--ema-decay", ema_decay)
    status, error = finish(start(planted(where, name, call, TERM, times), broken))
    assert status == 1
    assert len(complaints(error)) == 1, error
    assert complaints(error)[0].startswith(f"dualglow train: stopped by SIGTERM {said}")
    assert (done is None) == (not (tmp_path / ".broken.resume").exists())
    if done:
        assert (saved(tmp_path / "broken")["epoch"], saved(tmp_path / "broken")["step"]) == done
    go_on(monkeypatch, broken)
    assert same_bytes(undisturbed("--ema-decay", ema_decay), tmp_path / "broken")
    assert not (tmp_path / ".broken.resume").exists()


@pytest.mark.parametrize(
    ("where", "name", "call", "done"),
    [
        (TRAINING, "_step", 6, (1, 2)),
        ("os", "fsync", 8, (1, 1)),  # while the second step of epoch 2 is saved: the part is whole, not yet renamed
        ("dualglow.training.fold", "save_model", 1, (3, 0)),
    ],
)
def test_killed_what_was_saved_is_whole(
    dataset: Path,
    folds: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    name: str,
    call: int,
    done: tuple[int, int],
) -> None:
    """SIGKILL in a step, in the middle of saving, and before the model is written; every step is saved here."""
    broken = words(dataset, folds, tmp_path / "broken", "--save-minutes", 0)
    status, _ = finish(start(planted(where, name, call, KILL), broken))
    assert status == -KILL
    assert (saved(tmp_path / "broken")["epoch"], saved(tmp_path / "broken")["step"]) == done
    go_on(monkeypatch, broken)
    assert same_bytes(undisturbed("--ema-decay", 0), tmp_path / "broken")
    assert not (tmp_path / ".broken.resume").exists()


def test_stopped_again_and_again(dataset: Path, folds: Path, tmp_path: Path, undisturbed: Callable[..., Path]) -> None:
    """Stopped in its second step every time it is started, it arrives: nine steps in five starts."""
    broken = words(dataset, folds, tmp_path / "broken")
    statuses = [finish(start(planted(TRAINING, "_step", 2, TERM), broken))[0] for _ in range(5)]
    assert statuses == [1, 1, 1, 1, 0]
    assert same_bytes(undisturbed("--ema-decay", 0), tmp_path / "broken")


def test_ctrl_c_twice_does_not_wait_for_the_step(dataset: Path, folds: Path, tmp_path: Path) -> None:
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = planted(TRAINING, "_step", 5, INT, 2)
    status, error = finish(start([*program[:2], f"{heed}\n{program[2]}"], words(dataset, folds, tmp_path / "model")))
    assert status != 0
    assert "Traceback" not in error
    assert (saved(tmp_path / "model")["epoch"], saved(tmp_path / "model")["step"]) == (1, 0)


def test_stopped_before_the_program_has_begun(dataset: Path, folds: Path, tmp_path: Path) -> None:
    """Before Python heeds anything: the system ends it."""
    job = start(DUALGLOW, words(dataset, folds, tmp_path / "model"))
    job.send_signal(TERM)
    assert finish(job)[0] == -TERM
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("stop", [TERM, INT])
def test_a_stopped_job_fails_and_goes_on(dataset: Path, folds: Path, tmp_path: Path, stop: signal.Signals) -> None:
    """Stopped by the cluster or by Ctrl+C, at a moment that nobody chose."""
    # Where the tests themselves run in the background of a shell, Ctrl+C is ignored and children inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heed}; from dualglow.cli import main; main()"]
    job = start(program, words(dataset, folds, tmp_path / "model", "--epochs", 100_000))
    last, deadline = tmp_path / ".model.resume" / "last.ckpt", time.monotonic() + 300
    while not last.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    job.send_signal(stop)
    status, error = finish(job)
    assert status == 1
    assert [line.split(" after ")[0] for line in complaints(error)] == [f"dualglow train: stopped by {stop.name}"]
    assert last.exists()
    assert not (tmp_path / "model" / "model.safetensors").exists()
