"""Multi-scale structural similarity of volumes (Wang, Simoncelli & Bovik 2003), in three dimensions."""

import numpy as np
from scipy import ndimage

from dualglow.errors import InputError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales of the original, from fine to coarse."""

SIGMA, TAPS = 1.5, 11
K1, K2 = 0.01, 0.03
_HALF = 0.5


def scales_of(shape: tuple[int, ...]) -> int:
    """How many of the five scales a box allows: at each, halved from the one before, the window of 11 must fit.

    A box of 64 x 96 x 64 allows 3 (its shortest edges are 64, 32, 16; 8 is too short).
    """
    return sum(min(shape) // 2**scale >= TAPS for scale in range(len(WEIGHTS)))


def ms_ssim(real: np.ndarray, synthetic: np.ndarray, mask: np.ndarray, data_range: float) -> dict[str, float]:
    """MS-SSIM in the mask and over the box, up to 1; the weights of the scales used are scaled to add up to 1.

    Box: at every scale where the whole window fits, as others compute it. Mask: at every scale the voxels of which at
    least half lie in the mask; borders of the box are reflected. Windows reach beyond the mask in both.

    Parameters
    ----------
    real, synthetic, mask
        (X, Y, Z); PETs in SUVR, the mask bool.
    data_range
        SUVR.

    Returns
    -------
    `mask` and `box`; nan for a mask of which nothing is left at the coarsest scale.

    Raises
    ------
    InputError
        If the box is smaller than one window.
    """
    count = scales_of(real.shape)
    if count == 0:
        raise InputError(f"MS-SSIM: a box of {real.shape} is smaller than its window of {TAPS} voxels.")
    share, means = np.asarray(mask, np.float64), []
    for scale in range(count):
        luminance, structure = similarity(real, synthetic, data_range)
        whole = luminance * structure if scale == count - 1 else structure
        inside = share >= _HALF
        means.append((_mean(whole[inside]), _mean(_interior(whole))))
        real, synthetic, share = halved(real), halved(synthetic), halved(share)
    weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    found = np.prod(np.maximum(means, 0) ** weights[:, None], axis=0)
    return {"mask": float(found[0]), "box": float(found[1])}


def similarity(real: np.ndarray, synthetic: np.ndarray, data_range: float) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of SSIM at each voxel, whose product it is: luminance; contrast and structure."""
    a, b = _blurred(real), _blurred(synthetic)
    variances = _blurred(real**2) - a**2 + _blurred(synthetic**2) - b**2
    covariance = _blurred(real * synthetic) - a * b
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return (2 * a * b + c1) / (a**2 + b**2 + c1), (2 * covariance + c2) / (variances + c2)


def halved(volume: np.ndarray) -> np.ndarray:
    """Means of blocks of 2 x 2 x 2; a last odd plane is left out."""
    even = volume[tuple(slice(0, size - size % 2) for size in volume.shape)]
    shape = [part for size in even.shape for part in (size // 2, 2)]
    return even.reshape(shape).mean(axis=(1, 3, 5))


def _blurred(volume: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(volume, SIGMA, radius=TAPS // 2)


def _interior(volume: np.ndarray) -> np.ndarray:
    edge = TAPS // 2
    return volume[tuple(slice(edge, size - edge) for size in volume.shape)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
