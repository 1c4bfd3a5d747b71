"""T1 → MNI152: affine, bias correction of the head within the carried mask, then one diffeomorphic warp.

A T1 of which no affine can be found is unusable: it gets a warp that moves nothing, so that the later steps have
something to draw, and a reason in the metrics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import DualGlowError
from dualglow.files import write_json, written
from dualglow.preprocess import fsl
from dualglow.preprocess.affine import NARROW_MARGIN_MM, Aligned, register_affine
from dualglow.preprocess.ants import engine_in_use, run_node, workspace
from dualglow.preprocess.grid import cropped, widened, with_affine
from dualglow.preprocess.images import load_3d, save, scratch
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.provenance import record
from dualglow.preprocess.register import Step, register_syn, resample
from dualglow.preprocess.template import Template, write_template

USABLE_R = 0.6  # correlation with the template after the warp: right ones reached 0.79 to 0.90, wrong ones at most 0.43
CROP_MARGIN_MM = 12.0  # around the widened brain: keeps skull and scalp at brain height, drops the neck


@dataclass(frozen=True)
class Normalised:
    """Outputs of `normalise`: transforms as ANTs applies them, and the cropped, bias-corrected head."""

    affine: Path  # MNI152 → T1 points (.mat)
    warp: Path  # resamples T1 onto MNI152, after the affine
    inverse_warp: Path  # resamples MNI152 onto T1, before the affine's inverse
    biascorrected: Path
    metrics: Path  # JSON: attempts, t1_template_r, usable, reason, provenance


def to_mni_steps(affine: Path, warp: Path) -> list[Step]:
    """Steps that carry a T1-space image to MNI152."""
    return [Step(warp), Step(affine)]


def to_t1_steps(affine: Path, inverse_warp: Path) -> list[Step]:
    """Steps that carry an MNI152 image to the T1's space."""
    return [Step(affine, inverse=True), Step(inverse_warp)]


def normalise(t1: Path, outputs: Normalised, preset: Preset, seed: int, corrected: bool = False) -> None:
    """Register a converted T1 (with skull) to nilearn's MNI152 template and write the five outputs.

    The template is skull-stripped, so a mask around its brain keeps the head's skin and skull out of the metric. A
    failed registration does not raise: the metrics say `usable` false and why. A T1 that is `corrected` and cropped to
    the head already (see `adopt`) is kept as it is.
    """
    head = load_3d(t1)
    with workspace() as folder:
        template = write_template(preset.template_mm, folder)
        whole = scratch(np.maximum(head.dataobj, 0), head.affine, folder / "head.nii")
        aligned = register_affine(template, whole, preset, seed, folder)
        if not (corrected or aligned.best.fault):
            whole = _near_brain(template, head, aligned.path, preset, folder)
        finish = _still if aligned.best.fault else _warped
        warp, inverse_warp = finish(template, whole, aligned.path, preset, seed, folder)
        similarity = _similarity(template, whole, aligned.path, warp, folder)
        save(load_3d(whole), outputs.biascorrected)
        _keep_warp(warp, outputs.warp)
        _keep_warp(inverse_warp, outputs.inverse_warp)
        with written(outputs.affine) as part:
            part.write_bytes(aligned.path.read_bytes())
    write_json({**_metrics(aligned, similarity, preset, seed), "adopted": corrected}, outputs.metrics)


def _metrics(aligned: Aligned, similarity: float, preset: Preset, seed: int) -> dict[str, Any]:
    reason = aligned.best.fault
    if not reason and similarity < USABLE_R:
        reason = f"the warped T1 does not resemble the template (correlation {similarity:.2f}, expected {USABLE_R})"
    return {
        "attempts": [attempt.as_json() for attempt in aligned.attempts],
        "t1_template_r": round(similarity, 4),
        "usable": not reason,
        "reason": f"T1 to MNI152: {reason}" if reason else "",
        "provenance": record(preset.name, seed),
    }


def _near_brain(template: Template, head: Nifti1Image, affine: Path, preset: Preset, folder: Path) -> Path:
    """Give the bias-corrected head, cropped around the carried brain mask."""
    steps = [Step(affine, inverse=True)]
    carried = resample(template.mask(0), folder / "head.nii", steps, folder / "carried.nii") >= 0.5
    return bias_corrected(head, carried, preset, folder)


def _warped(template: Template, head: Path, affine: Path, preset: Preset, seed: int, folder: Path) -> tuple[Path, Path]:
    """Give the warp and the inverse warp."""
    narrow = template.mask(NARROW_MARGIN_MM)
    return register_syn(template.brain, head, affine, preset.syn, seed, folder, narrow)


def _still(template: Template, head: Path, affine: Path, preset: Preset, seed: int, folder: Path) -> tuple[Path, Path]:
    """Give warps that move nothing."""
    grid = load_3d(template.brain)
    warp = nib.Nifti1Image(np.zeros((*grid.shape, 1, 3), np.float32), grid.affine)
    warp.header.set_intent("vector")
    nib.save(warp, folder / "still.nii.gz")
    return folder / "still.nii.gz", folder / "still.nii.gz"


def _similarity(template: Template, corrected: Path, affine: Path, warp: Path, folder: Path) -> float:
    """Correlation of the warped T1 with the template within its brain."""
    warped = resample(corrected, template.brain, to_mni_steps(affine, warp), folder / "warped.nii")
    inside = np.asarray(template.brain_mask.dataobj) > 0
    return float(np.corrcoef(warped[inside], np.asarray(load_3d(template.brain).dataobj)[inside])[0, 1])


def bias_corrected(head: Nifti1Image, carried: np.ndarray, preset: Preset, folder: Path) -> Path:
    """Crop the head around the carried brain mask and divide by N4's field (Tustison et al. 2010)."""
    from nipype.interfaces.ants import N4BiasFieldCorrection

    near = widened(carried, head.affine, NARROW_MARGIN_MM)
    crop, near_crop = (
        cropped(with_affine(part, head.affine), near, CROP_MARGIN_MM) for part in (np.asarray(head.dataobj), near)
    )
    data, affine = np.maximum(np.asarray(crop.dataobj), 0), crop.affine
    if engine_in_use() == "fsl":
        return fsl.without_bias(data, affine, folder)
    inside = (np.asarray(near_crop.dataobj) > 0) & (data > 0)
    interface = N4BiasFieldCorrection(
        dimension=3,
        input_image=str(scratch(data, affine, folder / "cropped.nii")),
        mask_image=str(scratch(inside, affine, folder / "near_brain.nii")),
        n_iterations=list(preset.n4_iterations),
        shrink_factor=preset.n4_shrink,
        convergence_threshold=1e-6,
        bspline_fitting_distance=200,
        output_image=str(folder / "corrected.nii"),
    )
    run_node("bias_correction", interface, folder)
    return folder / "corrected.nii"


def _keep_warp(source: Path, out: Path) -> None:
    """Move a displacement field (x, y, z, 1, 3) in LPS mm to its place, as ITK wrote it, after a check."""
    field = nib.Nifti1Image.from_filename(source)
    data = np.asarray(field.dataobj)
    if data.ndim != 5 or not np.isfinite(data).all():
        raise DualGlowError(f"normalise: the warp for {out.name} is damaged. Look at the T1: is it a whole head?")
    with written(out) as part:
        nib.save(nib.Nifti1Image(data.astype(np.float32), field.affine, field.header), part)
