"""What SLURM says of this user's jobs, where there is SLURM."""

import subprocess
import time

LIVE = ("RUNNING", "COMPLETING", "SUSPENDED")
_LONGEST_END = 120  # seconds
WAITING = ("PENDING", "CONFIGURING", "REQUEUED")


def queue() -> dict[str, str] | None:
    """The states of this user's jobs by id, finished ones included while SLURM knows them; None without an answer."""
    said = _said("squeue", "--me", "--noheader", "--states=all", "--format=%i|%T")
    return None if said is None else dict(line.split("|", 1) for line in said if "|" in line)


def cancel(name: str) -> int:
    """Cancel this user's jobs of this name and wait, two minutes at most, until they are gone; say how many."""
    ask = ("squeue", "--me", "--noheader", f"--name={name}", "--format=%i")
    jobs = _said(*ask) or []
    if jobs:
        _said("scancel", *jobs)
    last_moment = time.monotonic() + _LONGEST_END
    while jobs and _said(*ask) and time.monotonic() < last_moment:
        time.sleep(1)
    return len(jobs)


def _said(*command: str) -> list[str] | None:
    """The lines that a command of SLURM prints; None without an answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
