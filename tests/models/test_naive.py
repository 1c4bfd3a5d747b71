"""The baselines against numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dualglow.errors import ConfigError, InputError
from dualglow.models import Batch, build

SHAPE = (3, 4, 2)


def batches(pairs: int = 12, seed: int = 0) -> list[Batch]:
    random = torch.Generator().manual_seed(seed)
    mri, pet = (torch.rand(pairs, 1, *SHAPE, generator=random) for _ in range(2))
    covariates = torch.randn(pairs, 2, generator=random)
    mask = (torch.rand(pairs, 1, *SHAPE, generator=random) > 0.3).float()
    return [Batch(*(part[i : i + 5] for part in (mri, pet, mask, covariates))) for i in range(0, pairs, 5)]


def joined(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat(part) for part in zip(*parts, strict=True)))


def test_mean_is_numpys() -> None:
    data = batches()
    model, whole = build("mean", SHAPE, {}), joined(data)
    model.initialise(iter(data))
    pet = whole.pet.numpy().astype(float)
    predicted = model.predict(whole.mri, whole.covariates, whole.mask).numpy()
    np.testing.assert_allclose(predicted, pet.mean(0, keepdims=True) * whole.mask.numpy(), atol=1e-6)
    np.testing.assert_allclose(model.sd.numpy()[0], pet.std(0, ddof=1), atol=1e-6)


def test_linear_is_least_squares_at_each_voxel() -> None:
    data = batches()
    whole = joined(data)
    model = build("linear", SHAPE, {"ridge": 1e-9})
    model.initialise(iter(data))
    predicted = model.predict(whole.mri, whole.covariates, whole.mask).numpy()
    for voxel in np.ndindex(SHAPE):
        features = np.column_stack([np.ones(12), whole.mri[:, 0][(..., *voxel)], whole.covariates])
        pet = whole.pet[:, 0][(..., *voxel)].numpy()
        solution, rss, *_ = np.linalg.lstsq(features.astype(float), pet.astype(float))
        expected = features @ solution * whole.mask[:, 0][(..., *voxel)].numpy()
        np.testing.assert_allclose(predicted[:, 0][(..., *voxel)], expected, atol=1e-5)
        assert model.sd[0, 0][voxel].item() == pytest.approx(np.sqrt(rss[0] / (12 - 4)), rel=1e-4)


def test_pseudo_people_draw_each_voxel_to_the_common_slopes() -> None:
    """For MRI alone: (n · covariance + 5 · common slope · mean variance) / (n · variance + 5 · mean variance)."""
    data = [batch._replace(covariates=0 * batch.covariates) for batch in batches()]
    whole = joined(data)
    model = build("linear", SHAPE, {"ridge": 1e-9, "pseudo_people": 5})
    model.initialise(iter(data))
    mri, pet = whole.mri[:, 0].numpy().astype(float), whole.pet[:, 0].numpy().astype(float)
    covariance = ((mri - mri.mean(0)) * (pet - pet.mean(0))).mean(0)
    variance = mri.var(0)
    common = covariance.mean() / variance.mean()
    slope = (12 * covariance + 5 * common * variance.mean()) / (12 * variance + 5 * variance.mean())
    expected = (pet.mean(0) + slope * (mri - mri.mean(0))) * whole.mask[:, 0].numpy()
    predicted = model.predict(whole.mri, whole.covariates, whole.mask)[:, 0].numpy()
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


def test_linear_survives_background_and_missing_covariates() -> None:
    data = [batch._replace(mri=0 * batch.mri, covariates=0 * batch.covariates) for batch in batches()]
    linear, mean = build("linear", SHAPE, {}), build("mean", SHAPE, {})
    for model in (linear, mean):
        model.initialise(data)
    whole = joined(data)
    torch.testing.assert_close(*(m.predict(whole.mri, whole.covariates, whole.mask) for m in (linear, mean)))


@pytest.mark.parametrize("method", ["mean", "linear"])
def test_samples_spread_by_the_residual_sd_and_the_state_dict_is_all(method: str, tmp_path: Path) -> None:
    data = batches()
    model = build(method, SHAPE, {})
    model.initialise(data)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    restored = build(method, SHAPE, {})
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    one = joined(data)
    random = torch.Generator().manual_seed(0)
    mri, covariates = one.mri[:1].expand(4000, -1, -1, -1, -1), one.covariates[:1].expand(4000, -1)
    samples = restored.sample(mri, covariates, torch.ones_like(mri), 2.0, random)
    torch.testing.assert_close(samples.std(0), 2 * model.sd[0], rtol=0.1, atol=1e-3)
    torch.testing.assert_close(samples.mean(0), model.voxel_mean(mri, covariates)[0], rtol=0, atol=0.05)
    assert not model.iterative
    assert model.loss(one)[0] >= 0


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="no pairs"):
        build("mean", SHAPE, {}).initialise([])
    with pytest.raises(InputError, match="no pairs"):
        build("linear", SHAPE, {}).initialise([])
    with pytest.raises(ConfigError, match="ridge is 0"):
        build("linear", SHAPE, {"ridge": 0})
    with pytest.raises(ConfigError, match="pseudo_people is -1"):
        build("linear", SHAPE, {"pseudo_people": -1})
    with pytest.raises(ConfigError, match=r"'glow': unknown.*dualglow, dualglow-conditional, cgan, .*, mean, linear"):
        build("glow", SHAPE, {})
    with pytest.raises(ConfigError, match="no option widht"):
        build("linear", SHAPE, {"widht": 3})
