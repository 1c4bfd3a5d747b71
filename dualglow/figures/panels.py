"""Volumes of one person in MNI152, panel by panel: each three planes through the same point with its colour bar."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from dualglow.figures.slices import bare, mark_sides, planes, voxel_of_point
from dualglow.figures.style import paper_style


@dataclass(frozen=True)
class Panel:
    """A volume (X, Y, Z), 0 where nothing is drawn, and its colours from `low` to `high`, in `unit`.

    `extend` says to which side values go on beyond the colours: neither, max or both.
    """

    name: str
    volume: np.ndarray
    cmap: str
    low: float
    high: float
    unit: str
    extend: str = "neither"


def panel_figure(panels: list[Panel], columns: int, affine: np.ndarray, title: str) -> Figure:
    """Panels from left to right, row by row; neurological orientation, L and R marked.

    Parameters
    ----------
    affine
        (4 x 4), voxel → MNI152 RAS+ mm, of all volumes.
    """
    rows = -(-len(panels) // columns)
    index = voxel_of_point(affine, panels[0].volume.shape)
    with paper_style():
        figure = Figure(figsize=(5.4 * columns, 2.05 * rows + 0.8), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            cut = np.ma.masked_equal(planes(panel.volume, index), 0)
            shown = axes.imshow(
                cut, cmap=panel.cmap, vmin=panel.low, vmax=panel.high, origin="lower", interpolation="nearest"
            )
            bare(axes)
            mark_sides(axes, panel.volume.shape)
            axes.set_title(panel.name)
            bar = figure.colorbar(shown, ax=axes, aspect=14, pad=0.015, shrink=0.92, extend=panel.extend)
            bar.set_label(panel.unit)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        x, y, z = affine[:3, :3] @ index + affine[:3, 3]
        where = f"axial z = {z:.0f}, coronal y = {y:.0f}, sagittal x = {x:.0f} mm (MNI152); L is left"
        figure.supxlabel(where, fontsize=8.5)
        figure.suptitle(title, fontsize=10.5)
    return figure
