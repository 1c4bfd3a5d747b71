"""Stops a training that leaves the numbers or runs away, and says where in the network it went wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dualglow.errors import DualGlowError
from dualglow.flow.invertible import Invertible

RUNAWAY = 10.0
"""A step runs away if its loss is above median + 10 · max(|median|, interquartile range) of the first epoch's steps."""

PATIENCE = 5
"""So many such steps in a row stop the training; a single odd pair does not."""


class DivergenceError(DualGlowError):
    """The training has left the numbers or runs away: it says at which step, and in which term and layer."""


@dataclass
class Runaway:
    """The rule for a loss that runs away: `limit` is known after the first epoch, `high` counts the steps above it."""

    limit: float = float("inf")
    high: int = 0

    def learn(self, losses: list[float]) -> None:
        """Set the limit from the losses of the first epoch's steps."""
        middle = median(losses)
        low, high = np.percentile(losses, [25, 75])
        self.limit = middle + RUNAWAY * max(abs(middle), float(high - low))

    def runs(self, loss: float) -> bool:
        """Count this step; whether it is one too many above the limit."""
        self.high = self.high + 1 if loss > self.limit else 0
        return self.high >= PATIENCE

    def __str__(self) -> str:
        return f"It was above {self.limit:.4g}, far above the first epoch's, for {self.high} steps in a row"


@dataclass(frozen=True)
class LayerOutput:
    """What a layer gave: the range and mean of its finite values, and how many are not finite."""

    name: str
    kind: str
    low: float
    high: float
    mean: float
    wrong: int
    size: int

    @classmethod
    def of(cls, name: str, kind: str, output: Tensor) -> "LayerOutput":
        values = output.detach().double()
        finite = values[values.isfinite()]
        low, high, mean = (
            (float(finite.min()), float(finite.max()), float(finite.mean()))
            if len(finite)
            else (float("nan"),) * 3  # nothing to describe
        )
        return cls(name, kind, low, high, mean, values.numel() - finite.numel(), values.numel())

    @property
    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))

    def __str__(self) -> str:
        wrong = f", {self.wrong} of {self.size} values not finite" if self.wrong else ""
        return f"{self.name} ({self.kind}): min {self.low:.3g}, max {self.high:.3g}, mean {self.mean:.3g}{wrong}"


def layers(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The flow layers that hold no other flow layer and, outside the flow, what has no parts; with their names."""
    parts = list(module.named_children())
    if not parts or (isinstance(module, Invertible) and not _holds_layers(module)):
        yield name, module
        return
    for part, inner in parts:
        yield from layers(inner, f"{name}.{part}" if name else part)


def _holds_layers(module: nn.Module) -> bool:
    return any(isinstance(part, Invertible) for part in module.modules() if part is not module)


@torch.no_grad()
def watched(model: nn.Module, forward: Callable[[], object]) -> list[LayerOutput]:
    """What every layer gives while `forward` runs, in the order of computation."""
    found: list[LayerOutput] = []

    def watch(name: str, layer: nn.Module) -> RemovableHandle:
        return layer.register_forward_hook(lambda module, _, output: found.extend(_described(name, module, output)))

    handles = [watch(name, layer) for name, layer in layers(model)]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _described(name: str, layer: nn.Module, output: object) -> Iterator[LayerOutput]:
    """The layer's first output and, if they are not finite, its others: a flow layer's second is its ladj."""
    tensors = [part for part in _parts(output) if isinstance(part, Tensor)]
    kind = type(layer).__name__
    second = f"log-determinant of {kind}" if isinstance(layer, Invertible) else f"second output of {kind}"
    for index, tensor in enumerate(tensors):
        described = LayerOutput.of(name, second if index else kind, tensor)
        if index == 0 or described.wrong:
            yield described


def _parts(output: object) -> tuple[object, ...]:
    return tuple(output) if isinstance(output, (tuple, list)) else (output,)


def layer_at_fault(outputs: list[LayerOutput]) -> str:
    """A sentence on the first layer whose output is not finite, or else on the one with the largest value."""
    wrong = next((output for output in outputs if output.wrong), None)
    if wrong:
        return f"The first layer that is not finite is {wrong}."
    largest = max(outputs, key=lambda output: output.largest, default=None)
    return f"All layers are finite; the largest value is in {largest}." if largest else ""


def gradient_at_fault(model: nn.Module) -> str:
    """A sentence on the parameter whose gradient is not finite (the first) or largest."""
    norms = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    wrong = [name for name, norm in norms.items() if not np.isfinite(norm)]
    if wrong:
        return f"The gradient is not finite in {len(wrong)} of {len(norms)} parameters, first in {wrong[0]}."
    name = max(norms, key=lambda key: norms[key])
    return f"The largest gradient is that of {name}, norm {norms[name]:.3g}."


def advice(precision: str) -> str:
    """What to do about it."""
    rounded = f", or with --precision fp32 instead of {precision}" if precision != "fp32" else ""
    return f"Train with a lower --learning-rate or --clip-gradient, with more --warmup-epochs{rounded}."
