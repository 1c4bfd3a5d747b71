"""The benchmarks compare like with like: every network computes a flow of the same size."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.flops import forward_flops
from tests.benchmarks.networks import VARIANTS, Size

TINY = Size((8, 8, 8), levels=2, steps=2, hidden=8)
SAME = [name for name in VARIANTS if name not in ("plain PyTorch", "FrEIA AllInOneBlock")]


@pytest.mark.parametrize("name", SAME)
def test_same_network(name: str) -> None:
    ours = VARIANTS["dualglow, plain"](TINY)
    other = VARIANTS[name](TINY)
    latents = [latent.shape for latent in ours(torch.randn(2, 1, *TINY.shape))[0]]
    assert [latent.shape for latent in other(torch.randn(2, 1, *TINY.shape))[0]] == latents
    assert _parameters(other) == _parameters(ours)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "plain PyTorch"])
def test_ladj_is_the_autograd_jacobian(name: str) -> None:
    size = Size((4, 4, 4), levels=2, steps=1, hidden=4)
    torch.manual_seed(0)
    network = VARIANTS[name](size).double()
    x = torch.randn(1, 1, *size.shape, dtype=torch.float64)
    with torch.no_grad():
        network(torch.randn(16, 1, *size.shape, dtype=torch.float64))  # the rivals' ActNorm starts from this
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))

    def flat(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([latent.flatten() for latent in network(x)[0]])

    jacobian = torch.autograd.functional.jacobian(flat, x).reshape(64, 64)
    assert torch.allclose(network(x)[1], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-8)


def test_flops_are_those_that_pytorch_counts() -> None:
    network = VARIANTS["dualglow, plain"](TINY)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(3, 1, *TINY.shape))
    built = sum(2 * 2 * channels**3 * TINY.steps for channels in TINY.channels())  # of the matrices P L U
    assert counter.get_total_flops() == 3 * forward_flops(TINY) + built


def _parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
