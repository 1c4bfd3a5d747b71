"""Preprocessing against truth: simulated subjects with their PETs, and Colin27's head moved by a known map.

Printed beside what SPM12 (r7771, its defaults, under Octave) reached earlier on like constructions: not the same
images. Colin27 is read from Debian's mricron-data.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dualglow.preprocess.presets import PRESETS
from tests.benchmarks.preprocessing_chain import Prepared, Subject, run
from tests.benchmarks.preprocessing_colin import make_colin, measure_colin
from tests.benchmarks.preprocessing_simulated import make_simulated, measure_simulated
from tests.benchmarks.report import Row, load, machine, table

# SPM12's figures: rigid error and cost on three simulated subjects, the rest on a moved Colin27.
SPM12_RIGID = "0.16 to 0.90 mean, at most 1.0"
SPM12_COLIN: Row = {
    "preset": "SPM12 (like images)", "mean (mm)": 1.31, "median (mm)": 1.16, "p95 (mm)": 2.73, "max (mm)": "-",
    "GM": 0.950, "WM": 0.937, "CSF": 0.914, "brain": "-", "brain, truth": "0.97 to 0.98", "AAL": "-", "AAL worst": "-",
    "Jacobian min": 0.72, "Jacobian max": 1.13, "warp alone min": "-", "warp alone max": "-", "folded (%)": 0.0,
}  # fmt: skip
SPM12_COST = "160 to 195 CPU s (10 coregister, 140 to 175 segment, 9 write), 0.7 GB"
HELD_OUT = (2024, 31)


def main() -> None:
    options = _arguments().parse_args()
    with tempfile.TemporaryDirectory(prefix="dualglow-benchmark-") as scratch:
        text = "\n\n".join(_report(options, Path(scratch)))
    if options.out:
        options.out.write_text(text + "\n")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--engine", choices=("auto", "native", "wheel"), default="wheel")
    parser.add_argument("--subjects", type=int, default=3, help="simulated subjects")
    parser.add_argument("--voxel", type=float, default=1.0, help="mm, of the simulated T1s (PETs: 2 mm)")
    parser.add_argument("--seed", type=int, default=11, help="of the simulated subjects")
    parser.add_argument("--moves", type=int, nargs="*", default=HELD_OUT, help="seeds of Colin27's moves")
    parser.add_argument("--parallel", action="store_true", help="also run two subjects at a time")
    parser.add_argument("--out", type=Path, help="write the tables to this file as well")
    return parser


def _report(options: argparse.Namespace, scratch: Path) -> Iterable[str]:
    """Give the parts of the report and print each as soon as it is there."""
    for part in _parts(options, scratch):
        print(part + "\n", flush=True)
        yield part


def _parts(options: argparse.Namespace, scratch: Path) -> Iterable[str]:
    yield f"Preprocessing, preset {options.preset}, {options.engine} engine\n{machine()} · {load()}"
    done: list[Prepared] = []
    if options.subjects:
        people = [make_simulated(options.seed, n + 1, options.voxel, scratch) for n in range(options.subjects)]
        done = run([person.subject for person in people], options.preset, options.engine)
        rows = [measure_simulated(person, chain) for person, chain in zip(people, done, strict=True)]
        yield f"Simulated subjects against their truth (SPM12, rigid error in mm: {SPM12_RIGID})\n\n{transposed(rows)}"
    if options.moves:
        colin = make_colin(options.moves, scratch)
        chains = run([subject for subject, _ in colin], options.preset, options.engine)
        rows = [{"preset": f"{options.preset}, move {seed}", **measure_colin(chains[0], chain, map_)}
                for seed, chain, (_, map_) in zip(options.moves, chains[1:], colin[1:], strict=True)]  # fmt: skip
        title = "Colin27 and the same head moved, through MNI152 and through the truth"
        yield f"{title}\n\n{transposed([*rows, SPM12_COLIN])}"
    if done:
        yield f"Cost of a simulated subject, T1 and PET, one thread (SPM12: {SPM12_COST})\n\n{transposed(_costs(done))}"
    if options.parallel and len(done) > 1:
        yield _parallel(options, [person.subject for person in people[:2]], done[:2])


def _costs(chains: list[Prepared]) -> list[Row]:
    """CPU seconds per step; a chain that keeps to its thread uses no more of them than of the wall's."""
    return [
        {
            "subject": number,
            **{f"{step} (CPU s)": seconds for step, seconds in chain.cost.steps.items()},
            "all (CPU s)": chain.cost.cpu,
            "wall (s)": chain.cost.wall,
            "CPU / wall": chain.cost.cpu / chain.cost.wall,
            "largest process (GB)": chain.cost.peak_gb,
        }
        for number, chain in enumerate(chains, start=1)
    ]


def _parallel(options: argparse.Namespace, subjects: list[Subject], alone: list[Prepared]) -> str:
    again = [replace(subject, folder=subject.folder.with_name(subject.folder.name + "-again")) for subject in subjects]
    together = run(again, options.preset, options.engine, jobs=2)
    rows = [
        {"": "one at a time", "slower of two (wall s)": max(chain.cost.wall for chain in alone)},
        {"": "two at a time", "slower of two (wall s)": max(chain.cost.wall for chain in together)},
    ]
    return f"Two subjects on {len(os.sched_getaffinity(0))} cores\n\n{table(rows)}"


def transposed(rows: list[Row]) -> str:
    """Rows as columns: one line per figure, one column per row, headed by the row's first value."""
    names = list(rows[0])
    heads = [str(row[names[0]]) for row in rows]
    if set(map(type, (row[names[0]] for row in rows))) == {int}:
        heads = [f"{names[0]} {head}" for head in heads]
    return table(
        [{"": name, **dict(zip(heads, (_plain(row[name]) for row in rows), strict=True))} for name in names[1:]]
    )


def _plain(value: object) -> object:
    return float(value) if isinstance(value, np.floating) else value


if __name__ == "__main__":
    main()
