"""Image metrics of a synthetic PET against the real one, inside the brain mask and over the whole box."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from skimage.metrics import normalized_mutual_information, structural_similarity

from dualglow.evaluation.heldout import read_on_grid
from dualglow.evaluation.multiscale import ms_ssim
from dualglow.preprocess.pack import Dataset

Volume = np.ndarray

DATA_RANGE = 2.5
"""SUVR. The peak that PSNR and SSIM are measured against: the upper end of the 99.9th percentiles of FDG over pons.

It is fixed, not taken from the images, so that every method, fold and cohort is measured with the same rule. A larger
range flatters both metrics, so it stands beside them in every table.
"""

METRICS = ("mae", "cor", "psnr", "ssim", "msssim", "nmi")
MASK_ONLY = ("nmse", "bias")
"""Not given for the box: the background adds nothing to a sum, so NMSE would be the same and the bias a share of it."""

REGIONS = ("mask", "box")
COLUMNS = [f"{metric}_{region}" for region in REGIONS for metric in METRICS]
COLUMNS[len(METRICS) : len(METRICS)] = [f"{metric}_mask" for metric in MASK_ONLY]
NMI_BINS = 100
"""Of the joint histogram, over the values that the region has: NMI does not see a linear change of units."""


def image_metrics(real: Volume, synthetic: Volume, mask: Volume, data_range: float = DATA_RANGE) -> dict[str, float]:
    """All metrics of one pair, named `<metric>_<region>` as in COLUMNS (`mae_mask`, ..., `nmi_box`).

    The box counts background too, where both images are 0 and nothing can go wrong: MAE there is the MAE in the
    mask times the mask's share of the box, PSNR gains -10 log10(share) dB, SSIM comes closer to 1. The mask is what
    to read; the box is there for comparison with papers that give no mask.

    Parameters
    ----------
    real, synthetic
        (X, Y, Z) PET in SUVR, on the same grid.
    mask
        (X, Y, Z) bool, the brain.
    data_range
        SUVR, the peak of PSNR, SSIM and MS-SSIM.

    Returns
    -------
    MAE in SUVR; CorCoef (Pearson) in -1..1, nan for a constant image; PSNR in dB; SSIM and MS-SSIM up to 1; NMI in
    1..2; in the mask also NMSE (0 is perfect, 1 an empty image) and the bias, synthetic - real, in SUVR.
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    similarity = ssim_map(real, synthetic, data_range)
    scales = ms_ssim(real, synthetic, mask, data_range)
    regions: Mapping[str, np.ndarray] = {"mask": np.asarray(mask, bool), "box": np.ones(real.shape, bool)}
    result: dict[str, float] = {}
    for name, region in regions.items():
        a, b = real[region], synthetic[region]
        result |= {
            f"mae_{name}": mean_absolute_error(a, b),
            f"cor_{name}": correlation(a, b),
            f"psnr_{name}": psnr(a, b, data_range),
            f"ssim_{name}": float(similarity[region].mean()),
            f"msssim_{name}": scales[name],
            f"nmi_{name}": mutual_information(a, b),
        }
        if name == "mask":
            result |= {"nmse_mask": normalised_squared_error(a, b), "bias_mask": float((b - a).mean())}
    return {column: result[column] for column in COLUMNS}


def fold_metrics(dataset: Dataset, files: dict[str, Path], data_range: float) -> pd.DataFrame:
    """Metrics of a fold's synthetic PETs (`files`: pair_id → NIfTI on the model grid, SUVR), one row per pair.

    Returns
    -------
    Columns pair_id, subject, group, sex, age, the metrics of `image_metrics`, data_range (SUVR).
    """
    indices = dataset.rows(list(files))
    people = dataset.pairs.iloc[indices][["pair_id", "subject", "group", "sex", "age"]].reset_index(drop=True)
    rows = [
        image_metrics(
            dataset.volumes[row, 1], read_on_grid(path, dataset.grid), np.asarray(dataset.masks[row]), data_range
        )
        for path, row in zip(files.values(), indices, strict=True)
    ]
    table = pd.concat([people, pd.DataFrame(rows, columns=COLUMNS)], axis="columns")
    return table.assign(data_range=data_range)


def mean_absolute_error(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Mean of |real - synthetic|, in the images' unit (SUVR)."""
    return float(np.abs(real - synthetic).mean())


def correlation(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Pearson's correlation over voxels (the paper's CorCoef); nan where one of the two is constant."""
    a, b = real - real.mean(), synthetic - synthetic.mean()
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 0 else float("nan")


def psnr(real: np.ndarray, synthetic: np.ndarray, data_range: float) -> float:
    """Peak signal-to-noise ratio, 10 log10(data_range² / mean squared error), in dB; inf for identical images."""
    error = float(((real - synthetic) ** 2).mean())
    return float(10 * np.log10(data_range**2 / error)) if error > 0 else float("inf")


def normalised_squared_error(real: np.ndarray, synthetic: np.ndarray) -> float:
    """||real - synthetic||² / ||real||² (NMSE); nan where the real image is empty."""
    size = float((real**2).sum())
    return float(((real - synthetic) ** 2).sum()) / size if size > 0 else float("nan")


def mutual_information(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Normalised mutual information (Studholme 1999), (H(a) + H(b)) / H(a, b): 1 says nothing, 2 all.

    100 bins of the region's own values; nan where both images are constant.
    """
    if np.ptp(real) == 0 and np.ptp(synthetic) == 0:
        return float("nan")
    return float(normalized_mutual_information(real, synthetic, bins=NMI_BINS))


def ssim_map(real: Volume, synthetic: Volume, data_range: float) -> Volume:
    """Structural similarity per voxel (Wang 2004): 3D Gaussian window, sigma 1.5 voxels, 11 taps, reflected borders."""
    _, similarity = structural_similarity(
        real, synthetic, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return similarity
