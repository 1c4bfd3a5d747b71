"""Numbers that say whether a pair's preprocessing can be trusted, and what to look at when it cannot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from dualglow.errors import InputError
from dualglow.files import read_json, write_json
from dualglow.preprocess.coregister import similarity
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask
from dualglow.preprocess.images import load_3d
from dualglow.preprocess.qc_picture import draw

# Number, its acceptable range, and what a value outside it most often means.
LIMITS: tuple[tuple[str, float, float, str], ...] = (
    ("mask_dice", 0.90, 1.0, "the brain in MNI152 does not match the template's: look at row 3"),
    ("t1_template_r", 0.78, 1.0, "the T1 in MNI152 does not resemble the template: look at row 3"),
    ("brain_ml", 900.0, 2200.0, "the brain mask is too small or too large: look at row 1"),
    ("jacobian_min", 0.05, 1.0, "the warp folds or nearly folds"),
    ("jacobian_max", 1.0, 10.0, "the warp stretches somewhere more than tenfold"),
    ("pet_t1_nmi", 1.02, 2.0, "PET and T1 hardly agree: look at row 2"),
    ("reference_cv", 0.0, 0.35, "the reference region is uneven: look at row 4"),
    ("reference_coverage", 0.80, 1.0, "the PET's field of view cuts the reference region"),
    ("brain_coverage", 0.95, 1.0, "the PET's field of view cuts the brain"),
    ("suvr_brain_mean", 0.8, 2.0, "unusual uptake for FDG: reference region or units may be wrong"),
)


@dataclass(frozen=True)
class QcInputs:
    """The derivatives that quality control reads."""

    t1: Path  # bias-corrected, T1 space, as are the next five
    gm: Path
    wm: Path
    mask: Path
    t1_pet: Path
    mni_t1: Path  # MNI152 at 1.5 mm, as are the next two
    mni_mask: Path
    mni_pet: Path
    warp: Path
    coregistration: Path  # JSON of `coregister`
    suvr: Path  # JSON of `resample`


def quality(inputs: QcInputs, pair_id: str, picture: Path, numbers: Path, label: str = "") -> None:
    """Measure a pair, flag what lies outside `LIMITS`, write the numbers (JSON), then draw the picture (PNG).

    The picture is headed by `label`, such as a pseudonym; by default by the pair's name.
    """
    found = measure(inputs)
    found["flags"] = flags(found)
    draw(inputs.__dict__, label or pair_id, found, picture)
    write_json({"pair_id": pair_id, **found}, numbers)


def measure(inputs: QcInputs) -> dict[str, Any]:
    """All numbers of one pair: volumes in ml, similarity within the brain in T1 space, SUVR in MNI152."""
    mask = load_3d(inputs.mask)
    brain = np.asarray(mask.dataobj) > 0
    t1, pet = (np.asarray(load_3d(path).dataobj) for path in (inputs.t1, inputs.t1_pet))
    if not t1.shape == pet.shape == brain.shape:
        raise InputError(f"{inputs.t1_pet}: has {pet.shape} voxels, but {inputs.t1} {t1.shape}. Resample it again.")
    alike = similarity(t1, pet, brain)
    moved, suvr = read_json(inputs.coregistration), read_json(inputs.suvr)
    low, high = jacobian_range(inputs.warp)
    measured = {
        "mask_dice": _dice(np.asarray(load_3d(inputs.mni_mask).dataobj) > 0, template_mask(MNI_GRID)),
        "t1_template_r": _template_correlation(np.asarray(load_3d(inputs.mni_t1).dataobj)),
        "brain_ml": float(brain.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000),
        "jacobian_min": low,
        "jacobian_max": high,
        "pet_t1_nmi": alike["nmi"],
        "pet_t1_ncc": alike["ncc"],
        "suvr_brain_mean": suvr["brain_mean"],
        "brain_coverage": suvr["brain_coverage"],
        "reference_mean": suvr["reference_mean"],
        "reference_cv": suvr["reference_cv"],
        "reference_coverage": suvr["reference_coverage"],
    }
    rounded = {name: round(float(value), 4) for name, value in measured.items()}
    pose = {name: moved[name] for name in ("rotation_deg", "translation_mm")}
    return {**rounded, **pose, "reference_region": suvr["reference_region"]}


def flags(numbers: dict[str, Any]) -> list[str]:
    """One line per number outside its limits; the brain's mean is only judged when the PET is SUVR."""
    judged = [limit for limit in LIMITS if limit[0] != "suvr_brain_mean" or numbers["reference_region"] != "none"]
    return [
        f"{name} {numbers[name]:g} (expected {low:g} to {high:g}): {meaning}"
        for name, low, high, meaning in judged
        if not low <= numbers[name] <= high
    ]


def jacobian_range(warp: Path) -> tuple[float, float]:
    """Smallest and largest volume change (determinant of the warp's derivative) within the template's brain.

    The warp is an ITK displacement field (x, y, z, 1, 3) in LPS mm. Positive everywhere: it does not fold.
    """
    image = nib.Nifti1Image.from_filename(warp)
    field = np.asarray(image.dataobj, dtype=np.float64)[..., 0, :] * [-1, -1, 1]  # LPS to RAS
    by_voxel = np.stack(np.gradient(field, axis=(0, 1, 2)), axis=-1)  # (x, y, z, component, axis)
    derivative = by_voxel @ np.linalg.inv(image.affine[:3, :3]) + np.eye(3)
    change = nib.Nifti1Image((np.linalg.det(derivative) - 1).astype(np.float32), image.affine)
    inside = 1 + on_grid(change, MNI_GRID)[template_mask(MNI_GRID)]  # beyond its field the warp moves nothing
    return float(inside.min()), float(inside.max())


def _template_correlation(mni_t1: np.ndarray) -> float:
    """Correlation with the template within its brain.

    On simulated heads 0.83 to 0.91 when the affine was right and 0.62 to 0.75 when it had blown up the head, which
    the mask's Dice does not show: the mask is drawn with the help of the same warp.
    """
    from nilearn.datasets import load_mni152_template

    inside = template_mask(MNI_GRID)
    template = on_grid(load_mni152_template(resolution=1), MNI_GRID)
    return float(np.corrcoef(mni_t1[inside], template[inside])[0, 1])


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
