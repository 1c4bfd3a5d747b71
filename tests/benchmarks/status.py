"""How long `dualglow status` takes for many pairs, a tenth of which failed at three steps (empty files, simulated).

`python -m tests.benchmarks.status [pairs ...]`
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dualglow.status.rules import PER_PAIR
from dualglow.status.survey import survey
from tests.workflow.conftest import run_snakemake, write_cohort

FAILING = ("coregister", "resample", "qc")


def plant(folder: Path, n_pairs: int) -> Path:
    """Make a results tree of empty files whose preprocessing is over; return it."""
    results = folder / "results"
    (folder / "download").mkdir()
    settings = {"results": str(results), "cohort": {"root": str(folder / "download")}}
    write_cohort(settings, n_pairs)
    run_snakemake(settings, "--cores", "1", "--", f"{results}/config.json").check_returncode()
    items = [item for item in survey(results).items if item.rule.wildcards == PER_PAIR]
    for number, item in enumerate(items):
        failed = item.rule.name in FAILING and number % 10 == 0
        for path in [item.log] if failed else [item.log, *item.outputs]:
            (results / path).parent.mkdir(parents=True, exist_ok=True)
            (results / path).write_text(f"dualglow {item.rule.name}: failed\n" if failed else "")
    return results


def main(sizes: list[int]) -> None:
    """Print seconds per number of pairs: the fastest of three."""
    for n_pairs in sizes:
        with tempfile.TemporaryDirectory() as folder:
            results = plant(Path(folder), n_pairs)
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                command = [sys.executable, "-m", "dualglow", "status", "--results", str(results)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
        print(f"{n_pairs} pairs: {min(seconds):.1f} s")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [806, 10_000])
