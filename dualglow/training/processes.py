"""One training as several processes: where in them this one stands, and how they are started and ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from dualglow.errors import ConfigError, DualGlowError
from dualglow.training.interruption import SIGNALS, STARTER

GRACE = 15.0
"""Seconds that the others have to end by themselves once one process has failed; nothing can be saved without it."""

COMMAND = [sys.executable, "-P", "-m", "dualglow"]  # -P: a file of the working directory is nobody's module
PORTS = 15_000, 10_000  # first and number: those that Lightning uses under SLURM


@dataclass(frozen=True)
class Place:
    """This process is number `rank`, from 0, of `size`, and `local` of the `local_size` on its node.

    They meet at `address` and `port`. The first, which leads, alone writes files and speaks.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0


ALONE = Place()


def place(environment: Mapping[str, str], wanted: int) -> Place | None:
    """Where torchrun, srun or `start` have put this process; None if nobody has and `wanted` are still to be started.

    Raises ConfigError if they have started another number on this node than `wanted`.
    """
    if all(name in environment for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")):
        found = _of_torchrun(environment)
    elif int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        found = _of_srun(environment)
    else:
        return ALONE if wanted <= 1 else None
    if found.local_size != max(wanted, 1):
        raise ConfigError(
            f"--gpus {wanted}: {found.local_size} processes were started on this node. Give torchrun's "
            "--nproc-per-node or srun's --ntasks-per-node and --gpus the same number."
        )
    return found


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    size, local_size = (int(environment.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    rank, local, port = (int(environment[name]) for name in ("RANK", "LOCAL_RANK", "MASTER_PORT"))
    return Place(rank, size, local, local_size, environment["MASTER_ADDR"], port)


def _of_srun(environment: Mapping[str, str]) -> Place:
    """All tasks of the job step; they meet on the first one's node, at a port that its numbers give."""
    from lightning.fabric.plugins.environments import SLURMEnvironment

    rank, size, local, nodes, job, step = (
        int(environment[f"SLURM_{name}"])
        for name in ("PROCID", "STEP_NUM_TASKS", "LOCALID", "STEP_NUM_NODES", "JOB_ID", "STEP_ID")
    )
    if size % nodes:
        raise ConfigError(f"srun started {size} processes on {nodes} nodes. Start as many on each: --ntasks-per-node.")
    first = SLURMEnvironment.resolve_root_node_address(environment["SLURM_STEP_NODELIST"]) if nodes > 1 else "127.0.0.1"
    port = PORTS[0] + (job + step) % PORTS[1]
    address = environment.get("MASTER_ADDR", first)
    return Place(rank, size, local, size // nodes, address, int(environment.get("MASTER_PORT", port)))


def start(count: int) -> None:
    """Run this very command as `count` processes of one training on this machine, and wait for them.

    Signals are passed on to all. If one fails, the others are ended: they would wait for it for ever. Raises
    SystemExit if one has failed and said so, DualGlowError if one was killed.
    """
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # as torchrun: it outlives every process
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        STARTER: str(os.getpid()),
    }
    children: list[subprocess.Popen[bytes]] = []
    with _passing_signals_on(children):
        for rank in range(count):
            environment = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            children.append(subprocess.Popen([*COMMAND, *sys.argv[1:]], env=environment))
        _wait(children)


@contextmanager
def _passing_signals_on(children: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """As SIGTERM: a terminal sends Ctrl+C to the children itself. No child outlives the block."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(signal.SIGTERM)

    # The alarm before a job's time limit has a meaning of its own here, too: not to end the children in their saving.
    before = {number: signal.signal(number, pass_on) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        for child in children:
            child.kill()  # does nothing to one that has ended
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(children: list[subprocess.Popen[bytes]]) -> None:
    failed: subprocess.Popen[bytes] | None = None
    last_moment = float("inf")
    while any(child.poll() is None for child in children) and time.monotonic() < last_moment:
        time.sleep(0.1)
        if failed is None and (failed := next((child for child in children if child.poll()), None)):
            last_moment = time.monotonic() + GRACE
    failed = failed or next((child for child in children if child.poll()), None)
    if failed is None:
        return
    if any((child.poll() or 0) > 0 for child in children):
        sys.exit(1)  # it has said why
    number = -int(failed.returncode)
    raise DualGlowError(
        f"process {children.index(failed) + 1} of {len(children)} was ended by {signal.Signals(number).name}, perhaps "
        "for want of memory. The same command goes on from the last state that was saved."
    )
