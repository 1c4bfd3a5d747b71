"""The training curve: a picture to judge a training by at a glance."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAIN, VALIDATION, BEST = "#4477aa", "#cc6677", "#999933"  # Tol's bright and muted, safe for colour-blind readers


def training_curve(table: pd.DataFrame, title: str, best_epoch: int) -> Figure:
    """Loss of training and validation, and validation MAE (SUVR), per epoch of training.tsv; the best epoch is marked.

    A closed-form method has no epochs (no column `loss_train`): its training and validation MAE stand as two bars.
    """
    if "loss_train" not in table:
        return _closed_form(table, title)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, error = figure.subplots(1, 2)
    loss.plot(table["epoch"], table["loss_train"], color=TRAIN, marker=".", label="training")
    loss.plot(table["epoch"], table["loss_validation"], color=VALIDATION, marker=".", label="validation")
    loss.set(ylabel="loss (bits per voxel)" if "pet_bits_train" in table else "loss")
    error.plot(table["epoch"], table["mae_validation"], color=VALIDATION, marker=".", label="validation")
    error.set(ylabel="MAE in the brain mask (SUVR)")
    for axes in (loss, error):
        axes.set(xlabel="epoch")
        _mark_best(axes, best_epoch)
        _tidy(axes)
    _ignore_the_first_plunge(loss, table[["loss_train", "loss_validation"]])
    _ignore_the_first_plunge(error, table[["mae_validation"]])
    loss.legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def _closed_form(table: pd.DataFrame, title: str) -> Figure:
    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    axes = figure.subplots()
    values = table[["mae_train", "mae_validation"]].iloc[0]
    bars = axes.bar(["training", "validation"], values, color=[TRAIN, VALIDATION], width=0.5)
    axes.bar_label(bars, fmt="%.4f", padding=2)
    axes.margins(y=0.12)
    axes.set(ylabel="MAE in the brain mask (SUVR)")
    _tidy(axes)
    figure.suptitle(f"{title} (closed form, no epochs)", fontsize=11)
    return figure


def _mark_best(axes: Axes, epoch: int) -> None:
    axes.axvline(epoch, color=BEST, linestyle="--", linewidth=1, label=f"best epoch: {epoch}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _ignore_the_first_plunge(axes: Axes, values: pd.DataFrame) -> None:
    """Let the axis show the later epochs: a flow's first ones may be tens of bits above the rest."""
    finite = values[np.isfinite(values).all(axis=1)].to_numpy(dtype=float)
    if len(finite) < 4:
        return
    low, high = finite.min(), finite[max(1, len(finite) // 5) :].max()
    if finite.max() > high + 4 * (high - low):
        axes.set_ylim(low - 0.05 * (high - low), high + 0.4 * (high - low))
        axes.annotate(
            "first epochs off the scale", (0.5, 0.97), xycoords="axes fraction", ha="center", va="top", fontsize=7
        )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
