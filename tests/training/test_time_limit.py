"""A training in a SLURM job knows when the job ends, and stops before."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dualglow.training.interruption import Interruption, StoppedError
from dualglow.training.time_limit import seconds_to_go


def squeue_says(monkeypatch: pytest.MonkeyPatch, folder: Path, words: str, status: int = 0) -> None:
    """Put a program in squeue's place that answers for job 7 only."""
    program = folder / "squeue"
    program.write_text(f'#!/bin/sh\n[ "$3" = 7 ] && echo "{words}"\nexit {status}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(("left", "to_go"), [(7200, 6900), (100, 90), (-5, 1)])
def test_the_margin_is_a_tenth_and_at_most_five_minutes(left: int, to_go: int) -> None:
    environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + left)}
    assert seconds_to_go(environment) == pytest.approx(to_go, abs=2)


def test_squeue_knows_the_end_where_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    end = (datetime.now() + timedelta(hours=2)).isoformat(timespec="seconds")
    squeue_says(monkeypatch, tmp_path, end)
    assert seconds_to_go({"SLURM_JOB_ID": "7"}) == pytest.approx(6900, abs=5)
    assert seconds_to_go({}) is None  # not in a job


@pytest.mark.parametrize(("words", "status"), [("N/A", 0), ("", 1), ("", 0)])
def test_no_limit_and_no_answer_are_no_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, status: int
) -> None:
    squeue_says(monkeypatch, tmp_path, words, status)
    assert seconds_to_go({"SLURM_JOB_ID": "7"}) is None


def test_no_squeue_is_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert seconds_to_go({"SLURM_JOB_ID": "7"}) is None


def test_the_alarm_is_heeded_as_a_signal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time())))  # 1 s to go
    with Interruption() as told:
        told.hold()
        assert not told.told
        time.sleep(1.5)
        assert told.told
        assert told.name == "the job's time limit"
    with pytest.raises(StoppedError, match="the job's time limit before a step was done"), Interruption():
        time.sleep(1.5)


def test_the_alarm_ends_with_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time())))
    with Interruption():
        pass
    time.sleep(1.5)
