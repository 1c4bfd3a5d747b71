"""Reading a BIDS dataset."""

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest

from dualglow.cohort.bids import is_bids, months, read_bids
from dualglow.cohort.pairing import pair_scans
from dualglow.cohort.scan import Scan
from dualglow.errors import InputError

if TYPE_CHECKING:
    from tests.cohort.conftest import BidsTree

FDG = {"TracerName": "FDG"}


def by_id(scans: list[Scan]) -> dict[str, Scan]:
    return {scan.scan_id: scan for scan in scans}


def test_clinica_layout(bids: "BidsTree") -> None:
    bids.add("sub-ADNI002S0295_ses-M000_T1w")
    path = bids.add("sub-ADNI002S0295_ses-M000_trc-18FFDG_rec-coregiso_pet")
    bids.table("participants.tsv", "participant_id sex age_bl diagnosis_sc", "sub-ADNI002S0295 M 84.8 EMCI")
    bids.table(
        "sub-ADNI002S0295/sub-ADNI002S0295_sessions.tsv",
        "session_id examination_date age diagnosis",
        "ses-M000 2006-04-18 n/a CN",
        "ses-M006 2006-11-02 85.3 CN",
    )
    assert is_bids(bids.root)
    t1, pet = read_bids(bids.root)
    assert t1.modality == "MRI"
    name = "sub-ADNI002S0295_ses-M000_trc-18FFDG_rec-coregiso_pet"
    assert pet == Scan(
        name, "ADNI002S0295", "PET", "trc-18FFDG_rec-coregiso_pet", "coregiso", "FDG", date(2006, 4, 18),
        "sessions.tsv", "M000", "EMCI", "M", 84.8, (str(path),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sidecar", "reason"),
    [
        ("sub-1_trc-18FFDG_pet", None, ""),
        ("sub-1_trc-FDG_pet", {}, ""),
        ("sub-1_pet", {"TracerName": "[18F]fludeoxyglucose"}, ""),
        ("sub-1_pet", {"TracerName": "FDG"}, ""),
        ("sub-1_trc-18FAV45_pet", FDG, "wrong_tracer"),
        ("sub-1_pet", {"TracerName": "DASB"}, "wrong_tracer"),
        ("sub-1_pet", {}, "tracer_unknown"),
        ("sub-1_pet", None, "tracer_unknown"),
        ("sub-1_T1w", None, ""),
        ("sub-1_part-phase_T1w", None, "not_t1"),
        ("sub-1_T2w", None, "not_t1"),
        ("sub-1_FLAIR", None, "not_t1"),
    ],
)
def test_tracer_and_suffix(bids: "BidsTree", name: str, sidecar: dict | None, reason: str) -> None:
    bids.add(name, sidecar)
    (scan,) = read_bids(bids.root)
    assert scan.reason == reason


def test_dates_in_order_of_trust(bids: "BidsTree") -> None:
    acquired = {"AcquisitionDateTime": "1900-02-02T10:00:00"}
    for session in ("a", "b", "c", "M012", "d"):
        bids.add(f"sub-1_ses-{session}_T1w", acquired if session in "ab" else None)
    for session, when in (("a", "1899-01-01T08:30:00"), ("b", "n/a")):
        bids.table(
            f"sub-1/ses-{session}/sub-1_ses-{session}_scans.tsv",
            "filename acq_time",
            f"anat/sub-1_ses-{session}_T1w.nii {when}",  # .nii in the table, .nii.gz on disk
        )
    bids.table("sub-1/sub-1_sessions.tsv", "session_id acq_time", *(f"ses-{s} 1901-03-03" for s in "abc"))
    scans = {scan.visit: (scan.date, scan.date_source) for scan in read_bids(bids.root)}
    assert scans == {
        "a": (date(1899, 1, 1), "scans.tsv"),  # dates before 1925 are shifted ones, and fine
        "b": (date(1900, 2, 2), "sidecar"),
        "c": (date(1901, 3, 3), "sessions.tsv"),
        "M012": (None, "months"),
        "d": (None, "session"),
    }


def test_months() -> None:
    assert [months(label) for label in ("M012", "m06", "bl", "M0", "1", "MR")] == [12, 6, 0, 0, None, None]


def test_pairs_by_month_and_by_session_label(bids: "BidsTree") -> None:
    for name in ("sub-1_ses-M006_T1w", "sub-1_ses-M012_trc-FDG_pet", "sub-2_ses-x_T1w", "sub-2_ses-x_trc-FDG_pet"):
        bids.add(name)
    for name in ("sub-3_T1w", "sub-3_trc-FDG_pet", "sub-4_ses-x_T1w", "sub-4_ses-y_trc-FDG_pet"):
        bids.add(name)
    pairs, exclusions = pair_scans(read_bids(bids.root), max_days=183)
    facts = [(p.pair_id, p.delta_days, p.date_source) for p in pairs]
    assert facts == [
        ("sub-1_ses-M012", 182, "months"),
        ("sub-2_ses-x", None, "session"),
        ("sub-3_ses-unknown", None, "session"),
    ]
    assert {(e.scan.subject, e.reason) for e in exclusions} == {("4", "outside_window")}
    assert "no comparable date" in exclusions[0].detail


def test_sidecars_are_inherited_the_nearest_winning(bids: "BidsTree") -> None:
    bids.add("sub-1_ses-a_pet", {"AcquisitionDate": "2020-01-02"})
    bids.add("sub-2_ses-a_pet")
    (bids.root / "pet.json").write_text(json.dumps({"TracerName": "FDG", "AcquisitionDate": "2001-01-01"}))
    (bids.root / "sub-2" / "sub-2_pet.json").write_text(json.dumps({"TracerName": "PIB"}))
    first, second = read_bids(bids.root)
    assert (first.reason, first.date) == ("", date(2020, 1, 2))
    assert (second.reason, second.date) == ("wrong_tracer", date(2001, 1, 1))


def test_runs_of_one_session(bids: "BidsTree") -> None:
    for name in ("sub-1_ses-a_run-10_T1w", "sub-1_ses-a_run-2_T1w", "sub-1_ses-a_trc-FDG_pet"):
        bids.add(name)
    pairs, exclusions = pair_scans(read_bids(bids.root))
    assert pairs[0].t1_id == "sub-1_ses-a_run-2_T1w"
    assert [(e.scan.scan_id, e.reason) for e in exclusions] == [("sub-1_ses-a_run-10_T1w", "duplicate_same_day")]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("age sex group", "70 F AD", (70.0, "F", "AD")),
        ("age_bl gender diagnosis", "89+ female Dementia", (89.0, "F", "AD")),
        ("age gender DX", "n/a n/a n/a", (None, "", "")),
    ],
)
def test_participants(bids: "BidsTree", header: str, row: str, expected: tuple) -> None:
    bids.add("sub-01_T1w")
    bids.table("participants.tsv", f"participant_id {header}", f"sub-01 {row}")
    (scan,) = read_bids(bids.root)
    assert (scan.subject, scan.age, scan.sex, scan.group) == ("01", *expected)


def test_derivatives_and_damaged_files(bids: "BidsTree") -> None:
    bids.add("sub-1_T1w").write_bytes(b"")
    bids.add("sub-1_trc-FDG_pet", {}).with_name("sub-1_trc-FDG_pet.json").write_text("{")
    for folder in ("derivatives", "sourcedata"):
        (bids.root / folder / "sub-9" / "anat").mkdir(parents=True)
        (bids.root / folder / "sub-9" / "anat" / "sub-9_T1w.nii.gz").touch()
    scans = read_bids(bids.root)
    assert [scan.reason for scan in scans] == ["unreadable", "unreadable"]
    assert "is not JSON" in scans[1].detail


def test_mistakes_are_named(bids: "BidsTree") -> None:
    with pytest.raises(InputError, match="no sub-"):
        read_bids(bids.root)
    with pytest.raises(InputError, match="no such folder"):
        read_bids(bids.root / "x")
    bids.add("sub-1_ses-a_T1w")
    bids.table("sub-1/ses-a/sub-1_ses-a_scans.tsv", "filename acq_time", "anat/sub-1_ses-a_T1w.nii.gz 13/05/2010")
    with pytest.raises(InputError, match=r"its scans\.tsv: '13/05/2010' is not a date"):
        read_bids(bids.root)
    bids.table("participants.tsv", "id age", "1 70")
    with pytest.raises(InputError, match="participant_id"):
        read_bids(bids.root)
