"""The head's motion over the frames of a dynamic PET, drawn as fMRI's motion plots are."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dualglow.preprocess.frames import RADIUS_MM, ROTATIONS, TRANSLATIONS

# Okabe & Ito: told apart with every kind of colour vision; markers and line styles tell them apart in print.
_AXES = (("x", "#0072B2", "o", "-"), ("y", "#E69F00", "s", "--"), ("z", "#009E73", "^", ":"))
_FONT = 9


def motion_plot(table: pd.DataFrame) -> Figure:
    """Draw a motion table (see `frames`): translations, rotations and displacement against the frame's number.

    Hollow marks are frames without signal, which have their neighbour's pose.
    """
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    shift, turn, way = figure.subplots(3, sharex=True)
    _lines(shift, table, TRANSLATIONS, "translation (mm)")
    _lines(turn, table, ROTATIONS, "rotation (°)")
    way.plot(table["frame"], table["displacement"], color="black", linewidth=1.2)
    _marks(way, table, "displacement", "black", "o")
    way.set_ylabel("displacement (mm)", fontsize=_FONT)
    way.set_ylim(0, max(1.0, 1.15 * float(table["displacement"].max())))
    way.set_title(f"mean over a sphere of {RADIUS_MM:g} mm", fontsize=_FONT - 1, loc="right", color="0.35")
    way.set_xlabel("frame", fontsize=_FONT)
    way.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (shift, turn, way):
        axes.tick_params(labelsize=_FONT - 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
    return figure


def _lines(axes: Axes, table: pd.DataFrame, columns: tuple[str, ...], label: str) -> None:
    for column, (name, colour, marker, style) in zip(columns, _AXES, strict=True):
        axes.plot(table["frame"], table[column], style, color=colour, linewidth=1.2, label=name)
        _marks(axes, table, column, colour, marker)
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    reach = max(1.0, 1.15 * float(table[list(columns)].abs().max().max()))
    axes.set_ylim(-reach, reach)
    axes.set_ylabel(label, fontsize=_FONT)
    axes.legend(ncols=3, fontsize=_FONT - 1, frameon=False, loc="upper left", handlelength=2.5)


def _marks(axes: Axes, table: pd.DataFrame, column: str, colour: str, marker: str) -> None:
    """Mark every frame; hollow where it was not registered."""
    for known, face in ((True, colour), (False, "white")):
        rows = table[table["registered"].astype(bool) == known]
        axes.plot(
            rows["frame"], rows[column], linestyle="", marker=marker, markersize=4, color=colour, markerfacecolor=face
        )
