"""Derivatives' names, packing them, and opening the dataset."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dualglow.errors import InputError
from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.grid import MODEL_GRID
from dualglow.preprocess.pack import Dataset, pack

PAIRS = ["sub-900S0001_ses-20100101", "sub-900S0002_ses-20100202"]
WHERE = {"space": "MNI152", "res": "model"}


@pytest.fixture
def derivatives(tmp_path: Path) -> Path:
    """Two pairs of noise on the model grid, and their table."""
    root = tmp_path / "derivatives"
    for number, pair in enumerate(PAIRS):
        random = np.random.default_rng(number)
        mask = np.zeros(MODEL_GRID.shape, np.uint8)
        mask[20:40, 30:60, 20:40] = 1
        for datatype, suffix, desc, data in (
            ("anat", "mask", "brain", mask),
            ("anat", "T1w", "brain", random.uniform(10, 900, mask.shape).astype(np.float32)),
            ("pet", "pet", "suvr", random.uniform(0, 2, mask.shape).astype(np.float32)),
        ):
            path = derivative(root, pair, datatype, suffix, desc=desc, **WHERE)
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(data, MODEL_GRID.matrix), path)
        derivative(root, pair, "pet", "qc", ".json", desc="suvr").write_text('{"reference_region": "pons"}')
        derivative(root, pair, "pet", "qc", ".json", desc="pair").write_text('{"usable": true, "reasons": []}')
    pd.DataFrame({"pair_id": PAIRS, "age": [70.5, 80.0]}).to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    return root


def test_names() -> None:
    pair = "sub-900S9001_ses-20060523"
    folder = f"d/sub-900S9001/ses-20060523/anat/{pair}"
    assert str(derivative("d", pair, "anat", "mask", res="model", space="MNI152", desc="brain")) == (
        f"{folder}_space-MNI152_res-model_desc-brain_mask.nii.gz"
    )
    assert str(derivative("d", pair, "anat", "xfm", ".mat", from_="T1w", to="MNI152", desc="affine")) == (
        f"{folder}_from-T1w_to-MNI152_mode-image_desc-affine_xfm.mat"
    )
    assert "sub-{sub}/ses-{ses}/pet/sub-{sub}_ses-{ses}_desc-mean_pet" in str(
        derivative("d", "sub-{sub}_ses-{ses}", "pet", "pet", desc="mean")
    )
    with pytest.raises(ValueError, match="unknown entities"):
        derivative("d", pair, "anat", "mask", descr="brain")


def test_round_trip(derivatives: Path, tmp_path: Path) -> None:
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=True)
    dataset = Dataset.load(tmp_path / "dataset")
    assert dataset.volumes.shape == (2, 2, 64, 96, 64)
    assert isinstance(dataset.volumes, np.memmap)
    assert dataset.grid == MODEL_GRID
    assert dataset.info["simulated"] is True
    assert dataset.info["reference_region"] == "pons"
    assert list(dataset.rows(PAIRS[::-1])) == [1, 0]
    pet = nib.load(derivative(derivatives, PAIRS[1], "pet", "pet", desc="suvr", **WHERE)).get_fdata()
    mask = dataset.masks[1]
    assert np.allclose(dataset.volumes[1, 1], pet * mask, atol=1e-6)
    assert dataset.volumes[:, 0].min() == 0
    assert dataset.volumes[:, 0].max() == 1
    assert (dataset.volumes[:, :, ~mask] == 0).all()
    with pytest.raises(InputError, match="sub-nobody"):
        dataset.rows(["sub-nobody"])


def test_another_reference_is_refused(derivatives: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reference region pons, not cerebellum"):
        pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "cerebellum", simulated=False)
    assert not list((tmp_path / "dataset").glob("*"))


@pytest.mark.parametrize(
    ("datatype", "suffix", "desc", "name"), [("anat", "T1w", "brain", "T1"), ("pet", "pet", "suvr", "PET")]
)
def test_one_image_under_two_names_is_refused(
    derivatives: Path, tmp_path: Path, datatype: str, suffix: str, desc: str, name: str
) -> None:
    """A duplicate subject, whose copies would lie in two folds; the same subject may have a scan in two pairs."""
    one, other = (derivative(derivatives, pair, datatype, suffix, desc=desc, **WHERE) for pair in PAIRS)
    shutil.copy(one, other)
    with pytest.raises(InputError, match=f"{PAIRS[0]} and {PAIRS[1]} have the same {name}, but not the same subject"):
        pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=True)
    assert not list((tmp_path / "dataset").glob("*"))
    pd.DataFrame({"pair_id": PAIRS, "subject": "900_S_0001"}).to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=True)


def test_a_missing_derivative_names_its_file(derivatives: Path, tmp_path: Path) -> None:
    gone = derivative(derivatives, PAIRS[1], "anat", "T1w", desc="brain", **WHERE)
    gone.unlink()
    with pytest.raises(InputError, match=gone.name):
        pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)


def test_another_grid_is_refused(derivatives: Path, tmp_path: Path) -> None:
    path = derivative(derivatives, PAIRS[0], "pet", "pet", desc="suvr", **WHERE)
    shifted = MODEL_GRID.matrix.copy()
    shifted[0, 3] += 1
    nib.save(nib.Nifti1Image(nib.load(path).get_fdata(dtype=np.float32), shifted), path)
    with pytest.raises(InputError, match="not on the model grid"):
        pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)


def _fails(root: Path, pair: str, datatype: str, step: str, reason: str) -> None:
    """Let a step's numbers, and so the pair's, say that it failed."""
    text = json.dumps({"usable": False, "reason": reason, "reasons": [reason], "reference_region": "pons"})
    for where in ((datatype, step), ("pet", "pair")):
        path = derivative(root, pair, where[0], "qc", ".json", desc=where[1])
        path.write_text(text)


@pytest.mark.parametrize(
    ("datatype", "step", "code"),
    [
        ("anat", "normalisation", "t1_registration"),
        ("pet", "coregistration", "pet_registration"),
        ("pet", "suvr", "reference_region"),
        ("pet", "pair", "quality_control"),
    ],
)
def test_a_pair_that_failed_is_left_out_with_its_reason(
    datatype: str, step: str, code: str, derivatives: Path, tmp_path: Path
) -> None:
    _fails(derivatives, PAIRS[0], datatype, step, "noise all over")
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)
    dataset = Dataset.load(tmp_path / "dataset")
    assert list(dataset.pairs["pair_id"]) == PAIRS[1:]
    assert dataset.left_out == {PAIRS[0]}
    assert dataset.info["left_out"] == {code: 1}
    table = pd.read_csv(tmp_path / "dataset" / "exclusions.tsv", sep="\t")
    assert table.to_dict("records") == [{"pair_id": PAIRS[0], "reason": code, "detail": "noise all over"}]


def test_a_person_leaves_out_a_pair_that_has_no_derivatives(derivatives: Path, tmp_path: Path) -> None:
    shutil.rmtree(derivatives / PAIRS[1].split("_")[0])
    exclude = tmp_path / "exclude.tsv"
    exclude.write_text(f"pair_id\treason\n{PAIRS[1]}\tmoved in the scanner\n")
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False, exclude=exclude)
    table = pd.read_csv(tmp_path / "dataset" / "exclusions.tsv", sep="\t")
    assert table.iloc[0].tolist() == [PAIRS[1], "excluded_by_hand", "moved in the scanner"]
    assert list(Dataset.load(tmp_path / "dataset").pairs["pair_id"]) == PAIRS[:1]


def test_mistakes_in_the_table_of_a_person_are_named(derivatives: Path, tmp_path: Path) -> None:
    exclude = tmp_path / "exclude.tsv"
    for text, said in (
        ("sub-nobody_ses-1\tx\n", "sub-nobody_ses-1 is not in"),
        (f"{PAIRS[0]}\tx\n" * 2, "more than once"),
    ):
        exclude.write_text("pair_id\treason\n" + text)
        with pytest.raises(InputError, match=said):
            pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False, exclude=exclude)


def test_no_usable_pair_is_an_error_that_says_why(derivatives: Path, tmp_path: Path) -> None:
    for pair in PAIRS:
        _fails(derivatives, pair, "anat", "normalisation", "noise all over")
    with pytest.raises(InputError, match=r"none of the 2 pairs is usable .*t1_registration, noise all over"):
        pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)


def test_a_cut_dataset_is_refused(derivatives: Path, tmp_path: Path) -> None:
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)
    volumes = tmp_path / "dataset" / "volumes.npy"
    volumes.write_bytes(volumes.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"volumes\.npy: cannot be opened"):
        Dataset.load(tmp_path / "dataset")


def test_what_the_cohort_does_not_know_of_people_is_missing_in_the_dataset(derivatives: Path, tmp_path: Path) -> None:
    pack(tmp_path / "pairs.tsv", derivatives, tmp_path / "dataset", "pons", simulated=False)
    pairs = Dataset.load(tmp_path / "dataset").pairs
    assert list(pairs) == ["pair_id", "age", "group", "sex"]
    assert pairs["age"].tolist() == [70.5, 80.0]
    assert pairs[["group", "sex"]].isna().all(axis=None)
