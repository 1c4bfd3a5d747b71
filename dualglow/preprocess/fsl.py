"""FSL in ANTs' place: FLIRT, FNIRT, BET and FAST, with outputs in the form that ANTs writes.

Jenkinson et al. 2012. The programs work in FSL's coordinates (mm from a corner, x mirrored); fslpy, FSL's own library,
converts them to world coordinates (RAS+ mm). What stands here in matrices and fields maps points of the fixed image to
points of the moving one, as ITK's do.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from dualglow.preprocess.ants import read_affine, run_node, write_affine
from dualglow.preprocess.images import load_3d, scratch

_SMOOTH_MM = 10.0  # over which a bias field is continued outside the brain


def linear(fixed: Path, moving: Path, rigid: bool, folder: Path, initial: Path | None = None) -> Path:
    """FLIRT: rigid by mutual information (PET to T1), or 12 parameters by correlation ratio (T1's brain to template).

    Starts at `initial` (.mat) or searches. Gives an ITK .mat, fixed point → moving point.
    """
    from fsl.data.image import Image
    from fsl.transform.flirt import fromFlirt, readFlirt, toFlirt, writeFlirt
    from nipype.interfaces.fsl import FLIRT

    if not rigid:
        moving = brain(moving, folder)
    source, reference = Image(str(moving)), Image(str(fixed))
    start: dict[str, Any] = {}
    if initial:
        matrix = toFlirt(np.linalg.inv(read_affine(initial)), source, reference, from_="world", to="world")
        writeFlirt(matrix, str(folder / "start.fsl"))
        start = {"in_matrix_file": str(folder / "start.fsl"), "no_search": True}
    interface = FLIRT(
        in_file=str(moving),
        reference=str(fixed),
        dof=6 if rigid else 12,
        cost="mutualinfo" if rigid else "corratio",
        out_matrix_file="found.fsl",
        out_file="moved.nii.gz",
        **start,
    )
    found = readFlirt(run_node("flirt", interface, folder).out_matrix_file)
    world = fromFlirt(found, source, reference, from_="world", to="world")
    return write_affine(np.linalg.inv(world), folder / "flirt.mat")


def brain(head: Path, folder: Path) -> Path:
    """BET with a robust centre: the head's image, 0 outside the brain."""
    from nipype.interfaces.fsl import BET

    interface = BET(in_file=str(head), out_file="brain.nii.gz", robust=True, mask=True)
    return Path(run_node("bet", interface, folder).out_file)


def deformable(fixed: Path, moving: Path, initial: Path, folder: Path, fixed_mask: Path) -> tuple[Path, Path]:
    """FNIRT of a head's brain to the template after `initial`; gives warp and inverse warp as ITK's fields.

    FNIRT's field holds the whole way T from template to T1. With A for `initial`, the warp is w = A⁻¹ T - identity and
    is inverted by invwarp in the template's space, so that the two fields follow and precede A as SyN's do.
    """
    from fsl.data.image import Image
    from fsl.transform.flirt import toFlirt, writeFlirt
    from fsl.transform.fnirt import toFnirt
    from fsl.transform.nonlinear import DeformationField
    from nipype.interfaces.fsl import FNIRT, InvWarp

    source, reference = Image(str(brain(moving, folder))), Image(str(fixed))
    affine = read_affine(initial)
    writeFlirt(toFlirt(np.linalg.inv(affine), source, reference, "world", "world"), str(folder / "affine.fsl"))
    interface = FNIRT(
        in_file=source.dataSource,
        ref_file=str(fixed),
        refmask_file=str(fixed_mask),
        affine_file=str(folder / "affine.fsl"),
        config_file="T1_2_MNI152_2mm",
        field_file="field.nii.gz",
    )
    found = run_node("fnirt", interface, folder).field_file
    points = _voxel_centres(fixed)
    way = nib.affines.apply_affine(np.linalg.inv(affine), points + _displacements(found, source, reference))
    residual = DeformationField(
        way - points, header=reference.header, src=reference, ref=reference, srcSpace="world", refSpace="world",
        defType="relative",
    )  # fmt: skip
    toFnirt(residual).save(str(folder / "residual.nii.gz"))
    interface = InvWarp(
        warp=str(folder / "residual.nii.gz"), reference=str(fixed), inverse_warp="inverse.nii.gz", relative=True
    )
    inverse = run_node("invwarp", interface, folder).inverse_warp
    fields = (way - points, _displacements(inverse, reference, reference))
    warp, back = (
        _itk(field, fixed, folder / name) for field, name in zip(fields, ("warp.nii", "back.nii"), strict=True)
    )
    return warp, back


def _voxel_centres(image: Path) -> np.ndarray:
    """World coordinates of all voxels, (x, y, z, 3)."""
    grid = load_3d(image)
    return nib.affines.apply_affine(grid.affine, np.moveaxis(np.indices(grid.shape), 0, -1))


def _displacements(field: str, source: Any, reference: Any) -> np.ndarray:  # noqa: ANN401 - fslpy's images
    """Read a field of relative displacements in FSL's coordinates as world ones, (x, y, z, 3) in mm."""
    from fsl.data.constants import FSL_FNIRT_DISPLACEMENT_FIELD
    from fsl.transform.fnirt import fromFnirt, readFnirt

    found = readFnirt(str(field), source, reference, defType="relative", intent=FSL_FNIRT_DISPLACEMENT_FIELD)
    return np.asarray(fromFnirt(found, from_="world", to="world").data)


def _itk(displacements: np.ndarray, grid: Path, path: Path) -> Path:
    """Write displacements (x, y, z, 3), RAS+ mm, as ITK's field: (x, y, z, 1, 3) in LPS+ mm."""
    lps = (displacements * [-1, -1, 1])[:, :, :, None].astype(np.float32)
    image = nib.Nifti1Image(lps, load_3d(grid).affine)
    image.header.set_intent("vector")
    nib.save(image, path)
    return path


def without_bias(head: np.ndarray, affine: np.ndarray, folder: Path) -> Path:
    """Divide a head by FAST's bias field of its brain, continued smoothly outside; writes and gives `corrected.nii`."""
    found = _fast(brain(scratch(head, affine, folder / "cropped.nii"), folder), folder, bias=True)
    field = np.asarray(load_3d(Path(found.bias_field)).dataobj)
    inside = np.asarray(load_3d(folder / "bet" / "brain_mask.nii.gz").dataobj) > 0
    sigma = _SMOOTH_MM / np.linalg.norm(affine[:3, :3], axis=0)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(inside, np.log(np.maximum(field, 1e-3)), 0), sigma)
    outside = np.exp(smooth / np.maximum(weight, 1e-6)) * (weight > 1e-3) + (weight <= 1e-3)
    return scratch(head / np.where(inside, field, outside), affine, folder / "corrected.nii")


def tissues(head: Path, folder: Path) -> np.ndarray:
    """BET and FAST of a bias-corrected head: grey matter, white matter and CSF, (3, x, y, z), each 0 to 1."""
    csf, gm, wm = _fast(brain(head, folder), folder, bias=False).partial_volume_files  # from dark to bright
    return np.stack([np.asarray(load_3d(Path(path)).dataobj) for path in (gm, wm, csf)])


def _fast(image: Path, folder: Path, bias: bool) -> Any:  # noqa: ANN401 - nipype's outputs
    from nipype.interfaces.fsl import FAST

    interface = FAST(
        in_files=[str(image)],
        img_type=1,
        number_classes=3,
        out_basename="fast",
        output_biasfield=bias,
        no_bias=not bias,
    )
    return run_node("fast", interface, folder)
