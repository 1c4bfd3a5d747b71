"""Rigid PET → T1 by mutual information, as SPM12's Coregister: Estimate; it notices its own failure."""

from dataclasses import asdict, dataclass
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

# Measured on simulated people and on images that are none of a head: docs/preprocessing.md.
GOOD_CONTRAST, USABLE_CONTRAST = 7.0, 4.0
GOOD_SHARPNESS, USABLE_SHARPNESS = 0.12, 0.08
USABLE_HOT, _HOT_MM = 0.3, 4.0
NO_NMI = 1.0
_BINS = 32
_COARSE_MM = 8.0
_OVERLAP = 0.25  # of the T1's field of view
_TURNED = 60
_NEAR = (15.0, 10.0)  # degrees, mm
_LEAST_SPREAD = 0.01  # of the NMI of turned poses; images of noise have less


@dataclass(frozen=True)
class Attempt:
    """One registration: where it started, and the PET's likeness to the T1 there, on coarse images.

    nmi: normalised mutual information, 1 for none; contrast: by how many standard deviations it exceeds that of random
    turns; sharpness: the share of it that 15 degrees or 10 mm in the most lenient direction cost.
    """

    start: str
    nmi: float
    contrast: float
    sharpness: float

    @property
    def good(self) -> bool:
        """Whether no other start is worth a try."""
        return self.contrast >= GOOD_CONTRAST and self.sharpness >= GOOD_SHARPNESS

    @property
    def fault(self) -> str:
        """Why the pose cannot be trusted, in one line, or nothing."""
        if self.contrast >= USABLE_CONTRAST and self.sharpness >= USABLE_SHARPNESS:
            return ""
        return (
            f"no pose makes them alike (contrast {self.contrast:.1f}, expected {USABLE_CONTRAST:g} or more; sharpness "
            f"{self.sharpness:.2f}, expected {USABLE_SHARPNESS:g} or more)"
        )

    def as_json(self) -> dict[str, Any]:
        """Give the attempt's entry in the metrics."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def coregister(t1: Path, pet: Path, transform: Path, metrics: Path, preset: Preset, seed: int) -> None:
    """Register a PET to a bias-corrected T1 of the same person; writes the .mat (T1 → PET points) and its metrics.

    Metrics (JSON): mutual_information (nats) and nmi over the T1's field of view, ncc there, rotation in degrees and
    translation in mm that the PET's header was off by, measured at the centre of the T1's field of view;
    hot_correlation; attempts. A failed registration does not raise but has `usable` false and a `reason`.
    """
    with workspace() as folder:
        head = load_3d(t1)
        t1_plain = scratch(np.asarray(head.dataobj), head.affine, folder / "t1.nii")
        frame = load_3d(pet)
        pet_plain = scratch(np.asarray(frame.dataobj), frame.affine, folder / "pet.nii")
        rigid, best, attempts = _register(t1_plain, pet_plain, preset, seed, folder)
        matrix = read_affine(rigid)
        hot = hot_correlation(head, frame, matrix)
        reason = best.fault or _wrong_contrast(hot)
        moved = resample(pet_plain, t1_plain, [Step(rigid)], folder / "moved.nii")
        write_json(
            {
                **similarity(np.asarray(head.dataobj), moved, moved != 0),
                **_displacement(matrix, head),
                "hot_correlation": round(hot, 4),
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
    """Start at the centres of mass; if the result is doubtful, also at the best of many poses of coarse images.

    Gives the best attempt's transform, that attempt, and all of them.
    """
    check = _Check.of(load_3d(t1), load_3d(pet))

    def attempt(name: str, start: Path | None) -> tuple[Path, Attempt]:
        own = folder / name.replace(" ", "_")
        own.mkdir()
        path = register_linear(t1, pet, ["Rigid"], preset.rigid, 0.10, seed, own, initial=start)
        return path, check.judge(name, read_affine(path))

    found = [attempt("centres of mass", None)]
    if not found[0][1].good:
        starts = best_starts(check.nmi, check.t1.centre(), check.pet.centre())
        for number, matrix in enumerate(starts[:2], start=1):
            found.append(attempt(f"coarse search {number}", write_affine(matrix, folder / f"start_{number}.mat")))
            if found[-1][1].good:
                break
    path, best = max(found, key=lambda pair: pair[1].nmi)
    if best.nmi == NO_NMI:  # not even overlapping: show the images on each other
        here, there = check.t1.centre(), check.pet.centre()
        path = write_affine(pose(Rotation.identity(), here, there), folder / "centres.mat")
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
        """Normalised mutual information where both images are; its least where they hardly overlap."""
        moved = self.pet.at(self.t1, matrix)
        both = np.isfinite(moved)
        if both.mean() < _OVERLAP or np.ptp(moved[both]) == 0:
            return NO_NMI
        return similarity(self.t1.data, moved, both)["nmi"]

    def judge(self, name: str, matrix: np.ndarray) -> Attempt:
        """Compare the pose with others, turned and shifted about the T1's centre of mass, always in the same ways."""
        centre, nmi = self.t1.centre(), self.nmi(matrix)

        def after(turn: Rotation, shift: np.ndarray) -> float:
            return self.nmi(matrix @ pose(turn, centre, centre + shift))

        turned = np.array([after(turn, np.zeros(3)) for turn in Rotation.random(_TURNED, random_state=0)])
        near = [
            after(Rotation.from_rotvec(_NEAR[0] * step[:3], degrees=True), _NEAR[1] * step[3:])
            for step in np.vstack([np.eye(6), -np.eye(6)])
        ]
        contrast = (nmi - turned.mean()) / max(turned.std(), _LEAST_SPREAD)
        return Attempt(name, nmi, float(contrast), (nmi - max(near)) / max(nmi - 1, 1e-6))


def hot_correlation(t1: Nifti1Image, pet: Nifti1Image, matrix: np.ndarray) -> float:
    """Correlation of T1 and PET where the PET is hot (above 40 % of its top), on images of 4 mm.

    FDG is taken up by grey matter, which is darker than white matter in a T1: simulated people have -0.25 to 0.02, a T1
    in the PET's place 0.4 and more. 0 if there is no signal.
    """
    fixed = Coarse.of(t1, _HOT_MM)
    moved = np.nan_to_num(Coarse.of(pet, _HOT_MM).at(fixed, matrix))
    hot = moved > 0.4 * np.percentile(moved, 99)
    if hot.sum() < 10 or np.ptp(moved[hot]) == 0 or np.ptp(fixed.data[hot]) == 0:
        return 0.0
    return float(np.corrcoef(fixed.data[hot], moved[hot])[0, 1])


def _wrong_contrast(hot: float) -> str:
    if hot <= USABLE_HOT:
        return ""
    return f"the PET is hot where the T1 is bright (correlation {hot:.2f}, expected {USABLE_HOT:g} or less): no FDG"


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
