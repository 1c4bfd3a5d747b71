"""T1 → MNI152: affine, bias correction of the head within the carried mask, then one diffeomorphic warp."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import DualGlowError
from dualglow.files import written
from dualglow.preprocess.ants import run_node, workspace
from dualglow.preprocess.grid import cropped, widened, with_affine
from dualglow.preprocess.images import load_3d, save, scratch
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.register import Linear, Step, register_linear, register_syn, resample

_WIDE_MARGIN_MM = 10.0
_NARROW_MARGIN_MM = 4.0
_TEMPLATE_MARGIN_MM = 16.0  # the template's field of view is twice as large; the warp is zero at its border
_CROP_MARGIN_MM = 12.0  # around the widened brain: keeps skull and scalp at brain height, drops the neck


@dataclass(frozen=True)
class Normalised:
    """Outputs of `normalise`: transforms as ANTs applies them, and the cropped, bias-corrected head."""

    affine: Path  # MNI152 → T1 points (.mat)
    warp: Path  # resamples T1 onto MNI152, after the affine
    inverse_warp: Path  # resamples MNI152 onto T1, before the affine's inverse
    biascorrected: Path


def to_mni_steps(affine: Path, warp: Path) -> list[Step]:
    """Steps that carry a T1-space image to MNI152."""
    return [Step(warp), Step(affine)]


def to_t1_steps(affine: Path, inverse_warp: Path) -> list[Step]:
    """Steps that carry an MNI152 image to the T1's space."""
    return [Step(affine, inverse=True), Step(inverse_warp)]


def normalise(t1: Path, outputs: Normalised, preset: Preset, seed: int) -> None:
    """Register a converted T1 (with skull) to nilearn's MNI152 template and write the four outputs.

    The template is skull-stripped, so a mask around its brain keeps the head's skin and skull out of the metric.
    """
    head = load_3d(t1)
    with workspace() as folder:
        template = write_template(preset.template_mm, folder)
        whole = scratch(np.maximum(head.dataobj, 0), head.affine, folder / "head.nii")
        affine = _affine(template, whole, preset, seed, folder)
        carried = resample(template.mask(0), whole, [Step(affine, inverse=True)], folder / "carried.nii") >= 0.5
        corrected = _bias_corrected(head, carried, preset, folder)
        warp, inverse_warp = register_syn(
            template.brain, corrected, affine, preset.syn, seed, folder, template.mask(_NARROW_MARGIN_MM)
        )
        save(load_3d(corrected), outputs.biascorrected)
        _keep_warp(warp, outputs.warp)
        _keep_warp(inverse_warp, outputs.inverse_warp)
        with written(outputs.affine) as part:
            part.write_bytes(affine.read_bytes())


def _affine(template: "Template", head: Path, preset: Preset, seed: int, folder: Path) -> Path:
    """Rigid, then similarity, then affine.

    A head with a thin dark skull is easily blown up until its scalp meets the edge of the stripped template, or turned
    upside down. Rotation is therefore found on the whole field of view, size within a wide mask of the brain, and the
    shears within one too narrow to hold the scalp (measured on simulated heads turned by up to 20 degrees).
    """
    masks = (None, template.mask(_WIDE_MARGIN_MM), template.mask(_NARROW_MARGIN_MM))
    kinds: tuple[Linear, ...] = ("Rigid", "Similarity", "Affine")
    return register_linear(template.brain, head, kinds, preset.affine, 0.25, seed, folder, masks)


@dataclass(frozen=True)
class Template:
    """The MNI152 template's files in a working folder."""

    brain: Path
    brain_mask: Nifti1Image
    folder: Path

    def mask(self, margin_mm: float) -> Path:
        """Write the brain mask widened by a margin."""
        data = widened(np.asarray(self.brain_mask.dataobj) > 0, self.brain_mask.affine, margin_mm)
        return scratch(data, self.brain_mask.affine, self.folder / f"mask_{margin_mm:g}.nii")


def write_template(mm: int, folder: Path) -> Template:
    """Write nilearn's MNI152 T1 (skull-stripped, symmetric 2009a) at whole-mm resolution."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    brain, mask = load_mni152_template(resolution=mm), load_mni152_brain_mask(resolution=mm)
    inside = np.asarray(mask.dataobj) > 0
    brain, mask = (cropped(image, inside, _TEMPLATE_MARGIN_MM) for image in (brain, mask))
    path = scratch(np.asarray(brain.dataobj, dtype=np.float32), brain.affine, folder / "template.nii")
    return Template(path, mask, folder)


def _bias_corrected(head: Nifti1Image, carried: np.ndarray, preset: Preset, folder: Path) -> Path:
    """Crop the head around the carried brain mask and divide by N4's field (Tustison et al. 2010)."""
    from nipype.interfaces.ants import N4BiasFieldCorrection

    near = widened(carried, head.affine, _NARROW_MARGIN_MM)
    crop, near_crop = (
        cropped(with_affine(part, head.affine), near, _CROP_MARGIN_MM) for part in (np.asarray(head.dataobj), near)
    )
    data, affine = np.maximum(np.asarray(crop.dataobj), 0), crop.affine
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
