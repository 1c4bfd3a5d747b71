"""Mixing of channels."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from dualglow.flow.invertible import Invertible


class Mixing(Invertible):
    """A learned invertible matrix W that mixes the channels of each voxel, starting as a random rotation.

    z = W x                                               Kingma & Dhariwal 2018, §3.2

    Latents stay in full precision: autocast is switched off here.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            return _mixed(self.matrix(), x), (self.log_determinant() * x[0, 0].numel()).to(x).expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return _mixed(self.inverse_matrix(), z)

    @abstractmethod
    def matrix(self) -> Tensor:
        """W, (channels, channels)."""

    @abstractmethod
    def inverse_matrix(self) -> Tensor:
        """W⁻¹, rounded only once: it is computed in float64."""

    @abstractmethod
    def log_determinant(self) -> Tensor:
        """log |det W|, a scalar."""


class InvertibleConvolution(Mixing):
    """W = P L (U + diag(sign · exp(log_diagonal)))           Kingma & Dhariwal 2018, eq. 10

    P is fixed, L has a unit diagonal, U is strictly upper: W cannot become singular and its determinant costs nothing.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        permutation, lower, upper = torch.linalg.lu(_random_rotation(channels))
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())

    def matrix(self) -> Tensor:
        lower, upper = self._triangles(self.lower.dtype)
        return self.permutation @ lower @ upper

    def inverse_matrix(self) -> Tensor:
        lower, upper = self._triangles(torch.float64)
        half = torch.linalg.solve_triangular(lower, self.permutation.T.double(), upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True).to(self.lower.dtype)

    def log_determinant(self) -> Tensor:
        return self.log_diagonal.sum()

    def _triangles(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """L with its unit diagonal and U with its own."""
        lower, upper, diagonal = (part.to(dtype) for part in (self.lower, self.upper, self.log_diagonal))
        ones = torch.eye(len(lower), dtype=dtype, device=lower.device)
        return lower.tril(-1) + ones, upper.triu(1) + torch.diag(self.sign.to(dtype) * diagonal.exp())


class FullConvolution(Mixing):
    """W as it is, its determinant by decomposition in float64: what the authors' released code does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_random_rotation(channels))

    def matrix(self) -> Tensor:
        return self.weight

    def inverse_matrix(self) -> Tensor:
        return torch.linalg.inv(self.weight.double()).to(self.weight.dtype)

    def log_determinant(self) -> Tensor:
        return torch.linalg.slogdet(self.weight.double()).logabsdet


MIXINGS: dict[str, type[InvertibleConvolution | FullConvolution]] = {
    "lu": InvertibleConvolution,
    "full": FullConvolution,
}


def _mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix times every voxel's channels. Not `@`, which would transpose x and leave z with its channels last."""
    return torch.bmm(matrix.expand(len(x), -1, -1), x.flatten(2)).reshape(x.shape)


def _random_rotation(channels: int) -> Tensor:
    return torch.linalg.qr(torch.randn(channels, channels))[0]
