"""Figure 12: synthetic minus real PET of the same people, method by method, on one diverging colour scale."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dualglow.errors import InputError
from dualglow.figures.people import person_label
from dualglow.figures.slices import bare, mark_sides, planes, top_of_scale, voxel_of_point
from dualglow.figures.style import in_order, method_name, paper_style

COLOURS = "RdBu_r"  # red: too much uptake, blue: too little; told apart with every kind of colour vision


@dataclass(frozen=True)
class Compared:
    """One held-out pair: its pair_id, real PET and each method's synthetic one (X, Y, Z) in SUVR, brain mask (bool)."""

    name: str
    real: np.ndarray
    mask: np.ndarray
    synthetic: dict[str, np.ndarray]


def of_all_methods(metrics: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Every method's row of the pairs shown (pair_id and fold), person by person, in the order of the tables.

    Raises
    ------
    InputError
        If a method lacks one of them.
    """
    methods = in_order(metrics["method"])
    rows = shown[["pair_id", "fold"]].merge(metrics, on=["pair_id", "fold"], how="left")
    for method in methods:
        lacking = set(shown["pair_id"]) - set(rows.loc[rows["method"] == method, "pair_id"])
        if lacking:
            raise InputError(f"--metrics lacks {sorted(lacking)[0]} of {method}; give the tables of the same folds.")
    order = {method: i for i, method in enumerate(methods)}
    people = {name: i for i, name in enumerate(shown["pair_id"])}
    keys = rows["pair_id"].map(people) * len(methods) + rows["method"].map(order)
    return rows.iloc[np.argsort(keys.to_numpy(), kind="stable")].reset_index(drop=True)


def drawn(rows: pd.DataFrame, people: list[Compared]) -> pd.DataFrame:
    """The numbers in the figure: MAE and mean difference (SUVR, brain mask) of every person and method."""
    counted = [_bias(person, method) for person in people for method in person.synthetic]
    return rows.assign(difference_mask=counted)


def _bias(person: Compared, method: str) -> float:
    return float((person.synthetic[method] - person.real)[person.mask].mean(dtype=np.float64))


def difference_maps(people: list[Compared], numbers: pd.DataFrame, affine: np.ndarray, title: str) -> Figure:
    """Figure 12 of the paper: a row per method, a column per person, the real PET above.

    Parameters
    ----------
    people
        From left to right, all with the same methods in the same order.
    numbers
        As `drawn` gives them.
    affine
        (4 x 4), voxel → MNI152 RAS+ mm, of all volumes.
    """
    methods, index = list(people[0].synthetic), voxel_of_point(affine, people[0].real.shape)
    differences = [np.abs(volume - person.real) for person in people for volume in person.synthetic.values()]
    limit = top_of_scale(differences, 99)
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.035, wspace=0.01, hspace=0.01)
    with paper_style():
        size = (3.2 * len(people) + 1.1, 1.55 * (len(methods) + 1) + 0.75)
        figure = Figure(figsize=size, layout=tight)
        grid = figure.subplots(len(methods) + 1, len(people), squeeze=False)
        uptake = top_of_scale([person.real for person in people], 99.9)
        for axes, person in zip(grid[0], people, strict=True):
            shown = _picture(axes, person.real, person.mask, index, "hot", (0, uptake))
            axes.set_title(_label(numbers, person), fontsize=9)
            mark_sides(axes, person.real.shape)
        grid[0, 0].set_ylabel("Real PET")
        figure.colorbar(shown, ax=list(grid[0]), aspect=14, pad=0.01, shrink=0.92, extend="max").set_label("SUVR")
        for line, method in zip(grid[1:], methods, strict=True):
            line[0].set_ylabel(method_name(method).replace(" (", "\n("))
            for axes, person in zip(line, people, strict=True):
                change = person.synthetic[method] - person.real
                shown = _picture(axes, change, person.mask, index, COLOURS, (-limit, limit))
                _number(axes, numbers, person, method)
        bar = figure.colorbar(shown, ax=grid[1:].ravel().tolist(), aspect=35, pad=0.01, shrink=0.9, extend="both")
        bar.set_label("Synthetic − real (SUVR)")
        x, y, z = affine[:3, :3] @ index + affine[:3, 3]
        where = f"axial z = {z:.0f}, coronal y = {y:.0f}, sagittal x = {x:.0f} mm (MNI152); L is left"
        figure.supxlabel(where, fontsize=8.5)
        figure.suptitle(title, fontsize=10.5, wrap=True)
    return figure


def _picture(
    axes: Axes,
    volume: np.ndarray,
    mask: np.ndarray,
    index: np.ndarray,
    cmap: str,
    ends: tuple[float, float],
) -> AxesImage:
    cut = np.ma.masked_where(planes(mask, index) == 0, planes(volume, index))
    shown = axes.imshow(cut, cmap=cmap, vmin=ends[0], vmax=ends[1], origin="lower", interpolation="nearest")
    bare(axes)
    return shown


def _number(axes: Axes, numbers: pd.DataFrame, person: Compared, method: str) -> None:
    row = numbers[(numbers["pair_id"] == person.name) & (numbers["method"] == method)].iloc[0]
    text = f"MAE {row['mae_mask']:.3f}, mean {row['difference_mask']:+.3f}"
    axes.set_xlabel(text, fontsize=8, labelpad=1)


def _label(numbers: pd.DataFrame, person: Compared) -> str:
    """Diagnosis, age and sex."""
    return person_label(numbers[numbers["pair_id"] == person.name].iloc[0]).split(", MAE")[0]
