"""Effect maps of AD against CN, real and synthetic PET side by side in one colour scale; and their table."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dualglow.evaluation.rois import REAL
from dualglow.figures.slices import bare, mark_sides, planes, voxel_of_point
from dualglow.figures.style import in_order, is_simulated, method_name, nothing_to_draw, paper_style, titled
from dualglow.figures.tables import Table, atlas_name


def effects_table(agreement: pd.DataFrame, atlas: str, simulated: bool) -> Table:
    """How alike each method's effect map is to that of the real PET.

    Parameters
    ----------
    agreement
        Rows of `map_agreement`, with `region_correlation`.
    """
    number = "{:.2f}".format
    columns = {"Mean g": "mean_g", "sd of g": "sd_g", "r, voxels": "correlation", "r, regions": "region_correlation"}
    cells = pd.DataFrame({"PET": agreement["method"].map(method_name)})
    for name, column in (columns | {"Slope": "slope"}).items():
        cells[name] = ["n/a" if pd.isna(value) else number(value) for value in agreement[column]]
    first = agreement.iloc[0]
    caption = (
        f"Hedges' g of AD ({first['n_ad']} people) against CN ({first['n_cn']}) in the brain, per kind of PET; r: "
        "Pearson's correlation of its map with that of the real PET, over voxels and over the regions of "
        f"{atlas_name(atlas)}; slope: of its g on the real one. Age is not adjusted for."
    )
    return Table(agreement, cells, f"{caption} {_too_few(first)}".strip(), "tab:effects", simulated)


def effect_panels(maps: dict[str, np.ndarray], agreement: pd.DataFrame, affine: np.ndarray) -> Figure:
    """Three planes of every map, all with the same colours: blue, less uptake in AD.

    Parameters
    ----------
    maps
        Method → g (X, Y, Z), 0 where there is none, on the grid of `affine` (4 x 4, voxel → MNI152 RAS+ mm).
    agreement
        Rows of `map_agreement`, with `simulated`.
    """
    first = agreement.iloc[0]
    title = f"Effect of AD ({first['n_ad']:.0f} people) against CN ({first['n_cn']:.0f}) on FDG uptake"
    title = titled(title, is_simulated(agreement))
    if reason := _too_few(first):
        return nothing_to_draw(title, reason)
    order = [REAL, *(name for name in in_order(maps) if name != REAL)]
    index = voxel_of_point(affine, maps[REAL].shape)
    values = np.abs(maps[REAL][maps[REAL] != 0])
    limit = float(np.ceil(2 * np.percentile(values, 99)) / 2) if len(values) else 1.0
    columns = min(len(order), 2)
    rows = -(-len(order) // columns)
    facts = agreement.set_index("method")
    outside = planes(maps[REAL] != 0, index) == 0
    with paper_style():
        figure = Figure(figsize=(4.7 * columns + 0.9, 1.95 * rows + 0.9), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, name in zip(grid.flat, order, strict=False):
            cut = np.ma.masked_array(planes(maps[name], index), outside)
            shown = axes.imshow(cut, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", interpolation="nearest")
            bare(axes)
            mark_sides(axes, maps[name].shape)
            axes.set_title(method_name(name) + _likeness(name, facts.loc[[name]].iloc[0]))
        for axes in list(grid.flat)[len(order) :]:
            axes.set_visible(False)
        bar = figure.colorbar(shown, ax=grid, aspect=30, pad=0.015, extend="both")
        bar.set_label("Hedges' g, AD − CN")
        figure.suptitle(title, fontsize=10.5)
        x, y, z = affine[:3, :3] @ index + affine[:3, 3]
        figure.supxlabel(
            f"axial z = {z:.0f}, coronal y = {y:.0f}, sagittal x = {x:.0f} mm (MNI152); L is left; "
            "r: correlation with the real PET's map over the brain; age not adjusted for",
            fontsize=8.5,
        )
    return figure


def _likeness(name: str, row: pd.Series) -> str:
    """What a panel's title says of the map beside its name."""
    if pd.isna(row["mean_g"]):
        return ": no g, for nobody varies"
    return "" if name == REAL or pd.isna(row["correlation"]) else f": r = {row['correlation']:.2f}"


def _too_few(row: pd.Series) -> str:
    """Why there is no effect at all; nothing where there is one."""
    few = min(row["n_ad"], row["n_cn"]) < 2
    return "There is no g: it needs two held-out people with AD and two with CN." if few else ""
