"""The convolutional network inside a coupling."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from dualglow.flow.actnorm import ActNorm, spread

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class CouplingNetwork(nn.Module):
    """Three convolutions, 3, 1 and 3 voxels wide, ReLUs between (Sun et al. 2019, §4); the last one starts at 0.

    (batch, inputs, *spatial) to (batch, outputs, *spatial).

    With `normalised`, as in Glow's released code, an ActNorm stands behind each of the first two and a learned scale
    exp(factor · log_scale) behind the last. With `edge_channel`, as there, every wide convolution is told where the
    image ends by one more input channel that is 1 in the padding and 0 inside.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, dims: int, normalised: bool, edge_channel: bool, factor: float
    ) -> None:
        super().__init__()
        wide = EdgeConvolution if edge_channel else _same_convolution
        bias = not normalised
        self.first = wide(inputs, hidden, dims, bias)
        self.second = CONVOLUTIONS[dims](hidden, hidden, 1, bias=bias)
        self.last = wide(hidden, outputs, dims, True)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        self.norms = nn.ModuleList(ActNorm(hidden, factor) for _ in range(2)) if normalised else None
        self.log_scale = nn.Parameter(torch.zeros(outputs)) if normalised else None
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        for index, convolution in enumerate((self.first, self.second)):
            x = convolution(x)
            x = torch.relu_(x if self.norms is None else self.norms[index](x)[0])
        x = self.last(x)
        return x if self.log_scale is None else x * spread(self.factor * self.log_scale, x).exp()

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the ActNorms from the network's input."""
        if self.norms is None:
            return
        x = self.norms[0].initialise(self.first(x)).relu()  # type: ignore[operator, union-attr]
        self.norms[1].initialise(self.second(x))  # type: ignore[operator]


class EdgeConvolution(nn.Module):
    """A convolution 3 voxels wide with zero padding and one more input channel: 1 in the padding, 0 inside."""

    def __init__(self, inputs: int, outputs: int, dims: int, bias: bool) -> None:
        super().__init__()
        self.convolution = CONVOLUTIONS[dims](inputs + 1, outputs, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        border = [1] * 2 * (x.ndim - 2)
        outside = pad(torch.zeros_like(x[:, :1]), border, value=1.0)
        return self.convolution(torch.cat([pad(x, border), outside], dim=1))


def _same_convolution(inputs: int, outputs: int, dims: int, bias: bool) -> nn.Module:
    return CONVOLUTIONS[dims](inputs, outputs, 3, padding=1, bias=bias)
