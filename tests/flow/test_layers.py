"""Every flow layer against autograd and against what its equation says, in 1, 2 and 3 dimensions."""

import pytest
import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.actnorm import ActNorm
from dualglow.flow.convolution import InvertibleConvolution
from dualglow.flow.coupling import AffineCoupling
from dualglow.flow.glow import Glow, flow_step
from dualglow.flow.invertible import Invertible, Sequence
from dualglow.flow.squeeze import Squeeze

SHAPES = [(4, 6), (4, 2, 4), (4, 2, 2, 4), (3, 4, 2)]
LAYERS = {
    "squeeze": lambda shape: Squeeze(),
    "actnorm": lambda shape: ActNorm(shape[0]),
    "convolution": lambda shape: InvertibleConvolution(shape[0]),
    "coupling": lambda shape: AffineCoupling(shape[0], 5, len(shape) - 1),
    "step": lambda shape: flow_step(shape[0], 5, len(shape) - 1, checkpoint=False),
    "sequence": lambda shape: Sequence(
        Squeeze(), flow_step(shape[0] * 2 ** (len(shape) - 1), 4, len(shape) - 1, False)
    ),
}


def randomised(module: nn.Module) -> nn.Module:
    """In float64, with every parameter moved, so that no zero start hides a term."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def log_determinant(function: object, x: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(function, x)
    return torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel())).logabsdet


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_inverse_and_ladj(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = randomised(LAYERS[name](shape))
    assert isinstance(layer, Invertible)
    x = torch.randn(1, *shape, dtype=torch.float64)
    z, ladj = layer(x)
    assert ladj.shape == (1,)
    torch.testing.assert_close(layer.inverse(z), x, atol=1e-10, rtol=0)
    expected = log_determinant(lambda v: layer(v)[0].flatten(), x)
    torch.testing.assert_close(ladj[0], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("shape", "levels"), [((8,), 3), ((4, 8), 2), ((4, 4, 4), 2), ((2, 6, 2), 1)], ids=str)
def test_glow_inverse_ladj_and_latent_shapes(shape: tuple[int, ...], levels: int) -> None:
    torch.manual_seed(0)
    glow = randomised(Glow(1, shape, levels, steps=2, hidden=4))
    x = torch.randn(1, 1, *shape, dtype=torch.float64)
    latents, ladj = glow(x)
    assert [tuple(z.shape[1:]) for z in latents] == glow.latent_shapes
    assert sum(z.numel() for z in latents) == x.numel()
    torch.testing.assert_close(glow.inverse(latents), x, atol=1e-9, rtol=0)
    expected = log_determinant(lambda v: torch.cat([z.flatten() for z in glow(v)[0]]), x)
    torch.testing.assert_close(ladj[0], expected, atol=1e-8, rtol=0)


def test_squeeze_order_is_channel_then_offsets() -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    z, _ = Squeeze()(x)
    for c in range(3):
        for dx, dy, dz in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 1)]:
            assert torch.equal(z[:, ((c * 2 + dx) * 2 + dy) * 2 + dz], x[:, c, dx::2, dy::2, dz::2])


@pytest.mark.parametrize("shape", [(50,), (20, 20), (8, 10, 8)], ids=str)
def test_actnorm_normalises_its_first_batch_only(shape: tuple[int, ...]) -> None:
    layer = ActNorm(3)
    x = 5 + torch.tensor([1.0, 10.0, 0.1]).reshape(1, 3, *[1] * len(shape)) * torch.randn(4, 3, *shape)
    z = layer.initialise(x).transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(1, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    restored = ActNorm(3)
    restored.load_state_dict(layer.state_dict())
    restored.initialise(x + 100)
    torch.testing.assert_close(restored(x)[0], layer(x)[0])


def test_convolution_starts_as_a_rotation() -> None:
    layer = InvertibleConvolution(7).double()
    matrix = layer(torch.eye(7, dtype=torch.float64)[None])[0][0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(7, dtype=torch.float64), atol=1e-6, rtol=0)


def test_coupling_starts_as_the_identity_and_its_scale_is_bounded() -> None:
    layer = AffineCoupling(4, 8, dims=2)
    x = torch.randn(2, 4, 4, 4)
    torch.testing.assert_close(layer(x)[0], x)
    with torch.no_grad():
        layer.network[-1].bias.fill_(1e6)
    assert layer(x)[1].abs().max() <= 2 * 2 * 16


def test_tiny_flow_is_a_density() -> None:
    """A flow on two voxels integrates to 1 over the plane (Riemann sum on a grid wide enough for its tails)."""
    torch.manual_seed(1)
    glow = randomised(Glow(1, (2,), levels=1, steps=3, hidden=6))
    axis = torch.linspace(-30, 30, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        (z,), ladj = glow(points[:, None])
        log_density = -0.5 * z.flatten(1).square().sum(1) - torch.log(torch.tensor(2 * torch.pi)) + ladj
    total = log_density.exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 1e-3


def test_two_at_once_are_two_one_by_one() -> None:
    glow = randomised(Glow(1, (4, 4, 8), levels=2, steps=2, hidden=4))
    x = torch.randn(2, 1, 4, 4, 8, dtype=torch.float64)
    both, ladj = glow(x)
    for index in range(2):
        alone, change = glow(x[index : index + 1])
        torch.testing.assert_close(ladj[index : index + 1], change)
        for z, expected in zip(both, alone, strict=True):
            torch.testing.assert_close(z[index : index + 1], expected)


def test_checkpointing_changes_no_gradient() -> None:
    plain = randomised(Glow(1, (4, 4, 4), levels=2, steps=2, hidden=4))
    saving = Glow(1, (4, 4, 4), levels=2, steps=2, hidden=4, checkpoint=True).double()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 4, 4, 4, dtype=torch.float64)
    for glow in (plain, saving):
        latents, ladj = glow(x)
        (sum(z.square().sum() for z in latents) - ladj.sum()).backward()
    for expected, found in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_sizes_that_cannot_be_squeezed_are_named() -> None:
    with pytest.raises(ConfigError, match=r"6×8×8 .* divisible by 4"):
        Glow(1, (6, 8, 8), levels=2, steps=1, hidden=2)
    with pytest.raises(ConfigError, match="3×4"):
        Squeeze()(torch.zeros(1, 1, 3, 4))
    with pytest.raises(ConfigError, match="steps is 0"):
        Glow(1, (8, 8, 8), levels=2, steps=0, hidden=2)
    with pytest.raises(ConfigError, match="at least 2 channels"):
        AffineCoupling(1, 2, dims=3)
