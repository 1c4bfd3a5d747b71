"""One simulated cohort in every layout: the same pairs and exclusions, those that its people were made for.

The voxels are stubs (smooth noise, 6 mm); the files and tables are those of `dualglow simulate`.
"""

import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from dualglow.cli.app import app
from dualglow.cohort.collection import is_collection
from dualglow.cohort.simulate import Recipe, delivery, simulate
from dualglow.cohort.simulate.adnimerge import PATH as MERGE
from dualglow.cohort.simulate.archive import COLLECTION, KIND_CODES
from dualglow.cohort.simulate.head import Head
from dualglow.cohort.simulate.layouts import LAYOUTS
from dualglow.cohort.simulate.people import Person
from dualglow.cohort.simulate.scanner import FIELD_PET, FIELD_T1, field_of_view
from dualglow.cohort.simulate.subject import Scan, Truth
from dualglow.cohort.simulate.zipped import IMAGES, METADATA

Tables = dict[tuple[str, str], pd.DataFrame]
# What BIDS cannot say as the archive does: PTIDs lose their underscores, visits are session labels, dates come from
# scans.tsv, and a T1's processing has no entity. Its scans are named after files; scans.tsv gives the archive's IDs.
NOT_IN_BIDS = ["subject", "visit", "date_source", "t1_level"]
PATHS = ["t1_paths", "pet_paths"]


def recipe(name: str, subjects: int = 6) -> Recipe:
    """Six people with two visits: the third's PETs come as frame files, the sixth's in 4D."""
    return Recipe(subjects, seed=3, voxel=6.0, delivery=name, visits=2, adnimerge=True)


def silent(done: int, n: int) -> None:
    del done, n


def stub_person(person: Person, seed: int, voxel: float) -> tuple[list[Scan], Truth]:
    """Scans of the right kinds and sizes: smooth noise that depends on person, visit and kind, and on no layout."""
    form = {3: "frames", 0: "4d"}.get(person.number % 6, "averaged")
    scans = []
    for kind in person.reasons:
        magnetic = kind in ("T1", "FLAIR")
        grid = field_of_view(FIELD_T1 if magnetic else FIELD_PET, voxel)
        rng = np.random.default_rng([seed, person.number, person.visit, KIND_CODES[kind]])
        frames = rng.random((6 if kind == "FDG" and form != "averaged" else 1, *grid.shape), dtype=np.float32)
        processed = "processed" if kind == "T1" and person.number % 2 == 0 else "original"
        smooth = [gaussian_filter(frame, 1.5) * np.float32(3000) for frame in frames]
        scans.append(Scan(kind, processed if magnetic else form if kind == "FDG" else "averaged", smooth, grid))
    none = np.zeros((2, 2, 2), np.float32)
    head = Head(field_of_view((12, 12, 12), 6), *[none] * 8, labels=none.astype(np.int16))
    return scans, Truth(head, none, np.eye(4), [], np.zeros((3, 2, 2, 2)), np.eye(4), 6.0, 1.0)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The cohort in each layout."""
    parts = ("grey", "white", "csf", "ventricles", "hippocampus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "make_person", stub_person)
        patch.setattr(delivery, "volumes", lambda of: dict.fromkeys(parts, 1.0))
        found = {name: tmp_path_factory.mktemp(name) for name in LAYOUTS}
        for name, out in found.items():
            simulate(out, recipe(name), None, 1, silent)
        yield found


@pytest.fixture(scope="module")
def tables(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Tables by (layout, name): pairs and exclusions for one pair per subject, pairs-all and exclusions-all for all."""
    found = {}
    for name, root in roots.items():
        out = tmp_path_factory.mktemp("tables")
        run("scan", root, "--out", out / "scans.tsv")
        for suffix, chosen in (("", "one"), ("-all", "all")):
            pairs, rest = out / f"pairs{suffix}.tsv", out / f"exclusions{suffix}.tsv"
            options = ("--pairs-per-subject", chosen, "--exclusions", rest)
            run("pair", "--scans", out / "scans.tsv", "--out", pairs, *options)
            found[name, pairs.stem], found[name, rest.stem] = read(pairs), read(rest)
    return found


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, f"{result.output} {result.exception}"


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def rows(table: pd.DataFrame, columns: list[str]) -> list[list[str]]:
    return sorted(table[columns].to_numpy().tolist())


def archive_ids(root: Path) -> dict[str, str]:
    """The archive's ID of each scan of the BIDS dataset, by the name of its file without suffix."""
    listed = pd.concat([read(path) for path in sorted(root.glob("sub-*/ses-*/*_scans.tsv"))])
    return {Path(row.filename).name.removesuffix(".nii.gz"): row.scan_id for row in listed.itertuples()}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("suffix", ["", "-all"])
def test_a_delivery_gives_what_its_people_were_made_for(
    roots: dict[str, Path], tables: Tables, name: str, suffix: str
) -> None:
    truth = roots[name] / "truth"
    for what, columns in (("pairs", ["subject", "t1_id", "pet_id"]), ("exclusions", ["scan_id", "reason"])):
        expected = read(truth / f"expected_{what}{suffix.replace('-', '_')}.tsv")
        assert rows(tables[name, what + suffix], columns) == rows(expected, columns)


def test_the_oracles_count_as_the_recipe_does(roots: dict[str, Path]) -> None:
    wanted = {"expected_pairs": 6, "expected_pairs_all": 12, "expected_exclusions": 19, "expected_exclusions_all": 7}
    for root in roots.values():
        assert {path.stem: len(read(path)) for path in (root / "truth").glob("expected_*.tsv")} == wanted


@pytest.mark.parametrize("name", ["ida-dicom", "ida-zip"])
@pytest.mark.parametrize("table", ["pairs", "pairs-all"])
def test_the_archives_layouts_agree_in_every_column_but_the_paths(tables: Tables, name: str, table: str) -> None:
    expected = tables["ida", table].drop(columns=PATHS)
    pd.testing.assert_frame_equal(tables[name, table].drop(columns=PATHS), expected)
    assert len(expected) == (6 if table == "pairs" else 12)


@pytest.mark.parametrize("table", ["pairs", "pairs-all"])
def test_bids_agrees_in_what_it_can_say(roots: dict[str, Path], tables: Tables, table: str) -> None:
    found, expected, ids = tables["bids", table], tables["ida", table], archive_ids(roots["bids"])
    found = found.assign(t1_id=found["t1_id"].map(ids), pet_id=found["pet_id"].map(ids))
    left_out = [*NOT_IN_BIDS, *PATHS]
    pd.testing.assert_frame_equal(found.drop(columns=left_out), expected.drop(columns=left_out))
    assert list(found["subject"]) == [name.replace("_", "") for name in expected["subject"]]


@pytest.mark.parametrize("name", ["ida-dicom", "ida-zip", "bids"])
def test_exclusions_agree(roots: dict[str, Path], tables: Tables, name: str) -> None:
    found = tables[name, "exclusions"]
    if name == "bids":
        found = found.assign(scan_id=found["scan_id"].map(archive_ids(roots["bids"])))
    columns = ["scan_id", "modality", "stage", "reason"]
    assert rows(found, columns) == rows(tables["ida", "exclusions"], columns)


@pytest.mark.parametrize("name", ["ida-dicom", "ida-zip", "bids"])
@pytest.mark.parametrize("kind", ["t1", "pet"])
def test_converted_images_agree(tables: Tables, name: str, kind: str, tmp_path: Path) -> None:
    """Averaged, frame files and 4D: up to what rounding to 16 bits loses."""
    for person in ("sub-900S9001", "sub-900S9003", "sub-900S9006"):
        expected, found = (converted(tables[layout, "pairs"], person, kind, tmp_path) for layout in ("ida", name))
        assert np.allclose(expected.affine, found.affine, atol=1e-4)
        difference = np.abs(found.get_fdata() - expected.get_fdata()).max()
        assert difference <= (0.6 if kind == "t1" else 0.2)  # T1s in DICOM are whole numbers


def converted(pairs: pd.DataFrame, person: str, kind: str, folder: Path) -> nib.Nifti1Image:
    (paths,) = pairs[pairs["pair_id"].str.startswith(person)][f"{kind}_paths"]
    run("convert", *paths.split(";"), "--modality", kind, "--out", folder / "image.nii")
    image = nib.load(folder / "image.nii")
    return nib.Nifti1Image(image.get_fdata(), image.affine)


@pytest.mark.parametrize("image", ["I9000011", "I9000012", "I9000032"])
def test_dicom_lies_where_the_nifti_lies_and_keeps_its_values(
    roots: dict[str, Path], tmp_path: Path, image: str
) -> None:
    """dcm2niix knows nothing of our affines: a sagittal T1, an axial PET, six frames in their order."""
    (folder,) = (roots["ida-dicom"] / "ADNI").rglob(image)
    command = ["dcm2niix", "-z", "n", "-f", image, "-o", str(tmp_path), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = tmp_path.glob("*.nii")
    found = nib.as_closest_canonical(nib.load(file))
    files = sorted((roots["ida"] / "ADNI").rglob(f"*_{image}.nii.gz"))
    frames = [nib.as_closest_canonical(nib.load(file)) for file in files]
    expected = np.stack([frame.get_fdata() for frame in frames], axis=-1)
    assert expected.shape[-1] == (6 if image == "I9000032" else 1)
    assert np.allclose(found.affine, frames[0].affine, atol=1e-4)
    assert np.abs(found.get_fdata().reshape(expected.shape) - expected).max() < 0.6


def test_pet_slices_have_slopes_of_their_own(roots: dict[str, Path]) -> None:
    slices = [pydicom.dcmread(path) for path in sorted((roots["ida-dicom"] / "ADNI").rglob("*_I9000012.dcm"))]
    assert len({float(ds.RescaleSlope) for ds in slices}) == len(slices) == 32
    assert all(ds.Modality == "PT" and ds.Units == "BQML" and ds.PatientName == "SYNTHETIC" for ds in slices)
    assert {int(ds.pixel_array.max()) for ds in slices} == {32767}


def test_no_zip_is_of_use_alone_and_one_image_is_in_two(roots: dict[str, Path]) -> None:
    images = [{Path(name).name for name in zipfile.ZipFile(roots["ida-zip"] / zip_).namelist()} for zip_ in IMAGES]
    (common,) = images[0] & images[1]
    assert common.endswith("_I9000011.nii")
    assert all("_MR_MP" in name or "_PT_AV45_" in name for name in images[0])
    assert all("_PT_Co-registered" in name or "FLAIR" in name for name in images[1] - {common})
    listed = pd.read_csv(roots["ida-zip"] / COLLECTION)
    assert len(zipfile.ZipFile(roots["ida-zip"] / METADATA).namelist()) == len(listed)
    assert not list(roots["ida-zip"].glob("ADNI*"))


def test_every_delivery_says_that_it_is_synthetic(roots: dict[str, Path]) -> None:
    for name, root in roots.items():
        assert (root / "README.md").read_text().startswith("# SYNTHETIC")
        assert name == "bids" or [path.name for path in root.glob("SYNTHETIC_*.csv")] == [COLLECTION]
    assert "SIMULATED" in (roots["bids"] / "dataset_description.json").read_text()
    assert set(read(roots["bids"] / "participants.tsv")["provenance"]) == {"SYNTHETIC"}
    assert set(pd.read_csv(roots["ida"] / MERGE)["COLPROT"]) == {"SYNTHETIC"}


def test_the_merge_table_is_no_collection_and_gives_the_age_at_baseline(roots: dict[str, Path], tables: Tables) -> None:
    assert not is_collection(roots["ida"] / MERGE)
    table = pd.read_csv(roots["ida"] / MERGE, parse_dates=["EXAMDATE", "EXAMDATE_bl"])
    assert list(table[table["RID"] == 9001]["VISCODE"]) == ["bl", "m12"]
    table["now"] = table["AGE"] + (table["EXAMDATE"] - table["EXAMDATE_bl"]).dt.days / 365.25
    pairs = tables["ida", "pairs-all"].merge(table, left_on=["subject", "visit"], right_on=["PTID", "VISCODE"])
    assert len(pairs) == 12
    # to one decimal, and by up to 90 days where the T1 of a visit came after its PET
    assert (pairs["now"] - pairs["age"].astype(float)).between(-0.06, 0.3).all()


def test_ages_by_the_merge_table_stay_those_of_the_xml(roots: dict[str, Path], tables: Tables, tmp_path: Path) -> None:
    run("scan", roots["ida"], "--out", tmp_path / "scans.tsv", "--adnimerge", roots["ida"] / MERGE)
    ages = read(tmp_path / "scans.tsv").set_index("scan_id")["age"]
    pairs = tables["ida", "pairs-all"]
    assert [ages[pet] for pet in pairs["pet_id"]] == list(pairs["age"])


@pytest.mark.parametrize("name", ["ida-zip", "bids"])
def test_a_grown_cohort_ends_as_one_made_at_once(roots: dict[str, Path], name: str, tmp_path: Path) -> None:
    simulate(tmp_path, recipe(name, subjects=4), None, 1, silent)
    simulate(tmp_path, recipe(name), "900_S_9006", 1, silent)
    simulate(tmp_path, recipe(name), None, 1, silent)
    assert contents(tmp_path) == contents(roots[name])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_follow_ups_are_a_year_apart(roots: dict[str, Path]) -> None:
    listed = pd.read_csv(roots["ida"] / COLLECTION, parse_dates=["Acq Date"])
    pets = listed[listed["Description"].str.startswith("Co-registered")].sort_values("Acq Date")
    days = pets.groupby("Subject")["Acq Date"].diff().dt.days.dropna()
    assert len(days) == 6
    assert days.between(355, 375).all()
