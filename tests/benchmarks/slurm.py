"""What SLURM and Snakemake add to a step: chains of steps that do nothing, as single jobs, as arrays, a chain per job.

python -m tests.slurm.cluster up /tmp/slurm && python -m tests.benchmarks.slurm [--chains 8] [--steps 7]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from snakemake_executor_plugin_slurm import ExecutorSettings

from tests.benchmarks.report import load, machine, table
from tests.slurm.cluster import run

CHAIN = """
rule all:
    input: expand("{chain}/{{chain}}", chain=range({chains}))
"""
STEP = """
rule step{number}:
    input: {input}
    output: "{number}/{{chain}}"
    shell: "true > {{output}}"
"""
SLURM = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
RESOURCES = ["--default-resources", "mem_mb=700", "runtime=10"]


def snakefile(chains: int, steps: int) -> str:
    """A workflow of independent chains."""
    parts = [CHAIN.format(chain=steps, chains=chains)]
    for number in range(1, steps + 1):
        before = f'"{number - 1}/{{chain}}"' if number > 1 else "[]"
        parts.append(STEP.format(number=number, input=before))
    return "".join(parts)


def ways(steps: int) -> dict[str, list[str]]:
    """Options of Snakemake for each way to submit; arrays where the executor's version can make them."""
    queue = ["--executor", "slurm", "--jobs", "200", *SLURM, *RESOURCES]
    found = {
        "no cluster": ["--cores", "2"],
        "a job per step": queue,
        "a job per chain": [*queue, "--groups", *(f"step{number}=chain" for number in range(1, steps + 1))],
    }
    if "array_jobs" in {field.name for field in fields(ExecutorSettings)}:
        found["an array per step"] = [*queue, "--slurm-array-jobs", "all"]
    return found


def measured(name: str, options: list[str], chains: int, steps: int) -> dict[str, object]:
    """Run one way in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text(snakefile(chains, steps))
        started, first = time.monotonic(), _last_job()
        command = [sys.executable, "-m", "snakemake", *options, "--", "all"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        seconds = time.monotonic() - started
    return {
        "way": name,
        "steps": chains * steps,
        "jobs in the queue": _last_job() - first,
        "s": seconds,
        "s per step": seconds / (chains * steps),
    }


def _last_job() -> int:
    """The number of the last job that SLURM was given; tasks of an array count as jobs."""
    ids = run("squeue", "-h", "-t", "all", "-o", "%A").split()
    return max(map(int, ids), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--steps", type=int, default=7)
    chosen = parser.parse_args()
    print(machine(), load(), sep="\n")
    rows = [measured(name, options, chosen.chains, chosen.steps) for name, options in ways(chosen.steps).items()]
    print(table(rows))


if __name__ == "__main__":
    main()
