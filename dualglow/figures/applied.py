"""The picture of one new person: T1, synthetic PET and its standard deviation."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from dualglow.figures.slices import bare, mark_sides, planes, top_of_scale, voxel_of_point
from dualglow.figures.style import paper_style


@dataclass(frozen=True)
class Slices:
    """Volumes (X, Y, Z) on one grid: T1 in 0..1, PET and sd in SUVR; affine (4 x 4), voxel → MNI152 RAS+ mm."""

    t1: np.ndarray
    pet: np.ndarray
    sd: np.ndarray
    affine: np.ndarray


def applied_montage(slices: Slices, label: str, trained_on_simulated: bool) -> Figure:
    """Axial, coronal and sagittal planes of T1, synthetic PET and its standard deviation, one row each.

    A model that was trained on a simulated cohort knows nothing of real people: the picture says so.
    """
    index = voxel_of_point(slices.affine, slices.t1.shape)
    rows = (
        ("T1 MRI", slices.t1, "gray", 1.0, "intensity"),
        ("Synthetic PET", slices.pet, "hot", top_of_scale([slices.pet], 99.9), "SUVR"),
        ("Standard deviation", slices.sd, "viridis", top_of_scale([slices.sd], 99.9), "SUVR"),
    )
    with paper_style():
        figure = Figure(figsize=(6.4, 6.6), layout="constrained")
        for axes, (name, volume, cmap, top, unit) in zip(figure.subplots(len(rows), 1), rows, strict=True):
            shown = axes.imshow(planes(volume, index), cmap=cmap, vmin=0, vmax=top, origin="lower")
            bare(axes)
            mark_sides(axes, volume.shape)
            axes.set_ylabel(name)
            figure.colorbar(shown, ax=axes, aspect=14, pad=0.01, shrink=0.92).set_label(unit)
        warning = "\nThe model was trained on a simulated cohort: not a finding about this person"
        figure.suptitle(f"Synthetic FDG-PET: {label}" + (warning if trained_on_simulated else ""), fontsize=10)
    return figure
