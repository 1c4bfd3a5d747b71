"""T1s that fMRIPrep or Clinica have processed: folders laid out as these write them, with a 4 mm head in them.

Names: fMRIPrep 23.1 (its own list of outputs, ds005), Clinica 0.9 (t1-volume, segmentation/native_space).
"""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

from dualglow.errors import InputError
from dualglow.files import read_json
from dualglow.preprocess.adopt import adopt, find
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, template_mask
from dualglow.preprocess.normalise import Normalised, normalise
from dualglow.preprocess.presets import PRESETS
from dualglow.preprocess.resample import NativeT1, T1Outputs, resample_t1
from dualglow.preprocess.segment import Segmented

PAIR = "sub-900S9001_ses-20060523"
TINY = PRESETS["tiny"]
Maps = dict[str, nib.Nifti1Image]


@pytest.fixture(scope="module")
def maps(head: nib.Nifti1Image) -> Maps:
    """The template's tissues and brain mask at 4 mm, on the head's voxels."""
    gm, wm, mask = (
        load(resolution=4).get_fdata(dtype=np.float32)
        for load in (load_mni152_gm_template, load_mni152_wm_template, load_mni152_brain_mask)
    )
    data = {"GM": gm * mask, "WM": wm * mask, "CSF": np.clip(mask - gm - wm, 0, 1) * mask, "mask": mask}
    return {name: nib.Nifti1Image(values.astype(np.float32), head.affine) for name, values in data.items()}


def _fmriprep(root: Path, head: nib.Nifti1Image, maps: Maps, folder: str, stem: str) -> Path:
    """fMRIPrep's anatomical outputs that matter, and some that must not be taken for them."""
    anat = root / folder / "anat"
    anat.mkdir(parents=True, exist_ok=True)
    nib.save(head, anat / f"{stem}_desc-preproc_T1w.nii.gz")
    nib.save(maps["mask"], anat / f"{stem}_desc-brain_mask.nii.gz")
    nib.save(maps["mask"], anat / f"{stem}_desc-ribbon_mask.nii.gz")
    for tissue in ("GM", "WM", "CSF"):
        nib.save(maps[tissue], anat / f"{stem}_label-{tissue}_probseg.nii.gz")
    other = f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), anat / other)
    made = {"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "23.1.2"}]}
    (root / "dataset_description.json").write_text(json.dumps(made))
    return anat


def _clinica(root: Path, maps: Maps, subject: str, session: str) -> None:
    """What t1-volume writes into a CAPS in the T1's own space."""
    folder = root / "subjects" / subject / session / "t1" / "spm" / "segmentation" / "native_space"
    folder.mkdir(parents=True)
    for tissue, name in (("GM", "graymatter"), ("WM", "whitematter"), ("CSF", "csf")):
        nib.save(maps[tissue], folder / f"{subject}_{session}_T1w_segm-{name}_probability.nii.gz")


def _chain(root: Path, scan: str, converted: nib.Nifti1Image, out: Path) -> tuple[Segmented, Normalised, T1Outputs]:
    """Adopt, normalise and resample to the model grid."""
    segmented = Segmented(*(out / f"{name}.nii.gz" for name in ("gm", "wm", "csf", "mask")))
    nib.save(converted, out / "converted.nii.gz")
    found = find(root, PAIR, scan)
    adopt(found, root, out / "converted.nii.gz", out / "preproc.nii.gz", segmented, out / "adoption.json", TINY)
    normalised = Normalised(out / "a.mat", *(out / f"{n}.nii.gz" for n in ("w", "i", "n4")), out / "n.json")
    normalise(out / "preproc.nii.gz", normalised, TINY, seed=1, corrected=True)
    native = NativeT1(
        normalised.biascorrected, normalised.affine, normalised.warp,
        segmented.mask, segmented.gm, segmented.wm, segmented.csf,
    )  # fmt: skip
    names = ("mni_t1", "mni_mask", "mni_gm", "mni_wm", "mni_csf", "model_t1", "model_mask")
    carried = T1Outputs(*(out / f"{name}.nii.gz" for name in names))
    resample_t1(native, carried)
    return segmented, normalised, carried


def _meets_the_template(carried: T1Outputs) -> None:
    mask, template = nib.load(carried.mni_mask).get_fdata() > 0, template_mask(MNI_GRID)
    assert 2 * (mask & template).sum() / (mask.sum() + template.sum()) > 0.93
    assert MODEL_GRID.holds(nib.load(carried.model_t1))


def test_fmriprep_to_the_model_grid(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    """Values arrive as fMRIPrep left them: nothing is corrected or segmented again, and nothing interpolated."""
    stem = "sub-01_ses-pre_run-1"
    _fmriprep(tmp_path / "fmriprep", head, maps, "sub-01/ses-pre", stem)
    segmented, normalised, carried = _chain(tmp_path / "fmriprep", f"raw/{stem}_T1w.nii.gz", head, tmp_path)
    kept = nib.load(normalised.biascorrected)
    start = np.rint(np.linalg.inv(head.affine) @ kept.affine[:, 3])[:3].astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, kept.shape, strict=True))
    assert np.allclose(kept.get_fdata(), head.get_fdata()[box], rtol=1e-6)
    assert np.allclose(nib.load(segmented.gm).get_fdata(), maps["GM"].get_fdata()[box], atol=1e-6)
    assert nib.load(segmented.mask).get_fdata().sum() == maps["mask"].get_fdata().sum()  # the crop cuts no brain
    _meets_the_template(carried)
    assert read_json(normalised.metrics)["usable"]
    adopted = read_json(tmp_path / "adoption.json")
    assert adopted["program"] == "fMRIPrep 23.1.2"
    assert adopted["files"]["GM"] == f"sub-01/ses-pre/anat/{stem}_label-GM_probseg.nii.gz"


def test_clinica_to_the_model_grid(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    """SPM's tissues, turned to LAS; the T1 is the converted one, whose bias field is removed here."""
    turn = np.array([[0, -1], [1, 1], [2, 1]])
    turned = {name: image.as_reoriented(turn) for name, image in maps.items()}
    _clinica(tmp_path / "caps", turned, "sub-ADNI002S0295", "ses-M000")
    slope = np.linspace(0.8, 1.25, head.shape[1], dtype=np.float32)[None, :, None]
    biased = nib.Nifti1Image(head.get_fdata(dtype=np.float32) * slope, head.affine)
    scan = "bids/sub-ADNI002S0295/ses-M000/anat/sub-ADNI002S0295_ses-M000_T1w.nii.gz"
    segmented, normalised, carried = _chain(tmp_path / "caps", scan, biased, tmp_path)
    _meets_the_template(carried)
    corrected, mask = nib.load(normalised.biascorrected), nib.load(segmented.mask).get_fdata() > 0
    assert corrected.shape == mask.shape
    white = nib.load(segmented.wm).get_fdata() > 0.9
    voxels = np.rint(np.linalg.inv(head.affine) @ corrected.affine[:, 3])[:3].astype(int)
    before = biased.get_fdata()[tuple(slice(a, a + n) for a, n in zip(voxels, white.shape, strict=True))][white]
    after = corrected.get_fdata()[white]
    assert after.std() / after.mean() < before.std() / before.mean()


def test_labels_of_the_pair_are_looked_for_where_the_scan_has_none(
    head: nib.Nifti1Image, maps: Maps, tmp_path: Path
) -> None:
    """A T1 of ADNI's download is found under its pair's labels, as an earlier run of DualGlow names it."""
    anat = _fmriprep(tmp_path, head, maps, PAIR.replace("_", "/"), PAIR)
    (anat / f"{PAIR}_desc-preproc_T1w.nii.gz").rename(anat / f"{PAIR}_desc-biascorrected_T1w.nii.gz")
    found = find(tmp_path, PAIR, "ADNI/900_S_9001/MPRAGE/ADNI_900_S_9001_MR_MPRAGE_I9000011.nii.gz")
    assert found.t1 == anat / f"{PAIR}_desc-biascorrected_T1w.nii.gz"


def test_one_anatomical_of_several_sessions(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    _fmriprep(tmp_path, head, maps, "sub-01", "sub-01")
    assert find(tmp_path, PAIR, "sub-01_ses-2_T1w.nii.gz").t1 == tmp_path / "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"


def test_runs_are_told_apart_by_the_scans_name(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    for run in "12":
        _fmriprep(tmp_path, head, maps, "sub-01", f"sub-01_run-{run}")
    found = find(tmp_path, PAIR, "raw/sub-01_run-2_T1w.nii.gz")
    assert "run-2" in str(found.t1)
    with pytest.raises(InputError, match="several processed T1s"):
        find(tmp_path, PAIR, "raw/sub-01_T1w.nii.gz")


def test_a_t1_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no processed T1 of sub-07/ses-1 or sub-900S9001/ses-20060523 .* preprocess\.exclude"
    ):
        find(tmp_path, PAIR, "sub-07_ses-1_T1w.nii.gz")
    with pytest.raises(InputError, match=r"nowhere: no such folder\. Let preprocess\.derivatives"):
        find(tmp_path / "nowhere", PAIR, "sub-07_ses-1_T1w.nii.gz")


def test_what_is_no_probability_is_refused(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    percent = nib.Nifti1Image(maps["GM"].get_fdata() * 100, head.affine)
    _fmriprep(tmp_path / "p", head, {**maps, "GM": percent}, "sub-01", "sub-01")
    with pytest.raises(InputError, match=r"GM_probseg.* expected probabilities, 0 to 1"):
        _chain(tmp_path / "p", "sub-01_T1w.nii.gz", head, tmp_path)


def test_maps_of_another_place_are_refused(head: nib.Nifti1Image, maps: Maps, tmp_path: Path) -> None:
    away = head.affine.copy()
    away[:3, 3] += 500
    elsewhere = {name: nib.Nifti1Image(image.get_fdata(), away) for name, image in maps.items()}
    _fmriprep(tmp_path / "p", head, elsewhere, "sub-01", "sub-01")
    with pytest.raises(InputError, match="lies elsewhere than"):
        _chain(tmp_path / "p", "sub-01_T1w.nii.gz", head, tmp_path)


def test_a_t1_of_another_place_is_doubted(
    head: nib.Nifti1Image, maps: Maps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another session's T1 lies differently in the scanner: its resemblance is told, and a small one is warned of."""
    _fmriprep(tmp_path / "fmriprep", head, maps, "sub-01/ses-pre", "sub-01_ses-pre")
    found = find(tmp_path / "fmriprep", PAIR, "raw/sub-01_ses-pre_T1w.nii.gz")
    outputs = Segmented(*(tmp_path / f"{name}.nii.gz" for name in ("gm", "wm", "csf", "mask")))
    resemblance = []
    for mm in (0, 30):
        shift = np.eye(4)
        shift[:3, 3] = mm
        nib.save(nib.Nifti1Image(head.get_fdata(dtype=np.float32), shift @ head.affine), tmp_path / "raw.nii.gz")
        files = (tmp_path / "raw.nii.gz", tmp_path / "t1.nii.gz", outputs, tmp_path / "a.json")
        adopt(found, tmp_path / "fmriprep", *files, TINY)
        resemblance.append(read_json(tmp_path / "a.json")["raw_t1_r"])
    assert resemblance[0] == pytest.approx(1, abs=1e-3)
    assert resemblance[1] < 0.5
    assert caplog.text.count("is it the same scan?") == 1
