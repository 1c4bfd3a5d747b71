"""DUAL-GLOW on volumes small enough to know the answer."""

import copy
from math import log

import pytest
import torch

from dualglow.errors import ConfigError, InputError
from dualglow.models import COVARIATES, Batch, build
from dualglow.models.dualglow import DualGlow

SHAPE = (8, 8, 8)
SMALL = {"levels": 2, "steps": 2, "hidden": 8}


def planted(pairs: int, seed: int) -> Batch:
    """PET = 0.8 − 0.6 · MRI plus a little noise, with smooth random MRIs."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(pairs, 1, 4, 4, 4, generator=random)
    mri = torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear")
    pet = 0.8 - 0.6 * mri + 0.02 * torch.randn(mri.shape, generator=random)
    return Batch(mri, pet, torch.ones_like(mri), torch.randn(pairs, COVARIATES, generator=random))


def small(**options: object) -> DualGlow:
    torch.manual_seed(0)
    model = build("dualglow", SHAPE, SMALL | options)
    assert isinstance(model, DualGlow)
    return model


def error(model: torch.nn.Module, batch: Batch) -> float:
    return float((model.predict(batch.mri, batch.covariates, batch.mask) - batch.pet).abs().mean())


@pytest.mark.parametrize("spatial", [False, True], ids=["paper", "spatial_prior"])
def test_a_planted_relation_is_learned_and_beats_the_mean(spatial: bool) -> None:
    train, held_out = planted(16, seed=1), planted(8, seed=2)
    mean = build("mean", SHAPE, {})
    mean.initialise([train])
    model = small(spatial_prior=spatial)
    model.initialise([train])
    start = error(model, held_out)
    optimiser = torch.optim.Adamax(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss, _ = model.loss(train)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert error(model.eval(), held_out) < 0.7 * error(mean, held_out)
    assert spatial or error(model, held_out) < 0.7 * start


def test_spatial_prior_starts_at_a_regression() -> None:
    """Before any training the mean MRI latent decodes to the mean PET, and each voxel's line is numpy's, shrunk."""
    train = planted(16, seed=1)
    model = small(spatial_prior=True).eval()
    model.initialise([Batch(*(part[i : i + 3] for part in train)) for i in range(0, 16, 3)])
    centred = [image - 0.5 + 1 / 512 for image in (train.mri, train.pet)]
    with torch.no_grad():
        mri_latents, pet_latents = model.mri_flow(centred[0])[0], model.pet_flow(centred[1])[0]
        means = [
            r(z.mean(0, keepdim=True), train.covariates[:1])[0]
            for r, z in zip(model.prior.levels, mri_latents, strict=True)
        ]
        decoded = model.pet_flow.inverse(means) + 0.5 - 1 / 512
    torch.testing.assert_close(decoded[0], train.pet.mean(0), atol=1e-4, rtol=0)
    for relation, mri, pet in zip(model.prior.levels, mri_latents, pet_latents, strict=True):
        covariance = ((mri - mri.mean(0)) * (pet - pet.mean(0))).mean(0)
        variance = mri.var(0, correction=0)
        common = [part.mean((1, 2, 3), keepdim=True) for part in (covariance, variance)]
        expected = (covariance + common[0]) / (variance + common[1])  # 16 people, and as 16 more the common slope
        torch.testing.assert_close(relation.spatial.slope.data, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("covariates", [[], ["age"]], ids=["relation", "covariates"])
def test_a_refit_lets_the_lines_go_through_the_means_again(covariates: list[str]) -> None:
    """Whatever the steps did to networks and lines: over the training people, nothing is left of the PET latents' mean.

    The log-sds are the optimiser's; a second refit gives the same bytes; the paper's model reads no batch.
    """
    train = planted(8, seed=1)
    batches = [Batch(*(part[i : i + 2] for part in train)) for i in range(0, 8, 2)]
    model = small(spatial_prior=True, covariates=covariates).eval()
    model.initialise(batches)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn(parameter.shape)
    sds = {name: value.clone() for name, value in model.state_dict().items() if "log_sd" in name}

    def left() -> list[float]:
        with torch.no_grad():
            mri_latents, pet_latents = (
                flow(image - 0.5 + 1 / 512)[0]
                for flow, image in ((model.mri_flow, train.mri), (model.pet_flow, train.pet))
            )
            priors = model._priors(mri_latents, train.covariates)
        return [float((z - mean).mean(0).abs().max()) for z, (mean, _) in zip(pet_latents, priors, strict=True)]

    assert min(left()) > 0.02
    model.refit(batches)
    assert max(left()) < 1e-4
    once = copy.deepcopy(model.state_dict())
    assert all(torch.equal(once[name], value) for name, value in sds.items())
    model.refit(batches)
    assert all(torch.equal(once[name], value) for name, value in model.state_dict().items())
    small().refit(iter([None]))  # type: ignore[list-item]


def test_the_loss_of_an_untouched_model_is_that_of_a_standard_normal() -> None:
    """Rotations keep volume and norm, so bits per voxel follow from the images alone (eq. 12 with 256 grey values)."""
    batch = planted(3, seed=3)
    model = small().eval()
    loss, terms = model.loss(batch)
    for name, image in (("pet_bits", batch.pet), ("mri_bits", batch.mri)):
        log_density = torch.distributions.Normal(0.0, 1.0).log_prob(image - 0.5 + 1 / 512).mean()
        assert terms[name].item() == pytest.approx(-float(log_density) / log(2) + 8, abs=1e-4)
    assert loss.item() == pytest.approx((terms["pet_bits"] + 0.001 * terms["mri_bits"]).item(), abs=1e-6)


def test_samples_and_the_mask() -> None:
    batch = planted(2, seed=4)
    mask = batch.mask.clone()
    mask[:, :, :4] = 0
    model = small(spatial_prior=True).eval()
    model.initialise([planted(8, seed=5)])
    prediction = model.predict(batch.mri, batch.covariates, mask)
    assert (prediction[mask == 0] == 0).all()
    cold, one, same, other = (
        model.sample(batch.mri, batch.covariates, mask, temperature, torch.Generator().manual_seed(seed))
        for temperature, seed in [(0.0, 0), (1.0, 0), (1.0, 0), (1.0, 1)]
    )
    torch.testing.assert_close(cold, prediction)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one[mask == 0] == 0).all()


def test_two_at_once_are_two_one_by_one_and_the_state_dict_is_all() -> None:
    batch = planted(2, seed=6)
    options = {"spatial_prior": True, "covariates": ["age", "group"]}
    model = small(**options).eval()
    model.initialise([planted(6, seed=7)])
    with torch.no_grad():
        model.prior.levels[-1].slopes.normal_()
    torch.manual_seed(99)
    restored = build("dualglow", SHAPE, SMALL | options).eval()
    restored.load_state_dict(model.state_dict())
    both = model.predict(batch.mri, batch.covariates, batch.mask)
    torch.testing.assert_close(restored.predict(batch.mri, batch.covariates, batch.mask), both)
    for i in range(2):
        alone = model.predict(*(part[i : i + 1] for part in (batch.mri, batch.covariates, batch.mask)))
        torch.testing.assert_close(alone, both[i : i + 1], atol=1e-5, rtol=1e-4)
    assert (model.predict(batch.mri, batch.covariates + 1, batch.mask) - both).abs().max() > 1e-3


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"8×8×8 .* divisible by 16"):
        build("dualglow", SHAPE, {"levels": 4})
    with pytest.raises(ConfigError, match="relation_kernel is 4"):
        small(relation_kernel=4)
    with pytest.raises(ConfigError, match="prior_weight"):
        small(prior_weight=-1)
    with pytest.raises(ConfigError, match="no option step"):
        build("dualglow", SHAPE, {"step": 2})
    with pytest.raises(InputError, match="no pairs"):
        small().initialise([])
