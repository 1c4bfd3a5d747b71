"""Figures 5, 9, 10, 11: T1, real and synthetic PET, their difference and the model's standard deviation, by person."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dualglow.figures.slices import bare, mark_sides, planes, top_of_scale, voxel_of_point
from dualglow.figures.style import method_name, paper_style


@dataclass(frozen=True)
class Person:
    """The volumes of one held-out pair: (X, Y, Z) on one grid; mri in 0..1, the others in SUVR; sd may be missing."""

    label: str
    mri: np.ndarray
    real: np.ndarray
    synthetic: np.ndarray
    sd: np.ndarray | None


def montage(people: list[Person], affine: np.ndarray, method: str, title: str) -> Figure:
    """Figures 5, 9, 10 and 11: one column per person (axial, coronal, sagittal), one row per kind of image.

    Neurological orientation: the left of the brain is on the left (L, R marked). Real and synthetic PET share one
    colour scale.

    Parameters
    ----------
    people
        From left to right; all on the grid of `affine` (4 x 4, voxel → MNI152 RAS+ mm).
    """
    rows = _rows(people, method)
    index = voxel_of_point(affine, people[0].mri.shape)
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.035, wspace=0.01, hspace=0.01)
    with paper_style():
        figure = Figure(figsize=(3.2 * len(people) + 1.1, 1.42 * len(rows) + 0.75), layout=tight)
        grid = figure.subplots(len(rows), len(people), squeeze=False)
        for line, row in zip(grid, rows, strict=True):
            for axes, person in zip(line, people, strict=True):
                cut = np.ma.masked_equal(planes(row.image(person), index), 0)
                shown = axes.imshow(cut, cmap=row.cmap, vmin=0, vmax=row.top, origin="lower")
                bare(axes)
            line[0].set_ylabel(row.name)
            bar = figure.colorbar(shown, ax=list(line), aspect=14, pad=0.01, shrink=0.92)
            bar.set_label(row.unit)
        for axes, person in zip(grid[0], people, strict=True):
            axes.set_title(person.label, fontsize=9)
            mark_sides(axes, people[0].mri.shape)
        x, y, z = affine[:3, :3] @ index + affine[:3, 3]
        where = f"axial z = {z:.0f}, coronal y = {y:.0f}, sagittal x = {x:.0f} mm (MNI152); L is left"
        figure.supxlabel(where, fontsize=8.5)
        figure.suptitle(title, fontsize=10.5, wrap=True)
    return figure


@dataclass(frozen=True)
class _Row:
    name: str
    image: Callable[[Person], np.ndarray]
    cmap: str
    top: float
    unit: str


def _rows(people: list[Person], method: str) -> list[_Row]:
    def error(person: Person) -> np.ndarray:
        return np.abs(person.real - person.synthetic)

    uptake = top_of_scale([person.real for person in people], 99.9)
    rows = [
        _Row("T1 MRI", lambda person: person.mri, "gray", 1.0, "intensity"),
        _Row("Real PET", lambda person: person.real, "hot", uptake, "SUVR"),
        _Row(f"Synthetic PET\n{method_name(method)}", lambda person: person.synthetic, "hot", uptake, "SUVR"),
        _Row("|Difference|", error, "magma", top_of_scale([error(person) for person in people], 99.5), "SUVR"),
    ]
    deviations = [person.sd for person in people if person.sd is not None]
    if len(deviations) == len(people):
        rows.append(_Row("Standard\ndeviation", _sd, "viridis", top_of_scale(deviations, 99.9), "SUVR"))
    return rows


def _sd(person: Person) -> np.ndarray:
    assert person.sd is not None
    return person.sd
