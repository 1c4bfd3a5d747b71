"""What SLURM says of this user's jobs, where there is SLURM."""

import subprocess

LIVE = ("RUNNING", "COMPLETING", "SUSPENDED")
WAITING = ("PENDING", "CONFIGURING", "REQUEUED")


def queue() -> dict[str, str] | None:
    """The states of this user's jobs by id, finished ones included while SLURM knows them; None without an answer."""
    command = ["squeue", "--me", "--noheader", "--states=all", "--format=%i|%T"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split("|", 1) for line in said.splitlines() if "|" in line)
