"""Every flow layer against autograd and against what its equation says, in 1, 2 and 3 dimensions."""

import pytest
import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.actnorm import ActNorm
from dualglow.flow.convolution import FullConvolution, InvertibleConvolution
from dualglow.flow.coupling import AffineCoupling, SigmoidCoupling
from dualglow.flow.glow import Glow, StepOptions, flow_step
from dualglow.flow.invertible import Invertible, Sequence
from dualglow.flow.squeeze import Squeeze

SHAPES = [(4, 6), (4, 2, 4), (4, 2, 2, 4), (3, 4, 2)]
SMALL = StepOptions(hidden=4)
RELEASED = StepOptions(5, "full", "sigmoid", log_scale_factor=3.0, network_actnorm=True, edge_channel=True)
STYLES = {"paper": SMALL, "released-code": RELEASED}
LAYERS = {
    "squeeze": lambda shape: Squeeze(),
    "actnorm": lambda shape: ActNorm(shape[0]),
    "actnorm, factor 3": lambda shape: ActNorm(shape[0], 3.0),
    "convolution": lambda shape: InvertibleConvolution(shape[0]),
    "full convolution": lambda shape: FullConvolution(shape[0]),
    "coupling": lambda shape: AffineCoupling(shape[0], 5, len(shape) - 1),
    "sigmoid coupling": lambda shape: SigmoidCoupling(shape[0], 5, len(shape) - 1),
    "coupling with norms": lambda shape: AffineCoupling(shape[0], 5, len(shape) - 1, normalised=True, factor=3.0),
    "coupling with edges": lambda shape: AffineCoupling(shape[0], 5, len(shape) - 1, edge_channel=True),
    "step": lambda shape: flow_step(shape[0], len(shape) - 1, SMALL),
    "released step": lambda shape: flow_step(shape[0], len(shape) - 1, RELEASED),
    "sequence": lambda shape: Sequence(Squeeze(), flow_step(shape[0] * 2 ** (len(shape) - 1), len(shape) - 1, SMALL)),
}


def randomised(module: nn.Module) -> nn.Module:
    """In float64, with every parameter moved, so that no zero start hides a term."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1  # what is inverted must stay well conditioned
            parameter.add_(0.2 / fan_in**0.5 * torch.randn_like(parameter))
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


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shape", "levels"), [((8,), 3), ((4, 8), 2), ((4, 4, 4), 2), ((2, 6, 2), 1)], ids=str)
def test_glow_inverse_ladj_and_latent_shapes(shape: tuple[int, ...], levels: int, channels: int, style: str) -> None:
    torch.manual_seed(0)
    glow = randomised(Glow(channels, shape, levels, steps=2, how=STYLES[style]))
    x = torch.randn(1, channels, *shape, dtype=torch.float64)
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
        layer.network.last.bias.fill_(1e6)
    assert layer(x)[1].abs().max() <= 2 * 2 * 16


def test_tiny_flow_is_a_density() -> None:
    """A flow on two voxels integrates to 1 over the plane (Riemann sum on a grid wide enough for its tails)."""
    torch.manual_seed(1)
    glow = randomised(Glow(1, (2,), levels=1, steps=3, how=StepOptions(6)))
    axis = torch.linspace(-30, 30, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        (z,), ladj = glow(points[:, None])
        log_density = -0.5 * z.flatten(1).square().sum(1) - torch.log(torch.tensor(2 * torch.pi)) + ladj
    total = log_density.exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 1e-3


def test_steps_may_differ_between_levels() -> None:
    glow = Glow(1, (8, 8), levels=3, steps=[1, 3, 2], how=SMALL)
    assert [len(level.layers) - 1 for level in glow.levels] == [1, 3, 2]


def test_two_at_once_are_two_one_by_one() -> None:
    glow = randomised(Glow(1, (4, 4, 8), levels=2, steps=2, how=SMALL))
    x = torch.randn(2, 1, 4, 4, 8, dtype=torch.float64)
    both, ladj = glow(x)
    for index in range(2):
        alone, change = glow(x[index : index + 1])
        torch.testing.assert_close(ladj[index : index + 1], change)
        for z, expected in zip(both, alone, strict=True):
            torch.testing.assert_close(z[index : index + 1], expected)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("memory", ["checkpoint", "invert"])
def test_saving_memory_changes_no_gradient(memory: str, style: str) -> None:
    """Of every parameter and of the input, with frozen parameters in between."""
    torch.manual_seed(0)
    plain = randomised(Glow(2, (4, 4, 4), levels=2, steps=2, how=STYLES[style]))
    saving = Glow(2, (4, 4, 4), levels=2, steps=2, how=STYLES[style], memory=memory).double()
    saving.load_state_dict(plain.state_dict())
    inputs = []
    for glow in (plain, saving):
        next(glow.levels[0].layers[1].parameters()).requires_grad_(False)
        inputs.append(torch.randn(2, 2, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
        latents, ladj = glow(inputs[-1].requires_grad_())
        (sum((z.square() * (1 + i)).sum() for i, z in enumerate(latents)) - ladj.square().sum()).backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for expected, found in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (found.grad is None) == (expected.grad is None)
        torch.testing.assert_close(found.grad, expected.grad)


def test_inverting_keeps_nothing_of_the_depth() -> None:
    """Bytes that autograd saves (seen by its own hooks): they grow with the steps when plain, not when inverting."""

    def saved(memory: str, steps: int) -> int:
        glow = Glow(1, (8, 8, 8), levels=1, steps=steps, how=SMALL, memory=memory)
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel() if tensor.ndim > 2 else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            glow(torch.randn(1, 1, 8, 8, 8))
        return total

    assert saved("plain", 8) > 6 * saved("plain", 1)
    assert saved("invert", 8) == saved("invert", 1) == 8**3


def test_only_the_networks_are_rounded_by_autocast() -> None:
    torch.manual_seed(0)
    glow = randomised(Glow(1, (8, 8, 8), levels=2, steps=2, how=StepOptions(8))).float()
    seen = []
    for network in glow.networks():
        network.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    x = torch.rand(2, 1, 8, 8, 8)
    exact = glow(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = glow(x)
    assert seen == [torch.float32] * 4 + [torch.bfloat16] * 4
    assert all(z.dtype == torch.float32 for z in (*rounded[0], rounded[1]))
    assert 0 < (rounded[1] - exact[1]).abs().max() / 512 < 0.05
    inverting = Glow(1, (8, 8, 8), levels=2, steps=2, how=StepOptions(8), memory="invert")
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ConfigError, match="invert cannot be had with bf16"):
        inverting(x)


def test_a_network_with_norms_is_set_by_the_first_batch() -> None:
    coupling = AffineCoupling(4, 16, dims=3, normalised=True)
    x = 3 + 5 * torch.randn(4, 4, 6, 6, 6)
    coupling.initialise(x)
    hidden = coupling.network.norms[0](coupling.network.first(x[:, :2]))[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(hidden.mean(1), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(hidden.std(1), torch.ones(16), atol=1e-3, rtol=0)


def test_the_edge_channel_is_one_outside_only() -> None:
    """A kernel that reads the edge channel alone counts the neighbours that lie in the padding."""
    network = AffineCoupling(2, 1, dims=2, edge_channel=True).network.first
    with torch.no_grad():
        network.convolution.weight.zero_()[:, -1] = 1
        network.convolution.bias.zero_()
        found = network(torch.randn(1, 1, 3, 4))[0, 0]
    assert found.tolist() == [[5, 3, 3, 5], [3, 0, 0, 3], [5, 3, 3, 5]]


def test_sizes_that_cannot_be_squeezed_are_named() -> None:
    with pytest.raises(ConfigError, match=r"6×8×8 .* divisible by 4"):
        Glow(1, (6, 8, 8), levels=2, steps=1, how=SMALL)
    with pytest.raises(ConfigError, match="3×4"):
        Squeeze()(torch.zeros(1, 1, 3, 4))
    with pytest.raises(ConfigError, match="steps is 0"):
        Glow(1, (8, 8, 8), levels=2, steps=0, how=SMALL)
    with pytest.raises(ConfigError, match="steps has 3 numbers for 2 levels"):
        Glow(1, (8, 8, 8), levels=2, steps=[1, 2, 3], how=SMALL)
    with pytest.raises(ConfigError, match="at least 2 channels"):
        AffineCoupling(1, 2, dims=3)
    with pytest.raises(ConfigError, match="memory is 'invers'; choose one of plain, checkpoint, invert"):
        Glow(1, (8, 8, 8), levels=2, steps=1, how=SMALL, memory="invers")
    with pytest.raises(ConfigError, match="mixing is 'LU'"):
        StepOptions(mixing="LU")
