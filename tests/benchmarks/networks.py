"""One and the same network, built with this project, with other libraries, and straight in PyTorch.

Every builder takes a Size and gives a module that maps x (B, 1, X, Y, Z) to its latents, first level first, and the log
of the absolute determinant (B,) in nats. A step is ActNorm, an invertible 1×1×1 convolution in LU form and an affine
coupling with a 3-1-3 network; all have the same number of parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from dualglow.flow.glow import Glow, StepOptions
from dualglow.flow.network import CouplingNetwork
from dualglow.flow.squeeze import Squeeze

Latents = tuple[list[Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """Of a network: voxels, levels, steps per level, channels within a coupling."""

    shape: tuple[int, int, int] = (64, 96, 64)
    levels: int = 3
    steps: int = 8
    hidden: int = 64

    def channels(self) -> list[int]:
        """After the squeeze of each level, for one channel of input."""
        return [8 * 4**level for level in range(self.levels)]

    def voxels(self) -> list[int]:
        """After the squeeze of each level."""
        x, y, z = self.shape
        return [x * y * z // 8 ** (level + 1) for level in range(self.levels)]

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape))
        return f"{self.levels} levels × {self.steps} steps, {self.hidden} hidden channels, {shape} voxels"


def coupling_network(kept: int, moved: int, hidden: int) -> CouplingNetwork:
    """The 3-1-3 network of a coupling: `kept` channels in, shift and log-scale of `moved` out."""
    return CouplingNetwork(kept, hidden, 2 * moved, 3, normalised=False, edge_channel=False, factor=1.0)


def negative_log_density(latents: Sequence[Tensor], ladj: Tensor) -> Tensor:
    """Nats per voxel under a standard normal prior, mean over the batch, but for the constant."""
    size = sum(latent[0].numel() for latent in latents)
    half_squares = torch.stack([latent.square().flatten(1).sum(1) / 2 for latent in latents]).sum(0)
    return ((half_squares - ladj) / size).mean()


def ours(memory: str, size: Size) -> nn.Module:
    return Glow(1, size.shape, size.levels, size.steps, StepOptions(hidden=size.hidden), memory=memory)


class Straight(nn.Module):
    """The same convolutions and the same arithmetic of the coupling, with no notion of an inverse.

    A dense 1×1×1 convolution with bias stands for ActNorm and mixing; of the log-determinant only the coupling's share
    is summed. This is the floor: what any flow of this size must compute.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.squeeze = Squeeze()
        self.mixings, self.networks = nn.ModuleList(), nn.ModuleList()
        for channels in size.channels():
            steps = range(size.steps)
            self.mixings.append(nn.ModuleList(nn.Conv3d(channels, channels, 1) for _ in steps))
            half = channels // 2
            self.networks.append(nn.ModuleList(coupling_network(half, half, size.hidden) for _ in steps))

    def forward(self, x: Tensor) -> Latents:
        latents: list[Tensor] = []
        ladj = x.new_zeros(len(x))
        for mixings, networks in zip(self.mixings, self.networks, strict=True):
            x = self.squeeze(x)[0]
            for mixing, network in zip(mixings, networks, strict=True):  # type: ignore[call-overload]
                x, change = _straight_step(mixing(x), network)
                ladj = ladj + change
            x, latent = x.chunk(2, dim=1)
            latents.append(latent)
        latents[-1] = torch.cat([x, latents[-1]], dim=1)
        return latents, ladj


def _straight_step(x: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
    x1, x2 = x.chunk(2, dim=1)
    raw, shift = network(x1).chunk(2, dim=1)
    s = 2 * torch.tanh(raw / 2)
    return torch.cat([x1, x2 * s.exp() + shift], dim=1), s.flatten(1).sum(1)


def _normflows(size: Size) -> nn.Module:
    from tests.benchmarks.rival_normflows import Normflows

    return Normflows(size)


def _freia(size: Size) -> nn.Module:
    from tests.benchmarks.rival_freia import Freia

    return Freia(size)


def _freia_all_in_one(size: Size) -> nn.Module:
    from tests.benchmarks.rival_freia import Freia

    return Freia(size, all_in_one=True)


VARIANTS: dict[str, Callable[[Size], nn.Module]] = {
    "plain PyTorch": Straight,
    **{f"dualglow, {memory}": partial(ours, memory) for memory in ("plain", "checkpoint", "invert")},
    **({"normflows": _normflows} if find_spec("normflows") else {}),
    **({"FrEIA": _freia, "FrEIA AllInOneBlock": _freia_all_in_one} if find_spec("FrEIA") else {}),
}
"""Those that can be built here; the rivals come with `pip install dualglow[benchmark]`."""
