import numpy as np
import pytest
from scipy import ndimage

from dualglow.evaluation.image_metrics import correlation, image_metrics, psnr, ssim_map


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
    assert [got[name] for name in ("cor_mask", "ssim_mask", "cor_box", "ssim_box")] == pytest.approx([1.0] * 4)


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
