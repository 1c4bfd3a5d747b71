"""T1 → MNI152 affine that notices its own failure and then starts from elsewhere."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from dualglow.preprocess.ants import read_affine, write_affine
from dualglow.preprocess.images import load_3d
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.register import Linear, register_linear
from dualglow.preprocess.starts import Coarse, best_starts, pose
from dualglow.preprocess.template import Template

WIDE_MARGIN_MM = 10.0
NARROW_MARGIN_MM = 4.0
_CHECK_MM, _COARSE_MM = 4.0, 8.0
_KINDS: tuple[Linear, ...] = ("Rigid", "Similarity", "Affine")
GOOD_R = 0.65  # no second try from here on; right ones reached 0.69 to 0.83, wrong ones at most 0.61
USABLE_R = 0.5
VOLUME = (0.45, 1.6)  # the head's brain over the template's
STRETCH = 1.6  # largest over smallest scale


@dataclass(frozen=True)
class Attempt:
    """One registration: where it started, how well it ended and what speaks against it ("" for nothing)."""

    start: str
    similarity: float  # correlation with the template around its brain
    volume_ratio: float
    stretch: float
    fault: str

    @property
    def good(self) -> bool:
        """Whether no other start is worth a try."""
        return not self.fault and self.similarity >= GOOD_R

    def as_json(self) -> dict[str, Any]:
        """Give the attempt's entry in the metrics."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Aligned:
    """The best attempt's transform (.mat, MNI152 → T1 points) and all attempts in their order."""

    path: Path
    best: Attempt
    attempts: list[Attempt]


def register_affine(template: Template, head: Path, preset: Preset, seed: int, folder: Path) -> Aligned:
    """Rigid, then similarity, then affine; if the result is doubtful, again from the best of many coarse poses.

    A head with a thin dark skull is easily blown up until its scalp meets the edge of the stripped template, or turned
    upside down. Rotation is therefore found on the whole field of view, size within a wide mask of the brain, and the
    shears within one too narrow to hold the scalp (measured on simulated heads turned by up to 20 degrees).
    """
    image = load_3d(head)
    check = _Check.of(template, image, _CHECK_MM)
    found = [_attempt("centres of mass", template, head, preset, seed, folder / "com", check, None)]
    if not found[0][1].good:
        coarse = _Check.of(template, image, _COARSE_MM)
        for number, start in enumerate(
            best_starts(coarse.similarity, coarse.template.centre(), coarse.head.centre())[:2]
        ):
            own = folder / f"start_{number}"
            own.mkdir()
            initial = write_affine(start, own / "start.mat")
            found.append(_attempt(f"coarse search {number + 1}", template, head, preset, seed, own, check, initial))
            if found[-1][1].good:
                break
    path, best = max(found, key=lambda pair: (not pair[1].fault, pair[1].similarity))
    if best.fault and not check.overlaps(read_affine(path)):  # show the images on each other
        centred = pose(Rotation.identity(), check.template.centre(), check.head.centre())
        path = write_affine(centred, folder / "centred.mat")
    return Aligned(path, best, [attempt for _, attempt in found])


def _attempt(
    name: str,
    template: Template,
    head: Path,
    preset: Preset,
    seed: int,
    folder: Path,
    check: "_Check",
    start: Path | None,
) -> tuple[Path, Attempt]:
    folder.mkdir(exist_ok=True)
    masks = (None, template.mask(WIDE_MARGIN_MM), template.mask(NARROW_MARGIN_MM))
    path = register_linear(template.brain, head, _KINDS, preset.affine, 0.25, seed, folder, masks, start)
    return path, check.judge(name, read_affine(path))


@dataclass(frozen=True)
class _Check:
    """The template around its brain and the head, both coarse, to judge an affine by without ANTs."""

    template: Coarse
    around: np.ndarray  # bool, the brain and a rim
    head: Coarse

    @classmethod
    def of(cls, template: Template, head: Nifti1Image, mm: float) -> "_Check":
        fixed = Coarse.of(load_3d(template.brain), mm)
        brain = Coarse.of(template.brain_mask, mm).data > 0.5
        rim = max(1, round(6 / mm))
        return cls(fixed, ndimage.binary_dilation(brain, iterations=rim), Coarse.of(head, mm))

    def similarity(self, matrix: np.ndarray) -> float:
        """Correlation around the brain; what lies outside the head's field of view counts as dark."""
        moved = np.nan_to_num(self.head.at(self.template, matrix))[self.around]
        return float(np.corrcoef(moved, self.template.data[self.around])[0, 1]) if np.ptp(moved) > 0 else 0.0

    def overlaps(self, matrix: np.ndarray) -> bool:
        """Whether the head's field of view holds a good part of the template's brain, and the head is no mere dot."""
        seen = np.isfinite(self.head.at(self.template, matrix))[self.around]
        return bool(seen.mean() > 0.25) and VOLUME[0] / 2 < np.linalg.det(matrix[:3, :3]) < VOLUME[1] * 2

    def judge(self, name: str, matrix: np.ndarray) -> Attempt:
        scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        volume, stretch = float(np.linalg.det(matrix[:3, :3])), float(scales.max() / scales.min())
        similarity = self.similarity(matrix)
        return Attempt(name, similarity, volume, stretch, _fault(similarity, volume, stretch))


def _fault(similarity: float, volume: float, stretch: float) -> str:
    """Say in one line what is implausible about an affine, or nothing."""
    if not VOLUME[0] <= volume <= VOLUME[1]:
        return f"the brain would be {volume:.2f} times as large as the template's (expected {VOLUME[0]} to {VOLUME[1]})"
    if stretch > STRETCH:
        return f"the head would be stretched {stretch:.2f} times more in one direction than in another"
    if similarity < USABLE_R:
        return f"the T1 does not resemble the template (correlation {similarity:.2f}, expected {USABLE_R} or more)"
    return ""
