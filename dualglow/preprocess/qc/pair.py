"""Numbers that say whether a pair's preprocessing can be trusted, and what to look at when it cannot."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from dualglow.files import write_json
from dualglow.preprocess.coregister import similarity
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask
from dualglow.preprocess.intensity import region_mask
from dualglow.preprocess.qc.inputs import PairImages, QcInputs, read_motion, read_verdict
from dualglow.preprocess.qc.limits import NAMES, applies, flags
from dualglow.preprocess.qc.panels import colour_top, draw_panels


def quality(inputs: QcInputs, pair_id: str, pictures: Path, numbers: Path) -> None:
    """Measure a pair, flag what is unusual, say whether it is usable, draw it.

    Outputs: `numbers` (JSON: numbers, flags, usable, reasons, provenance) and the folder `pictures`, in which nobody is
    named. A pair is usable if every step found its own result so; flags only ask a person to look.
    """
    images, motion = PairImages.read(inputs), read_motion(inputs.motion)
    steps = {name: read_verdict(getattr(inputs, name)) for name in ("normalisation", "coregistration", "suvr")}
    region = region_of(steps["suvr"], images)
    found = measure(images, steps, motion, region, inputs.warp)
    draw_panels(images, motion, region, pair_id, found["colour_top"], pictures)
    verdict = {
        "flags": flags(found),
        "usable": all(step["usable"] for step in steps.values()),
        "reasons": [step["reason"] for step in steps.values() if not step["usable"]],
        "provenance": {name: step["provenance"] for name, step in steps.items()},
    }
    write_json({"pair_id": pair_id, **found, **verdict}, numbers)


def region_of(suvr: dict[str, Any], images: PairImages) -> np.ndarray | None:
    """The reference region on MNI_GRID (bool); None if the PET is not relative to any."""
    name = suvr["reference_region"]
    return None if name == "none" else region_mask(name, images.mni_mask)


def measure(
    images: PairImages, steps: dict[str, dict[str, Any]], motion: pd.DataFrame, region: np.ndarray | None, warp: Path
) -> dict[str, Any]:
    """All numbers of one pair, by the names in `limits.MEASURES`; None for what cannot be measured."""
    suvr, moved = steps["suvr"], steps["coregistration"]
    relative = suvr["usable"] and region is not None  # else the PET was left in its file's units
    low, high = jacobian_range(warp)
    measured = {
        **_tissues(images),
        "t1_template_r": steps["normalisation"]["t1_template_r"],
        "mask_dice": _dice(images.mni_brain, template_mask(MNI_GRID)),
        "jacobian_min": low,
        "jacobian_max": high,
        "pet_t1_nmi": _agreement(images),
        "rotation_deg": moved["rotation_deg"],
        "shift_mm": float(np.linalg.norm(moved["translation_mm"])),
        "motion_mm": motion["displacement"].max(),
        "brain_coverage": 100 * suvr["brain_coverage"],
        "suvr_brain_mean": suvr["brain_mean"] if relative else None,
        "reference_coverage": 100 * suvr["reference_coverage"],
        "reference_tissue": 100 * suvr["reference_tissue"],
        "reference_offset_mm": suvr["reference_offset_mm"],
        "reference_cv": suvr["reference_cv"],
        "reference_mean": suvr["reference_mean"],
    }
    judged = {name: value for name, value in measured.items() if applies(name, suvr["reference_region"])}
    return {
        **{name: _rounded(judged.get(name)) for name in NAMES},
        "frames": len(motion),
        "reference_region": suvr["reference_region"],
        "units": "SUVR" if relative else "in the file's units",
        "colour_top": colour_top(images, relative),
    }


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


def _tissues(images: PairImages) -> dict[str, float]:
    """Volumes, and how well GM and WM are told apart in the T1 (CJV, Ganzetti 2016; as MRIQC has it)."""
    voxel_ml = abs(np.linalg.det(images.head.affine[:3, :3])) / 1000
    grey, white = images.t1[images.gm > 0.5], images.t1[images.wm > 0.5]
    whole = max(int(images.brain.sum()), 1)
    apart = float(white.mean() - grey.mean()) if len(grey) and len(white) else 0.0
    return {
        "brain_ml": images.brain.sum() * voxel_ml,
        "gm_share": 100 * images.gm.sum(dtype=np.float64) / whole,
        "csf_share": 100 * images.csf.sum(dtype=np.float64) / whole,
        "cjv": float(white.std() + grey.std()) / abs(apart) if apart else np.nan,
    }


def _agreement(images: PairImages) -> float:
    """Normalised mutual information of T1 and PET within the brain; NaN without brain or signal."""
    seen = images.brain.any() and min(data[images.brain].std() for data in (images.t1, images.t1_pet)) > 0
    return similarity(images.t1, images.t1_pet, images.brain)["nmi"] if seen else np.nan


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def _rounded(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and np.isfinite(value) else None
