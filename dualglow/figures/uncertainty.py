"""What a model is unsure of in one person, and what surprises it: pictures of samples and of z maps."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dualglow.figures.panels import Panel, panel_figure
from dualglow.figures.slices import top_of_scale
from dualglow.figures.style import method_name, titled

Z_LIMIT = 4.0
"""The colours of z end here in every picture, so that people compare."""


@dataclass(frozen=True)
class Images:
    """The dataset's volumes of one pair, (X, Y, Z) on the grid of `affine` (4 x 4): T1 in 0..1, PET in SUVR."""

    mri: np.ndarray
    real: np.ndarray
    affine: np.ndarray


def person_title(person: pd.Series, method: str, simulated: bool) -> str:
    """pair_id, diagnosis, age and sex where known, and whose samples these are."""
    facts = [str(person["pair_id"])]
    facts += [str(person[name]) for name in ("group", "sex") if pd.notna(person.get(name))]
    facts += [f"{person['age']:.0f} y"] if pd.notna(person.get("age")) else []
    return titled(f"{method_name(method)}: {', '.join(facts)}", simulated)


def synthesis_picture(images: Images, maps: dict[str, np.ndarray], samples: str, title: str) -> Figure:
    """T1, real PET and prediction, and beside them the sd of the samples and their lowest and highest quantile.

    Parameters
    ----------
    maps
        `synthetic`, `std` and any quantiles (`q05`, …, in rising order), SUVR.
    samples
        How many at which temperature, as it is to be read beside the sd.
    """
    uptake = top_of_scale([images.real], 99.9)
    sd = Panel(
        f"Standard deviation of {samples}", maps["std"], "viridis", 0, top_of_scale([maps["std"]], 99.5), "SUVR", "max"
    )
    panels = [Panel("T1 MRI", images.mri, "gray", 0, 1, "intensity"), sd]
    quantiles = [name for name in maps if name not in ("synthetic", "std")]
    pet = {"Real PET": images.real, "Prediction (temperature 0)": maps["synthetic"]}
    chosen = [quantiles[0], quantiles[-1]] if len(quantiles) > 1 else quantiles
    bounds = {f"{_percent(name)} quantile of {samples}": maps[name] for name in chosen}
    shown = _interleaved(list(pet.items()), list(bounds.items()))
    panels += [Panel(name, volume, "hot", 0, uptake, "SUVR", "max") for name, volume in shown]
    return panel_figure(panels, 2, images.affine, title)


def _interleaved(
    left: list[tuple[str, np.ndarray]], right: list[tuple[str, np.ndarray]]
) -> list[tuple[str, np.ndarray]]:
    """Left and right column by rows, if both are full; else the left ones, then the right ones."""
    if len(left) != len(right):
        return left + right
    return [item for pair in zip(left, right, strict=True) for item in pair]


def _percent(quantile: str) -> str:
    """q05 is 5 %, q975 is 97.5 %."""
    return f"{float('0.' + quantile.removeprefix('q')) * 100:g} %"


def surprise_picture(images: Images, expected: np.ndarray, z: np.ndarray, row: pd.Series, title: str) -> Figure:
    """T1, real PET, what the model expects, and z in colours that diverge from 0, the same in every picture.

    Parameters
    ----------
    row
        Of surprise.tsv: samples, temperature, share_surprising, share_calibrated.
    """
    uptake = top_of_scale([images.real], 99.9)
    found = f"{100 * row['share_surprising']:.0f} % beyond ±1.96 (calibrated: {100 * row['share_calibrated']:.0f} %)"
    panels = [
        Panel("T1 MRI", images.mri, "gray", 0, 1, "intensity"),
        Panel("Real PET", images.real, "hot", 0, uptake, "SUVR", "max"),
        Panel(
            f"Expected: mean of {row['samples']:.0f} samples (T = {row['temperature']:g})",
            expected,
            "hot",
            0,
            uptake,
            "SUVR",
            "max",
        ),
        Panel(f"Surprise: {found}", z, "RdBu_r", -Z_LIMIT, Z_LIMIT, "z", "both"),
    ]
    return panel_figure(panels, 2, images.affine, title)
