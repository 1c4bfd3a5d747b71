"""Figures 6 and 13: one MRI per diagnosis, synthesised at six ages, and the change against the person's own age."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dualglow.evaluation.ageing import STAGES
from dualglow.figures.people import either, person_label, typical_pairs
from dualglow.figures.slices import POINT_MM, bare, mark_sides, top_of_scale, voxel_of_point
from dualglow.figures.style import STAGE_COLOURS, paper_style

LEAST_LIMIT = 0.02
"""SUVR: the colours of the change reach at least so far, so that a model that ignores age does not look busy."""


@dataclass(frozen=True)
class Aged:
    """One held-out person's volumes (X, Y, Z): T1 in 0..1, real PET, and predictions at other ages and the own, SUVR.

    `row`: the person's row of the metrics (pair_id, group, age, sex, mae_mask); mask: the brain (bool).
    """

    row: pd.Series
    mri: np.ndarray
    real: np.ndarray
    mask: np.ndarray
    own: np.ndarray
    ages: dict[float, np.ndarray]


def median_pairs(metrics: pd.DataFrame) -> pd.DataFrame:
    """Of each fold the pairs with the median MAE of CN, MCI and AD among those of known age; perhaps none.

    Where the age is unknown there is no own age to change from.
    """
    own = metrics[metrics["group"].isin(STAGES)].dropna(subset=["age"])
    parts = [typical_pairs(part) for _, part in own.groupby("fold")]
    return pd.concat(parts, ignore_index=True) if parts else own


def people_of_ages(number: int, medians: pd.DataFrame) -> pd.DataFrame:
    """Whom figure 6 or 13 shows, of each fold's people with the median error of their diagnosis.

    Figure 6: of CN, MCI and AD each the one with the median error among these. Figure 13: of each stage another one, of
    the first fold that has one. Perhaps nobody.

    Parameters
    ----------
    medians
        As `median_pairs` gives them.
    """
    first = typical_pairs(medians)
    if number == 6:
        return first
    rest = medians[~medians["pair_id"].isin(first["pair_id"])].assign(stage=lambda table: table["group"].map(STAGES))
    order = rest["stage"].map({stage: i for i, stage in enumerate(("CN", "MCI", "AD"))})
    rest = rest.assign(order=order).sort_values(["order", "fold", "pair_id"])
    return rest.drop_duplicates("order").drop(columns=["stage", "order"]).reset_index(drop=True)


def lacking(number: int, shown: pd.DataFrame) -> str:
    """Of which stages figure 6 or 13 has nobody to show, in a sentence; empty if of none."""
    present = set(shown["group"].map(STAGES))
    missing = [stage for stage in STAGE_COLOURS if stage not in present]
    if not missing:
        return ""
    whose = f"of {either(missing)} whose age is known"
    return f"Nobody {whose} was held out." if number == 6 else f"No other fold holds out a person {whose}."


def drawn(people: list[Aged]) -> pd.DataFrame:
    """The numbers in the figure: mean uptake in the brain mask at each age, and its change against the own age."""
    facts = ["pair_id", "fold", "group", "sex", "age", "simulated"]
    rows = [
        {name: person.row[name] for name in facts}
        | {"told_age": age, "uptake_mask": _mean(volume, person.mask)}
        | {"change_mask": _mean(volume - person.own, person.mask)}
        for person in people
        for age, volume in person.ages.items()
    ]
    return pd.DataFrame(rows, columns=[*facts, "told_age", "uptake_mask", "change_mask"])


def _mean(volume: np.ndarray, mask: np.ndarray) -> float:
    return float(volume[mask].mean(dtype=np.float64))


def ages_montage(people: list[Aged], numbers: pd.DataFrame, affine: np.ndarray, title: str, note: str = "") -> Figure:
    """Two rows per person: the uptake at each age (axial plane), and below it the change against the own age.

    Parameters
    ----------
    people
        From top to bottom, all at the same ages.
    numbers
        As `drawn` gives them.
    affine
        (4 x 4), voxel → MNI152 RAS+ mm, of all volumes.
    note
        A line at the foot, such as `lacking` gives.
    """
    height = voxel_of_point(affine, people[0].mri.shape)[2]
    ages = list(people[0].ages)
    uptake = top_of_scale([person.real for person in people], 99.9)
    changes = [np.abs(volume - person.own) for person in people for volume in person.ages.values()]
    limit = max(top_of_scale(changes, 99), LEAST_LIMIT)
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.01, hspace=0.01)
    with paper_style():
        size = (1.12 * (len(ages) + 2) + 1.0, 3.3 * len(people) + 0.8)
        figure = Figure(figsize=size, layout=tight)
        grid = figure.subplots(2 * len(people), len(ages) + 2, squeeze=False)
        for upper, lower, person in zip(grid[::2], grid[1::2], people, strict=True):
            own = numbers[numbers["pair_id"] == person.row["pair_id"]].set_index("told_age")["change_mask"]
            _picture(upper[0], person.mri, person.mask, height, "gray", (0, 1))
            mark_sides(upper[0], person.mri.shape)
            upper[0].set_ylabel(person_label(person.row).split(", MAE")[0])
            upper[1].set_title("own age", fontsize=9)
            upper[0].set_title("T1 MRI", fontsize=9)
            pet = _picture(upper[1], person.own, person.mask, height, "hot", (0, uptake))
            _picture(lower[0], person.real, person.mask, height, "hot", (0, uptake))
            lower[0].set_xlabel("real PET", fontsize=8.5, labelpad=1)
            lower[1].set_axis_off()
            lower[1].text(0.5, 0.5, "change\nagainst\nown age", ha="center", va="center", fontsize=8.5)
            for above, below, (age, volume) in zip(upper[2:], lower[2:], person.ages.items(), strict=True):
                above.set_title(f"{age:g} y", fontsize=9)
                _picture(above, volume, person.mask, height, "hot", (0, uptake))
                change = _picture(below, volume - person.own, person.mask, height, "RdBu_r", (-limit, limit))
                below.set_xlabel(f"{round(own[age], 3) + 0.0:+.3f}", fontsize=8, labelpad=1)
        bar = figure.colorbar(pet, ax=grid[: len(people)].ravel().tolist(), aspect=22, pad=0.01, extend="max")
        bar.set_label("Uptake (SUVR)")
        bar = figure.colorbar(change, ax=grid[len(people) :].ravel().tolist(), aspect=22, pad=0.01, extend="both")
        bar.set_label("Change against own age (SUVR)")
        where = f"axial z = {POINT_MM[2]:.0f} mm (MNI152), L is left; numbers: mean change in the brain (SUVR)"
        figure.supxlabel(f"{where}\n{note}".strip(), fontsize=8.5)
        figure.suptitle(title, fontsize=10.5)
    return figure


def _picture(
    axes: Axes, volume: np.ndarray, mask: np.ndarray, height: int, cmap: str, ends: tuple[float, float]
) -> AxesImage:
    """An axial plane, x to the right, nothing outside the mask."""
    cut = np.ma.masked_where(~mask[:, :, height].T, volume[:, :, height].T)
    bare(axes)
    return axes.imshow(cut, cmap=cmap, vmin=ends[0], vmax=ends[1], origin="lower", interpolation="nearest")
