"""The rivals: their networks' sizes, their losses against other sources, what their noise and their start do."""

from typing import Any

import pytest
import torch
from monai.losses.adversarial_loss import PatchAdversarialLoss
from monai.networks.blocks.convolutions import ResidualUnit
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from dualglow.errors import ConfigError
from dualglow.flow.coupling import Coupling
from dualglow.models import METHODS, Batch, Synthesiser, build
from dualglow.models.adversarial import Adversarial, judgement
from dualglow.models.cgan import gradient_difference
from dualglow.models.cvae import divergence
from dualglow.models.interface import COVARIATES
from dualglow.models.likelihood import centred, from_centred
from dualglow.models.share import Share, sharing
from dualglow.training.synthesis import Sampling, volumes

SHAPE = (16, 16, 16)
SMALL: dict[str, dict[str, Any]] = {
    "cgan": {"width": 4, "adversarial_weight": 0.0001},
    "ucgan": {"width": 4, "adversarial_weight": 0.0001},
    "cvae": {"width": 4, "code": 2},
    "pix2pix": {"width": 4},
    "iglow": {"levels": 2, "steps": 2, "hidden": 8, "iterations": 5, "memory": "plain"},
}
GANS = ("cgan", "ucgan", "pix2pix")
DRAWING = (*GANS, "cvae")  # those whose network draws the PET


def made(method: str, **options: object) -> Synthesiser:
    torch.manual_seed(3)
    return build(method, SHAPE, SMALL[method] | options)


def pairs(count: int = 2) -> Batch:
    """PETs that follow their MRIs, in a ball."""
    generator = torch.Generator().manual_seed(5)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    mask = (sum(axis**2 for axis in axes) < 1).float().expand(count, 1, *SHAPE)
    mri = nn.functional.avg_pool3d(torch.rand(count, 1, *SHAPE, generator=generator), 3, 1, 1) * mask
    return Batch(mri, (0.9 - mri) * mask, mask, torch.zeros(count, COVARIATES))


def number(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(part, kind) for part in module.modules())


def test_networks_have_the_papers_numbers_of_layers() -> None:
    """Sun et al. 2019, §4."""
    cgan, ucgan, cvae = (made(method) for method in ("cgan", "ucgan", "cvae"))
    assert number(cgan.generator, nn.Conv3d) == 12
    assert number(ucgan.generator, nn.Conv3d) == 15
    assert number(cgan.discriminator, ResidualUnit) == number(ucgan.discriminator, ResidualUnit) == 8
    assert number(cvae, ResidualUnit) == 13
    iglow = build("iglow", SHAPE, {"hidden": 4})
    assert (len(iglow.flow.latent_shapes), number(iglow, Coupling)) == (4, 40)


@pytest.mark.parametrize("method", GANS)
def test_each_network_learns_from_its_own_terms_alone(method: str) -> None:
    """The gradients are those of two losses, one after the other, with the other network held."""
    model, batch = made(method, from_mean=True).eval(), pairs()  # eval: without dropout
    assert isinstance(model, Adversarial)
    for parameter in model.generator.parameters():  # away from the zero start, where nothing flows back
        nn.init.normal_(parameter, std=0.1)
    generator, discriminator = list(model.generator.parameters()), list(model.discriminator.parameters())
    loss, _ = model.loss(batch)
    found = torch.autograd.grad(loss, [*generator, *discriminator])
    fake = model.predict(batch.mri, batch.covariates, batch.mask)
    real, false = (model.discriminator(torch.cat([batch.mri, pet], 1)) for pet in (batch.pet, fake.detach()))
    telling = (judgement(real, True) + judgement(false, False)) / 2
    fooling = model.adversarial_weight * judgement(model.discriminator(torch.cat([batch.mri, fake], 1)), True)
    drawing = fooling + torch.stack(list(model.reconstruction(fake, batch).values())).sum()
    expected = [*torch.autograd.grad(drawing, generator), *torch.autograd.grad(telling, discriminator)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_adversarial_loss_is_monais() -> None:
    logits = torch.randn(2, 1, 3, 3, 3)
    monai = PatchAdversarialLoss(criterion="bce")
    for real in (True, False):
        torch.testing.assert_close(judgement(logits, real), monai(logits, real, for_discriminator=True))


def test_gradient_difference_of_a_ramp() -> None:
    """Against a constant: the slope squared, along one axis of three."""
    ramp = 0.2 * torch.arange(16.0)[:, None, None].expand(1, 1, *SHAPE)
    assert float(gradient_difference(ramp, torch.ones_like(ramp))) == pytest.approx(0.04 / 3)
    assert float(gradient_difference(ramp, 3 - ramp)) == pytest.approx(0)  # the size of the slope counts, not its sign


def test_divergence_is_that_of_pytorchs_normals() -> None:
    mean, log_sd, other_mean, other_log_sd = torch.randn(4, 3, 2, 2, 2, 2).unbind()
    expected = kl_divergence(Normal(mean, log_sd.exp()), Normal(other_mean, other_log_sd.exp())).flatten(1).sum(1)
    torch.testing.assert_close(divergence((mean, log_sd), (other_mean, other_log_sd)), expected)


@pytest.mark.parametrize("method", DRAWING)
def test_a_model_that_knows_only_the_training_mean_is_the_baseline_mean(method: str) -> None:
    """Before it learns, a rival that starts from the mean predicts exactly what the baseline `mean` does."""
    batch, unseen = pairs(3), pairs()
    rival, mean = made(method, from_mean=True).eval(), build("mean", SHAPE, {})
    for model in (rival, mean):
        model.initialise([batch])
    one, other = (model.predict(unseen.mri * 0.5, unseen.covariates, unseen.mask) for model in (rival, mean))
    assert torch.equal(one, other)
    assert not one[unseen.mask == 0].any()


@pytest.mark.parametrize("method", DRAWING)
def test_a_rival_learns_what_the_mean_cannot_say(method: str) -> None:
    batch = pairs()
    model = made(method, from_mean=True)
    model.initialise([batch])
    before = error(model, batch)
    adam = torch.optim.Adam(model.parameters(), lr=0.003)
    model.train()
    for _ in range(120):
        adam.zero_grad()
        model.loss(batch)[0].backward()
        adam.step()
    assert error(model, batch) < 0.8 * before


def error(model: Synthesiser, batch: Batch) -> float:
    with torch.no_grad():
        drawn = model.eval().predict(batch.mri, batch.covariates, batch.mask)
    return float((drawn - batch.pet).abs().sum() / batch.mask.sum())


@pytest.mark.parametrize("method", SMALL)
def test_the_loss_of_a_batch_is_the_mean_of_its_shares(method: str) -> None:
    """With the same noise, as several processes share a step."""
    model, batch = made(method), pairs(4)
    model.initialise([batch])
    model.train()
    torch.manual_seed(1)
    whole = model.loss(batch)[0]
    parts = []
    for start, size in ((0, 3), (3, 1)):
        torch.manual_seed(1)
        with sharing(Share(start, batch.covariates)):
            parts.append(size * model.loss(Batch(*(tensor[start : start + size] for tensor in batch)))[0])
    torch.testing.assert_close(torch.stack(parts).sum() / 4, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["cvae", "pix2pix"])
def test_temperature_scales_the_noise_of_samples(method: str) -> None:
    batch = pairs()
    model = learned(method).eval()

    def sample(temperature: float, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.sample(batch.mri, batch.covariates, batch.mask, temperature, generator)

    with torch.no_grad():
        prediction = model.predict(batch.mri, batch.covariates, batch.mask)
        assert torch.equal(sample(0.0, 1), prediction)
        assert torch.equal(sample(1.0, 1), sample(1.0, 1))
        assert not torch.equal(sample(1.0, 1), sample(1.0, 2))
        small, large = ((sample(t, 1) - prediction).std() for t in (0.1, 1.0))
    assert small < 0.5 * large


def learned(method: str) -> Synthesiser:
    """With weights as after some learning: its last layer is not 0 any more."""
    model = made(method)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("method", ["cgan", "ucgan", "iglow"])
def test_where_there_is_no_noise_the_standard_deviation_is_0(method: str) -> None:
    """It is said by the map, not by samples that are all the same."""
    model, batch = made(method).eval(), pairs(1)
    model.initialise([batch])
    maps = volumes(model, batch, 2.0, Sampling(samples=19, quantiles=(0.05,)), seed=1)
    assert not maps["std"].any()
    assert (maps["q05"] == maps["synthetic"]).all()


def test_iglow_climbs_to_the_likeliest_pet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A likelihood with a known summit; outside [0, 1] and outside the mask it cannot be reached."""
    model, batch = made("iglow", iterations=200, ascent_rate=0.05), pairs()
    summit = 1.5 * batch.mri + 0.3

    def bits(images: Tensor) -> Tensor:
        return (from_centred(images[:, 1:]) - summit).square().flatten(1).mean(1)

    monkeypatch.setattr(model, "_bits", bits)
    model.initialise([batch])
    found = model.predict(batch.mri, batch.covariates, batch.mask)
    torch.testing.assert_close(found, summit.clamp(0, 1) * batch.mask, atol=0.01, rtol=0)


def test_iglow_never_ends_below_its_start() -> None:
    """With a climb so steep that it overshoots."""
    model, batch = made("iglow", ascent_rate=0.5).eval(), pairs()
    model.initialise([batch])
    found = model.predict(batch.mri, batch.covariates, batch.mask)
    with torch.no_grad():
        start, end = (model._bits(centred(torch.cat([batch.mri, pet], 1))) for pet in (model.mean * batch.mask, found))
    assert (end <= start + 1e-5).all()


@pytest.mark.parametrize("method", DRAWING)
@pytest.mark.parametrize(
    ("shape", "options", "word"),
    [((16, 8, 16), {}, "three axes of 16"), ((16, 16), {}, "three axes"), (SHAPE, {"width": 0}, "width is 0")],
)
def test_what_cannot_be_built_is_said_in_one_line(
    method: str, shape: tuple[int, ...], options: dict, word: str
) -> None:
    with pytest.raises(ConfigError, match=word) as error:
        build(method, shape, SMALL[method] | options)
    assert str(error.value).startswith(f"{method}: ")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("cgan", {"adversarial_weight": -1.0}),
        ("cgan", {"gradient_weight": -1.0}),
        ("pix2pix", {"l1_weight": -1.0}),
        ("pix2pix", {"dropout": 1.0}),
        ("cvae", {"code": 0}),
        ("cvae", {"kl_weight": -0.1}),
        ("iglow", {"iterations": 0}),
        ("iglow", {"ascent_rate": 0.0}),
    ],
)
def test_values_that_make_no_sense_are_named(method: str, options: dict) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        build(method, SHAPE, SMALL[method] | options)


def test_every_rival_is_tried_here() -> None:
    assert set(METHODS) - {"dualglow", "dualglow-conditional", "mean", "linear"} == set(SMALL)
