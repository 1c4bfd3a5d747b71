"""Which pictures a pair has: tissues on the T1, PET on the T1, T1 in MNI152, PET with its region, motion, thumbnail."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dualglow.files import written, written_folder
from dualglow.preprocess.grid import MNI_GRID, template_mask
from dualglow.preprocess.qc.drawing import Layers, Stage, draw, draw_thumbnail, scaled, template_outlines
from dualglow.preprocess.qc.inputs import PairImages

SUVR_TOP = 2.2
"""The brightest colour of all PETs in SUVR: one scale for all pairs, so that an odd one shows."""
PICTURES = {
    "tissues": ("T1w", ".webp"),
    "coregistration": ("pet", ".webp"),
    "normalisation": ("T1w", ".webp"),
    "suvr": ("pet", ".webp"),
    "motion": ("pet", ".svg"),  # of a dynamic PET
    "thumbnail": ("pet", ".webp"),
}
"""By what each shows (its `desc`): suffix and ending."""


def picture(pair_id: str, what: str) -> str:
    """The file name of a pair's picture; `pair_id` may be any label."""
    suffix, ending = PICTURES[what]
    return f"{pair_id}_desc-{what}_{suffix}{ending}"


def colour_top(images: PairImages, relative: bool) -> float:
    """The PET value of the brightest colour: SUVR_TOP, or nearly the brain's largest if the PET is not SUVR."""
    values = images.mni_pet[images.mni_brain]
    if relative or not values.size:
        return SUVR_TOP
    return round(float(np.percentile(values, 99.7)), 3) or 1.0


def draw_panels(
    images: PairImages, motion: pd.DataFrame, region: np.ndarray | None, pair_id: str, top: float, out: Path
) -> None:
    """Draw all pictures of a pair into the folder `out`, which is replaced as a whole. Nobody is named in them."""
    native = Stage.native(_somewhere(images), images.head.affine)
    white = images.wm > 0.5
    grey = scaled(images.t1, native.brain)
    tissues = Layers(grey, contours=[(images.brain, "orange"), ((images.gm > 0.5) | white, "blue"), (white, "green")])
    coregistration = Layers(grey, images.t1_pet, top, 0.62, [(white, "white")])
    mni = Stage.mni()
    normalisation = Layers(scaled(images.mni_t1, mni.brain), contours=template_outlines())
    nothing = np.zeros(MNI_GRID.shape, np.float32)
    edges = [(template_mask(MNI_GRID), "blue"), *([] if region is None else [(region, "white")])]
    suvr = Layers(nothing, images.mni_pet, top, 1.0, edges)
    with written_folder(out, (".webp", ".svg", ".png")) as folder:
        draw(native, tissues, folder / picture(pair_id, "tissues"))
        draw(native, coregistration, folder / picture(pair_id, "coregistration"))
        draw(mni, normalisation, folder / picture(pair_id, "normalisation"))
        draw(Stage.mni(region), suvr, folder / picture(pair_id, "suvr"))
        small = Layers(grey, contours=tissues.contours[:1])
        cuts = [(native, small, native.cuts[2]), (native, coregistration, native.cuts[4])]
        draw_thumbnail([*cuts, (mni, normalisation, mni.cuts[7])], folder / picture(pair_id, "thumbnail"))
        if len(motion) > 1:
            _draw_motion(motion, folder / picture(pair_id, "motion"))


def _somewhere(images: PairImages) -> np.ndarray:
    """The brain; where none was found, what is brighter than the background, so that there is something to look at."""
    if images.brain.any():
        return images.brain
    return np.asarray(images.t1 >= images.t1.mean())


def _draw_motion(motion: pd.DataFrame, out: Path) -> None:
    from dualglow.preprocess.motion_plot import motion_plot

    figure: Figure = motion_plot(motion)
    with written(out) as part:
        figure.savefig(part, format="svg", metadata={"Date": None})
