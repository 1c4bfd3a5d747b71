"""FSL as the engine, with stand-ins for its programs that know the truth; FSL itself is not run.

What is tested is which command lines are run, and that FSL's matrices and fields become ITK's files: against points in
mm and nitransforms.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nitransforms.linear import Affine
from scipy import ndimage

from dualglow.errors import ConfigError
from dualglow.files import read_json
from dualglow.preprocess import fsl
from dualglow.preprocess.ants import FSL_PROGRAMS, read_affine, use_engine, write_affine
from dualglow.preprocess.coregister import coregister
from dualglow.preprocess.grid import MNI_GRID, template_mask
from dualglow.preprocess.presets import PRESETS
from dualglow.preprocess.provenance import record
from dualglow.preprocess.t1 import PreparedT1, prepare_t1

PROGRAM = Path(__file__).with_name("fake_fsl") / "fsl_program.py"
SWING = 1.5  # mm; no more, for the head in these images is not deformed
ANGLE = 11.361  # degrees, of the fixture `pose`
SHIFT = np.array([[1, 0, 0, 6.0], [0, 1, 0, -8.0], [0, 0, 1, 10.0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory, pose: np.ndarray) -> Iterator[Path]:
    """The stand-ins first on PATH, and the engine set back afterwards; gives their folder."""
    folder = tmp_path_factory.mktemp("fsl")
    (folder / "bin").mkdir()
    (folder / "etc").mkdir()
    (folder / "etc" / "fslversion").write_text("6.0.7.14:abcdef\n")
    for name in FSL_PROGRAMS:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" {name} "$@"\n')
        program.chmod(0o755)
    truth = {"pose": {"t1": SHIFT.tolist(), "pet": pose.tolist()}, "swing": SWING}
    (folder / "truth.json").write_text(json.dumps(truth))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        environment.setenv("FSLDIR", str(folder))
        environment.setenv("FAKE_FSL", str(folder))
        use_engine("fsl")
        yield folder
    use_engine("wheel")


def _calls(record: Path) -> list[str]:
    """The command lines, without the folders of files."""
    return [re.sub(r"([ =])/\S*/([^/\s]+)", r"\1\2", line) for line in record.read_text().splitlines()]


def _brain() -> np.ndarray:
    return nib.affines.apply_affine(MNI_GRID.matrix, np.argwhere(template_mask(MNI_GRID))[::500])


@pytest.fixture(scope="module")
def prepared(fake: Path, head: nib.Nifti1Image, tmp_path_factory: pytest.TempPathFactory) -> PreparedT1:
    """The head, moved by SHIFT, its axes LAS, through the whole T1 chain."""
    folder = tmp_path_factory.mktemp("t1")
    moved = nib.Nifti1Image(head.get_fdata(dtype=np.float32), SHIFT @ head.affine)
    nib.save(moved.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])), folder / "t1.nii.gz")
    (fake / "calls.txt").unlink(missing_ok=True)
    made = prepare_t1(folder / "t1.nii.gz", folder / "work", preset="tiny", seed=1, engine="fsl")
    (fake / "calls.txt").rename(fake / "t1_calls.txt")
    return made


def test_the_command_lines_of_the_t1_chain(prepared: PreparedT1, fake: Path) -> None:
    assert _calls(fake / "t1_calls.txt") == [
        "bet head.nii brain.nii.gz -m -R",
        "flirt -in brain.nii.gz -ref template.nii -out moved.nii.gz -omat found.fsl -cost corratio -dof 12",
        "bet cropped.nii brain.nii.gz -m -R",
        "fast -t 1 -n 3 -o fast -b -S 1 brain.nii.gz",
        "bet corrected.nii brain.nii.gz -m -R",
        "fnirt --aff=affine.fsl --config=T1_2_MNI152_2mm --fout=field.nii.gz --in=brain.nii.gz --logout=brain_log.txt "
        "--ref=template.nii --refmask=mask_4.nii --iout=brain_warped.nii.gz",
        "invwarp --out=inverse.nii.gz --ref=template.nii --rel --warp=residual.nii.gz",
        "bet t1.nii brain.nii.gz -m -R",
        "fast -t 1 -N -n 3 -o fast -S 1 brain.nii.gz",
    ]


def test_the_warps_are_the_true_ones_in_mm(prepared: PreparedT1) -> None:
    """Affine after warp, as ANTs composes them, is the way that the stand-in for FNIRT knows; and back."""
    points = _brain()
    true = nib.affines.apply_affine(SHIFT, points + SWING * np.sin(points[:, [1, 2, 0]] / 25))
    matrix = read_affine(prepared.normalised.affine)
    there = nib.affines.apply_affine(matrix, points + _at(prepared.normalised.warp, points))
    assert np.linalg.norm(there - true, axis=1).max() < 0.15  # the field is sampled at 4 mm
    start = nib.affines.apply_affine(np.linalg.inv(matrix), true)
    back = start + _at(prepared.normalised.inverse_warp, start)
    assert np.linalg.norm(back - points, axis=1).max() < 0.5


def _at(warp: Path, points: np.ndarray) -> np.ndarray:
    """Displacements (RAS+ mm) of an ITK field at world points."""
    field = nib.load(warp)
    voxels = nib.affines.apply_affine(np.linalg.inv(field.affine), points).T
    data = np.asarray(field.dataobj)[:, :, :, 0] * [-1, -1, 1]
    return np.stack([ndimage.map_coordinates(data[..., k], voxels, order=1) for k in range(3)], axis=-1)


def test_the_chain_ends_as_that_of_ants_does(prepared: PreparedT1) -> None:
    mask = nib.load(prepared.carried.mni_mask).get_fdata() > 0
    # where ANTs' resampling finds the head's brain: through the warp that the truth has
    assert 2 * (mask & template_mask(MNI_GRID)).sum() / (mask.sum() + template_mask(MNI_GRID).sum()) > 0.85
    metrics = read_json(prepared.normalised.metrics)
    assert {"attempts", "usable", "reason", "provenance"} <= set(metrics)
    assert metrics["provenance"]["engine"] == "fsl"


def test_a_pet_is_coregistered(fake: Path, files: dict[str, Path], pose: np.ndarray, tmp_path: Path) -> None:
    coregister(files["t1"], files["pet"], tmp_path / "r.mat", tmp_path / "r.json", PRESETS["tiny"], seed=1)
    assert np.allclose(read_affine(tmp_path / "r.mat"), pose, atol=1e-3)
    assert read_json(tmp_path / "r.json")["rotation_deg"] == pytest.approx(ANGLE, abs=0.01)
    assert "flirt -in pet.nii -ref t1.nii -out moved.nii.gz -omat found.fsl -cost mutualinfo -dof 6" in _calls(
        fake / "calls.txt"
    )


def test_a_start_is_given_to_flirt(fake: Path, files: dict[str, Path], pose: np.ndarray, tmp_path: Path) -> None:
    """FLIRT's -init, as nitransforms reads it, is the start that was given."""
    start = write_affine(pose, tmp_path / "initial.mat")
    fsl.linear(files["t1"], files["pet"], True, tmp_path, start)
    assert "-init start.fsl -nosearch" in _calls(fake / "calls.txt")[-1].replace("-dof 6 ", "")
    read = Affine.from_filename(tmp_path / "start.fsl", fmt="fsl", reference=files["t1"], moving=files["pet"])
    assert np.allclose(read.matrix, pose, atol=1e-4)


def test_versions_are_recorded(fake: Path) -> None:
    made = record("default", 1)
    assert (made["engine"], made["engine_version"]) == ("fsl", "6.0.7.14")
    assert made["resampling"].startswith("ANTs v")


def test_without_fsl_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"engine fsl: flirt, .* not found on PATH\. Install FSL"):
        use_engine("fsl")


def test_without_fsldir_one_line_says_so(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSLDIR")
    with pytest.raises(ConfigError, match="engine fsl: FSLDIR is not set"):
        use_engine("fsl")
