"""A pair's numbers, verdict and pictures: made from the template itself, whose volumes, sides and places are known."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
from PIL import Image
from scipy import ndimage

from dualglow.errors import InputError
from dualglow.files import read_json
from dualglow.preprocess.frames import still
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask, template_t1
from dualglow.preprocess.qc import QcInputs, quality
from dualglow.preprocess.qc.drawing import Layers, Stage, draw, draw_template
from dualglow.preprocess.qc.limits import MEASURES, NAMES, applies, flags

PAIR = "sub-X_ses-1"
PROVENANCE = {"engine": "wheel", "engine_version": "v2", "threads": 1, "seed": 1, "preset": "tiny", "dualglow": "0"}
FINE = {
    "normalisation": {"t1_template_r": 0.9},
    "coregistration": {"rotation_deg": 5.0, "translation_mm": [2.0, 3.0, 6.0]},
    "suvr": {
        "brain_mean": 1.2,
        "brain_coverage": 1.0,
        "reference_region": "pons",
        "reference_mean": 5000.0,
        "reference_cv": 0.1,
        "reference_coverage": 1.0,
        "reference_tissue": 1.0,
        "reference_offset_mm": 0.0,
    },
}


@pytest.fixture(scope="module")
def template() -> dict[str, np.ndarray]:
    brain = template_mask(MNI_GRID)
    gm, wm = (on_grid(load(resolution=1), MNI_GRID) for load in (load_mni152_gm_template, load_mni152_wm_template))
    noise = np.random.default_rng(1).normal(0, 1, brain.shape).astype(np.float32)
    pet = ndimage.gaussian_filter((0.4 + gm) * brain, 1.5) * brain
    return {"t1": (template_t1(MNI_GRID) * 100 + noise) * brain, "gm": gm, "wm": wm, "brain": brain, "pet": pet}


def inputs_of(folder: Path, template: dict[str, np.ndarray], **changes: dict) -> QcInputs:
    """Write the derivatives of a person who looks like the template; `changes` go into the steps' JSONs."""
    brain = template["brain"]
    images = {name: template[name] for name in ("t1", "gm", "wm", "brain", "pet")}
    images["csf"] = np.clip(brain - template["gm"] - template["wm"], 0, 1)
    for name, data in images.items():
        nib.save(MNI_GRID.image(data.astype(np.float32)), folder / f"{name}.nii")
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20, 1, 3), np.float32), np.diag([9, 9, 9, 1.0])), folder / "warp.nii")
    still(1).to_csv(folder / "motion.tsv", sep="\t", index=False)
    for name, content in FINE.items():
        verdict = {"usable": True, "reason": "", "provenance": PROVENANCE}
        (folder / f"{name}.json").write_text(json.dumps({**content, **verdict, **changes.get(name, {})}))
    native = (folder / f"{name}.nii" for name in ("t1", "gm", "wm", "csf", "brain", "pet"))
    mni = (folder / f"{name}.nii" for name in ("t1", "brain", "pet", "warp"))
    return QcInputs(*native, *mni, folder / "motion.tsv", *(folder / f"{name}.json" for name in FINE))


def measured(folder: Path, inputs: QcInputs) -> dict:
    quality(inputs, PAIR, folder / "figures", folder / "qc.json")
    return read_json(folder / "qc.json")


def test_the_template_as_a_person_has_its_volumes_and_no_flags(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    found = measured(tmp_path, inputs_of(tmp_path, template))
    assert found["brain_ml"] == pytest.approx(template["brain"].sum() * 1.5**3 / 1000, abs=0.01)
    assert found["gm_share"] == pytest.approx(100 * template["gm"].sum() / template["brain"].sum(), abs=0.01)
    assert found["mask_dice"] == found["jacobian_min"] == found["jacobian_max"] == 1.0
    assert found["shift_mm"] == 7.0  # 2, 3, 6
    assert found["flags"] == found["reasons"] == []
    assert found["usable"] is True
    assert found["provenance"]["coregistration"]["engine_version"] == "v2"
    assert set(NAMES) <= set(found)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    shown = ("coregistration_pet", "normalisation_T1w", "suvr_pet", "thumbnail_pet", "tissues_T1w")
    assert names == [f"{PAIR}_desc-{what}.webp" for what in shown]


def test_a_pet_that_lies_beside_the_brain_is_flagged(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    right = measured(tmp_path, inputs_of(tmp_path, template))
    beside = measured(tmp_path, inputs_of(tmp_path, {**template, "pet": np.roll(template["pet"], (12, 9), (1, 2))}))
    assert right["pet_t1_nmi"] > beside["pet_t1_nmi"] + 0.02
    assert any(flag.startswith("PET–T1 agreement") for flag in beside["flags"])
    assert beside["usable"]  # flags ask a person to look; the steps say what is unusable


def test_the_verdict_is_that_of_the_steps(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    failed = {"usable": False, "reason": "PET to T1: no pose makes them alike"}
    found = measured(tmp_path, inputs_of(tmp_path, template, coregistration=failed))
    assert (found["usable"], found["reasons"]) == (False, [failed["reason"]])
    inputs = inputs_of(tmp_path, template)
    inputs.suvr.write_text('{"reference_region": "pons"}')
    with pytest.raises(InputError, match=r"suvr\.json: does not say usable"):
        measured(tmp_path, inputs)


def test_what_a_failed_step_leaves_empty_is_not_measured_but_drawn(
    template: dict[str, np.ndarray], tmp_path: Path
) -> None:
    nothing = {name: np.zeros_like(template[name]) for name in ("gm", "wm", "brain", "pet")}
    lost = {
        "brain_mean": None,
        "reference_cv": None,
        "reference_coverage": 0.0,
        "usable": False,
        "reason": "SUVR: none",
    }
    found = measured(tmp_path, inputs_of(tmp_path, {**template, **nothing}, suvr=lost))
    assert found["cjv"] is None
    assert found["suvr_brain_mean"] is None
    assert any("not measured" in flag for flag in found["flags"])
    assert len(list((tmp_path / "figures").iterdir())) == 5


def test_a_pet_that_was_left_in_its_units_is_shown_in_them(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    """One that misses the reference region keeps its file's units: drawn as SUVR it would be one bright stain."""
    missed = {"usable": False, "reason": "SUVR: the PET covers only 10% of the reference region pons"}
    becquerel = {**template, "pet": 9000 * template["pet"]}
    found = measured(tmp_path, inputs_of(tmp_path, becquerel, suvr={**missed, "brain_mean": 9000.0}))
    assert found["units"] == "in the file's units"
    assert 9000 < found["colour_top"] <= 9000 * template["pet"].max()
    assert found["suvr_brain_mean"] is None
    found = measured(tmp_path, inputs_of(tmp_path, template))
    assert (found["units"], found["colour_top"]) == ("SUVR", 2.2)


def test_a_dynamic_pet_has_a_motion_picture(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, template)
    table = pd.concat([still(1), still(1).assign(frame=2, trans_x=3.0, displacement=3.0)])
    table.to_csv(inputs.motion, sep="\t", index=False)
    found = measured(tmp_path, inputs)
    assert (found["frames"], found["motion_mm"]) == (2, 3.0)
    assert "<svg" in (tmp_path / "figures" / f"{PAIR}_desc-motion_pet.svg").read_text()


def test_images_on_different_grids_are_refused(template: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, template)
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.float32), np.eye(4)), inputs.wm)
    with pytest.raises(InputError, match=r"wm\.nii: has \(9, 9, 9\) voxels"):
        measured(tmp_path, inputs)


def test_left_is_left_and_the_cuts_go_through_the_region(tmp_path: Path) -> None:
    """A blob in the left hemisphere lies in the half that says L; a region's cuts show it."""
    x, y, z = np.moveaxis(
        nib.affines.apply_affine(MNI_GRID.matrix, np.moveaxis(np.indices(MNI_GRID.shape), 0, -1)), -1, 0
    )
    blob = (x + 40) ** 2 + (y + 20) ** 2 + (z - 20) ** 2 < 15**2
    stage = Stage.mni(blob)
    assert [stage.cuts[number][2] for number in (0, 5, 7)] == ["z +20", "y -20", "x -40"]
    draw(stage, Layers(blob.astype(float)), tmp_path / "blob.webp")
    picture = np.asarray(Image.open(tmp_path / "blob.webp").convert("L")).astype(float)
    axial = picture[: picture.shape[0] // 2, : picture.shape[1] // 4][60:-60]  # without the letters
    bright = np.argwhere(axial > 128)
    assert len(bright) > 1000
    assert bright[:, 1].max() < axial.shape[1] / 2
    assert (picture[picture.shape[0] // 2 + 60 : -60, -picture.shape[1] // 4 :] > 128).sum() > 1000  # the sagittal one


def test_the_t1_and_the_template_take_turns_on_the_same_place(tmp_path: Path) -> None:
    draw_template(tmp_path / "template.webp")
    draw(Stage.mni(), Layers(template_mask(MNI_GRID).astype(float)), tmp_path / "brain.webp")
    template, brain = (imread(tmp_path / f"{name}.webp") for name in ("template", "brain"))
    assert template.shape == brain.shape
    assert template.shape[1] == 1600
    inside, shown = brain[..., 0] > 128, template[..., :3].max(axis=-1) > 100
    assert (shown & ~inside).mean() < 0.02  # but for outlines and letters


def test_flags_name_what_is_out_of_range() -> None:
    middle = {m.name: (max(m.low, 0.0) + (m.high if np.isfinite(m.high) else m.low + 1)) / 2 for m in MEASURES}
    fine = {name: value if np.isfinite(value) else 1.0 for name, value in middle.items()} | {"reference_region": "pons"}
    assert flags(fine) == []
    assert flags({**fine, "jacobian_min": -0.2}) == [
        "Strongest shrinking -0.20, expected at least 0.05: the warp folds or nearly folds"
    ]
    assert flags({**fine, "brain_ml": None})[0].startswith("Brain not measured, expected 900 to 2200: ")
    assert flags({**fine, "suvr_brain_mean": 5000.0, "reference_region": "none"}) == []
    assert not applies("reference_offset_mm", "global")
    assert applies("reference_cv", "global")
