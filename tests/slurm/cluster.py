"""A real SLURM on this one machine: four nodes, two of them with GPUs that do not exist; no accounting. Needs root.

    python -m tests.slurm.cluster up /tmp/slurm      starts it, says how to use it and leaves it running
    python -m tests.slurm.cluster down /tmp/slurm

All of it lies below one folder but for Debian's packages and the link /etc/slurm/slurm.conf: jobs of Snakemake lose
SLURM_CONF on the way, so SLURM must find its configuration by itself.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LINK = Path("/etc/slurm/slurm.conf")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
NODES = {"main1": 4, "cpu1": 2, "cpu2": 2, "gpu1": 2}  # and their CPUs
GPUS = 2  # of main1 and gpu1
FIRST_PORT = 26817
SECONDS_TO_START = 60

# cgroups (version 1) hold jobs to their memory; where there are none, SLURM looks every 2 seconds.
CGROUP = """\
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedRAMSpace=100
MinRAMSpace=30
"""
WITH_CGROUPS = "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup"
WITHOUT_CGROUPS = "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill"

CONFIGURATION = """\
ClusterName=dualglow
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock,cred_expire=30
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/run/slurmctld.own
SlurmdPidFile={folder}/run/slurmd-%n.own
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd-%n
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmdParameters=config_overrides
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
{limits}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
MinJobAge=3600
KillWait=20
SlurmctldTimeout=60
SlurmdTimeout=15
CompleteWait=0
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=main Nodes=main1 Default=YES MaxTime=24:00:00 State=UP
PartitionName=cpu Nodes=cpu1,cpu2 MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=48:00:00 State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 SocketsPerBoard=1 "
    "CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=64000 State=UNKNOWN {gres}"
)


class Cluster:
    """A cluster whose files all lie below `folder` (a short path: a socket's has at most 107 characters)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "etc" / "slurm.conf"

    def up(self) -> None:
        """Install what is missing, start everything and wait until all nodes are idle."""
        install()
        for part in ("etc", "run", "log", "state", *(f"spool/{node}" for node in NODES)):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self._configure()
        self._start_munge()
        self.start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self.wait_until_idle()

    def down(self) -> None:
        """Stop everything and remove the link."""
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            self.kill(name, signal.SIGTERM)
        if LINK.is_symlink() and LINK.readlink() == self.configuration:
            LINK.unlink()

    def start(self, program: str, *arguments: str, name: str = "") -> None:
        """Start a daemon in the foreground mode, in a session of its own."""
        name = name or program
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            daemon = subprocess.Popen(
                [f"/usr/sbin/{program}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "SLURM_CONF": str(self.configuration)},
            )
        (self.folder / "run" / f"{name}.pid").write_text(str(daemon.pid))

    def start_node(self, node: str) -> None:
        self.start("slurmd", "-D", "-N", node, name=f"slurmd-{node}")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a daemon and wait until it is gone."""
        record = self.folder / "run" / f"{name}.pid"
        if not record.exists():
            return
        pid = int(record.read_text())
        with suppress(ProcessLookupError):
            os.kill(pid, how)
            wait_for(lambda: not _runs(pid), f"{name} ended")

    def kill_node(self, node: str) -> None:
        """A node that loses its power: its daemon and everything that runs there, at once."""
        jobs = run("squeue", "-h", "-w", node, "-t", "RUNNING", "-o", "%A").split()
        self.kill(f"slurmd-{node}")
        # A step's daemon does not say on which node it is, but of which job: "slurmstepd: [17.batch]".
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_text()
                if words.startswith(tuple(f"slurmstepd: [{job}." for job in jobs)):
                    _kill_tree(int(process.name))

    def wait_until_idle(self) -> None:
        def idle() -> bool:
            states = run("sinfo", "-h", "-N", "-o", "%N %T", check=False).split("\n")
            return sum(line.endswith(" idle") for line in set(states)) == len(NODES)

        wait_for(idle, "all nodes are idle")

    def _configure(self) -> None:
        if LINK.exists() and LINK.resolve() != self.configuration.resolve():
            raise SystemExit(f"{LINK}: another cluster is configured on this machine; leaving it alone.")
        host = socket.gethostname().split(".")[0]
        limits = WITHOUT_CGROUPS
        if Path("/sys/fs/cgroup/memory").is_dir() and Path("/sys/fs/cgroup/freezer").is_dir():
            limits = WITH_CGROUPS
            (self.folder / "etc" / "cgroup.conf").write_text(CGROUP)
        nodes = [
            NODE.format(name=name, host=host, port=FIRST_PORT + 1 + number, cpus=cpus, gres=_gres(name))
            for number, (name, cpus) in enumerate(NODES.items())
        ]
        self.configuration.write_text(
            CONFIGURATION.format(host=host, folder=self.folder, port=FIRST_PORT, limits=limits, nodes="\n".join(nodes))
        )
        for number in range(GPUS):
            device = self.folder / "etc" / f"fakegpu{number}"
            device.unlink(missing_ok=True)
            device.symlink_to("/dev/null")
        (self.folder / "etc" / "gres.conf").write_text(
            f"NodeName=main1,gpu1 AutoDetect=off Name=gpu Type=fake File={self.folder}/etc/fakegpu[0-{GPUS - 1}]\n"
        )
        LINK.parent.mkdir(exist_ok=True)
        LINK.unlink(missing_ok=True)
        LINK.symlink_to(self.configuration)

    def _start_munge(self) -> None:
        key = self.folder / "etc" / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        run_folder = self.folder / "run"
        self.start(
            "munged",
            "-F",
            "-f",
            f"--key-file={key}",
            f"--socket={run_folder}/munge.sock",
            f"--pid-file={run_folder}/munged.own",
            f"--log-file={self.folder}/log/munged",
            f"--seed-file={run_folder}/munge.seed",
        )
        wait_for((run_folder / "munge.sock").exists, "munge answers")


def _gres(node: str) -> str:
    return f"Gres=gpu:fake:{GPUS}" if node in ("main1", "gpu1") else ""


def install() -> None:
    """SLURM from Debian; its packages must not start daemons of their own."""
    if all(shutil.which(name) for name in ("munged", "slurmctld", "slurmd", "sbatch")):
        return
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
            check=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    finally:
        if ours:
            policy.unlink()


def run(*command: str, check: bool = True) -> str:
    """What a SLURM command prints."""
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout.strip()


def wait_for(happened: Callable[[], bool], what: str, seconds: float = SECONDS_TO_START) -> None:
    """Wait until `happened()`; raises TimeoutError that says `what` did not happen."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not, and a child of ours is reaped."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def _kill_tree(pid: int) -> None:
    """SIGKILL a process and all that it started."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            _kill_tree(int(child))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    verb, folder = sys.argv[1:]
    cluster = Cluster(Path(folder).resolve())
    if verb == "down":
        cluster.down()
        return
    cluster.up()
    print(run("sinfo"), f"Stop it: python -m tests.slurm.cluster down {folder}", sep="\n")


if __name__ == "__main__":
    main()
