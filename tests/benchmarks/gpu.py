"""DUAL-GLOW at the paper's size on a GPU: speed and memory of its training step, in every way it can be run.

The size is 4 levels × 16 steps, 512 hidden channels, two networks, pairs of 64×96×64. First batch size × precision ×
memory; then, at one batch size, channels-last layout, cuDNN's tuning, compiled coupling networks and CUDA graphs, the
last two each in a process of its own; synthesis; rounding. Rows are printed as they are measured and kept in
OUT/gpu.tsv; at the end all tables are in OUT/gpu.md. A row that runs out of memory says so and the next one follows.

Shares are of the ceiling measured in the same run: a large matrix product in the same precision. `share of ceiling`
counts forward and backward (3 × forward) alone, `with recomputation` also what checkpoint and invert compute again
(4 × forward). `fold (min)` is 726 pairs × 90 epochs at this speed, without validation.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from dualglow.models.dualglow import DualGlow
from dualglow.training.numerics import matrix_precision
from tests.benchmarks import precision
from tests.benchmarks.gpu_step import PRECISIONS, Result, Setup, context, measure, release, seconds_of, what_failed
from tests.benchmarks.models import keep, new_model, random_pairs
from tests.benchmarks.networks import Size
from tests.benchmarks.report import Row, arguments, machine, table

Check = Callable[["Session", DualGlow], None]
SIZES = {"full": Size(levels=4, steps=16, hidden=512), "small": Size((16, 16, 16), levels=2, steps=2, hidden=16)}
BATCHES = {"full": (1, 2, 4, 8, 16), "small": (1, 2)}
GRID_SHARE, EXTRAS_SHARE, CHECKS_SHARE = 0.45, 0.55, 0.7
"""Of the time allowed, after which each part stops, so that the next one also gets its turn."""
PERTURBED = 0.1
EXTRAS = (
    ("channels_last",),
    ("tuned",),
    ("channels_last", "tuned"),
    ("compiled",),
    ("graph",),
    ("compiled", "channels_last", "tuned"),
    ("compiled", "channels_last", "tuned", "graph"),
)


@dataclass
class Session:
    """What is measured where, until when, and what has been found."""

    name: str
    device: torch.device
    out: Path
    allowed: float
    started: float = field(default_factory=time.monotonic)
    ceilings: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, object]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return SIZES[self.name]

    def left(self, share: float) -> float:
        """Seconds until this share of the time is used."""
        return share * self.allowed - (time.monotonic() - self.started)

    def say(self, text: str) -> None:
        self.texts.append(text)
        print(text, flush=True)

    def add(self, result: Result) -> None:
        """Print the row and keep all rows in the file."""
        row = result.row(self.size, self.ceilings)
        if not self.rows:
            print("\n".join(table([row]).splitlines()[:2]))
        self.rows.append(row)
        self.results.append(result)
        print(table([row]).splitlines()[2], flush=True)
        lines = ["\t".join(self.rows[0]), *("\t".join(map(str, row.values())) for row in self.rows)]
        (self.out / "gpu.tsv").write_text("\n".join(lines) + "\n")


def main() -> None:
    options = _options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.one:
        print(json.dumps(_one(Setup(**json.loads(options.one)), options.size, device)))
        return
    if device.type == "cpu" and options.size == "full":
        print("GPU: not measured, PyTorch sees no GPU here; `python -m tests.benchmarks.gpu` measures it where one is.")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    session = Session(options.size, device, options.out, options.seconds)
    session.say(f"DUAL-GLOW, two networks of {session.size}\n{machine()}\n")
    measure_all(session)
    (options.out / "gpu.md").write_text("\n".join(session.texts) + "\n\n" + table(session.rows) + "\n")
    print(f"\n{time.monotonic() - session.started:.0f} s; {options.out / 'gpu.tsv'} and gpu.md hold this.")


def _options() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--seconds", type=float, default=510, help="when this is used up, the rest is left out")
    parser.add_argument("--one", help="measure this one setup (JSON), here and now, and print JSON")
    return parser.parse_args()


def measure_all(session: Session) -> None:
    session.ceilings = {name: ceiling(name, session.device) for name in PRECISIONS}
    speeds = ", ".join(f"{name} {value / 1e12:.3g}" for name, value in session.ceilings.items())
    session.say(f"Ceiling, a large matrix product (TFLOP/s): {speeds}\n")
    model = new_model(session.size, session.device, PERTURBED)
    grid(session, model)
    extras = list(extra_setups(session))
    for setup in extras:
        if not (setup.compiled or setup.graph) and session.left(EXTRAS_SHARE) > 0:
            session.add(measure(model, session.size, setup, session.device))
    for check in (synthesis, rounding):
        if session.left(CHECKS_SHARE) > 0:
            _tried(check, session, model)
    del model
    release(session.device)
    for setup in extras:
        if (setup.compiled or setup.graph) and session.left(1) > 20:
            session.add(_in_its_own_process(session, setup))
    best(session)


def _tried(check: Check, session: Session, model: DualGlow) -> None:
    """One check that does not work here must not cost the measurements that follow."""
    try:
        check(session, model)
    except RuntimeError as error:
        session.say(f"\n{check.__name__}: {what_failed(error)}\n")
    model.zero_grad(set_to_none=True)
    release(session.device)


def ceiling(name: str, device: torch.device) -> float:
    """FLOP/s of a square matrix product."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16 if name == "bf16" else torch.float32)
    with matrix_precision(name):
        torch.mm(a, a)
        return 2 * n**3 / seconds_of(lambda: torch.mm(a, a), device, 0.3)


def grid(session: Session, model: DualGlow) -> None:
    """Batch × precision × memory; once the memory does not suffice, larger batches are not tried."""
    for name in PRECISIONS:
        for memory in ("checkpoint", "plain", "invert"):
            for batch in BATCHES[session.name]:
                if session.left(GRID_SHARE) < 0:
                    session.say("\n(the time for this part is used up)\n")
                    return
                result = measure(model, session.size, Setup(batch, name, memory), session.device)
                session.add(result)
                if result.note:
                    break


def extra_setups(session: Session) -> Iterator[Setup]:
    """Each extra alone and together, at the fastest batch of 4 or less of each precision."""
    bases: list[Setup] = []
    for name in PRECISIONS:
        done = [r for r in session.results if r.setup.precision == name and r.seconds > 0 and r.setup.batch <= 4]
        bases += [min(done, key=lambda result: result.seconds / result.setup.batch).setup] if done else []
    for extras in EXTRAS:
        yield from (replace(base, **dict.fromkeys(extras, True)) for base in bases)
    yield from (replace(base, memory="checkpoint", graph=True) for base in bases if base.memory != "checkpoint")


def synthesis(session: Session, model: DualGlow) -> None:
    """Temperature 0, one volume and four at a time."""
    model.eval()
    names = [name for name in PRECISIONS if name != "tf32" or session.device.type == "cuda"]
    rows = [_synthesis(session, model, name, batch) for name in names for batch in (1, 4)]
    session.say("\nSynthesis:\n\n" + table(rows))


def _synthesis(session: Session, model: DualGlow, name: str, batch: int) -> Row:
    pairs = random_pairs(batch, session.size.shape, session.device)

    def run() -> None:
        with context(name, session.device):
            model.predict(pairs.mri, pairs.covariates, pairs.mask)

    with matrix_precision(name):
        run()
        seconds = seconds_of(run, session.device)
    return {"precision": name, "volumes at once": batch, "synthesis (s/volume)": seconds / batch}


def rounding(session: Session, model: DualGlow) -> None:
    """What the precisions and the memory options change, at this size on this device."""
    batch = random_pairs(1, session.size.shape, session.device, seed=1)
    model.eval()
    keep(model, "checkpoint")
    with matrix_precision("fp32"):
        error = precision.round_trip(model, batch)
        rows: list[Row] = [{"precision": "float32", "what": "there and back, PET network, max error", "value": error}]
        rows += precision.against_float32(model, batch)
        session.say(f"\nRounding (random weights moved by {PERTURBED}/√inputs):\n\n" + table(rows) + "\n")
        session.say(table(precision.memory_options(model, batch)) + "\n")


def best(session: Session) -> None:
    """The fastest row of each precision."""
    rows: list[Row] = []
    for name in PRECISIONS:
        done = [(r, row) for r, row in zip(session.results, session.rows, strict=True) if r.setup.precision == name]
        done = [pair for pair in done if pair[0].seconds > 0]
        if done:
            rows.append(min(done, key=lambda pair: pair[0].seconds / pair[0].setup.batch)[1])
    session.say("\nFastest of each precision:\n\n" + (table(rows) if rows else "none") + "\n")


def _one(setup: Setup, name: str, device: torch.device) -> dict[str, object]:
    result = measure(new_model(SIZES[name], device, PERTURBED), SIZES[name], setup, device)
    return {key: value for key, value in asdict(result).items() if key != "setup"}


def _in_its_own_process(session: Session, setup: Setup) -> Result:
    arguments_ = ("--size", session.name, "--one", json.dumps(asdict(setup)))
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.gpu", *arguments_]
    try:
        done = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, timeout=max(20.0, session.left(1))
        )
    except subprocess.TimeoutExpired:
        return Result(setup, note="stopped: the time is used up")
    if done.returncode:
        return Result(setup, note=f"failed: {' '.join(done.stderr.split())[-140:]}")
    return Result(setup, **json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
