import csv
import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dualglow.cohort.simulate.archive import COLLECTION, sanitised

# The archive's grammar of file names, as measured on downloads.
GRAMMAR = re.compile(
    r"^ADNI_(\d{3}_S_\d{4,5})_(MR|PT)_(.+?)_(br_raw|Br)_(\d{17})(?:_(\d+))?_S(\d+)_I(\d+)\.(nii(\.gz)?|dcm)$", re.I
)
HEADER = (
    '"Image Data ID","Subject","Group","Sex","Age","Visit","Modality","Description","Type","Acq Date","Format",'
    '"Downloaded"'
)


def rows_of(cohort: Path) -> list[dict[str, str]]:
    with (cohort / COLLECTION).open(newline="") as stream:
        return list(csv.DictReader(stream))


def images_of(cohort: Path) -> list[Path]:
    return sorted((cohort / "ADNI").rglob("*.nii.gz"))


def test_every_image_is_named_and_placed_as_in_a_download(small_cohort: Path) -> None:
    for path in images_of(small_cohort):
        match = GRAMMAR.match(path.name)
        assert match, path.name
        subject, description, stamp, image = path.relative_to(small_cohort / "ADNI").parts[:4]
        assert match[1] == subject
        assert match[3] == description
        assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.0", stamp)
        assert image == f"I{match[8]}"


def test_the_collection_has_the_archives_header_and_values(small_cohort: Path) -> None:
    assert (small_cohort / COLLECTION).read_text().splitlines()[0] == HEADER
    assert "SYNTHETIC" in COLLECTION
    assert "SYNTHETIC" in (small_cohort / "README.md").read_text()
    rows = rows_of(small_cohort)
    assert {row["Image Data ID"] for row in rows} == {f"I{GRAMMAR.match(p.name)[8]}" for p in images_of(small_cohort)}
    for row in rows:
        assert re.fullmatch(r"900_S_9\d{3}", row["Subject"])
        assert 55 <= int(row["Age"]) <= 95
        assert re.fullmatch(r"\d{1,2}/\d\d/\d{4}", row["Acq Date"])
        month, day, year = map(int, row["Acq Date"].split("/"))
        folder = small_cohort / "ADNI" / row["Subject"] / sanitised(row["Description"])
        assert [p.name[:10] for p in folder.iterdir()] == [date(year, month, day).isoformat()]


def test_descriptions_are_sanitised_as_the_archive_does() -> None:
    assert sanitised("MPR; GradWarp; B1 Correction; N3; Scaled") == "MPR__GradWarp__B1_Correction__N3__Scaled"
    assert sanitised("Coreg, Avg, Std Img and Vox Siz") == "Coreg,_Avg,_Std_Img_and_Vox_Siz"
    assert sanitised("Dy1_[F-18]FDG 4i 16s") == "Dy1_[F-18]FDG_4i_16s"


def test_every_image_has_its_xml(small_cohort: Path) -> None:
    by_id = {}
    for path in (small_cohort / "ADNI").glob("*.xml"):
        tree = ElementTree.parse(path).getroot()
        by_id["I" + tree.find(".//imageUID").text] = tree
    rows = rows_of(small_cohort)
    assert by_id.keys() == {row["Image Data ID"] for row in rows}
    for row in rows:
        tree = by_id[row["Image Data ID"]]
        assert tree.find(".//subjectIdentifier").text == row["Subject"]
        assert int(float(tree.find(".//subjectAge").text)) == int(row["Age"])


def test_oracles_account_for_every_scan(small_cohort: Path) -> None:
    pairs = pd.read_csv(small_cohort / "truth" / "expected_pairs.tsv", sep="\t")
    exclusions = pd.read_csv(small_cohort / "truth" / "expected_exclusions.tsv", sep="\t")
    ids = [*pairs["t1_id"], *pairs["pet_id"], *exclusions["scan_id"]]
    rows = {row["Image Data ID"]: row for row in rows_of(small_cohort)}
    assert sorted(ids) == sorted(rows)
    assert len(pairs) == 6
    assert Counter(exclusions["reason"]) == {"no_partner": 3, "outside_window": 2, "wrong_tracer": 1, "not_t1": 1}
    for pair in pairs.itertuples():
        assert abs((_date(rows[pair.t1_id]) - _date(rows[pair.pet_id])).days) <= 180
    outside = exclusions["scan_id"][exclusions["reason"] == "outside_window"]
    first, second = (_date(rows[scan_id]) for scan_id in outside)
    assert abs((second - first).days) > 180


def _date(row: dict[str, str]) -> date:
    month, day, year = map(int, row["Acq Date"].split("/"))
    return date(year, month, day)


def test_dynamic_pets_come_as_frame_files_or_as_one_4d_file(small_cohort: Path) -> None:
    dynamic = [p for p in images_of(small_cohort) if "Co-registered_Dynamic" in p.name]
    frames = sorted(int(GRAMMAR.match(p.name)[6]) for p in dynamic if "900_S_9003" in p.name)
    assert frames == [1, 2, 3, 4, 5, 6]
    (whole,) = [p for p in dynamic if "900_S_9006" in p.name]
    assert nib.load(whole).shape[3] == 6


@pytest.mark.parametrize(("code", "axes"), [("_MR_", "PSR"), ("_PT_", "LAS")])
def test_headers_are_scanner_like_and_say_synthetic(small_cohort: Path, code: str, axes: str) -> None:
    for path in (p for p in images_of(small_cohort) if code in p.name):
        image = nib.load(path)
        assert "".join(nib.aff2axcodes(image.affine)) == axes
        assert image.header["sform_code"] == image.header["qform_code"] == 1
        assert np.allclose(image.get_qform(), image.affine, atol=1e-3)
        assert bytes(image.header["descrip"]).rstrip(b"\0") == b"SYNTHETIC"
        assert np.asarray(image.dataobj).std() > 0


def test_truth_tells_who_the_person_is(small_cohort: Path) -> None:
    rows = {row["Image Data ID"]: row for row in rows_of(small_cohort)}
    for path in (small_cohort / "truth").glob("900*/subject.json"):
        facts = json.loads(path.read_text())
        for scan in facts["scans"]:
            row = rows[f"I{scan['image_id']}"]
            assert (row["Group"], row["Sex"]) == (facts["group"], facts["sex"])
            assert all((small_cohort / "ADNI" / name).is_file() for name in scan["paths"])
