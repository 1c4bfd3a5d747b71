"""What a run of the workflow says of itself at its start and at its end: `<results>/logs/runs/`.

The workflow's own rules are in it, so that file names have one record of truth: the run that makes the files.
"""

import argparse
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dualglow.errors import InputError
from dualglow.files import read_json, write_json
from dualglow.processes import running
from dualglow.status import slurm

FOLDER = Path("logs", "runs")
# The options of Snakemake that a command for a single step needs as well.
_LISTS = ("--configfile", "--configfiles", "--config", "--sdm", "--software-deployment-method")
_WORDS = ("--profile", "--workflow-profile", "--executor", "-e", "--snakefile", "-s", "--directory", "-d")
_FLAGS = ("--keep-going", "-k")
_NUMBERS = ("--cores", "-c", "--jobs", "-j")


@dataclass(frozen=True)
class Run:
    """One call of Snakemake. Times are seconds since 1970; `results` is the folder as the workflow names it.

    `rules` hold per rule its name, room (the file it is in), outputs, temporary ones among them, inputs and logs;
    `slurm_logs` is the folder of the logs of SLURM's jobs and `slurm_name` the name of them all, None without SLURM.
    """

    results: str
    config: dict[str, Any]
    rules: list[dict[str, Any]]
    slurm_logs: str | None
    command: list[str]
    slurm_name: str | None = None
    directory: str = field(default_factory=os.getcwd)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    born: float = field(default_factory=lambda: psutil.Process().create_time())
    slurm_job: str | None = field(default_factory=lambda: os.environ.get("SLURM_JOB_ID"))
    started: float = field(default_factory=time.time)
    ended: float | None = None
    succeeded: bool | None = None

    @property
    def here(self) -> bool:
        """Whether it was started on this machine, so that its process can be looked for."""
        return self.host == socket.gethostname()

    def alive(self, queue: dict[str, str] | None = None) -> bool | None:
        """Say whether it still runs; None where that cannot be seen: on another machine, outside of SLURM.

        `queue` are the states of SLURM's jobs by id, where there is SLURM.
        """
        if self.ended is not None:
            return False
        if self.here:
            return running(self.pid, self.born)
        if self.slurm_job and queue is not None:
            return queue.get(self.slurm_job) in ("RUNNING", "COMPLETING", "SUSPENDED")
        return None

    def again(self, targets: list[str]) -> list[str]:
        """Give the command that makes these files, or what the run was to make, configured as the run was.

        What the run was told to force is not forced again.
        """
        words = self.command[1:]
        at = words.index("--") if "--" in words else len(words)
        asked = words[at + 1 :]
        parsed, others = _parser().parse_known_args(words[:at])
        kept = [word for name, value in vars(parsed).items() if value for word in (name, *_words(value))]
        names = {rule["name"] for rule in self.rules}
        asked = asked or [word for word in others if word in names]
        return ["snakemake", *kept, "--", *(targets or asked or ["all"])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _LISTS:
        parser.add_argument(name, dest=name, nargs="*")
    for name in _WORDS:
        parser.add_argument(name, dest=name)
    for name in _FLAGS:
        parser.add_argument(name, dest=name, action="store_true")
    for name in _NUMBERS:
        parser.add_argument(name, dest=name, nargs="?", const="all")
    return parser


def _words(value: str | list[str] | bool) -> list[str]:
    if isinstance(value, bool):
        return []
    return [value] if isinstance(value, str) else value


def begin(run: Run) -> None:
    """Write the record of a run that starts now, and remove those of runs that are over.

    Jobs that a killed run left in SLURM's queue are cancelled: they would make, and remove, the same files as the new.
    """
    folder = Path(run.results) / FOLDER
    for path in folder.glob("*.json"):
        if (earlier := _read(path)).alive() is False:
            left = slurm.cancel(earlier.slurm_name) if earlier.slurm_name else 0
            if left:
                print(f"Cancelled {left} jobs that an earlier run had left in SLURM's queue.", file=sys.stderr)
            path.unlink(missing_ok=True)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%S', time.localtime(run.started))}_{run.host}_{run.pid}.json"
    write_json(asdict(run), path)


def end(results: Path, succeeded: bool) -> None:
    """Add to the record of this process's run that it is over."""
    for path in (results / FOLDER).glob(f"*_{socket.gethostname()}_{os.getpid()}.json"):
        write_json({**read_json(path), "ended": time.time(), "succeeded": succeeded}, path)


def recorded(results: Path) -> list[Run]:
    """Read the records of a results tree, the latest run first.

    Raises InputError if there is none; the message names the trees below that have one.
    """
    found = sorted((_read(path) for path in (results / FOLDER).glob("*.json")), key=lambda run: -run.started)
    if found:
        return found
    if not results.is_dir():
        raise InputError(f"{results}: no such folder. Start `snakemake`, or name the results with --results.")
    below = sorted(str(path.parents[1]) for path in results.glob(f"*/{FOLDER}"))
    if below:
        raise InputError(f"{results}: no run is recorded here, but in {', '.join(below)}: --results {below[0]}.")
    raise InputError(
        f"{results}: no run is recorded here (in {FOLDER}). Start `snakemake`; one that was just started is recorded "
        "once it has planned its steps."
    )


def _read(path: Path) -> Run:
    content = read_json(path)
    try:
        return Run(**content)
    except TypeError as error:
        raise InputError(f"{path}: is not the record of a run ({error}). Remove it.") from error
