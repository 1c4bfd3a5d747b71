"""Activation normalisation."""

import torch
from torch import Tensor, nn

from dualglow.flow.invertible import Invertible


class ActNorm(Invertible):
    """Per-channel affine map, set from the first batch so that its output has mean 0 and standard deviation 1.

    z = (x + bias) * exp(factor * log_scale)            Kingma & Dhariwal 2018, table 1

    `factor` is 1; Glow's released code has 3, so that its scales learn three times as fast.
    Shapes: x, z are (batch, channels, *spatial) with one to three spatial axes; ladj is (batch,), in nats.
    """

    initialised: Tensor

    def __init__(self, channels: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.factor * self.log_scale
        z = (x + spread(self.bias, x)) * spread(log_scale, x).exp()
        return z, (log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        return z * (-self.factor * spread(self.log_scale, z)).exp() - spread(self.bias, z)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Normalise x; a layer that was initialised before (a model that was loaded) stays as it is."""
        if not self.initialised:
            sd, mean = torch.std_mean(x.transpose(0, 1).flatten(1), dim=1, correction=0)
            self.bias.copy_(-mean)
            self.log_scale.copy_(-(sd + 1e-6).log() / self.factor)
            self.initialised.fill_(True)
        return self(x)[0]


def spread(per_channel: Tensor, x: Tensor) -> Tensor:
    """(channels,) to (channels, 1, …), as many axes as x has in space."""
    return per_channel.reshape(-1, *[1] * (x.ndim - 2))
