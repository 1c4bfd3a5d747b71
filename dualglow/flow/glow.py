"""The multi-scale network: levels of squeeze and steps, after each of which half of the channels leave."""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.actnorm import ActNorm
from dualglow.flow.convolution import MIXINGS
from dualglow.flow.coupling import COUPLINGS, Coupling
from dualglow.flow.invertible import Sequence
from dualglow.flow.memory import MEMORY, run
from dualglow.flow.squeeze import Squeeze


@dataclass(frozen=True)
class StepOptions:
    """How a flow step is built; the defaults are the paper's, the others those of Glow's code that its authors used.

    hidden: channels within a coupling. mixing: `lu` or `full` matrix. coupling: `exp` (eq. 13) or `sigmoid`.
    log_scale_factor: of ActNorm. network_actnorm, edge_channel: see CouplingNetwork.
    Raises ConfigError if a value cannot be used.
    """

    hidden: int = 512
    mixing: str = "lu"
    coupling: str = "exp"
    log_scale_factor: float = 1.0
    network_actnorm: bool = False
    edge_channel: bool = False

    def __post_init__(self) -> None:
        _require("hidden", self.hidden)
        _choose("mixing", self.mixing, MIXINGS)
        _choose("coupling", self.coupling, COUPLINGS)
        if self.log_scale_factor <= 0:
            raise ConfigError(f"log_scale_factor is {self.log_scale_factor}; it must be above 0.")


def flow_step(channels: int, dims: int, how: StepOptions) -> Sequence:
    """ActNorm, invertible convolution, affine coupling (Kingma & Dhariwal 2018, figure 2a)."""
    factor = how.log_scale_factor
    return Sequence(
        ActNorm(channels, factor),
        MIXINGS[how.mixing](channels),
        COUPLINGS[how.coupling](channels, how.hidden, dims, how.network_actnorm, how.edge_channel, factor),
    )


class Glow(nn.Module):
    """x (B, channels, *shape) to one latent per level and back (Kingma & Dhariwal 2018, figure 2b).

    One to three spatial axes, any number of channels; `steps` is one number or one per level. `latent_shapes` holds
    each latent's (channels, *spatial), first level first. The last level keeps all its channels. `memory` is what the
    gradient keeps, see flow/memory.py.
    Raises ConfigError if a size in `shape` is not divisible by 2^levels.
    """

    def __init__(
        self,
        channels: int,
        shape: List[int],
        levels: int,
        steps: int | List[int],
        how: StepOptions,
        memory: str = "plain",
    ) -> None:
        super().__init__()
        check_sizes(shape, levels)
        _require("channels", channels)
        _choose("memory", memory, MEMORY)
        dims = len(shape)
        self.memory = memory
        self.levels = nn.ModuleList()
        self.latent_shapes: list[tuple[int, ...]] = []
        for level, depth in enumerate(steps_per_level(steps, levels), start=1):
            channels *= 2**dims
            self.levels.append(Sequence(Squeeze(), *(flow_step(channels, dims, how) for _ in range(depth))))
            sizes = tuple(size // 2**level for size in shape)
            going_on = channels // 2 if level < levels else 0
            self.latent_shapes.append((channels - going_on, *sizes))
            channels = going_on

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Latents, first level first, and ladj (B,) in nats."""
        latents: list[Tensor] = []
        ladj = x.new_zeros(len(x))
        for level in self._levels():
            x, change = run(level, x, self.memory)
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

    def networks(self) -> Iterable[nn.Module]:
        """The coupling networks: all but a few percent of the work."""
        return (module.network for module in self.modules() if isinstance(module, Coupling))

    def _levels(self) -> Iterable[Sequence]:
        return cast(Iterable[Sequence], self.levels)

    def _split(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """What goes on to the next level, and this level's latent."""
        stay = self.latent_shapes[level][0]
        return x[:, : x.shape[1] - stay], x[:, x.shape[1] - stay :]


def steps_per_level(steps: int | List[int], levels: int) -> List[int]:
    """The number of steps of each level. Raises ConfigError if they are not as many numbers as levels, or below 1."""
    each = [steps] * levels if isinstance(steps, int) else list(steps)
    if len(each) != levels:
        raise ConfigError(f"steps has {len(each)} numbers for {levels} levels; give one number, or one per level.")
    for number in each:
        _require("steps", number)
    return each


def check_sizes(shape: List[int], levels: int) -> None:
    """Raise ConfigError if a network of these sizes cannot be built."""
    if not 1 <= len(shape) <= 3:
        raise ConfigError(f"a flow works on 1 to 3 spatial axes, not {len(shape)}.")
    _require("levels", levels)
    if any(size % 2**levels or size == 0 for size in shape):
        raise ConfigError(
            f"a volume of {'×'.join(map(str, shape))} cannot be squeezed {levels} times: every size must be divisible "
            f"by {2**levels}. Choose fewer levels or another grid."
        )


def _require(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} is {value}; it must be at least 1.")


def _choose(name: str, value: str, known: Mapping[str, object]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(known)}.")
