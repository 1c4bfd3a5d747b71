"""Affine coupling: one half of the channels moves and scales the other."""

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.invertible import Invertible

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class AffineCoupling(Invertible):
    """z1 = x1,  z2 = x2 · exp(s(x1)) + t(x1)                      Sun et al. 2019, eq. 13

    s and t come from one network of three convolutions (3, 1, 3 voxels wide, `hidden` channels). Its last layer starts
    at 0, so the coupling starts as the identity. The paper's exp(s) is unbounded; here s = 2·tanh(raw / 2), the same
    near 0 and within ±2, so that no single step can overflow in either direction.
    """

    def __init__(self, channels: int, hidden: int, dims: int) -> None:
        super().__init__()
        if channels < 2:
            raise ConfigError(f"a coupling needs at least 2 channels to split, not {channels}.")
        self.kept = channels // 2
        convolution = CONVOLUTIONS[dims]
        last = convolution(hidden, 2 * (channels - self.kept), 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.network = nn.Sequential(
            convolution(self.kept, hidden, 3, padding=1),
            nn.ReLU(),
            convolution(hidden, hidden, 1),
            nn.ReLU(),
            last,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = x[:, : self.kept], x[:, self.kept :]
        s, t = self._scale_and_shift(x1)
        return torch.cat([x1, x2 * s.exp() + t], dim=1), s.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        z1, z2 = z[:, : self.kept], z[:, self.kept :]
        s, t = self._scale_and_shift(z1)
        return torch.cat([z1, (z2 - t) * (-s).exp()], dim=1)

    def _scale_and_shift(self, x1: Tensor) -> tuple[Tensor, Tensor]:
        raw, t = self.network(x1).chunk(2, dim=1)
        return 2 * torch.tanh(raw / 2), t
