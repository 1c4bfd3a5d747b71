"""Rigid PET → T1 by mutual information, as SPM12's Coregister: Estimate; it notices its own failure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy.spatial.transform import Rotation

from dualglow.files import write_json, written
from dualglow.preprocess.ants import read_affine, workspace, write_affine
from dualglow.preprocess.images import load_3d, scratch
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.provenance import record
from dualglow.preprocess.register import Step, register_linear, resample
from dualglow.preprocess.starts import Coarse, best_starts, pose

GOOD_CONTRAST = 7.0  # no second try from here on: docs/preprocessing.md has the figures
USABLE_CONTRAST = 5.0
_BINS = 32
_COARSE_MM = 8.0
_OVERLAP = 0.25  # of the T1's field of view
_TURNED = 60


@dataclass(frozen=True)
class Attempt:
    """One registration: where it started, and the PET's likeness to the T1 there, on coarse images.

    `nmi` at the pose that was found; `contrast` is by how many standard deviations it exceeds that of turned poses.
    """

    start: str
    nmi: float
    contrast: float

    def as_json(self) -> dict[str, Any]:
        """Give the attempt's entry in the metrics."""
        return {"start": self.start, "nmi": round(self.nmi, 4), "contrast": round(self.contrast, 2)}


def coregister(t1: Path, pet: Path, transform: Path, metrics: Path, preset: Preset, seed: int) -> None:
    """Register a PET to a bias-corrected T1 of the same person; writes the .mat (T1 → PET points) and its metrics.

    Metrics (JSON): mutual_information (nats) and nmi over the T1's field of view, ncc there, rotation in degrees and
    translation in mm that the PET's header was off by, measured at the centre of the T1's field of view; attempts; a
    failed registration does not raise but has `usable` false and a `reason`.
    """
    with workspace() as folder:
        head = load_3d(t1)
        t1_plain = scratch(np.asarray(head.dataobj), head.affine, folder / "t1.nii")
        frame = load_3d(pet)
        pet_plain = scratch(np.asarray(frame.dataobj), frame.affine, folder / "pet.nii")
        rigid, best, attempts = _register(t1_plain, pet_plain, preset, seed, folder)
        moved = resample(pet_plain, t1_plain, [Step(rigid)], folder / "moved.nii")
        reason = _fault(best, np.asarray(head.dataobj), moved)
        write_json(
            {
                **similarity(np.asarray(head.dataobj), moved, moved != 0),
                **_displacement(read_affine(rigid), head),
                "attempts": [attempt.as_json() for attempt in attempts],
                "usable": not reason,
                "reason": f"PET to T1: {reason}" if reason else "",
                "seed": seed,
                "preset": preset.name,
                "provenance": record(preset.name, seed),
            },
            metrics,
        )
        with written(transform) as part:
            part.write_bytes(rigid.read_bytes())


def _register(t1: Path, pet: Path, preset: Preset, seed: int, folder: Path) -> tuple[Path, Attempt, list[Attempt]]:
    """Start at the centres of mass; if the result is doubtful, also at the best of many poses of coarse images."""
    check = _Check.of(load_3d(t1), load_3d(pet))

    def attempt(name: str, start: Path | None) -> tuple[Path, Attempt]:
        own = folder / name.replace(" ", "_")
        own.mkdir()
        path = register_linear(t1, pet, ["Rigid"], preset.rigid, 0.10, seed, own, initial=start)
        return path, check.judge(name, read_affine(path))

    found = [attempt("centres of mass", None)]
    if found[0][1].contrast < GOOD_CONTRAST:
        starts = best_starts(check.nmi, check.t1.centre(), check.pet.centre())
        for number, matrix in enumerate(starts[:2], start=1):
            found.append(attempt(f"coarse search {number}", write_affine(matrix, folder / f"start_{number}.mat")))
    path, best = max(found, key=lambda pair: pair[1].nmi)
    return path, best, [each for _, each in found]


@dataclass(frozen=True)
class _Check:
    """Both images at 8 mm, to judge a pose by without ANTs."""

    t1: Coarse
    pet: Coarse

    @classmethod
    def of(cls, t1: Nifti1Image, pet: Nifti1Image) -> "_Check":
        return cls(Coarse.of(t1, _COARSE_MM), Coarse.of(pet, _COARSE_MM))

    def nmi(self, matrix: np.ndarray) -> float:
        """Normalised mutual information where both images are; 1, its least, where they hardly overlap."""
        moved = self.pet.at(self.t1, matrix)
        both = np.isfinite(moved)
        if both.mean() < _OVERLAP or np.ptp(moved[both]) == 0:
            return 1.0
        return similarity(self.t1.data, moved, both)["nmi"]

    def judge(self, name: str, matrix: np.ndarray) -> Attempt:
        """Compare the pose with itself turned about the T1's centre of mass, always in the same ways."""
        centre, nmi = self.t1.centre(), self.nmi(matrix)
        turns = Rotation.random(_TURNED, random_state=0)
        others = np.array([self.nmi(matrix @ pose(turn, centre, centre)) for turn in turns])
        return Attempt(name, nmi, float((nmi - others.mean()) / max(others.std(), 1e-3)))


def _fault(best: Attempt, t1: np.ndarray, moved: np.ndarray) -> str:
    if best.contrast < USABLE_CONTRAST:
        return (
            f"their likeness is no better than by chance (contrast {best.contrast:.1f}, expected {USABLE_CONTRAST:g}): "
            "other images, or none of a head"
        )
    return ""


def _displacement(matrix: np.ndarray, head: Nifti1Image) -> dict[str, Any]:
    centre = head.affine @ [*(np.array(head.shape) - 1) / 2, 1.0]
    shift = (matrix @ centre - centre)[:3]
    turn = np.rad2deg(Rotation.from_matrix(matrix[:3, :3]).magnitude())
    return {"rotation_deg": round(float(turn), 3), "translation_mm": [round(float(v), 3) for v in shift]}


def similarity(one: np.ndarray, other: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Mutual information (nats), its normalised form (Studholme 1999, 1 to 2) and |correlation| within a mask."""
    x, y = one[mask], other[mask]
    joint = np.histogram2d(x, y, bins=_BINS, range=[_range(x), _range(y)])[0]
    joint /= joint.sum()
    h_x, h_y, h_xy = _entropy(joint.sum(1)), _entropy(joint.sum(0)), _entropy(joint)
    numbers = {"mutual_information": h_x + h_y - h_xy, "nmi": (h_x + h_y) / h_xy, "ncc": np.corrcoef(x, y)[0, 1]}
    return {name: round(float(value), 5) for name, value in numbers.items()}


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [0.1, 99.9])
    return float(low), float(high)


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
