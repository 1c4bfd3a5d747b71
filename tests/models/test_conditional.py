"""The conditional model (eqs 16 and 17), and DUAL-GLOW on images of other sizes, channels and precisions."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from dualglow.errors import ConfigError
from dualglow.models import COVARIATES, Batch, build
from dualglow.models.covariates import Reader, columns, gradient_reversal
from dualglow.models.dualglow import DualGlow, unsqueezed
from dualglow.models.interface import COVARIATE_COLUMNS
from dualglow.models.voxel_prior import LatentMoments, VoxelPrior

SHAPE = (8, 8, 8)
SMALL = {"levels": 2, "steps": 1, "hidden": 8}


def model_of(method: str = "dualglow-conditional", **options: object) -> DualGlow:
    torch.manual_seed(0)
    made = build(method, options.pop("shape", SHAPE), SMALL | options)
    assert isinstance(made, DualGlow)
    return made


def people(count: int, seed: int = 0) -> Tensor:
    """(count, COVARIATES) with every covariate known."""
    random = torch.Generator().manual_seed(seed)
    age = torch.randn(count, 1, generator=random)
    sex = torch.randint(2, (count, 1), generator=random) * 2.0 - 1
    group = torch.eye(6)[torch.randint(6, (count,), generator=random)]
    return torch.cat([age, sex, group], dim=1)


def ageing(count: int, seed: int) -> Batch:
    """The PET loses 0.1 per sd of age everywhere; the MRI does not know the age."""
    covariates = people(count, seed)
    random = torch.Generator().manual_seed(seed + 1)
    mri = torch.nn.functional.interpolate(torch.rand(count, 1, 4, 4, 4, generator=random), SHAPE, mode="trilinear")
    pet = 0.5 - 0.1 * covariates[:, :1, None, None, None] + 0.02 * torch.randn(mri.shape, generator=random)
    return Batch(mri, pet.clamp(0, 1), torch.ones_like(mri), covariates)


@pytest.mark.parametrize("conditioning", ["replace", "add"])
def test_a_planted_effect_of_age_is_learned(conditioning: str) -> None:
    model = model_of(conditioning=conditioning)
    batch = ageing(96, seed=1)
    model.initialise([batch])
    optimiser = torch.optim.Adamax(model.parameters(), lr=0.03)
    for _ in range(100):
        loss, _ = model.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    unseen = ageing(8, seed=5)
    older = unseen.covariates.clone()
    older[:, 0] += 1
    change = model.predict(unseen.mri, older, unseen.mask) - model.predict(unseen.mri, unseen.covariates, unseen.mask)
    assert change.mean() == pytest.approx(-0.1, abs=0.03)


def test_covariates_take_the_place_of_the_top_mri_latent() -> None:
    model = model_of(covariates=["age", "sex"])
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.normal_()
    latents = [torch.randn(2, *shape) for shape in model.mri_flow.latent_shapes]
    given = columns(people(2), model.names)
    before = model.prior(latents, given)
    other_top = model.prior([latents[0], latents[1] + 1], given)
    assert all(torch.equal(a, b) for a, b in zip(before[-1], other_top[-1], strict=True))
    other_low = model.prior([latents[0] + 1, latents[1]], given)
    assert not torch.equal(before[0][0], other_low[0][0])
    other_age = model.prior(latents, given + 1)
    assert torch.equal(before[0][0], other_age[0][0])
    assert not torch.equal(before[-1][0], other_age[-1][0])


def test_only_the_lower_mri_latents_readers_are_reversed() -> None:
    """Each latent's gradient of the covariate loss is its reader's own, with the sign that the paper gives it."""
    model = model_of(levels=3, covariates=["age", "sex", "group"])
    given = people(6)
    mri, pet = (
        [torch.randn(6, *shape, requires_grad=True) for shape in flow.latent_shapes]
        for flow in (model.mri_flow, model.pet_flow)
    )
    model._covariate_loss(mri, pet, given).backward()
    assert [z.grad is not None for z in pet] == [False, False, True]
    for sign, z, reader in zip([-1, -1, 1, 1], [*mri, pet[-1]], model.readers, strict=True):
        (direct,) = torch.autograd.grad(reader(z, given), z)
        torch.testing.assert_close(z.grad, sign * direct)
        assert direct.abs().max() > 0


def test_gradient_reversal() -> None:
    x = torch.randn(3, requires_grad=True)
    y = gradient_reversal(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, -2 * x.detach())


def test_a_reader_learns_from_known_covariates_only() -> None:
    torch.manual_seed(0)
    reader = Reader(2, 3, ["age", "sex", "group"])
    latent, given = torch.randn(5, 2, 4, 4, 4), people(5)
    missing = given.clone()
    missing[3:] = 0
    torch.testing.assert_close(reader(latent, missing), reader(latent[:3], given[:3]))
    assert reader(latent, torch.zeros(5, COVARIATES)) == 0


def test_readers_and_loss_are_reported_and_weighted() -> None:
    batch = ageing(4, seed=2)
    for method, weight in (("dualglow", 0.0), ("dualglow-conditional", 0.25)):
        model = model_of(method, covariate_weight=weight).eval()
        model.initialise([batch])
        loss, terms = model.loss(batch)
        expected = terms["pet_bits"] + 0.001 * terms["mri_bits"] + weight * terms.get("covariate_loss", 0)
        torch.testing.assert_close(loss.detach(), expected)
    assert terms["covariate_loss"] > 0


@pytest.mark.parametrize("conditioning", ["replace", "add"])
def test_with_a_spatial_prior_age_acts_from_the_start_where_it_does(conditioning: str) -> None:
    """The PET loses 0.1 per sd of age in one half of the volume; nothing has been trained yet.

    Each place's own slope counts as the 96 people that it was seen in, that of the whole, -0.05, as 16 more.
    """
    batch, unseen = ageing(96, seed=1), ageing(8, seed=5)
    batch.pet[..., 4:] = 0.5
    model = model_of(conditioning=conditioning, spatial_prior=True).eval()
    model.initialise([Batch(*(part[i : i + 32] for part in batch)) for i in range(0, 96, 32)])
    older = unseen.covariates.clone()
    older[:, 0] += 1
    change = model.predict(unseen.mri, older, unseen.mask) - model.predict(unseen.mri, unseen.covariates, unseen.mask)
    here, there = (float(half.mean()) for half in (change[..., :4], change[..., 4:]))
    assert here < min(1.2 * there, -0.02)
    if conditioning == "add":  # else age reaches the top latent alone
        assert here == pytest.approx((-0.1 * 96 - 0.05 * 16) / 112, abs=0.01)
        assert there == pytest.approx(-0.05 * 16 / 112, abs=0.01)


def test_slopes_of_covariates_are_numpys_where_all_places_are_alike() -> None:
    """Where every voxel says the same, the common regression is the voxel's own, and shrinkage changes nothing."""
    random = torch.Generator().manual_seed(0)
    mri, age = torch.randn(20, 1, 1, 1, 1, generator=random), torch.randn(20, 1, generator=random)
    pet = 0.7 * mri - 0.3 * age[..., None, None, None] + 0.2 + 0.1 * torch.randn(mri.shape, generator=random)
    moments = LatentMoments()
    moments.add(mri.expand(-1, -1, 2, 2, 2), pet.expand(-1, -1, 2, 2, 2), age)
    prior = VoxelPrior((1, 2, 2, 2), columns=1)
    prior.fit(moments)
    design = np.stack([mri.flatten(), age.flatten(), np.ones(20)], axis=1)
    found, (residual,), *_ = np.linalg.lstsq(design, pet.flatten().numpy(), rcond=None)
    parameters = (prior.slope, prior.covariate_slopes, prior.intercept)
    for parameter, expected in zip(parameters, found, strict=True):
        assert parameter is not None
        assert parameter.detach().numpy() == pytest.approx(expected, abs=1e-5)
    assert prior.log_sd.detach().numpy() == pytest.approx(np.log(residual / 20) / 2, abs=1e-5)


@pytest.mark.parametrize("spatial", [False, True])
def test_the_conditional_model_starts_and_saves_like_the_other(spatial: bool) -> None:
    batch = ageing(6, seed=3)
    options = {"covariates": ["sex", "group"], "spatial_prior": spatial}
    model = model_of(**options).eval()
    model.initialise([batch])
    assert model.bits(batch).shape == (6,)
    restored = model_of(**options).eval()
    restored.load_state_dict(model.state_dict())
    torch.testing.assert_close(restored.bits(batch), model.bits(batch))
    if spatial:  # the mean MRI latents and covariates decode to the mean PET
        with torch.no_grad():
            means = [z.mean(0, keepdim=True) for z in model.mri_flow(batch.mri - 0.5 + 1 / 512)[0]]
            decoded = model._decode(
                [mean for mean, _ in model._priors(means, batch.covariates.mean(0, keepdim=True))], torch.ones(1)
            )
        torch.testing.assert_close(decoded[0], batch.pet.mean(0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", [{}, {"mixing": "full", "coupling": "sigmoid", "unit_variance": True}])
@pytest.mark.parametrize(
    ("shape", "channels"), [((8, 12), (3, 3)), ((8, 12), (1, 3)), ((8, 4, 12), (2, 1)), ((16,), (1, 1))]
)
def test_any_dimension_and_channels(shape: tuple[int, ...], channels: tuple[int, int], options: dict) -> None:
    model = model_of("dualglow", shape=shape, channels=channels, learn_top=True, **options).eval()
    mri, pet = (torch.rand(2, count, *shape) for count in channels)
    batch = Batch(mri, pet, torch.ones(2, 1, *shape), people(2))
    model.initialise([batch])
    loss, _ = model.loss(batch)
    loss.backward()
    assert model.predict(*(batch.mri, batch.covariates, batch.mask)).shape == pet.shape
    latents, _ = model.pet_flow(pet)
    torch.testing.assert_close(model.pet_flow.inverse(latents), pet, atol=1e-4, rtol=0)


def test_unsqueezed_latents_lie_where_they_were() -> None:
    """Of a flow whose steps do nothing, the unsqueezed latents are the image."""
    model = model_of("dualglow", levels=3)
    for flow_level in model.pet_flow.levels:
        del flow_level.layers[1:]
    image = torch.randn(2, 1, *SHAPE)
    assert torch.equal(unsqueezed(model.pet_flow(image)[0]), image)


def test_moves_between_precisions_change_little() -> None:
    batch = ageing(2, seed=4)
    model = model_of(covariates=["age"]).eval()
    model.initialise([batch])
    double = copy.deepcopy(model).double()
    exact = double.bits(Batch(*(part.double() for part in batch)))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(model.bits(batch).double(), exact, atol=1e-4, rtol=0)
    torch.testing.assert_close(double.float().bits(batch), model.bits(batch))


def test_bits_are_those_of_the_loss_and_noise_comes_from_the_generator() -> None:
    batch = ageing(4, seed=6)
    model = model_of("dualglow").eval()
    model.initialise([batch])
    _, terms = model.loss(batch)
    torch.testing.assert_close(model.bits(batch).mean(), terms["pet_bits"])
    first, again, other = (model.bits(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", ["dualglow", "dualglow-conditional"])
def test_the_conditional_density_integrates_to_one(method: str) -> None:
    """p(PET | MRI, covariates) of a model of two voxels, summed over a fine grid of all PETs."""
    options = (
        {"shape": (4,), "hidden": 6, "steps": 2} if method == "dualglow-conditional" else {"shape": (2,), "levels": 1}
    )
    model = model_of(method, **options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    size = options["shape"][0]
    axis = torch.linspace(-8, 8, 401 if size == 2 else 25, dtype=torch.float64)
    pet = torch.cartesian_prod(*[axis] * size)[:, None]
    mri, covariates = torch.rand(1, 1, size), people(1).double()
    batch = Batch(mri.double().expand(pet.shape), pet, pet, covariates.expand(len(pet), -1))
    with torch.no_grad():
        log_density = -(model.bits(batch) - 8) * size * torch.log(torch.tensor(2.0))
    assert log_density.exp().sum() * (axis[1] - axis[0]) ** size == pytest.approx(1, abs=2e-2)


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="'weight' is unknown"):
        model_of(covariates=["weight"])
    with pytest.raises(ConfigError, match="no MRI would reach the PET"):
        model_of(levels=1)
    with pytest.raises(ConfigError, match="conditioning is 'both'"):
        model_of(conditioning="both")
    with pytest.raises(ConfigError, match="unit_variance must be false"):
        model_of("dualglow", spatial_prior=True, unit_variance=True)
    assert model_of(levels=1, conditioning="add").names == ("age",)
    assert sum(part.stop - part.start for part in COVARIATE_COLUMNS.values()) == COVARIATES


def test_models_say_what_they_are_told() -> None:
    shape, small = (16, 16, 16), {"levels": 2, "steps": 1, "hidden": 4}
    assert build("dualglow", shape, small).told == ()
    assert build("dualglow-conditional", shape, small).told == ("age",)
    assert build("dualglow-conditional", shape, small | {"covariates": ["sex", "group"]}).told == ("sex", "group")
    assert build("linear", shape, {}).told == ("age", "sex")
    assert build("mean", shape, {}).told == build("pix2pix", shape, {"width": 2}).told == ()
