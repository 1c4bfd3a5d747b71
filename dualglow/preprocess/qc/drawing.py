"""The pictures of a pair's preprocessing: eight cuts each, drawn alike so that two of them can take turns."""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from dualglow.files import written
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask, template_t1

COLOURS = {"orange": "#ffb454", "blue": "#58a6ff", "green": "#3ddc97", "white": "#f0f3f6"}
"""Of contours, by the names that the pages use beside the pictures."""
COLOUR_MAP = "inferno"
_WIDTH, _DPI = 16.0, 100  # 1600 pixels
_MARGIN_MM = 8.0
_THUMB_WIDTH, _THUMB_HEIGHT = 4.8, 1.6  # 480 x 160 pixels
_GAP = 0.004  # between cuts, as a share of the width
# Axial cuts in the first row, coronal and sagittal ones in the second: axis, and where within the brain's extent.
_NATIVE_CUTS = ((2, 0.22), (2, 0.45), (2, 0.62), (2, 0.80), (1, 0.40), (1, 0.65), (0, 0.38), (0, 0.53))
_MNI_CUTS_MM = ((2, -32.0), (2, 2.0), (2, 22.0), (2, 46.0), (1, -58.0), (1, -27.0), (0, -26.0), (0, 2.0))

Cut = tuple[int, int, str]
"""Axis, index of the voxel along it, and the words in the corner."""


@dataclass(frozen=True)
class Stage:
    """Where cuts are placed and how wide each shows: all pictures on one stage lie on each other."""

    brain: np.ndarray  # bool (x, y, z), RAS+
    spacing: np.ndarray  # mm per voxel
    cuts: tuple[Cut, ...]

    @classmethod
    def native(cls, brain: np.ndarray, affine: np.ndarray) -> "Stage":
        """Place the cuts at shares of the extent of a brain in its own space."""
        ends = [_extent(brain, axis) for axis in range(3)]
        cuts = tuple((a, round(ends[a][0] + share * (ends[a][1] - ends[a][0])), "") for a, share in _NATIVE_CUTS)
        return cls(brain, np.asarray(nib.affines.voxel_sizes(affine)), cuts)

    @classmethod
    def mni(cls, through: np.ndarray | None = None) -> "Stage":
        """Place the cuts in MNI152; the first of each direction goes through the middle of a region, if one is given.

        `through` is a mask on MNI_GRID.
        """
        places = list(_MNI_CUTS_MM)
        if through is not None and through.any():
            middle = nib.affines.apply_affine(MNI_GRID.matrix, np.argwhere(through).mean(0))
            for axis, number in ((2, 0), (1, 5), (0, 7)):
                places[number] = (axis, float(middle[axis]))
        to_voxel = np.linalg.inv(MNI_GRID.matrix)
        cuts = tuple((a, round(to_voxel[a, a] * mm + to_voxel[a, 3]), f"{'xyz'[a]} {mm:+.0f}") for a, mm in places)
        return cls(template_mask(MNI_GRID), np.full(3, MNI_GRID.voxel_mm), cuts)

    def size_mm(self, axis: int) -> tuple[float, float]:
        """Width and height of a cut across an axis."""
        across, up = (a for a in range(3) if a != axis)
        (left, right), (low, high) = self.limits(across), self.limits(up)
        return float((right - left) * self.spacing[across]), float((high - low) * self.spacing[up])

    def limits(self, axis: int) -> tuple[float, float]:
        """First and last voxel shown along an axis: the brain and a margin."""
        first, last = _extent(self.brain, axis)
        margin = _MARGIN_MM / self.spacing[axis]
        return first - margin, last + margin


@dataclass(frozen=True)
class Layers:
    """What is drawn: a grey image in [0, 1], perhaps a colour one over it, and the outlines of masks."""

    grey: np.ndarray
    colour: np.ndarray | None = None
    top: float = 1.0  # of the colour scale, which begins at 0
    opacity: float = 1.0
    contours: list[tuple[np.ndarray, str]] = field(default_factory=list)  # mask and the name of its colour


def draw(stage: Stage, layers: Layers, out: Path) -> None:
    """Draw all cuts of a stage: the first four above, the others below, both rows as wide as the picture (WebP)."""
    rows = [_placed(stage, stage.cuts[:4]), _placed(stage, stage.cuts[4:])]
    heights = [height for _, height in rows]
    figure = _canvas(_WIDTH, _WIDTH * (sum(heights) + _GAP))
    bottom = heights[1] + _GAP
    for cuts, (places, height) in zip((stage.cuts[:4], stage.cuts[4:]), rows, strict=True):
        for cut, (left, width) in zip(cuts, places, strict=True):
            whole = sum(heights) + _GAP
            axes = figure.add_axes((left, bottom / whole, width, height / whole))
            _draw_cut(axes, stage, layers, cut)
        bottom = 0.0
    _save(figure, out)


def draw_thumbnail(cuts: list[tuple[Stage, Layers, Cut]], out: Path) -> None:
    """Draw a few cuts beside each other, small and without words."""
    figure = _canvas(_THUMB_WIDTH, _THUMB_HEIGHT)
    for number, (stage, layers, (axis, index, _)) in enumerate(cuts):
        axes = figure.add_axes((number / len(cuts), 0, 1 / len(cuts), 1))
        _draw_cut(axes, stage, layers, (axis, index, ""), words=False)
    _save(figure, out)


def draw_template(out: Path) -> None:
    """Draw the MNI152 template on the stage of all T1s in MNI152."""
    draw(Stage.mni(), Layers(scaled(template_t1(MNI_GRID), template_mask(MNI_GRID)), contours=template_outlines()), out)


def template_outlines() -> list[tuple[np.ndarray, str]]:
    """The template's brain (orange) and white matter (green), to be drawn on images in MNI152."""
    from nilearn.datasets import load_mni152_wm_template

    white = on_grid(load_mni152_wm_template(resolution=1), MNI_GRID) > 0.5
    return [(template_mask(MNI_GRID), "orange"), (white, "green")]


def scaled(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image in [0, 1]: a little below the darkest tissue within the mask to the brightest."""
    low, high = np.percentile(data[mask], [0.5, 99.5])
    return np.clip((data - low * 0.5) / max(high - low * 0.5, 1e-6), 0, 1)


def _canvas(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, out: Path) -> None:
    with written(out) as part:
        figure.savefig(part, facecolor="black", pil_kwargs={"quality": 88, "method": 4})


def _placed(stage: Stage, cuts: tuple[Cut, ...]) -> tuple[list[tuple[float, float]], float]:
    """Left edge and width of each cut of a row at one scale, and the row's height, as shares of the picture's width."""
    sizes = [stage.size_mm(axis) for axis, _, _ in cuts]
    per_mm = (1 - _GAP * (len(cuts) - 1)) / sum(width for width, _ in sizes)
    left, places = 0.0, []
    for width, _ in sizes:
        places.append((left, width * per_mm))
        left += width * per_mm + _GAP
    return places, max(height for _, height in sizes) * per_mm


def _draw_cut(axes: Axes, stage: Stage, layers: Layers, cut: Cut, words: bool = True) -> None:
    """Draw one plane: right is the person's right in axial and coronal cuts, the front in sagittal ones."""
    axis, index, place = cut
    across, up = (a for a in range(3) if a != axis)
    aspect = float(stage.spacing[up] / stage.spacing[across])

    def plane(volume: np.ndarray) -> np.ndarray:
        return np.take(volume, index, axis=axis).T

    axes.imshow(plane(layers.grey), "gray", vmin=0, vmax=1, origin="lower", aspect=aspect, interpolation="bilinear")
    if layers.colour is not None:
        shown = np.asarray(Normalize(0, layers.top, clip=True)(plane(layers.colour)))
        rgba = colormaps[COLOUR_MAP](shown)
        rgba[..., 3] = layers.opacity * np.clip(shown * 4, 0, 1)
        axes.imshow(rgba, origin="lower", aspect=aspect, interpolation="bilinear")
    for mask, colour in layers.contours:
        if plane(mask).any():
            axes.contour(plane(mask), levels=[0.5], colors=[COLOURS[colour]], linewidths=1.2 if words else 0.6)
    axes.set_xlim(*stage.limits(across))
    axes.set_ylim(*stage.limits(up))
    axes.set_axis_off()
    if words:
        _write(axes, "PA" if axis == 0 else "LR", place)


def _write(axes: Axes, sides: str, place: str) -> None:
    for x, y, text in ((0.03, 0.03, sides[0]), (0.97, 0.03, sides[1]), (0.03, 0.94, place)):
        align = "left" if x < 0.5 else "right"
        axes.text(x, y, text, color="#b6c0cc", size=13, transform=axes.transAxes, ha=align)


def _extent(brain: np.ndarray, axis: int) -> tuple[int, int]:
    found = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
    return int(found[0]), int(found[-1])
