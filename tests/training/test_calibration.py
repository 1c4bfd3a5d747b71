import numpy as np
import pytest
from scipy import stats

from dualglow.training.calibration import LEVELS, region_means, scores
from dualglow.training.synthesis import quantile_map

RNG = np.random.default_rng(0)
VOXELS = 40_000


def test_one_more_sample_is_covered_as_often_as_the_level_says() -> None:
    """40,000 voxels: a standard error of at most 0.25 %, with few samples as with many."""
    for count in (39, 99):
        drawn = RNG.gumbel(size=(count + 1, VOXELS))
        found = scores(drawn[0], drawn[1:])
        for level in LEVELS:
            assert found[f"inside_{100 * level:.0f}"] == pytest.approx(level, abs=0.01)


def test_a_model_that_is_too_sure_covers_what_the_normal_says() -> None:
    """Samples of half the true sd: the 90 % interval covers |z| < 1.645 / 2 (39 samples blur it a little)."""
    real, drawn = RNG.normal(size=VOXELS), 0.5 * RNG.normal(size=(399, VOXELS))
    assert scores(real, drawn)["inside_90"] == pytest.approx(1 - 2 * stats.norm.sf(1.645 / 2), abs=0.01)


def test_intervals_are_those_of_the_quantile_maps() -> None:
    real, drawn = RNG.normal(size=500), RNG.normal(size=(45, 500))
    low, high = (quantile_map(drawn, q) for q in (0.05, 0.95))
    assert scores(real, drawn)["inside_90"] == ((low <= real) & (real <= high)).mean()


def test_crps_is_the_double_sum_and_without_bias_in_the_number_of_samples() -> None:
    real, drawn = RNG.normal(size=7), RNG.normal(size=(11, 7))
    pairs = np.abs(drawn[:, None] - drawn[None]).sum(axis=(0, 1)) / (11 * 10)
    assert scores(real, drawn)["crps"] == pytest.approx((np.abs(drawn - real).mean(axis=0) - pairs / 2).mean())
    exact = (stats.norm.pdf(0) * 2 - 1 / np.sqrt(np.pi)) * 1.0  # of N(0, 1) at 0 (Gneiting & Raftery 2007, eq. 21)
    for count in (2, 39):
        found = scores(np.zeros(VOXELS), RNG.normal(size=(count, VOXELS)))["crps"]
        assert found == pytest.approx(exact, abs=0.01)


def test_a_certain_model_covers_nothing_and_has_its_error_as_crps() -> None:
    real = RNG.normal(size=100)
    found = scores(real, np.full((39, 100), 0.3))
    assert (found["inside_95"], found["sd"]) == (0, pytest.approx(0, abs=1e-12))
    assert found["crps"] == pytest.approx(np.abs(real - 0.3).mean())


def test_means_of_regions_leave_the_background_out() -> None:
    labels = np.array([0, 7, 7, 2, 0])
    assert region_means(np.array([[9.0, 1, 3, 5, 9]]), labels).tolist() == [[5, 2]]
    assert region_means(np.ones((3, 2)), np.array([1, 1])).shape == (3, 1)
