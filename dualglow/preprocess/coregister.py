"""Rigid PET → T1 by mutual information, as SPM12's Coregister: Estimate."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dualglow.errors import DualGlowError
from dualglow.files import write_json, written
from dualglow.preprocess.ants import read_affine, workspace
from dualglow.preprocess.images import load_3d, scratch
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.register import Step, register_linear, resample

_BINS = 32


def coregister(t1: Path, pet: Path, transform: Path, metrics: Path, preset: Preset, seed: int) -> None:
    """Register a PET to a bias-corrected T1 of the same person; writes the .mat (T1 → PET points) and its metrics.

    Metrics (JSON): mutual_information (nats) and nmi over the T1's field of view, ncc there, rotation in degrees and
    translation in mm that the PET's header was off by, measured at the centre of the T1's field of view.
    """
    with workspace() as folder:
        head = load_3d(t1)
        t1_plain = scratch(np.asarray(head.dataobj), head.affine, folder / "t1.nii")
        frame = load_3d(pet)
        pet_plain = scratch(np.asarray(frame.dataobj), frame.affine, folder / "pet.nii")
        rigid = register_linear(t1_plain, pet_plain, ["Rigid"], preset.rigid, 0.10, seed, folder)
        moved = resample(pet_plain, t1_plain, [Step(rigid)], folder / "moved.nii")
        matrix = read_affine(rigid)
        centre = head.affine @ [*(np.array(head.shape) - 1) / 2, 1.0]
        shift = (matrix @ centre - centre)[:3]
        if not np.isfinite(matrix).all():
            raise DualGlowError(f"{pet}: the registration to {t1} has no finite result. Look at both images.")
        write_json(
            {
                **similarity(np.asarray(head.dataobj), moved, moved != 0),
                "rotation_deg": np.rad2deg(Rotation.from_matrix(matrix[:3, :3]).magnitude()).round(3).item(),
                "translation_mm": [round(float(v), 3) for v in shift],
                "seed": seed,
                "preset": preset.name,
            },
            metrics,
        )
        with written(transform) as part:
            part.write_bytes(rigid.read_bytes())


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
