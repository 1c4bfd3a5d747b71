"""The derivatives as a BIDS dataset: held against the official validator."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dualglow.files import read_json, write_json
from dualglow.preprocess.derivatives import Source, derivative
from dualglow.preprocess.images import save
from dualglow.preprocess.sidecars import describe
from tests.bids_issues import bids_issues

PAIR = "sub-900S9001_ses-20060523"
MNI = {"space": "MNI152"}
MODEL = {"space": "MNI152", "res": "model"}
IMAGES = [
    *(("anat", "T1w", {"desc": desc}) for desc in ("converted", "biascorrected")),
    *(("anat", "probseg", {"label": label, **space}) for label in ("GM", "WM", "CSF") for space in ({}, MNI)),
    *(("anat", "mask", {"desc": "brain", **space}) for space in ({}, MNI, MODEL)),
    *(("anat", "T1w", {"desc": "brain", **space}) for space in (MNI, MODEL)),
    *(("pet", "pet", {"desc": "suvr", **space}) for space in ({"space": "T1w"}, MNI, MODEL)),
    ("anat", "xfm", {"from_": "T1w", "to": "MNI152", "desc": "warp"}),
    ("anat", "xfm", {"from_": "MNI152", "to": "T1w", "desc": "warp"}),
]
RECORD = {"engine": "wheel", "engine_version": "v2.5.1", "threads": 1, "seed": 3, "preset": "tiny", "dualglow": "0.1.0"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All files that the rules make for a pair, with small images in them, described."""
    root = tmp_path / "derivatives"
    for datatype, suffix, entities in IMAGES:
        path = derivative(root, PAIR, datatype, suffix, **entities)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(nib.Nifti1Image(np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4)), path)
    for datatype, entities in (
        ("anat", {"from_": "T1w", "to": "MNI152", "desc": "affine"}),
        ("pet", {"from_": "pet", "to": "T1w"}),
    ):
        derivative(root, PAIR, datatype, "xfm", ".mat", **entities).write_bytes(b"matrix")
    for datatype, desc in (("anat", "normalisation"), ("pet", "coregistration"), ("pet", "suvr"), ("pet", "pair")):
        write_json({"provenance": RECORD}, derivative(root, PAIR, datatype, "qc", ".json", desc=desc))
    derivative(root, PAIR, "pet", "motion", ".tsv").write_text("frame\ttrans_x\n0\t0\n")
    picture = derivative(root, PAIR, "figures", "pet", ".png", desc="qc")
    picture.parent.mkdir()
    picture.write_bytes(b"\x89PNG")
    raw = tmp_path / "download"
    paths = {"t1_paths": raw / "a b" / "t1.nii", "pet_paths": f"{raw / 'pet.zip!' / 'x.nii'};{raw / 'y.nii'}"}
    pd.DataFrame([{"pair_id": PAIR, **paths}]).to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    describe(tmp_path / "pairs.tsv", root, Source(raw, simulated=True))
    return root


def _sidecar(root: Path, *arguments: str, **entities: str) -> dict[str, Any]:
    return read_json(derivative(root, PAIR, *arguments, ".json", **entities))


def test_the_official_validator_finds_no_error(root: Path) -> None:
    found = bids_issues(root)
    assert [issue for issue in found if issue[1] == "error"] == []
    assert {code for code, _, _ in found} <= {"TOO_FEW_AUTHORS"}


def test_the_validator_is_no_rubber_stamp(root: Path) -> None:
    """Without its sidecar, or with a name of our own, an image is an error."""
    derivative(root, PAIR, "anat", "T1w", ".json", desc="brain", **MNI).unlink()
    image = derivative(root, PAIR, "anat", "mask", desc="brain")
    image.rename(image.with_name(image.name.replace("_mask", "_brainmask")))
    errors = {code for code, severity, _ in bids_issues(root) if severity == "error"}
    assert {"SIDECAR_KEY_REQUIRED SkullStripped", "NOT_INCLUDED"} <= errors


def test_every_source_exists(root: Path) -> None:
    for path in root.rglob("*.json"):
        for uri in json.loads(path.read_text()).get("Sources", []):
            dataset, _, name = uri.removeprefix("bids:").partition(":")
            assert dataset == "raw" or (root / name).is_file(), uri


def test_sources_of_raw_images_are_uris_below_the_download(root: Path) -> None:
    assert _sidecar(root, "anat", "T1w", desc="converted")["Sources"] == ["bids:raw:a%20b/t1.nii"]
    suvr = _sidecar(root, "pet", "pet", desc="suvr", **MODEL)["Sources"]
    assert suvr[:2] == ["bids:raw:pet.zip%21/x.nii", "bids:raw:y.nii"]
    assert all(uri.startswith("bids::") for uri in suvr[2:])
    link = read_json(root / "dataset_description.json")["DatasetLinks"]["raw"]
    assert link == (root.parent / "download").as_uri()


def test_sidecars_say_unit_skull_seed_and_that_nobody_is_real(root: Path) -> None:
    suvr = _sidecar(root, "pet", "pet", desc="suvr", **MODEL)
    assert (suvr["Units"], suvr["SkullStripped"], suvr["Provenance"]["seed"]) == ("SUVR", True, 3)
    assert not _sidecar(root, "pet", "pet", desc="suvr", space="T1w")["SkullStripped"]
    assert "simulated" in suvr["Description"]
    assert "simulated" in read_json(root / "dataset_description.json")["Name"]


def test_a_pet_that_could_not_become_suvr_is_not_called_so(root: Path) -> None:
    write_json(
        {"provenance": RECORD, "units": "as the source"}, derivative(root, PAIR, "pet", "qc", ".json", desc="suvr")
    )
    describe(root.parent / "pairs.tsv", root, Source(root.parent / "download", simulated=False))
    suvr = _sidecar(root, "pet", "pet", desc="suvr", **MODEL)
    assert suvr["Units"] == "as scanned"
    assert "not divided" in suvr["Description"]


def test_the_programs_are_named_with_their_versions(root: Path) -> None:
    programs = read_json(root / "dataset_description.json")["GeneratedBy"]
    assert [(program["Name"], program["Version"]) for program in programs[1:]] == [("ANTs", "v2.5.1")]


def test_what_was_adopted_is_named_in_its_own_dataset(root: Path) -> None:
    """A link to the other program's folder, and the exact file in it."""
    save(nib.Nifti1Image(np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4)),
         derivative(root, PAIR, "anat", "T1w", desc="preproc"))  # fmt: skip
    files = {"T1w": "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "GM": "sub-01/anat/sub-01_label-GM_probseg.nii.gz"}
    adoption = {"root": "file:///data/fmriprep", "files": files, "program": "fMRIPrep 23.1.2"}
    write_json(adoption, derivative(root, PAIR, "anat", "qc", ".json", desc="adoption"))
    describe(root.parent / "pairs.tsv", root, Source(root.parent / "download", simulated=False))
    assert "adopted" not in read_json(root / "dataset_description.json")["DatasetLinks"]  # left from an earlier run
    normalisation = derivative(root, PAIR, "anat", "qc", ".json", desc="normalisation")
    write_json({**read_json(normalisation), "adopted": True}, normalisation)
    describe(root.parent / "pairs.tsv", root, Source(root.parent / "download", simulated=False))
    assert _sidecar(root, "anat", "T1w", desc="preproc")["Sources"] == [f"bids:adopted:{files['T1w']}"]
    assert _sidecar(root, "anat", "probseg", label="GM")["Provenance"]["program"] == "fMRIPrep 23.1.2"
    assert _sidecar(root, "anat", "probseg", label="GM")["Sources"] == [f"bids:adopted:{files['GM']}"]
    assert _sidecar(root, "anat", "T1w", desc="biascorrected")["Sources"][0].endswith("desc-preproc_T1w.nii.gz")
    assert read_json(root / "dataset_description.json")["DatasetLinks"]["adopted"] == "file:///data/fmriprep"
    assert [issue for issue in bids_issues(root) if issue[1] == "error"] == []
