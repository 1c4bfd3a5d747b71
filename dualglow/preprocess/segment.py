"""Grey matter, white matter and CSF in the T1's own space, and the brain mask that they make."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from dualglow.errors import DualGlowError
from dualglow.preprocess import fsl
from dualglow.preprocess.ants import engine_in_use, run_node, workspace
from dualglow.preprocess.grid import Grid, on_grid, widened, with_affine
from dualglow.preprocess.images import load_3d, save, scratch
from dualglow.preprocess.normalise import to_t1_steps
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.register import resample

TISSUES = ("GM", "WM", "CSF")
_MARGIN_MM = 3.0
_PRIOR_WEIGHT = 0.25
_MRF = 0.15
_RIM_MM = 2.0
_SMALLEST_CLASS = 50  # voxels
_CSF_MARGIN_MM = 2.0  # the fluid round the brain reaches beyond the template's mask
_EMPTY_CLASS = "input list sample has <= 1 element"  # Atropos' words when a class has lost all its voxels
_NOISE_MM = 0.6  # sigma of the blur that keeps noise out of the refinement


@dataclass(frozen=True)
class Segmented:
    """Outputs of `segment` in T1 space: probabilities, 0 from 2 mm outside the brain on, and the brain mask."""

    gm: Path
    wm: Path
    csf: Path
    mask: Path


def segment(t1: Path, affine: Path, inverse_warp: Path, outputs: Segmented, preset: Preset) -> None:
    """Segment a bias-corrected T1 by Atropos (Avants et al. 2011) with the template's tissues as priors.

    Atropos works on voxels of at least `preset.tissue_mm`; the T1's own voxels then refine what it found. The brain is
    where GM + WM + CSF are likelier than not; the skull is what remains. A brain of odd size is not an error here.
    """
    head = load_3d(t1)
    work = _coarsened(head, preset.tissue_mm)
    with workspace() as folder:
        target = scratch(np.asarray(work.dataobj), work.affine, folder / "t1.nii")
        if engine_in_use() == "fsl":
            found = fsl.tissues(target, folder)
        else:
            found = _atropos(work, _priors(target, affine, inverse_warp, folder), preset, folder)
    tissues = np.clip(np.stack([on_grid(with_affine(p, work.affine), Grid.of(head)) for p in found]), 0, 1)
    if engine_in_use() != "fsl":
        tissues = _refined(np.asarray(head.dataobj), tissues, head.affine)
    mask = _brain(tissues.sum(0) > 0.5, head.affine)
    rim = widened(mask, head.affine, _RIM_MM)  # a map cut at the mask would lose the partial volume of its last voxels
    for tissue, path in zip(tissues, (outputs.gm, outputs.wm, outputs.csf), strict=True):
        save(Nifti1Image(np.clip(tissue, 0, 1) * rim, head.affine), path)
    save(Nifti1Image(mask.astype(np.uint8), head.affine), outputs.mask)


def _coarsened(image: Nifti1Image, mm: float) -> Nifti1Image:
    """Smooth and sample an image on voxels of at least `mm`; the same image if it is that coarse already."""
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    factor = np.maximum(mm / spacing, 1.0)
    if factor.max() < 1.25:
        return image
    shape = np.maximum(np.floor(np.array(image.shape) / factor), 1).astype(int)
    affine = image.affine @ np.diag([*factor, 1.0])
    affine[:3, 3] = image.affine[:3, 3] + image.affine[:3, :3] @ ((factor - 1) / 2)
    smooth = ndimage.gaussian_filter(np.asarray(image.dataobj), np.sqrt(factor**2 - 1) / 2.355)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), tuple(tuple(row) for row in affine))
    return with_affine(on_grid(with_affine(smooth, image.affine), grid), affine)


def _priors(target: Path, affine: Path, inverse_warp: Path, folder: Path) -> np.ndarray:
    """Carry the template's GM, WM and CSF (what is left of its widened mask) to the T1; (3, x, y, z), sum at most 1."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

    grey, white, mask = load_mni152_gm_template(1), load_mni152_wm_template(1), load_mni152_brain_mask(1)
    gm, wm, inside = (np.asarray(image.dataobj, dtype=np.float32) for image in (grey, white, mask))
    gm, wm = gm * inside, wm * inside
    maps = {"GM": gm, "WM": wm, "CSF": np.clip(_soft_edge(inside > 0, mask.affine) - gm - wm, 0, 1)}
    steps = to_t1_steps(affine, inverse_warp)
    carried = [
        resample(
            scratch(maps[name], mask.affine, folder / f"template_{name}.nii"), target, steps, folder / f"{name}.nii"
        )
        for name in TISSUES
    ]
    priors = np.clip(np.stack(carried), 0, 1)
    return priors / np.maximum(priors.sum(0), 1)


def _soft_edge(inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Widen a mask by _CSF_MARGIN_MM; the result falls from 1 to 0 within about two millimetres."""
    wide = widened(inside, affine, _CSF_MARGIN_MM).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(wide, 1 / np.linalg.norm(affine[:3, :3], axis=0)))


def _refined(t1: np.ndarray, tissues: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Share every voxel's brain anew among the tissues (3, x, y, z) by its intensity; their sum stays.

    Bayes' rule with what was found on coarser voxels as prior and one Gaussian per tissue as likelihood.
    """
    smooth = ndimage.gaussian_filter(t1, _NOISE_MM / np.linalg.norm(affine[:3, :3], axis=0))
    likely = np.empty_like(tissues)
    for number, tissue in enumerate(tissues):
        mean = np.average(smooth, weights=tissue**2 + 1e-9)
        sd = np.sqrt(np.average((smooth - mean) ** 2, weights=tissue**2 + 1e-9)) + 1e-9
        likely[number] = np.maximum(tissue, 1e-3) * np.exp(-0.5 * ((smooth - mean) / sd) ** 2) / sd
    return tissues.sum(0) * likely / np.maximum(likely.sum(0), 1e-12)


def _atropos(t1: Nifti1Image, priors: np.ndarray, preset: Preset, folder: Path) -> np.ndarray:
    """Run Atropos in and close round the carried mask; gives the posteriors of GM, WM and CSF, (3, x, y, z).

    What lies round the brain has two classes of its own, dark and bright, if there is any: Atropos fails on an empty
    class, and a T1 may come without its skull.
    """
    from nipype.interfaces.ants import Atropos

    inside = widened(priors.sum(0) > 0.5, t1.affine, _MARGIN_MM)
    priors = np.concatenate([priors, _surroundings(np.asarray(t1.dataobj), priors)])
    seen = np.bincount(priors.argmax(0)[inside], minlength=len(priors))
    priors = priors[(seen >= _SMALLEST_CLASS) | (np.arange(len(priors)) < len(TISSUES))]
    for number, prior in enumerate(priors, start=1):
        scratch(prior, t1.affine, folder / f"prior_{number:02d}.nii")
    interface = Atropos(
        dimension=3,
        intensity_images=[str(scratch(np.asarray(t1.dataobj), t1.affine, folder / "intensity.nii"))],
        mask_image=str(scratch(inside, t1.affine, folder / "inside.nii")),
        initialization="PriorProbabilityImages",
        prior_image=str(folder / "prior_%02d.nii"),
        number_of_tissue_classes=len(priors),
        prior_weighting=_PRIOR_WEIGHT,
        likelihood_model="Gaussian",
        mrf_smoothing_factor=_MRF,
        mrf_radius=[1, 1, 1],
        n_iterations=preset.tissue_iterations,
        convergence_threshold=1e-4,
        posterior_formulation="Socrates",
        use_mixture_model_proportions=True,
        use_random_seed=False,
        save_posteriors=True,
        output_posteriors_name_template=str(folder / "posterior_%02d.nii"),
        out_classified_image_name=str(folder / "labels.nii"),
    )
    try:
        run_node("segmentation", interface, folder)
    except DualGlowError as error:
        if _EMPTY_CLASS not in str(error):
            raise
        return priors[:3]  # as in an image of noise
    found = np.stack([np.asarray(load_3d(folder / f"posterior_{n:02d}.nii").dataobj) for n in (1, 2, 3)])
    nothing = not (found.sum(0) > 0.5).any()  # then the volume, which is the priors', is left for QC to judge
    return priors[:3] if nothing else found


def _surroundings(t1: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Priors of what is not brain, (2, x, y, z): dark (bone, air, fluid), bright (fat, marrow)."""
    other = np.clip(1 - priors.sum(0), 0, 1)
    grey = float(np.average(t1, weights=priors[0]))
    bright = 1 / (1 + np.exp(-np.clip((t1 - grey) / (0.15 * grey), -30, 30)))
    return np.stack([other * (1 - bright), other * bright]).astype(np.float32)


def _brain(likely: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Cut thin bridges to the dura, keep the largest piece and fill its holes."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    times = max(1, round(2.0 / float(spacing.mean())))
    opened = ndimage.binary_opening(likely, iterations=times)
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(likely)
    sizes = np.bincount(labels.ravel())[1:]
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + sizes.argmax()))
