"""Runs of the workflow through a real SLURM."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import LINK, Cluster, run, wait_for
from tests.workflow.conftest import ROOT, snakemake_command

# In tests jobs are asked for their state from the first second on.
FAST = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "15")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that runs on this machine already (see tests/slurm/cluster.py), or one of our own."""
    if os.geteuid() != 0:
        pytest.skip("a SLURM of our own needs root")
    if LINK.exists():
        yield Cluster(LINK.resolve().parents[1])
        return
    made = Cluster(Path(f"/tmp/dualglow-slurm-{os.getpid()}"))  # short: a socket is in it
    made.up()
    yield made
    made.down()


class Run:
    """`snakemake --profile slurm` in the background, as a person starts it from the root of the clone."""

    def __init__(self, settings: dict, *arguments: str, log: Path) -> None:
        logs = ("--slurm-logdir", str(Path(settings["results"]).parent / "slurm-logs"))
        site = ("--slurm-partition-config", "tests/slurm/site.yaml")
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                snakemake_command(settings, "--profile", "slurm", *FAST, *logs, *site, *arguments),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Started by a program in the background, it would not listen to Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def jobs(self, text: str) -> list[str]:
        """Ids of this run's jobs that run and whose comment (rule and wildcards) has this text."""
        names = re.findall(r"SLURM run ID: (\S+)", self.said)
        found = run("squeue", "-h", "-t", "RUNNING", "--name", *names, "-o", "%i|%k", check=False) if names else ""
        return [line.split("|")[0] for line in found.splitlines() if text in line]

    def wait(self, seconds: float = 900) -> int:
        """The exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not done within {seconds} s:\n{self.said[-3000:]}") from None

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to Snakemake, not to its jobs, and wait for its end."""
        self.process.send_signal(how)
        self.process.wait(120)

    def until(self, happened: Callable[[], bool], what: str, seconds: float = 300) -> None:
        """Wait for something to happen while the run goes on."""

        def happened_or_over() -> bool:
            assert happened() or self.process.poll() is None, f"the run ended before {what}:\n{self.said[-3000:]}"
            return happened()

        wait_for(happened_or_over, what, seconds)


def node_of(job: str) -> str:
    return run("squeue", "-h", "-j", job, "-o", "%N", check=False)


def seconds_of(job: str) -> int:
    """How long it has been running."""
    return int(run("squeue", "-h", "-j", job, "-O", "TimeUsed:20", check=False).split(":")[-1] or 0)


def state_of(job: str) -> str:
    return run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False)
