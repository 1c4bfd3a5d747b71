"""Seconds of one training step (forward, backward, AdaMax update) on a CPU, all networks in turn, round after round.

The ratio is the median over the rounds of a network's time to that of plain PyTorch in the same round, so that another
load on the machine, which comes and goes, touches both.
"""

import gc
import time
from collections.abc import Callable
from statistics import median

import torch

from tests.benchmarks.memory_cpu import SIZES, step
from tests.benchmarks.networks import VARIANTS, Size
from tests.benchmarks.report import Row, arguments, load, machine, table

Step = Callable[[], None]
BASE = "plain PyTorch"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    size = SIZES[options.size]
    print(f"Training step on a CPU: {size}, batch {options.batch}, fp32, {options.rounds} rounds")
    print(f"{machine()} · {load()}\n")
    rows = []
    for threads in options.threads:
        rows += measure(size, options.batch, threads, options.rounds)
    print(table(rows))


def measure(size: Size, batch: int, threads: int, rounds: int) -> list[Row]:
    """A row per network; seconds are of the clock, CPU seconds those of the process."""
    torch.set_num_threads(threads)
    steps = {name: _step(name, size, batch) for name in VARIANTS}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    processor: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, run in steps.items():
            clock, used = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(time.perf_counter() - clock)
            processor[name].append(time.process_time() - used)
    return [
        {
            "threads": threads,
            "network": name,
            "seconds (median)": median(seconds[name]),
            "fastest": min(seconds[name]),
            "CPU seconds (median)": median(processor[name]),
            "ratio to plain PyTorch": _ratio(seconds[name], seconds[BASE]),
            "ratio in CPU seconds": _ratio(processor[name], processor[BASE]),
        }
        for name in steps
    ]


def _step(name: str, size: Size, batch: int) -> Step:
    """A training step, run once."""
    torch.manual_seed(0)
    network, x = VARIANTS[name](size).train(), torch.rand(batch, 1, *size.shape)
    with torch.no_grad():
        network(x)  # ActNorm starts from this
    optimizer = torch.optim.Adamax([p for p in network.parameters() if p.requires_grad], lr=1e-5)

    def run() -> None:
        gc.collect()
        optimizer.zero_grad()
        step(network, x)
        optimizer.step()

    run()
    return run


def _ratio(times: list[float], base: list[float]) -> float:
    return median(mine / other for mine, other in zip(times, base, strict=True))


if __name__ == "__main__":
    main()
