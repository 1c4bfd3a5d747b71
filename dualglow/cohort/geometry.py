"""Whether an image has the geometry of a head, as far as its headers tell, and whether its frames belong together."""

from dataclasses import dataclass

import numpy as np

from dualglow.cohort.headers import ORIENTATION_ASSUMED, Facts
from dualglow.cohort.scan import PET, Scan


@dataclass(frozen=True)
class Limits:
    """What a head needs: voxels at most (mm), slices at least."""

    voxel: float
    slices: int


SMALLEST_EXTENT = 100.0  # mm per axis
T1_LIMITS = Limits(2.5, 30)
PET_LIMITS = Limits(6.5, 30)
SIMULATED_LIMITS = Limits(6.5, 20)  # simulated cohorts, which say so in their headers, may be coarse to be quick


def judged(scan: Scan, facts: list[Facts], strict: bool) -> Scan:
    """Return the scan with what its headers (one per file) say against it, and with their warnings.

    With `strict`, an image whose header says nothing of its orientation is excluded instead of taken as LAS.
    """
    if wrong := next((fact for fact in facts if fact.problem), None):
        return scan.excluded(wrong.reason, wrong.problem)
    for code in sorted({code for fact in facts for code in fact.warnings}):
        scan = scan.warned(code)
    if strict and ORIENTATION_ASSUMED in scan.warnings.split():
        return scan.excluded(ORIENTATION_ASSUMED, "its header says nothing of left and right (--strict)")
    if problem := _apart(facts):
        return scan.excluded("frames_inconsistent", problem)
    problem = next(filter(None, (_no_head(fact, scan.modality == PET) for fact in facts)), "")
    return scan.excluded("geometry", problem) if problem else scan


def _apart(facts: list[Facts]) -> str:
    """Say whether frames differ in shape or place."""
    first = facts[0]
    for number, fact in enumerate(facts[1:], start=2):
        if fact.shape[:3] != first.shape[:3]:
            return f"frame {number} has {_by(fact.shape)} voxels, the first {_by(first.shape)}"
        if not np.allclose(fact.affine, first.affine, atol=1e-2):
            return f"frame {number} lies elsewhere than the first: their affines differ"
    return ""


def _no_head(fact: Facts, pet: bool) -> str:
    """Say why an image cannot be of a head: too few slices, too coarse, too small."""
    limits = SIMULATED_LIMITS if fact.simulated else PET_LIMITS if pet else T1_LIMITS
    if min(fact.shape[:3]) < limits.slices:
        return f"{_by(fact.shape)} voxels; expected at least {limits.slices} per axis"
    if fact.frames > 1 and not pet:
        return f"{fact.frames} frames; expected one for a T1"
    if not fact.voxel:  # an enhanced DICOM that keeps its spacing elsewhere
        return ""
    if max(fact.voxel) > limits.voxel:
        return f"voxels of {_by(fact.voxel)} mm; expected at most {limits.voxel} mm"
    extent = [count * size for count, size in zip(fact.shape, fact.voxel, strict=False)]
    if min(extent) < SMALLEST_EXTENT:
        return f"covers {_by(extent)} mm; expected at least {SMALLEST_EXTENT:.0f} mm per axis"
    return ""


def _by(values: tuple[float, ...] | list[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
