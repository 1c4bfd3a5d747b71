"""Odd things in IDA downloads, by their numbers in the list of edge cases: tables, dates, labels, duplicates."""

import os
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dualglow.cohort.ida import Options, read_ida
from dualglow.cohort.scan import Scan
from dualglow.errors import ConfigError, InputError

if TYPE_CHECKING:
    from tests.cohort.conftest import IdaTree

SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
UNIFORM = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"
DAY, WHO = "1/02/2006", "002_S_0001"


def by_id(scans: list[Scan]) -> dict[str, Scan]:
    assert len({scan.scan_id for scan in scans}) == len(scans)
    return {scan.scan_id: scan for scan in scans}


def read(ida: "IdaTree", **options: object) -> dict[str, Scan]:
    ida.write_csv()
    return by_id(read_ida(ida.root, None, Options(**options)))  # type: ignore[arg-type]


def reasons(scans: dict[str, Scan]) -> dict[str, str]:
    return {name: scan.reason for name, scan in scans.items()}


def move(path: Path, day: str) -> None:
    """Rename the folder that bears the date of the scan."""
    folder = path.parents[1]
    folder.rename(folder.with_name(f"{day}_10_00_05.0"))


def test_case_01_image_ids_with_and_without_the_letter(ida: "IdaTree") -> None:
    for number, text in ((1, "I1"), (22, "22"), (333, " i333 "), (4, "0004")):
        ida.add(number, WHO, DAY, SCALED, **{"Image Data ID": text})
    assert reasons(read(ida)) == {"I1": "", "I4": "", "I22": "", "I333": ""}


def test_case_02_listed_but_not_there(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, SCALED)
    ida.add(2, WHO, DAY, UNIFORM, file=False)
    scan = read(ida)["I2"]
    assert (scan.reason, scan.modality) == ("file_missing", "PET")
    assert UNIFORM in scan.detail


def test_case_03_unlisted_files_on_request(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, SCALED)
    ida.add(2, WHO, "2/03/2006", UNIFORM, listed=False)
    assert reasons(read(ida)) == {"I1": "", "I2": "not_in_csv"}
    scan = read(ida, allow_unlisted=True)["I2"]
    assert (scan.usable, scan.level, scan.date, scan.date_source) == (True, "coregiso", date(2006, 2, 3), "folder")
    assert scan.warnings == "group_unknown unlisted"


def test_case_04_and_06_a_wrong_table_is_refused_with_what_it_has(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, SCALED)
    search = ida.root / "search.csv"
    search.write_text("Subject ID,Sex,Age,Description,Type\n002_S_0001,F,75,MPRAGE,Original\n")
    with pytest.raises(InputError, match=r"no column for image_id, date.*Data Collections") as caught:
        read_ida(ida.root, [search])
    assert "found Subject ID, Sex, Age, Description, Type" in str(caught.value)
    renamed = ida.root / "renamed.csv"
    renamed.write_text("image_uid;PTID;Sequence;Scan Date\n1;002_S_0001;MPRAGE;2006-01-02\n")
    assert read_ida(ida.root, [renamed])[0].usable


def test_case_08_csv_date_conflicts_with_the_folder(ida: "IdaTree") -> None:
    days = {1: "2006-01-02", 2: "2006-01-03", 3: "2006-01-04", 4: "2006-02-01", 5: "2006-02-02"}
    for number, day in days.items():
        move(ida.add(number, f"002_S_000{number}", DAY, SCALED)[0], day)
    scans = read(ida)
    assert [scans[f"I{n}"].warnings for n in days] == ["", "", "date_differs", "date_differs", "date_differs"]
    assert reasons(scans) == {"I1": "", "I2": "", "I3": "", "I4": "", "I5": "date_conflict"}
    assert {scan.date for scan in scans.values()} == {date(2006, 1, 2)}
    assert "2006-02-02" in scans["I5"].detail


def test_case_09_placeholder_dates_give_way_to_the_next_source(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, "2/03/2007", UNIFORM, **{"Acq Date": "7/03/1977"})
    ida.add(2, WHO, "7/3/1977", UNIFORM)
    ida.add(3, WHO, "7/3/1977", UNIFORM, **{"Acq Date": "2/03/2007"})
    ida.write_xml(1, WHO, "75.5", UNIFORM, "1900-01-01")
    scans = read(ida)
    assert (scans["I1"].date, scans["I1"].date_source) == (date(2007, 2, 3), "folder")
    assert scans["I2"].reason == "no_date"
    assert (scans["I3"].reason, scans["I3"].warnings) == ("", "")
    assert scans["I1"].paths == (str(path),)


def test_case_10_two_rows_of_one_image(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, SCALED)
    ida.rows.append({**ida.rows[0], "Visit": ""})  # says less, not something else
    ida.write_csv("a.csv")
    ida.write_csv("b.csv")
    assert [scan.visit for scan in read_ida(ida.root)] == ["bl"]
    ida.rows[1]["Acq Date"] = "1/03/2006"
    ida.write_csv("b.csv")
    with pytest.raises(InputError, match=r"b\.csv, line 3: I1 is listed twice.*2006-01-02 and 2006-01-03"):
        read_ida(ida.root)


@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
def test_case_11_the_same_file_twice(ida: "IdaTree", extension: str) -> None:
    (path,) = ida.add(1, WHO, DAY, SCALED, extension=extension)
    copy = ida.root / "second zip" / path.relative_to(ida.root)
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    assert read(ida)["I1"].paths == (str(path),)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert read(ida)["I1"].reason == "duplicate_differs"


def test_case_11_two_uploads_of_one_image(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, DAY, UNIFORM)
    later = path.with_name(path.name.replace("20070217", "20080217"))
    shutil.copy(path, later)
    assert read(ida)["I1"].paths == (str(path),)
    content = path.read_bytes()
    later.write_bytes(content[:-1] + b"\0")
    assert read(ida)["I1"].reason == "duplicate_differs"


def test_case_11_one_image_id_of_two_people(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, UNIFORM)
    ida.add(1, "002_S_0002", DAY, UNIFORM, listed=False)
    assert read(ida)["I1"].reason == "duplicate_differs"


def test_case_17_and_18_other_tracers_and_other_sequences(ida: "IdaTree") -> None:
    others = ["AV45 " + UNIFORM, "PIB Co-registered, Averaged", "early Co-registered Dynamic"]
    sequences = ["3 Plane Localizer", "Axial T2", "Sagittal 3D FLAIR", "MPRAGE Mask"]
    for number, name in enumerate([*others, *sequences], start=1):
        ida.add(number, WHO, DAY, name)
    scans = read(ida)
    assert list(reasons(scans).values()) == ["wrong_tracer"] * 3 + ["not_t1"] * 4
    assert scans["I1"].tracer == "AV45"


def test_case_20_a_pet_that_is_an_mr(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, DAY, UNIFORM)
    path.rename(path.with_name(path.name.replace("_PT_", "_MR_")))
    assert read(ida)["I1"].reason == "modality_conflict"


def test_a_row_of_another_person_than_the_file(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, UNIFORM, Subject="002_S_0002")
    assert read(ida)["I1"].reason == "subject_conflict"


def test_case_34_junk(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, DAY, SCALED)
    for name in ("._" + path.name, ".DS_Store", "Thumbs.db"):
        (path.parent / name).write_bytes(b"x")
    (path.parent / "NONAME.nii").write_bytes(b"x")
    path.parent.with_name("I2").mkdir()
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", "name_unknown"]


def test_case_35_groups_that_are_unknown_or_change(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, SCALED, Group="Patient")
    ida.add(2, "002_S_0002", DAY, SCALED, Group="CN")
    ida.add(3, "002_S_0002", "1/02/2008", SCALED, Group="MCI")
    scans = read(ida)
    assert [(scan.group, scan.warnings) for scan in scans.values()] == [
        ("", "group_unknown"),
        ("CN", "group_changes"),
        ("MCI", "group_changes"),
    ]
    assert all(scan.usable for scan in scans.values())


def test_case_36_ages_and_sexes(ida: "IdaTree") -> None:
    values = [("", "Male"), ("0", "F"), ("89+", "female"), ("150", ""), ("75", "X")]
    for number, (age, sex) in enumerate(values, start=1):
        ida.add(number, WHO, DAY, SCALED, Age=age, Sex=sex)
    scans = read(ida)
    assert [scan.age for scan in scans.values()] == [None, None, 89.0, None, 75.0]
    assert [scan.sex for scan in scans.values()] == ["M", "F", "F", "", ""]


def test_case_37_subjects_in_other_spellings(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0295", DAY, SCALED, Subject="2_S_295")
    ida.add(2, "341_S_10155", DAY, SCALED, Subject="341_s_10155")
    assert [scan.subject for scan in read(ida).values()] == ["002_S_0295", "341_S_10155"]
    table = ida.root / "rid.csv"
    table.write_text("RID,IMAGEUID,SCANDATE,SEQUENCE\n295,1,2006-01-02,MPRAGE\n10156,2,2006-01-02,MPRAGE\n")
    scans = by_id(read_ida(ida.root, [table]))
    assert [(scan.subject, scan.reason) for scan in scans.values()] == [
        ("002_S_0295", ""),
        ("341_S_10155", "subject_conflict"),
    ]


def test_case_38_one_person_at_two_sites(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0295", DAY, SCALED)
    ida.add(2, "130_S_0295", "1/02/2008", SCALED)
    ida.add(3, "130_S_0296", "1/02/2008", SCALED)
    assert [scan.warnings for scan in read(ida).values()] == ["rid_shared", "rid_shared", ""]


def test_case_39_odd_paths_and_links(ida: "IdaTree", tmp_path: Path) -> None:
    (path,) = ida.add(1, WHO, DAY, UNIFORM)
    store = tmp_path / "störe [2], ✓"
    shutil.move(ida.root / "ADNI", store)
    deep = ida.root
    while len(str(deep)) < 400:
        deep = deep / ("d" * 100)
    deep.mkdir(parents=True)
    (deep / "ADNI").symlink_to(store)
    (scan,) = read(ida).values()
    assert scan.usable
    assert Path(scan.paths[0]).name == path.name
    assert len(scan.paths[0]) > 400
    os.rename(deep / "ADNI", deep / "ADNI!")
    with pytest.raises(InputError, match="ends in '!'"):
        read(ida)


def test_levels_on_request(ida: "IdaTree") -> None:
    names = [UNIFORM, "Co-registered, Averaged", "Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res", SCALED, "MPRAGE"]
    for number, name in enumerate(names, start=1):
        ida.add(number, WHO, DAY, name)
    usable = {option: [n for n, r in reasons(read(ida, **options)).items() if not r] for option, options in CHOICES}
    assert usable == {
        "auto": ["I1", "I2", "I4", "I5"],
        "coregavg": ["I2", "I4", "I5"],
        "uniform6": ["I3", "I4", "I5"],
        "original": ["I1", "I2", "I5"],
        "processed": ["I1", "I2", "I4"],
    }
    scan = read(ida, pet_level="coregavg")["I1"]
    assert scan.reason == "level_not_wanted"
    assert scan.detail == f"'{UNIFORM}': download 'Co-registered, Averaged'"
    with pytest.raises(ConfigError, match="pet_level coregs: expected auto, coregiso"):
        read(ida, pet_level="coregs")


CHOICES: list[tuple[str, dict[str, str]]] = [
    ("auto", {}),
    ("coregavg", {"pet_level": "coregavg"}),
    ("uniform6", {"pet_level": "uniform6"}),
    ("original", {"t1_level": "original"}),
    ("processed", {"t1_level": "processed"}),
]
