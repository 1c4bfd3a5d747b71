"""How the plan of a whole run grows with the cohort: time and memory of a dry-run of `all` and of one batch of pairs.

    python -m tests.benchmarks.scale [--pairs 806,3000,10000] [--batches 10]

The cohort tables are there, the images are empty files: Snakemake plans the same jobs as for real ones.
"""

import argparse
import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.workflow.conftest import ROOT, snakemake_command, write_cohort


@dataclass(frozen=True)
class Plan:
    """What a dry-run found and cost. Memory (GB) is the largest of this program's dry-runs so far."""

    jobs: int
    seconds: float
    memory: float


def plan(settings: dict, target: str) -> Plan:
    """Dry-run `snakemake <target>`."""
    command = snakemake_command(settings, "--dry-run", "--quiet", "rules", "--", target)
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    total = re.search(r"^total +(\d+)", done.stdout, flags=re.MULTILINE)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return Plan(int(total[1]) if total else 0, seconds, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", default="806,3000,10000")
    parser.add_argument("--batches", type=int, default=10)
    chosen = parser.parse_args()
    print("| pairs | plan | jobs | s | GB | ms per job |", "|---|---|---|---|---|---|", sep="\n")
    for number in sorted(map(int, chosen.pairs.split(","))):
        with tempfile.TemporaryDirectory() as folder:
            settings = {"results": f"{folder}/results", "cohort": {"root": f"{folder}/download"}}
            Path(folder, "download").mkdir()
            write_cohort(settings, number)
            # The batch first: memory is the largest so far.
            batch = f"{settings['results']}/batches/1-of-{chosen.batches}"
            for name, target in ((f"one of {chosen.batches} batches", batch), ("all", "all")):
                found = plan(settings, target)
                each = 1000 * found.seconds / max(found.jobs, 1)
                print(
                    f"| {number:,} | {name} | {found.jobs:,} | {found.seconds:.0f} | {found.memory:.2f} | {each:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
