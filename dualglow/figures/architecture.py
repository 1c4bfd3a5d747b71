"""A drawing of DUAL-GLOW: both networks, their latents, and the relation network between."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

COLOURS = {"MRI": "#dbe7f3", "PET": "#f6ddd0"}
RELATION, READER = "#e4efdc", "#eee3f3"
HEIGHT = 3.3  # of a level
FLOW_X, LATENT_X = 7.4, 3.3  # distances of a column's middle from the axis of symmetry


def architecture(table: pd.DataFrame, footer: str, title: str) -> Figure:
    """Draw the summary table of a model (a row per network and level); `footer` is written below."""
    levels = int(table["level"].max())
    figure = Figure(figsize=(11, 1.8 + 1.85 * levels), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-9.3, 9.3), ylim=(-HEIGHT * levels - 0.9, 1.6))
    axes.axis("off")
    for side, network in ((-1, "MRI"), (1, "PET")):
        rows = table[table["network"] == network]
        _box(axes, side * FLOW_X, 1.0, 3.0, 0.8, f"{network}\n{rows['image'].iloc[0]}", COLOURS[network], bold=True)
        for row in rows.to_dict("records"):
            _level(axes, row, side)
    for row in table[table["network"] == "PET"].to_dict("records"):
        _relation(axes, row)
    axes.text(0, -HEIGHT * levels - 0.5, _legend(footer), ha="center", va="center", fontsize=8)
    figure.suptitle(title, fontsize=12)
    return figure


def _level(axes: Axes, row: dict[Hashable, Any], side: int) -> None:
    """One level of one network, its latent beside it towards the middle."""
    top, x, z = -HEIGHT * (row["level"] - 1), side * FLOW_X, side * LATENT_X
    middle = top - 1.55
    _arrow(axes, (x, top + (0.6 if row["level"] == 1 else 0.92)), (x, top + 0.12))
    _box(axes, x, top - 0.25, 3.0, 0.7, f"squeeze\n{row['squeezed']}", "white")
    _box(axes, x, middle, 3.0, 1.6, row["steps"], COLOURS[row["network"]])
    _arrow(axes, (x - side * 1.55, middle), (z + side * 1.25, middle))
    _box(axes, z, middle, 2.4, 0.8, f"$z_{{{row['level']}}}$ of {row['network']}\n{row['latent']}", "white")
    if row["reader"]:
        _box(axes, z, middle - 0.85, 2.4, 0.6, row["reader"], READER)
    if row["carried"]:
        axes.text(x + 0.15, top - 2.62, f"{row['carried']} channels go on", fontsize=7, va="center")


def _relation(axes: Axes, row: dict[Hashable, Any]) -> None:
    """What gives the Gaussian of a PET latent."""
    y = -HEIGHT * (row["level"] - 1) - 1.55
    _box(axes, 0, y, 2.9, 1.2, row["relation"], RELATION)
    if row["from_mri"]:
        _arrow(axes, (-LATENT_X + 1.2, y), (-1.5, y))
    _arrow(axes, (1.5, y), (LATENT_X - 1.2, y), dashed=True)


def _legend(footer: str) -> str:
    return f"{footer}; dashed: the Gaussian of a PET latent; MRI latents: N(0, 1); shapes: channels × voxels"


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: str, bold: bool = False
) -> None:
    corner = (x - width / 2, y - height / 2)
    box = FancyBboxPatch(corner, width, height, "round,pad=0.04", facecolor=colour, edgecolor="#555555", lw=0.8)
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", fontsize=7.5, fontweight="bold" if bold else "normal")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    style = {"arrowstyle": "-|>", "color": "#333333", "lw": 1.0, "linestyle": "--" if dashed else "-"}
    axes.annotate("", end, start, arrowprops=style)
