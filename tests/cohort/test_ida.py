"""Reading an IDA download: tree, collection CSV, XML."""

import csv
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dualglow.cohort.collection import IDA_HEADER
from dualglow.cohort.ida import is_ida, read_ida
from dualglow.cohort.scan import Scan
from dualglow.errors import InputError

if TYPE_CHECKING:
    from tests.cohort.conftest import IdaTree

SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
UNIFORM = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"


def by_id(scans: list[Scan]) -> dict[str, Scan]:
    assert len({scan.scan_id for scan in scans}) == len(scans)
    return {scan.scan_id: scan for scan in scans}


def test_a_pair_of_scans_of_both_leaf_generations(ida: "IdaTree") -> None:
    t1 = ida.add(40817, "002_S_1018", "11/29/2006", SCALED, leaf="S")
    pet = ida.add(1149014, "002_S_1018", "12/09/2006", UNIFORM, Visit="m06", Age="71", Sex="M")
    ida.write_csv()
    scans = by_id(read_ida(ida.root))
    assert scans["I40817"] == Scan(
        "I40817",
        "002_S_1018",
        "MRI",
        SCALED,
        "scaled",
        "",
        date(2006, 11, 29),
        "csv",
        "bl",
        "CN",
        "F",
        75.0,
        (str(t1[0]),),
    )
    assert scans["I1149014"] == Scan(
        "I1149014", "002_S_1018", "PET", UNIFORM, "coregiso", "FDG", date(2006, 12, 9), "csv", "m06", "CN", "M", 71.0,
        (str(pet[0]),),
    )  # fmt: skip
    assert is_ida(ida.root)


def test_reasons(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "1/02/2006", "AV45 Co-registered, Averaged")
    ida.add(2, "002_S_0001", "1/02/2006", "Sagittal 3D FLAIR")
    ida.add(3, "002_S_0001", "1/02/2006", SCALED, file=False)
    ida.add(4, "002_S_0001", "1/02/2006", SCALED, listed=False)
    ida.add(5, "002_S_0001", "7/3/1977", UNIFORM)
    ida.add(6, "002_S_0001", "1/02/2006", UNIFORM, extension="nii.gz")[0].write_bytes(b"\x1f\x8b\x08corrupt")
    ida.add(7, "002_S_0001", "1/02/2006", UNIFORM)[0].write_bytes(b"")
    ida.add(8, "002_S_0001", "1/02/2006", "Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res")
    ida.add(9, "002_S_0001", "1/02/2006", "Resting State fMRI", Modality="fMRI")
    ida.add(10, "002_S_0001", "1/02/2006", SCALED)[0].with_name("NONAME.nii").write_bytes(b"x")
    wrong = ida.add(11, "002_S_0001", "1/02/2006", UNIFORM)[0]
    wrong.rename(wrong.with_name(wrong.name.replace("_PT_", "_MR_")))
    ida.write_csv()
    scans = by_id(read_ida(ida.root))
    noname = next(name for name in scans if "NONAME" in name)
    assert {name: scan.reason for name, scan in scans.items()} == {
        "I1": "wrong_tracer",
        "I2": "not_t1",
        "I3": "file_missing",
        "I4": "not_in_csv",
        "I5": "no_date",
        "I6": "unreadable",
        "I7": "unreadable",
        "I8": "level_not_used",
        "I9": "not_t1",
        "I10": "",
        "I11": "modality_conflict",
        noname: "name_unknown",
    }
    assert scans["I1"].tracer == "AV45"
    assert scans[noname].subject == "002_S_0001"
    assert all(scan.detail for scan in scans.values() if scan.reason)


def test_frames_are_one_scan_in_temporal_order(ida: "IdaTree") -> None:
    paths = ida.add(13, "002_S_0001", "1/02/2006", "ADNI Brain PET: Raw FDG", frames=11)
    ida.write_csv()
    (scan,) = read_ida(ida.root)
    assert scan.paths == tuple(map(str, paths))  # as numbers: 2 before 10
    assert scan.usable


def test_one_bad_frame_makes_the_scan_unreadable(ida: "IdaTree") -> None:
    ida.add(13, "002_S_0001", "1/02/2006", "Co-registered Dynamic", frames=6)[3].write_bytes(b"")
    ida.write_csv()
    assert read_ida(ida.root)[0].reason == "unreadable"


def test_the_same_file_of_two_zips(ida: "IdaTree") -> None:
    (path,) = ida.add(1, "002_S_0001", "1/02/2006", SCALED)
    ida.write_csv()
    copy = ida.root / "zip2" / path.relative_to(ida.root)
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    assert read_ida(ida.root)[0].paths == (str(path),)
    copy.write_bytes(path.read_bytes() + b"more")
    assert read_ida(ida.root)[0].reason == "duplicate_differs"


def test_xml_gives_decimal_age_and_stands_in_for_a_row(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "1/02/2006", UNIFORM)
    ida.add(2, "002_S_0001", "5/24/2006", UNIFORM, listed=False)
    ida.add(3, "002_S_0001", "", UNIFORM)
    ida.add(4, "002_S_0001", "2/03/2007", UNIFORM, **{"Acq Date": ""})
    ida.write_xml(1, "002_S_0001", "75.3833", UNIFORM)
    ida.write_xml(2, "002_S_0001", "76.5", UNIFORM, "2006-05-23 15:09:38.0")
    ida.write_xml(3, "002_S_0001", "76.5", UNIFORM, "2006-05-24").write_text("<broken")
    ida.write_csv()
    scans = by_id(read_ida(ida.root))
    assert (scans["I1"].age, scans["I1"].group, scans["I1"].date_source) == (75.3833, "CN", "csv")
    assert scans["I2"].usable
    assert (scans["I2"].age, scans["I2"].group, scans["I2"].sex) == (76.5, "LMCI", "M")
    assert (scans["I2"].date, scans["I2"].date_source) == (date(2006, 5, 23), "xml")
    assert (scans["I3"].age, scans["I3"].date, scans["I3"].date_source) == (75.0, date(2000, 1, 1), "folder")
    assert (scans["I4"].date, scans["I4"].date_source) == (date(2007, 2, 3), "folder")


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-8-sig")])
def test_csv_dialects(ida: "IdaTree", separator: str, encoding: str) -> None:
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    path = ida.write_csv(separator=separator, encoding=encoding)
    with path.open("ab") as stream:
        stream.write(separator.join([""] * 12).encode() + b"\r\n\r\n")
    (scan,) = read_ida(ida.root)
    assert (scan.date, scan.description) == (date(2021, 8, 10), SCALED)


def test_snake_case_export_without_modality(ida: "IdaTree") -> None:
    ida.add(957990, "002_S_10155", "8/10/2021", UNIFORM)
    path = ida.root / "ADNI_All_Images_01Nov2024.csv"
    rows = [("002_s_10155", "2021-08-10", "Pre-processed", UNIFORM, "957990", "m12")]
    rows += [("2_S_295", "2021-08-11", "Original", "Axial T2", "3", "m12")]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("subject_id", "image_date", "image_type", "image_description", "image_id", "VISCODE2"), *rows]
        )
    scans = by_id(read_ida(ida.root))
    assert (scans["I957990"].visit, scans["I957990"].modality, scans["I957990"].usable) == ("m12", "PET", True)
    assert (scans["I3"].subject, scans["I3"].reason) == ("002_S_0295", "not_t1")


def test_a_search_export_is_refused_by_name(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    path = ida.root / "idaSearch.csv"
    path.write_text('"Subject ID","Sex","Age","Description","Type"\n"002_S_0001","F","75","MPRAGE","Original"\n')
    for tables in ([path], None):
        with pytest.raises(InputError, match=r"idaSearch\.csv.*no column for image_id, date") as caught:
            read_ida(ida.root, tables)
        assert IDA_HEADER in str(caught.value)
        assert "found Subject ID, Sex, Age, Description, Type" in str(caught.value)


def test_other_csvs_beside_the_collection_are_passed_over(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    ida.write_csv()
    (ida.root / "ADNIMERGE_01Jan2024.csv").write_text("RID,PTID,VISCODE,EXAMDATE\n1,002_S_0001,bl,2021-08-10\n")
    (ida.root / "empty.csv").touch()
    assert len(read_ida(ida.root)) == 1


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("Acq Date", "13/05/2010", r"line 3: I2: '13/05/2010' is not a date"), ("Image Data ID", "X2", "line 3: 'X2'")],
)
def test_a_wrong_cell_is_named_by_line(ida: "IdaTree", column: str, value: str, message: str) -> None:
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    ida.add(2, "002_S_0001", "8/10/2021", UNIFORM)
    ida.rows[1][column] = value
    ida.write_csv()
    with pytest.raises(InputError, match=message):
        read_ida(ida.root)


def test_twice_listed_images(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    ida.rows.append({**ida.rows[0], "Downloaded": "", "Image Data ID": " 1 "})
    ida.write_csv()
    assert len(read_ida(ida.root)) == 1
    ida.rows[1]["Age"] = "76"
    ida.write_csv()
    with pytest.raises(InputError, match=r"line 3: I1 is listed twice .*age: 75.0 and 76.0"):
        read_ida(ida.root)


def test_what_is_missing_is_said(ida: "IdaTree", tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_ida(tmp_path / "absent")
    with pytest.raises(InputError, match="no images named as IDA names them"):
        read_ida(ida.root)
    ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    with pytest.raises(InputError, match=r"no collection CSV.*--csv"):
        read_ida(ida.root)
    with pytest.raises(InputError, match=r"absent\.csv: cannot be read"):
        read_ida(ida.root, [tmp_path / "absent.csv"])


def test_hidden_files_truth_folders_and_link_loops_are_passed_over(ida: "IdaTree") -> None:
    (path,) = ida.add(1, "002_S_0001", "8/10/2021", SCALED)
    ida.write_csv()
    shutil.copy(path, path.with_name("._" + path.name))
    (ida.root / "__MACOSX").mkdir()
    shutil.copy(path, ida.root / "__MACOSX" / path.name)
    (ida.root / "other" / "002_S_0001").mkdir(parents=True)
    shutil.copy(path, ida.root / "other" / "002_S_0001" / "labels.nii")
    (ida.root / "ADNI" / "loop").symlink_to(ida.root)
    (scan,) = read_ida(ida.root)
    assert scan.paths == (str(path),)
