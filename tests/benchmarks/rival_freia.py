"""The network in FrEIA, whose blocks take any number of axes where they can.

Its own: ActNorm, SequenceINN (one per level; it adds up the log-determinants). Composed on its base classes: the
squeeze and the learned 1×1×1 convolution (FrEIA has them for two axes, the convolution with a fixed matrix), and a
coupling of one half (its GLOWCouplingBlock always moves both, with two networks), on _BaseCouplingBlock.

`all_in_one` takes FrEIA's AllInOneBlock instead, the step that its documentation recommends: its matrix is a rotation
that is not learned and its global scale is not set from data, so it computes a little less.
"""

from collections.abc import Iterable

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import ActNorm, AllInOneBlock, InvertibleModule
from FrEIA.modules.coupling_layers import _BaseCouplingBlock
from torch import Tensor, nn

from dualglow.flow.convolution import InvertibleConvolution
from dualglow.flow.squeeze import Squeeze
from tests.benchmarks.networks import Latents, Size, coupling_network

Dims = list[tuple[int, ...]]


class Squeeze3d(InvertibleModule):
    def __init__(self, dims_in: Dims) -> None:
        super().__init__(dims_in)
        self.squeeze = Squeeze()

    def forward(self, x: Iterable[Tensor], rev: bool = False, jac: bool = True) -> tuple[tuple[Tensor], float]:
        (one,) = x
        return (self.squeeze.inverse(one) if rev else self.squeeze(one)[0],), 0.0

    def output_dims(self, input_dims: Dims) -> Dims:
        channels, *sizes = input_dims[0]
        return [(channels * 8, *(size // 2 for size in sizes))]


class Mixing3d(InvertibleModule):
    """W as P L U; parameters as dualglow's, arithmetic as FrEIA's Fixed1x1Conv."""

    def __init__(self, dims_in: Dims) -> None:
        super().__init__(dims_in)
        self.weights = InvertibleConvolution(dims_in[0][0])

    def forward(self, x: Iterable[Tensor], rev: bool = False, jac: bool = True) -> tuple[tuple[Tensor], Tensor]:
        (one,) = x
        matrix = self.weights.inverse_matrix() if rev else self.weights.matrix()
        log_det = self.weights.log_determinant() * one[0, 0].numel()
        return (torch.nn.functional.conv3d(one, matrix[:, :, None, None, None]),), -log_det if rev else log_det

    def output_dims(self, input_dims: Dims) -> Dims:
        return input_dims


class OneSidedCoupling(_BaseCouplingBlock):
    """The second half moves, as in GLOWCouplingBlock; the first is kept."""

    def __init__(self, dims_in: Dims, hidden: int) -> None:
        super().__init__(dims_in, clamp=2.0, clamp_activation="TANH")
        self.subnet = coupling_network(self.split_len1, self.split_len2, hidden)

    def _coupling1(self, x1: Tensor, u2: Tensor, rev: bool = False) -> tuple[Tensor, float]:
        return x1, 0.0

    def _coupling2(self, x2: Tensor, u1: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        a = self.subnet(u1)
        s = self.clamp * self.f_clamp(a[:, : self.split_len2])
        t = a[:, self.split_len2 :]
        log_det = torch.sum(s, dim=tuple(range(1, self.ndims + 1)))
        return ((x2 - t) * torch.exp(-s), -log_det) if rev else (torch.exp(s) * x2 + t, log_det)


class Freia(nn.Module):
    def __init__(self, size: Size, all_in_one: bool = False) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        channels, sizes = 1, size.shape
        for _ in range(size.levels):
            level = SequenceINN(channels, *sizes)
            level.append(Squeeze3d)
            for _ in range(size.steps):
                _append_step(level, size.hidden, all_in_one)
            self.levels.append(level)
            out, *rest = level.shapes[-1]
            channels, sizes = out // 2, tuple(rest)

    def forward(self, x: Tensor) -> Latents:
        latents: list[Tensor] = []
        ladj = x.new_zeros(len(x))
        for level in self.levels:
            x, log_det = level(x)
            ladj = ladj + log_det
            x, latent = x.chunk(2, dim=1)
            latents.append(latent)
        latents[-1] = torch.cat([x, latents[-1]], dim=1)
        return latents, ladj


def _append_step(level: SequenceINN, hidden: int, all_in_one: bool) -> None:
    if all_in_one:
        level.append(
            AllInOneBlock,
            subnet_constructor=lambda kept, twice_moved: coupling_network(kept, twice_moved // 2, hidden),
            permute_soft=True,
            global_affine_type="EXP",
        )
        return
    level.append(ActNorm)
    level.append(Mixing3d)
    level.append(OneSidedCoupling, hidden=hidden)
