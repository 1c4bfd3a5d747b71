"""Tables of every generation beside an IDA download, quality control, ADNIMERGE, and the cache of headers."""

import json
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dualglow.cohort.ida import Options, read_ida
from dualglow.cohort.scan import Scan
from dualglow.errors import InputError

if TYPE_CHECKING:
    from tests.cohort.conftest import IdaTree

SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
UNIFORM = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"
DAY, WHO = "1/02/2006", "002_S_0001"


def read(ida: "IdaTree", **options: object) -> dict[str, Scan]:
    ida.write_csv()
    return {scan.scan_id: scan for scan in read_ida(ida.root, None, Options(**options))}  # type: ignore[arg-type]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


GENERATIONS = {
    "All_Images": (
        "subject_id,image_date,image_type,image_description,image_id,study_id,VISCODE2",
        "002_S_0001,2006-01-02,Original,{name},{id},7,m06",
    ),
    "PET_META_LIST": (
        "Subject,Orig/Proc,Image ID,Study ID,Series ID,Scan Date,Sequence,Visit",
        "002_S_0001,Original,{id},7,8,1/02/2006,{name},m06",
    ),
    "MPRAGEMETA": (
        "SubjectID,ImageUID,StudyID,SeriesID,ScanDate,Visit,Sequence,Orig/Proc,MagStrength",
        "002_S_0001,{id},7,8,2006-01-02,m06,{name},Original,1.5",
    ),
    "MRILIST": (
        "SUBJECT,VISIT,MAGSTRENGTH,SEQUENCE,SCANDATE,STUDYID,SERIESID,IMAGEUID",
        "002_S_0001,m06,1.5,{name},2006-01-02,7,8,{id}",
    ),
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_of_tables(generation: str, ida: "IdaTree") -> None:
    """A list of the whole study also names images that nobody downloaded: those are not missing."""
    ida.add(1, WHO, DAY, "MPRAGE")
    header, row = GENERATIONS[generation]
    write(ida.root / f"{generation}.csv", header, *(row.format(name="MPRAGE", id=number) for number in (1, 2)))
    scans = {scan.scan_id: scan for scan in read_ida(ida.root)}
    found = scans.pop("I1")
    assert (found.usable, found.visit, found.date, found.subject) == (True, "m06", date(2006, 1, 2), WHO)
    assert list(scans) == (["I2"] if generation == "All_Images" else [])


def test_a_study_list_only_fills_what_the_collection_leaves_open(ida: "IdaTree") -> None:
    ida.add(1, WHO, DAY, "MPRAGE", Visit="")
    ida.add(2, WHO, DAY, "MPRAGE", Visit="bl")
    header, row = GENERATIONS["MPRAGEMETA"]
    table = [row.format(name="MPRAGE repeat", id=number) for number in (1, 2)]
    write(ida.root / "MPRAGEMETA.csv", header, *table)
    scans = read(ida)
    assert [(scan.visit, scan.description, scan.group) for scan in scans.values()] == [
        ("m06", "MPRAGE", "CN"),
        ("bl", "MPRAGE", "CN"),
    ]
    write(ida.root / "MPRAGEMETA.csv", header, table[0].replace(WHO, "002_S_0002"))
    with pytest.raises(InputError, match=r"MPRAGEMETA\.csv, line 2: I1 is listed twice.*002_S_0001 and 002_S_0002"):
        read_ida(ida.root)


MERGE = "RID,PTID,VISCODE,EXAMDATE,DX_bl,AGE,PTGENDER,DX,EXAMDATE_bl"


def test_adnimerge_gives_the_age_at_the_scan_and_fills_what_is_unknown(ida: "IdaTree", tmp_path: Path) -> None:
    ida.add(1, WHO, "1/02/2008", UNIFORM, Age="76", Sex="", Group="Patient")
    ida.add(2, WHO, "1/02/2008", SCALED, Age="76", Group="EMCI")
    ida.add(3, WHO, "1/02/2008", SCALED, Age="76", Group="EMCI")
    ida.add(4, "002_S_0002", "1/02/2008", SCALED)
    ida.write_xml(3, WHO, "77.1234", SCALED, "2008-01-02")
    merge = write(
        tmp_path / "ADNIMERGE_01Jan2024.csv",
        MERGE,
        "1,002_S_0001,bl,2006-01-02,EMCI,75.3,Male,CN,2006-01-02",
        "1,002_S_0001,m24,2008-02-02,EMCI,75.3,Male,Dementia,2006-01-02",
        "1,002_S_0001,m12,2007-01-02,EMCI,75.3,Male,MCI,2006-01-02",
    )
    scans = read(ida, merge=merge)
    expected = 75.3 + (date(2008, 1, 2) - date(2006, 1, 2)).days / 365.25
    assert [scan.age for scan in scans.values()] == pytest.approx([expected, expected, 77.1234, 75], abs=1e-3)
    assert (scans["I1"].sex, scans["I1"].group) == ("M", "AD")
    assert "group_from_adnimerge" in scans["I1"].warnings
    assert (scans["I2"].sex, scans["I2"].group) == ("F", "EMCI")


def test_a_wrong_adnimerge_is_refused_with_what_it_has(ida: "IdaTree", tmp_path: Path) -> None:
    ida.add(1, WHO, DAY, SCALED)
    with pytest.raises(InputError, match=r"m\.csv: lacks the column\(s\) AGE, DX; expected .*; found RID, EXAMDATE, P"):
        read(ida, merge=write(tmp_path / "m.csv", "RID,EXAMDATE,PTGENDER", "1,2006-01-02,Male"))
    with pytest.raises(InputError, match=r"m\.csv, line 2: '2/30/2006' is not a date"):
        read(ida, merge=write(tmp_path / "m.csv", MERGE, "1,,bl,2/30/2006,CN,75,Male,CN,"))


def test_failed_quality_control_excludes(ida: "IdaTree", tmp_path: Path) -> None:
    for number, who in ((1, WHO), (2, "002_S_0002"), (3, "002_S_0003"), (4, "002_S_0004")):
        ida.add(number, who, DAY, UNIFORM)
        ida.add(number + 10, who, DAY, SCALED)
    tables = [
        write(
            tmp_path / "PETQC.csv",
            "RID,VISCODE2,EXAMDATE,LONIUID,PASS",
            "1,bl,2006-01-02,I901,0",  # the original; its processed level I1 is of the same person and day
            "2,bl,2006-01-02,I902,0",
            "2,bl,2006-01-02,I903,1",  # scanned again on the same day: this one passed
            "3,bl,2006-01-09,I904,0",  # another day
        ),
        write(tmp_path / "PETC3.csv", "RID,VISCODE2,SCANDATE,LONIUID,SCANQLTY", "4,bl,2006-01-02,I4,2", "3,,,I3,1"),
        write(tmp_path / "MRIQUALITY.csv", "RID,LONIUID,PASS", "1,S18,0", "2,S19,1", "3,S20,-4"),
        write(tmp_path / "MAYO.csv", "loni_image,series_quality", "I13,4", "I12,3", "I14,-1"),
    ]
    scans = read(ida, qc=tuple(tables))
    failed = {name: scan.detail for name, scan in scans.items() if scan.reason == "qc_failed"}
    assert failed == {
        "I1": "PETQC.csv, line 2: pass is 0",
        "I4": "PETC3.csv, line 2: scanqlty is 2",
        "I11": "MRIQUALITY.csv, line 2: pass is 0",
        "I13": "MAYO.csv, line 2: seriesquality is 4",
    }
    assert all(scan.usable for name, scan in scans.items() if name not in failed)


def test_another_table_is_no_quality_control(ida: "IdaTree", tmp_path: Path) -> None:
    ida.add(1, WHO, DAY, SCALED)
    with pytest.raises(InputError, match=r"q\.csv: is not a table of quality control: .*found RID, PHASE"):
        read(ida, qc=(write(tmp_path / "q.csv", "RID,PHASE", "1,ADNI1"),))
    with pytest.raises(InputError, match=r"absent\.csv: cannot be read"):
        read(ida, qc=(tmp_path / "absent.csv",))


def test_a_second_scan_reads_only_what_has_changed(
    ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [ida.add(number, WHO, DAY, SCALED)[0] for number in (1, 2, 3)]
    ida.write_xml(1, WHO, "75.3833", SCALED, "2006-01-02")
    cache = tmp_path / "out" / "headers.json"
    first = read(ida, cache=cache)
    opened: list[str] = []
    really = open
    monkeypatch.setattr("builtins.open", lambda file, *a, **k: (opened.append(str(file)), really(file, *a, **k))[1])
    assert read(ida, cache=cache) == first
    assert not [name for name in opened if name.endswith((".nii", ".xml"))]
    status = paths[1].stat()
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    paths[2].write_bytes(b"")
    counts: list[tuple[int, int]] = []
    scans = read_ida(ida.root, None, Options(cache=cache), lambda done, total: counts.append((done, total)))
    assert [name for name in opened if name.endswith(".nii")] == [str(paths[1])]
    assert [scan.reason for scan in scans] == ["", "", "unreadable"]
    assert counts == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("content", ["", "not JSON", "[]", '{"version": 0, "files": {}}', '{"version": 1, "files": 3}'])
def test_a_broken_cache_is_made_anew(content: str, ida: "IdaTree", tmp_path: Path) -> None:
    ida.add(1, WHO, DAY, SCALED)
    cache = tmp_path / "headers.json"
    cache.write_text(content)
    assert read(ida, cache=cache)["I1"].usable
    assert len(json.loads(cache.read_text())["files"]) == 1
