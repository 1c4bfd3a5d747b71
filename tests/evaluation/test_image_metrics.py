import numpy as np
import pytest
import torch
from monai.metrics.regression import MultiScaleSSIMMetric
from scipy import ndimage
from skimage.metrics import normalized_root_mse

from dualglow.errors import InputError
from dualglow.evaluation.image_metrics import correlation, image_metrics, mutual_information, psnr, ssim_map
from dualglow.evaluation.multiscale import WEIGHTS, ms_ssim, scales_of


@pytest.fixture
def brain() -> tuple[np.ndarray, np.ndarray]:
    """A PET (SUVR) that is 0 outside a mask of a quarter of the box."""
    mask = np.zeros((16, 24, 16), bool)
    mask[4:12, 6:18, 4:12] = True
    mask[4:12, 6:18, 2:14] = True
    pet = np.random.default_rng(0).uniform(0.5, 2.0, mask.shape) * mask
    return pet, mask


def test_constant_offset_has_known_errors(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, mask = brain
    got = image_metrics(pet, pet + 0.1 * mask, mask, data_range=2.5)
    assert got["mae_mask"] == pytest.approx(0.1)
    assert got["cor_mask"] == pytest.approx(1.0)
    assert got["psnr_mask"] == pytest.approx(20 * np.log10(2.5 / 0.1))


def test_background_improves_the_box_by_the_share_of_the_mask(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, mask = brain
    synthetic = pet + np.random.default_rng(1).normal(0, 0.2, pet.shape) * mask
    got, share = image_metrics(pet, synthetic, mask, 2.5), mask.mean()
    assert got["mae_box"] == pytest.approx(share * got["mae_mask"])
    assert got["psnr_box"] == pytest.approx(got["psnr_mask"] - 10 * np.log10(share))
    similarity = ssim_map(pet, synthetic, 2.5)
    expected = share * got["ssim_mask"] + (1 - share) * similarity[~mask].mean()  # (1 - f) + f s, where s outside is ~1
    assert got["ssim_box"] == pytest.approx(expected)
    far = ndimage.distance_transform_cdt(~mask, "chessboard") > 5
    assert similarity[far] == pytest.approx(1.0)
    assert got["ssim_box"] > got["ssim_mask"]


def test_identical_images_are_perfect(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, mask = brain
    got = image_metrics(pet, pet, mask)
    assert (got["mae_mask"], got["psnr_mask"]) == (0.0, np.inf)
    best = [got[f"{name}_{place}"] for name in ("cor", "ssim", "msssim") for place in ("mask", "box")]
    assert best == pytest.approx([1.0] * 6)
    assert (got["nmse_mask"], got["bias_mask"], got["nmi_mask"]) == pytest.approx((0, 0, 2))


def test_ssim_is_wang_2004_written_out(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, _ = brain
    other = pet + np.random.default_rng(2).normal(0, 0.3, pet.shape)

    def blur(x: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5)

    a, b = blur(pet), blur(other)
    va, vb, vab = blur(pet**2) - a**2, blur(other**2) - b**2, blur(pet * other) - a * b
    c1, c2 = (0.01 * 2.5) ** 2, (0.03 * 2.5) ** 2
    expected = (2 * a * b + c1) * (2 * vab + c2) / ((a**2 + b**2 + c1) * (va + vb + c2))
    assert np.allclose(ssim_map(pet, other, 2.5), expected)


def test_correlation_is_numpys_and_missing_for_a_constant() -> None:
    a, b = np.random.default_rng(3).normal(size=(2, 200))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert np.isnan(correlation(a, np.ones(200)))


def test_a_larger_data_range_flatters_psnr() -> None:
    a, b = np.zeros(10), np.full(10, 0.5)
    assert psnr(a, b, 5.0) - psnr(a, b, 2.5) == pytest.approx(20 * np.log10(2))


def test_bias_has_a_sign_and_nmse_is_scikit_images_squared(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, mask = brain
    synthetic = pet + (np.random.default_rng(4).normal(0, 0.2, pet.shape) - 0.1) * mask
    got = image_metrics(pet, synthetic, mask)
    assert got["bias_mask"] == pytest.approx(-0.1, abs=0.02)
    assert got["nmse_mask"] == pytest.approx(normalized_root_mse(pet[mask], synthetic[mask]) ** 2)
    assert image_metrics(pet, 0 * pet, mask)["nmse_mask"] == pytest.approx(1)
    assert not {"bias_box", "nmse_box"} & set(got)


def test_mutual_information_is_that_of_the_counts_and_blind_to_units() -> None:
    """Four cells with the counts 3, 1, 1, 3: entropies written out."""
    a, b = np.array([0, 0, 0, 0, 1, 1, 1, 1.0]), np.array([0, 0, 0, 1, 0, 1, 1, 1.0])
    joint = -(2 * 3 / 8 * np.log(3 / 8) + 2 / 8 * np.log(1 / 8))
    assert mutual_information(a, b) == pytest.approx(2 * np.log(2) / joint)
    assert mutual_information(a, 5 - 3 * b) == pytest.approx(mutual_information(a, b))
    assert mutual_information(a, np.ones(8)) == pytest.approx(1)
    assert np.isnan(mutual_information(np.ones(8), np.ones(8)))


@pytest.mark.parametrize(("shape", "scales"), [((64, 96, 64), 3), ((32, 48, 32), 2), ((24, 24, 24), 2)])
def test_ms_ssim_of_a_box_is_monais(shape: tuple[int, int, int], scales: int) -> None:
    """Images around 0, since MONAI's single precision loses 5e-4 to cancellation where the mean is 2."""
    rng = np.random.default_rng(5)
    real = ndimage.gaussian_filter(rng.normal(0, 4, shape), 2)
    synthetic = ndimage.gaussian_filter(real, 1) + ndimage.gaussian_filter(rng.normal(0, 0.3, shape), 1)
    assert scales_of(shape) == scales
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    metric = MultiScaleSSIMMetric(spatial_dims=3, data_range=2.5, kernel_size=11, weights=weights.tolist())
    expected = metric(*(torch.from_numpy(v)[None, None] for v in (synthetic, real)))
    found = ms_ssim(real, synthetic, np.ones(shape, bool), 2.5)
    assert found["box"] == pytest.approx(float(expected), abs=1e-5)
    assert 0.5 < found["box"] < 0.999


def test_ms_ssim_in_the_mask_is_ssim_where_there_is_one_scale(brain: tuple[np.ndarray, np.ndarray]) -> None:
    pet, mask = brain
    got = image_metrics(pet, pet + np.random.default_rng(6).normal(0, 0.2, pet.shape) * mask, mask)
    assert got["msssim_mask"] == pytest.approx(got["ssim_mask"])


def test_ms_ssim_in_the_mask_does_not_see_what_is_far_outside() -> None:
    shape, rng = (64, 96, 64), np.random.default_rng(7)
    mask = np.zeros(shape, bool)
    mask[4:28, 30:60, 20:44] = True
    real = rng.uniform(0.5, 2, shape)
    far = real.copy()
    far[56:] = 0  # the windows of the coarsest scale end 5 * 4 + 4 voxels from the mask
    assert ms_ssim(real, far, mask, 2.5)["mask"] == pytest.approx(1)
    assert ms_ssim(real, far, mask, 2.5)["box"] < 0.99


def test_a_box_smaller_than_the_window_is_refused() -> None:
    small = np.ones((8, 16, 16))
    with pytest.raises(InputError, match="smaller than its window"):
        ms_ssim(small, small, small > 0, 2.5)
