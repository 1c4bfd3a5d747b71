"""Mixing of channels."""

import torch
from torch import Tensor, nn

from dualglow.flow.invertible import Invertible


class InvertibleConvolution(Invertible):
    """A learned invertible matrix that mixes the channels of each voxel, starting as a random rotation.

    z = W x,  W = P L (U + diag(sign · exp(log_diagonal)))         Kingma & Dhariwal 2018, eq. 10

    P is fixed, L has a unit diagonal, U is strictly upper: W cannot become singular and its determinant costs nothing.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._triangles()
        z = (self.permutation @ lower @ upper) @ x.flatten(2)
        return z.reshape(x.shape), (self.log_diagonal.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        lower, upper = self._triangles()
        x = torch.linalg.solve_triangular(lower, self.permutation.T @ z.flatten(2), upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, x, upper=True).reshape(z.shape)

    def _triangles(self) -> tuple[Tensor, Tensor]:
        """L with its unit diagonal and U with its own."""
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
