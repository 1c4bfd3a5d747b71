"""The network in normflows. Its layers are for two axes; here they are given a third, within its own base classes.

Its own: ActNorm, AffineCouplingBlock (its Split, AffineCoupling with scale_map `exp`, Merge) and MultiscaleFlow, which
walks the levels and adds up the log-determinants. Composed: Invertible1x1Conv calls conv3d instead of conv2d, and its
Squeeze is replaced by a Flow that squeezes three axes. normflows' `inverse` is the direction from data to latents.
"""

import normflows as nf
import torch
from torch import Tensor, nn

from dualglow.flow.squeeze import Squeeze
from tests.benchmarks.networks import Latents, Size, coupling_network


class Mixing3d(nf.flows.Invertible1x1Conv):
    """From data to latents only: that is all that training needs."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, use_lu=True)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self._assemble_W()[:, :, None, None, None]
        return torch.nn.functional.conv3d(z, matrix), self.log_S.sum() * z[0, 0].numel()


class Squeeze3d(nf.flows.Flow):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = Squeeze()

    def inverse(self, z: Tensor) -> tuple[Tensor, int]:
        return self.squeeze(z)[0], 0


class Step3d(nf.flows.Flow):
    """As normflows' GlowBlock, but that its network of convolutions is the one given."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        network = coupling_network(channels // 2, channels // 2, hidden)
        self.flows = nn.ModuleList(
            [
                nf.flows.AffineCouplingBlock(network, scale_map="exp"),
                Mixing3d(channels),
                nf.flows.ActNorm((channels, 1, 1, 1)),
            ]
        )

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for flow in reversed(self.flows):
            z, log_det = flow.inverse(z)
            total += log_det
        return z, total


class Normflows(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        levels = [[*(Step3d(c, size.hidden) for _ in range(size.steps)), Squeeze3d()] for c in size.channels()[::-1]]
        merges = [nf.flows.Merge() for _ in levels[1:]]
        priors = [nf.distributions.DiagGaussian(1, trainable=False) for _ in levels]  # one per level is asked for
        self.flow = nf.MultiscaleFlow(priors, levels, merges, class_cond=False)

    def forward(self, x: Tensor) -> Latents:
        latents, log_det = self.flow.inverse_and_log_det(x)
        return latents[::-1], log_det
