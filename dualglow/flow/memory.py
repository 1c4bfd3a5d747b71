"""What training keeps of the activations: all of them, the input of every step, or nothing but the end of a level.

`plain` autograd keeps every hidden activation, `checkpoint` the input of each step (Chen et al. 2016), `invert` only
the level's output: each step's input is computed back from its output (Gomez et al. 2017), so the memory does not
depend on the number of steps. Both compute the coupling networks a second time.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from dualglow.errors import ConfigError
from dualglow.flow.invertible import Invertible, Sequence

Forward = Callable[[Sequence, Tensor], tuple[Tensor, Tensor]]


def run(layers: Sequence, x: Tensor, memory: str) -> tuple[Tensor, Tensor]:
    """z and ladj of `layers`, keeping for the gradient what `memory` (a key of MEMORY) says."""
    return MEMORY[memory](layers, x) if torch.is_grad_enabled() else layers(x)


def _plain(layers: Sequence, x: Tensor) -> tuple[Tensor, Tensor]:
    return cast(tuple[Tensor, Tensor], layers(x))


def _checkpoint(layers: Sequence, x: Tensor) -> tuple[Tensor, Tensor]:
    ladj = x.new_zeros(len(x))
    for layer in layers.chain():
        # The layers draw nothing at random, so there is no random state to keep.
        kept = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)
        x, change = cast(tuple[Tensor, Tensor], kept)
        ladj = ladj + change
    return x, ladj


def _invert(layers: Sequence, x: Tensor) -> tuple[Tensor, Tensor]:
    if torch.is_autocast_enabled(x.device.type):
        raise ConfigError(
            "memory: invert cannot be had with bf16: what is computed back through rounded networks is not what went "
            "in. Choose memory: checkpoint, or precision fp32 or tf32."
        )
    leaves = _leaf_layers(layers)
    parameters = [parameter for layer in leaves for parameter in layer.parameters()]
    return cast(tuple[Tensor, Tensor], _ComputedBack.apply(x, leaves, *parameters))


MEMORY: dict[str, Forward] = {"plain": _plain, "checkpoint": _checkpoint, "invert": _invert}


def _leaf_layers(layers: Sequence) -> list[Invertible]:
    """The layers in order, nested sequences opened."""
    leaves: list[Invertible] = []
    for layer in layers.chain():
        leaves.extend(_leaf_layers(layer) if isinstance(layer, Sequence) else [layer])
    return leaves


class _ComputedBack(torch.autograd.Function):
    """The layers one after another; the backward pass walks back from z, layer by layer, through `replay`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: list[Invertible], *parameters: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        ladj = x.new_zeros(len(x))
        for layer in layers:
            x, change = layer(x)
            ladj = ladj + change
        ctx.layers = layers
        ctx.save_for_backward(x)
        return x, ladj

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_z: Tensor, grad_ladj: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (z,) = ctx.saved_tensors
        gradients: list[Tensor | None] = []
        for layer in reversed(ctx.layers):
            z, grad_z, of_parameters = _step_back(layer, z, grad_z, grad_ladj)
            gradients[:0] = of_parameters
        return grad_z, None, *gradients


def _step_back(
    layer: Invertible, z: Tensor, grad_z: Tensor, grad_ladj: Tensor
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """The layer's x, the gradient of x, and those of its parameters (None for frozen ones)."""
    parameters = list(layer.parameters())
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    with torch.enable_grad():
        leaves, again, ladj = layer.replay(z)
    outputs, given = ((again, ladj), (grad_z, grad_ladj)) if ladj.requires_grad else ((again,), (grad_z,))
    found = torch.autograd.grad(outputs, [*leaves, *wanted], given, allow_unused=True)
    of_x, of_wanted = found[: len(leaves)], iter(found[len(leaves) :])
    x = leaves[0].detach() if len(leaves) == 1 else torch.cat([leaf.detach() for leaf in leaves], dim=1)
    grad_x = of_x[0] if len(leaves) == 1 else torch.cat(of_x, dim=1)
    return x, grad_x, [next(of_wanted) if parameter.requires_grad else None for parameter in parameters]
