"""Affine coupling: one half of the channels moves and scales the other."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dualglow.errors import ConfigError
from dualglow.flow.invertible import Invertible
from dualglow.flow.network import CouplingNetwork


class Coupling(Invertible):
    """z1 = x1, and z2 is x2 scaled by exp(s(x1)) and moved by t(x1); s and t come from one network.

    The network alone runs in the precision of an autocast around it; s, t and the latents stay as precise as x.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        dims: int,
        normalised: bool = False,
        edge_channel: bool = False,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ConfigError(f"a coupling needs at least 2 channels to split, not {channels}.")
        self.kept = channels // 2
        outputs = 2 * (channels - self.kept)
        self.network = CouplingNetwork(self.kept, hidden, outputs, dims, normalised, edge_channel, factor)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = x[:, : self.kept], x[:, self.kept :]
        s, t = self._scale_and_shift(x1)
        return torch.cat([x1, self.moved(x2, s, t)], dim=1), s.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        z1, z2 = z[:, : self.kept], z[:, self.kept :]
        s, t = self._scale_and_shift(z1)
        return torch.cat([z1, self.moved_back(z2, s, t)], dim=1)

    def replay(self, z: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """One pass through the network serves the way back and the new graph."""
        x1 = z[:, : self.kept].detach().requires_grad_()
        s, t = self._scale_and_shift(x1)
        x2 = self.moved_back(z[:, self.kept :].detach(), s.detach(), t.detach()).requires_grad_()
        return (x1, x2), torch.cat([x1, self.moved(x2, s, t)], dim=1), s.flatten(1).sum(1)

    def initialise(self, x: Tensor) -> Tensor:
        self.network.initialise(x[:, : self.kept])
        return super().initialise(x)

    def _scale_and_shift(self, x1: Tensor) -> tuple[Tensor, Tensor]:
        raw, t = self.network(x1).to(x1.dtype).chunk(2, dim=1)
        return self.bounded(raw), t

    @abstractmethod
    def bounded(self, raw: Tensor) -> Tensor:
        """s of what the network gives."""

    @abstractmethod
    def moved(self, x2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """z2 of x2."""

    @abstractmethod
    def moved_back(self, z2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """x2 of z2."""


class AffineCoupling(Coupling):
    """z2 = x2 · exp(s(x1)) + t(x1)                                Sun et al. 2019, eq. 13

    The paper's s is unbounded; here s = 2·tanh(raw / 2), the same near 0 and within ±2, so that no single step can
    overflow in either direction. As the network ends in 0 at first, the coupling starts as the identity.
    """

    def bounded(self, raw: Tensor) -> Tensor:
        return 2 * torch.tanh(raw / 2)

    def moved(self, x2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return x2 * s.exp() + t

    def moved_back(self, z2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return (z2 - t) * (-s).exp()


class SigmoidCoupling(Coupling):
    """z2 = (x2 + t(x1)) · sigmoid(raw(x1) + 2)                    Glow's and the authors' released code"""

    def bounded(self, raw: Tensor) -> Tensor:
        return logsigmoid(raw + 2)

    def moved(self, x2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return (x2 + t) * s.exp()

    def moved_back(self, z2: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return z2 * (-s).exp() - t


COUPLINGS: dict[str, type[AffineCoupling | SigmoidCoupling]] = {"exp": AffineCoupling, "sigmoid": SigmoidCoupling}
