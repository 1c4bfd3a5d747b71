"""Table 1: image metrics per method."""

import pandas as pd

from dualglow.evaluation.comparison import check_comparable
from dualglow.figures.style import in_order, is_simulated, method_name
from dualglow.figures.tables import Table, first_of_each, mean_sd

# Column of the metrics, its name in print, digits: the paper's first, then what fits on a page. All are in the TSV.
PRINTED = (
    ("cor_mask", "CorCoef, brain", 3),
    ("psnr_mask", "PSNR (dB), brain", 2),
    ("ssim_mask", "SSIM, brain", 3),
    ("mae_mask", "MAE (SUVR), brain", 3),
    ("nmse_mask", "NMSE, brain", 4),
    ("msssim_mask", "MS-SSIM, brain", 3),
    ("cor_box", "CorCoef, box", 3),
    ("psnr_box", "PSNR (dB), box", 2),
    ("ssim_box", "SSIM, box", 3),
)
_MEASURES = ("cor", "psnr", "ssim", "mae", "msssim", "nmi", "nmse", "bias")
MEASURED = [f"{metric}_{place}" for place in ("mask", "box") for metric in _MEASURES]


def image_quality(metrics: pd.DataFrame) -> Table:
    """Table 1 of the paper: CorCoef, PSNR, SSIM and more, mean ± sd over all held-out pairs, per method.

    The numbers have every metric that `dualglow evaluate` gave, the cells those of PRINTED.

    Parameters
    ----------
    metrics
        Rows of `dualglow evaluate` for any number of methods and folds.

    Raises
    ------
    InputError
        If the rows cannot stand in one table: other splits, data ranges or pairs, or a pair twice.
    """
    check_comparable(metrics)
    numbers, cells = [], []
    for method in in_order(metrics["method"]):
        part = metrics[metrics["method"] == method]
        row: dict[str, object] = {"method": method, "n": len(part), "folds": part["fold"].nunique()}
        text: dict[str, object] = {"Method": method_name(method), "n": len(part)}
        for column in (name for name in MEASURED if name in part):
            row |= {f"{column}_mean": part[column].mean(), f"{column}_sd": part[column].std()}
        text |= {name: mean_sd(part[column], digits) for column, name, digits in PRINTED if column in part}
        hashes = ",".join(part.sort_values("fold")["split_hash"].astype(str).unique())
        numbers.append(row | {"data_range": part["data_range"].iloc[0], "split_hash": hashes})
        cells.append(text)
    return Table(
        pd.DataFrame(numbers), pd.DataFrame(cells), _caption(metrics), "tab:image-quality", is_simulated(metrics)
    )


def _caption(metrics: pd.DataFrame) -> str:
    people = len(first_of_each(metrics))
    return (
        f"Synthetic against real FDG-PET: mean ± sd over held-out T1–PET pairs ({people} people), in the brain mask "
        f"and over the whole box; the box counts the empty background too. PSNR, SSIM and MS-SSIM (3D, Gaussian "
        f"window; three scales on the model grid) for a data range of {metrics['data_range'].iloc[0]:g} SUVR."
    )
