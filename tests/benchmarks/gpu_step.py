"""One way to run DUAL-GLOW's training step on a device, and what it costs."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dualglow.errors import ConfigError
from dualglow.models import Batch
from dualglow.models.dualglow import DualGlow
from dualglow.training.numerics import matrix_precision
from tests.benchmarks.flops import forward_flops
from tests.benchmarks.models import keep, random_pairs
from tests.benchmarks.networks import Size

Run = Callable[[], object]
PRECISIONS = ("bf16", "tf32", "fp32")
FOLD = 726 * 90
"""Pairs that a training goes through: a fold of the paper's cohort has 726 training pairs, for 90 epochs."""


@dataclass(frozen=True)
class Setup:
    """batch pairs a step; precision of PRECISIONS; memory plain, checkpoint or invert; compiled coupling networks;
    weights and volumes channels-last; cuDNN trying its algorithms; the whole step as one CUDA graph."""

    batch: int
    precision: str
    memory: str
    compiled: bool = False
    channels_last: bool = False
    tuned: bool = False
    graph: bool = False

    @property
    def extras(self) -> str:
        names = {"compiled": "compile", "channels_last": "channels last", "tuned": "cuDNN tuned", "graph": "CUDA graph"}
        return " + ".join(label for name, label in names.items() if getattr(self, name)) or "none"


@dataclass(frozen=True)
class Result:
    """seconds a step; peak GiB that PyTorch allocated and reserved, weights and optimiser included; what went wrong."""

    setup: Setup
    seconds: float = float("nan")
    allocated: float = float("nan")
    reserved: float = float("nan")
    note: str = ""

    def row(self, size: Size, ceilings: dict[str, float]) -> dict[str, object]:
        """Columns of the table; shares are of the measured speed of matrix products, in FLOP/s."""
        setup, pairs = self.setup, self.setup.batch / self.seconds
        useful = 3 * 2 * forward_flops(size) * pairs / ceilings[setup.precision]
        figures = {
            "s/step": f"{self.seconds:.4f}",
            "pairs/s": f"{pairs:.3g}",
            "peak GiB": f"{self.allocated:.2f}",
            "reserved GiB": f"{self.reserved:.2f}",
            "share of ceiling": f"{useful:.1%}",
            "with recomputation": f"{useful if setup.memory == 'plain' else useful * 4 / 3:.1%}",
            "fold (min)": f"{FOLD / pairs / 60:.0f}",
        }
        return {
            "precision": setup.precision,
            "memory": setup.memory,
            "batch": setup.batch,
            "extras": setup.extras,
            **{name: "–" if text.startswith("nan") else text for name, text in figures.items()},
            "note": self.note,
        }


def measure(model: DualGlow, size: Size, setup: Setup, device: torch.device) -> Result:
    """Time the step; whatever does not work here (too little memory, no such mode) is a note, not an error."""
    note = ""
    try:
        with _as_set_up(model, setup, device):
            run = _prepared(model, size, setup, device)
            seconds = seconds_of(run, device)
        return Result(setup, seconds, *_peaks(device), note=_not_finite(model))
    except ConfigError as error:
        note = f"refused: {str(error).split('.')[0][:60]}"
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        note = what_failed(error)
    finally:
        run = None
        model.zero_grad(set_to_none=True)
        release(device)
    return Result(setup, note=note)


def seconds_of(run: Run, device: torch.device, least: float = 1.0) -> float:
    """Mean time of repeated runs that take `least` seconds together (one run, if it takes that long), 20 at most."""
    count, started = 0, _now(device)
    while (spent := _now(device) - started) < least and count < 20:
        run()
        count += 1
    return spent / count


def context(precision: str, device: torch.device) -> torch.autocast:
    """Networks in bf16, if so; without autocast's cache of rounded weights, which a CUDA graph cannot hold."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def release(device: torch.device) -> None:
    """Give the device's memory back and forget the peaks."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def _as_set_up(model: DualGlow, setup: Setup, device: torch.device) -> Iterator[None]:
    if device.type == "cpu" and (setup.graph or setup.precision == "tf32"):
        raise RuntimeError(f"{'CUDA graphs' if setup.graph else 'tf32'} needs a GPU")
    keep(model, setup.memory)
    release(device)
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = setup.tuned
    _lay_out(model, setup.channels_last)
    if setup.compiled:
        compile_all(model)
    try:
        with matrix_precision(setup.precision):
            yield
    finally:
        torch.backends.cudnn.benchmark = before
        _lay_out(model, False)


def compile_all(model: DualGlow) -> None:
    """The coupling networks, all of which share one code: more kinds of input than PyTorch expects of a function."""
    config: Any = torch._dynamo.config
    setattr(config, "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit", 64)
    for network in model.networks():
        network.compile()


def _lay_out(model: nn.Module, channels_last: bool) -> None:
    model.to(memory_format=torch.channels_last_3d if channels_last else torch.contiguous_format)


def _prepared(model: DualGlow, size: Size, setup: Setup, device: torch.device) -> Run:
    """A step that has been run already."""
    batch = random_pairs(setup.batch, size.shape, device, seed=1)
    if setup.channels_last:
        batch = Batch(*(t.to(memory_format=torch.channels_last_3d) for t in batch[:3]), batch.covariates)
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-6, capturable=setup.graph)
    model.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with context(setup.precision, device):
            loss, _ = model.loss(batch)
        loss.backward()
        optimizer.step()

    if setup.graph:
        return _captured(step)
    for _ in range(2 if setup.compiled or setup.tuned else 1):
        step()
    return step


def _captured(step: Run) -> Run:
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peaks(device: torch.device) -> tuple[float, float]:
    if device.type == "cpu":
        return float("nan"), float("nan")
    return torch.cuda.max_memory_allocated() / 2**30, torch.cuda.max_memory_reserved() / 2**30


def _not_finite(model: nn.Module) -> str:
    wrong = any(p.grad is not None and not bool(p.grad.isfinite().all()) for p in model.parameters())
    return "gradient has nan or inf" if wrong else ""


def what_failed(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text or "ALLOC_FAILED" in text:
        return "out of memory"
    return f"failed: {type(error).__name__}: {text[:140]}"
