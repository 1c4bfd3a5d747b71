"""The picture of a pair's preprocessing: four rows that a person judges at a glance."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from nibabel.nifti1 import Nifti1Image

from dualglow.files import written
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask
from dualglow.preprocess.images import load_3d
from dualglow.preprocess.intensity import region_mask

_BACKGROUND, _INK, _SOFT = "#0d1117", "#f0f3f6", "#9aa4b2"
_GREEN, _BLUE, _ORANGE = "#3ddc97", "#58a6ff", "#ffb454"
_WIDTH, _HEIGHT, _DPI = 15.6, 11.6, 100  # 1560 x 1160 pixels
_MARGIN_MM = 9.0
_CUTS = ((2, 0.22), (2, 0.45), (2, 0.62), (2, 0.80), (1, 0.40), (1, 0.65), (0, 0.38), (0, 0.53))


@dataclass(frozen=True)
class _Row:
    """One row: a grey background, perhaps colour over it, and contours of masks, all on one grid."""

    title: str
    grey: np.ndarray
    brain: np.ndarray  # where the cuts are placed
    spacing: np.ndarray  # mm per voxel
    colour: np.ndarray | None = None
    span: tuple[float, float] = (0.0, 1.0)  # of the colour
    opacity: float = 1.0
    contours: list[tuple[np.ndarray, str, str]] = field(default_factory=list)  # mask, colour, meaning


def draw(paths: dict[str, Path], label: str, numbers: dict[str, Any], out: Path) -> None:
    """Draw the four rows of a pair, headed by its label; `paths` holds the fields of `qc.QcInputs`."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)
    _header(figure, label, numbers)
    rows = [*_native_rows(paths, numbers), *_mni_rows(paths, numbers)]
    for number, row in enumerate(rows):
        _draw_row(figure, row, top=0.895 - number * 0.222)
    with written(out) as part:
        figure.savefig(part, facecolor=_BACKGROUND)


def _header(figure: Figure, label: str, numbers: dict[str, Any]) -> None:
    flags = numbers["flags"]
    figure.text(0.012, 0.983, label, color=_INK, size=17, weight="bold", va="top")
    verdict = "no flags" if not flags else f"{len(flags)} flag(s): " + "; ".join(flag.split(" (")[0] for flag in flags)
    figure.text(0.988, 0.983, verdict, color=_ORANGE if flags else _GREEN, size=12, va="top", ha="right")
    facts = (
        f"brain {numbers['brain_ml']:.0f} ml   ·   template r {numbers['t1_template_r']:.2f}, "
        f"mask Dice {numbers['mask_dice']:.3f}   ·   "
        f"Jacobian {numbers['jacobian_min']:.2f} to {numbers['jacobian_max']:.2f}   ·   "
        f"PET–T1 NMI {numbers['pet_t1_nmi']:.3f}, r {numbers['pet_t1_ncc']:.2f}   ·   "
        f"{numbers['reference_region']}: mean {numbers['reference_mean']:.4g}, CV {numbers['reference_cv']:.2f}, "
        f"covered {numbers['reference_coverage']:.0%}   ·   brain SUVR {numbers['suvr_brain_mean']:.2f}"
    )
    figure.text(0.012, 0.950, facts, color=_SOFT, size=10.5, va="top")


def _native_rows(paths: dict[str, Path], numbers: dict[str, Any]) -> list[_Row]:
    t1, mask, pet = (load_3d(paths[name]) for name in ("t1", "mask", "t1_pet"))
    brain, spacing = np.asarray(mask.dataobj) > 0, np.asarray(nib.affines.voxel_sizes(t1.affine))
    grey = _scaled(np.asarray(t1.dataobj), brain)
    tissues = [np.asarray(load_3d(paths[name]).dataobj) > 0.5 for name in ("gm", "wm")]
    contours = [
        (brain, _ORANGE, "brain"),
        (tissues[0] | tissues[1], _BLUE, "GM + WM"),
        (tissues[1], _GREEN, "WM"),
    ]
    rotation, shift = numbers["rotation_deg"], float(np.linalg.norm(numbers["translation_mm"]))
    title = f"PET on T1, SUVR   (moved by {shift:.1f} mm, {rotation:.1f}°)"
    suvr = np.asarray(pet.dataobj)
    return [
        _Row("T1 in its own space", grey, brain, spacing, contours=contours),
        _Row(title, grey, brain, spacing, suvr, _span(suvr, brain), 0.62, [(tissues[1], _INK, "WM of the T1")]),
    ]


def _mni_rows(paths: dict[str, Path], numbers: dict[str, Any]) -> list[_Row]:
    from nilearn.datasets import load_mni152_wm_template

    t1, pet, mask = (load_3d(paths[name]) for name in ("mni_t1", "mni_pet", "mni_mask"))
    brain, template = np.asarray(mask.dataobj) > 0, template_mask(MNI_GRID)
    white = on_grid(load_mni152_wm_template(resolution=1), MNI_GRID) > 0.5
    grey = _scaled(np.asarray(t1.dataobj), brain)
    region = numbers["reference_region"]
    suvr = np.asarray(pet.dataobj)
    outline = [(template, _SOFT, "template brain")]
    if region in ("pons", "cerebellum"):
        outline.append((region_mask(region, Nifti1Image(np.asarray(mask.dataobj), mask.affine)), _GREEN, region))
    spacing = np.full(3, MNI_GRID.voxel_mm)
    contours = [(template, _ORANGE, "template brain"), (white, _GREEN, "template WM")]
    return [
        _Row("T1 in MNI152", grey, template, spacing, contours=contours),
        _Row("PET in MNI152, SUVR", np.zeros_like(grey), template, spacing, suvr, _span(suvr, brain), 1.0, outline),
    ]


def _scaled(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    low, high = np.percentile(data[mask], [0.5, 99.5])
    return np.clip((data - low * 0.5) / (high - low * 0.5), 0, 1)


def _span(suvr: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    return 0.0, float(np.percentile(suvr[mask], 99.7))


def _draw_row(figure: Figure, row: _Row, top: float) -> None:
    figure.text(0.012, top, row.title, color=_INK, size=11.5, va="bottom")
    x = 0.30
    for _, colour, meaning in row.contours:
        figure.text(x, top, f"— {meaning}", color=colour, size=10.5, va="bottom")
        x += 0.03 + 0.008 * len(meaning)
    bottom, height = top - 0.196, 0.192
    across = [1 if axis == 0 else 0 for axis, _ in _CUTS]  # the axis of the array that runs to the right
    widths = [float(np.diff(_limits(row, a))[0] * row.spacing[a]) for a in across]
    left, per_mm = 0.012, 0.945 / sum(widths)  # the same scale in every plane
    for (axis, share), width in zip(_CUTS, widths, strict=True):
        axes = figure.add_axes((left, bottom, width * per_mm * 0.985, height))
        _draw_cut(axes, row, axis, share)
        left += width * per_mm
    if row.colour is not None:
        _colour_bar(figure, row, bottom, height)


def _draw_cut(axes: Axes, row: _Row, axis: int, share: float) -> None:
    """Draw one plane: right of the image is the person's right for axial and coronal cuts, front for sagittal ones."""
    extent = np.flatnonzero(row.brain.any(axis=tuple(a for a in range(3) if a != axis)))
    index = round(float(extent[0] + share * (extent[-1] - extent[0])))
    rest = [a for a in range(3) if a != axis]
    aspect = float(row.spacing[rest[1]] / row.spacing[rest[0]])

    def plane(volume: np.ndarray) -> np.ndarray:
        return np.take(volume, index, axis=axis).T

    axes.imshow(plane(row.grey), cmap="gray", vmin=0, vmax=1, origin="lower", aspect=aspect, interpolation="bilinear")
    if row.colour is not None:
        values = plane(row.colour)
        shown = Normalize(*row.span, clip=True)(values)
        rgba = colormaps["inferno"](shown)
        rgba[..., 3] = row.opacity * np.clip(np.asarray(shown) * 4, 0, 1)
        axes.imshow(rgba, origin="lower", aspect=aspect, interpolation="bilinear")
    for mask, colour, _ in row.contours:
        if plane(mask).any():
            axes.contour(plane(mask).astype(float), levels=[0.5], colors=[colour], linewidths=0.7)
    _frame(axes, row, rest, axis)


def _limits(row: _Row, axis: int) -> tuple[float, float]:
    """First and last voxel shown along an axis: the brain and a margin."""
    extent = np.flatnonzero(row.brain.any(axis=tuple(other for other in range(3) if other != axis)))
    margin = _MARGIN_MM / row.spacing[axis]
    return float(extent[0] - margin), float(extent[-1] + margin)


def _frame(axes: Axes, row: _Row, rest: list[int], axis: int) -> None:
    """Show the same width of space around the brain in every plane, and say which side is which."""
    axes.set_xlim(*_limits(row, rest[0]))
    axes.set_ylim(*_limits(row, rest[1]))
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for x, side in ((0.03, "P" if axis == 0 else "L"), (0.97, "A" if axis == 0 else "R")):
        place = "left" if x < 0.5 else "right"
        axes.text(x, 0.03, side, color=_SOFT, size=9, transform=axes.transAxes, ha=place)


def _colour_bar(figure: Figure, row: _Row, bottom: float, height: float) -> None:
    axes = figure.add_axes((0.962, bottom + 0.02, 0.007, height - 0.04))
    bar = figure.colorbar(ScalarMappable(Normalize(*row.span), colormaps["inferno"]), cax=axes)
    bar.outline.set_visible(False)
    axes.tick_params(colors=_SOFT, labelsize=8.5, length=2)
