"""The multi-scale network: levels of squeeze and steps, after each of which half of the channels leave."""

from collections.abc import Iterable
from collections.abc import Sequence as List
from typing import cast

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.actnorm import ActNorm
from dualglow.flow.convolution import InvertibleConvolution
from dualglow.flow.coupling import AffineCoupling
from dualglow.flow.invertible import Sequence
from dualglow.flow.squeeze import Squeeze


def flow_step(channels: int, hidden: int, dims: int, checkpoint: bool) -> Sequence:
    """ActNorm, invertible convolution, affine coupling (Kingma & Dhariwal 2018, figure 2a)."""
    return Sequence(
        ActNorm(channels),
        InvertibleConvolution(channels),
        AffineCoupling(channels, hidden, dims),
        checkpoint=checkpoint,
    )


class Glow(nn.Module):
    """x (B, channels, *shape) to one latent per level and back (Kingma & Dhariwal 2018, figure 2b).

    `latent_shapes` holds each latent's (channels, *spatial), first level first. The last level keeps all its channels.
    Raises ConfigError if a size in `shape` is not divisible by 2^levels.
    """

    def __init__(
        self, channels: int, shape: List[int], levels: int, steps: int, hidden: int, checkpoint: bool = False
    ) -> None:
        super().__init__()
        check_sizes(shape, levels, steps, hidden)
        dims = len(shape)
        self.levels = nn.ModuleList()
        self.latent_shapes: list[tuple[int, ...]] = []
        for level in range(1, levels + 1):
            channels *= 2**dims
            step = [flow_step(channels, hidden, dims, checkpoint) for _ in range(steps)]
            self.levels.append(Sequence(Squeeze(), *step))
            sizes = tuple(size // 2**level for size in shape)
            if level < levels:
                channels //= 2
            self.latent_shapes.append((channels, *sizes))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Latents, first level first, and ladj (B,) in nats."""
        latents: list[Tensor] = []
        ladj = x.new_zeros(len(x))
        for level in self._levels():
            x, change = level(x)
            ladj = ladj + change
            x, latent = self._split(x, len(latents))
            latents.append(latent)
        return latents, ladj

    def inverse(self, latents: List[Tensor]) -> Tensor:
        x = latents[-1][:, :0]
        for level, latent in zip(reversed(list(self._levels())), reversed(latents), strict=True):
            x = level.inverse(torch.cat([x, latent], dim=1))
        return x

    def initialise(self, x: Tensor) -> None:
        """Set every ActNorm from x."""
        for index, level in enumerate(self._levels()):
            x, _ = self._split(level.initialise(x), index)

    def _levels(self) -> Iterable[Sequence]:
        return cast(Iterable[Sequence], self.levels)

    def _split(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """What goes on to the next level, and this level's latent."""
        stay = self.latent_shapes[level][0]
        return x[:, : x.shape[1] - stay], x[:, x.shape[1] - stay :]


def check_sizes(shape: List[int], levels: int, steps: int, hidden: int) -> None:
    """Raise ConfigError if a network of these sizes cannot be built."""
    if not 1 <= len(shape) <= 3:
        raise ConfigError(f"a flow works on 1 to 3 spatial axes, not {len(shape)}.")
    for name, value in (("levels", levels), ("steps", steps), ("hidden", hidden)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    if any(size % 2**levels or size == 0 for size in shape):
        raise ConfigError(
            f"a volume of {'×'.join(map(str, shape))} cannot be squeezed {levels} times: every size must be divisible "
            f"by {2**levels}. Choose fewer levels or another grid."
        )
