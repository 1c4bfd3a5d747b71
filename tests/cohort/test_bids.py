"""Reading a BIDS dataset."""

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualglow.cohort.bids import is_bids, months, read_bids
from dualglow.cohort.bids_metadata import Sidecars
from dualglow.cohort.pairing import pair_scans
from dualglow.cohort.scan import Scan
from dualglow.errors import InputError
from tests.cohort.conftest import write_image

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
        "ses-M000 2006-04-18 n/a MCI",
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


def test_early_clinica_layout(bids: "BidsTree") -> None:
    """Releases before 0.6: acq- for the tracer, and a .bidsignore that lists PET, which validators did not know."""
    for name in ("ses-M00_T1w", "ses-M00_task-rest_acq-fdg_pet", "ses-M00_task-rest_acq-av45_pet"):
        bids.add(f"sub-1_{name}")
    (bids.root / ".bidsignore").write_text("pet/\nconversion_info/\n")
    assert [scan.reason for scan in read_bids(bids.root)] == ["", "wrong_tracer", ""]


@pytest.mark.parametrize(
    ("name", "sidecar", "reason"),
    [
        ("sub-1_trc-18FFDG_pet", None, ""),
        ("sub-1_trc-FDG_pet", {}, ""),
        ("sub-1_pet", {"TracerName": "[18F]fludeoxyglucose"}, ""),
        ("sub-1_pet", {"TracerName": "FDG"}, ""),
        ("sub-1_trc-18FAV45_pet", FDG, "wrong_tracer"),
        ("sub-1_pet", {"TracerName": "2-deoxy-2-[18F]fluoro-D-glucose"}, ""),
        ("sub-1_pet", {"Radiopharmaceutical": "FDG -- fluorodeoxyglucose"}, ""),
        ("sub-1_pet", {"TracerName": "DASB"}, "wrong_tracer"),
        ("sub-1_pet", {"TracerName": "FDGal"}, "wrong_tracer"),
        ("sub-1_trc-FDG_pet", {"TracerName": "AV45"}, "wrong_tracer"),
        ("sub-1_pet", {"TracerName": "n/a"}, "tracer_unknown"),
        ("sub-1_acq-static_pet", {}, "tracer_unknown"),
        ("sub-1_trc-FDG_desc-preproc_pet", {}, "not_pet"),
        ("sub-1_pet", {}, "tracer_unknown"),
        ("sub-1_pet", None, "tracer_unknown"),
        ("sub-1_T1w", None, ""),
        ("sub-1_part-mag_T1w", None, ""),
        ("sub-1_part-phase_T1w", None, "not_t1"),
        ("sub-1_space-MNI152_T1w", None, "not_t1"),
        ("sub-1_T1w 2", None, "not_t1"),
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


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [
        ({"AcquisitionDateTime": "20200102093000.000000"}, date(2020, 1, 2)),
        ({"AcquisitionDateTime": "2020-01-02T09:30:00Z"}, date(2020, 1, 2)),
        ({"AcquisitionDate": 20200102}, date(2020, 1, 2)),
        ({"ScanDate": "2020-01-02"}, date(2020, 1, 2)),
        ({"AcquisitionDateTime": "09:30:00", "AcquisitionDate": "2020-01-02"}, date(2020, 1, 2)),
        ({"AcquisitionTime": "09:30:00"}, None),
    ],
)
def test_forms_of_a_date(bids: "BidsTree", sidecar: dict, expected: date | None) -> None:
    bids.add("sub-1_T1w", sidecar)
    assert read_bids(bids.root)[0].date == expected


def test_dates_shifted_before_1925_keep_their_gap(bids: "BidsTree") -> None:
    for name, day in (("sub-1_ses-a_T1w", "1899-12-31"), ("sub-1_ses-b_trc-FDG_pet", "1900-01-01")):
        bids.add(name, {"AcquisitionDate": day})
    pairs, _ = pair_scans(read_bids(bids.root))
    assert [pair.delta_days for pair in pairs] == [1]


@pytest.mark.parametrize("table", ["sub-1/sub-1_scans.tsv", "sub-1/ses-a/sub-1_ses-a_scans.tsv"])
def test_scans_tsv_of_subject_or_session_and_what_it_lists_in_vain(bids: "BidsTree", table: str) -> None:
    bids.add("sub-1_ses-a_T1w")
    lost = ("pet/sub-1_ses-a_trc-FDG_pet.nii.gz", "func/sub-1_ses-a_task-rest_bold.nii.gz")
    rows = ("ses-a/anat/sub-1_ses-a_T1w.nii", *lost)
    bids.table(table, "filename acq_time", *(f"{row} 1999-01-01T10:00:00" for row in rows))
    t1, pet = read_bids(bids.root)
    assert (t1.date, t1.date_source, t1.usable) == (date(1999, 1, 1), "scans.tsv", True)
    assert (pet.scan_id, pet.modality, pet.reason) == ("sub-1_ses-a_trc-FDG_pet", "PET", "file_missing")


def test_sessions_are_the_folders_not_the_table(bids: "BidsTree") -> None:
    bids.add("sub-1_ses-a_T1w")
    bids.table("sub-1/sub-1_sessions.tsv", "session_id acq_time", "ses-b 2001-01-01")
    assert [(scan.visit, scan.date) for scan in read_bids(bids.root)] == [("a", None)]


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


def test_inheritance_as_pybids_has_it(bids: "BidsTree") -> None:
    from bids.layout import BIDSLayout

    names = ("sub-1_ses-a_trc-FDG_run-1_pet", "sub-1_ses-a_trc-PIB_run-1_pet", "sub-1_ses-b_pet", "sub-2_T1w")
    paths = [bids.add(name, {"own": name} if "run" in name else None) for name in names]
    for place in (
        "pet", "T1w", "trc-FDG_pet", "sub-1/sub-1_pet", "sub-1/ses-a/sub-1_ses-a_trc-FDG_pet",
        "sub-1/ses-a/pet/sub-1_ses-a_trc-PIB_pet", "sub-2/sub-2_run-1_T1w", "sub-2/anat/sub-2_bold", "sub-2/sub-2",
    ):  # fmt: skip
        (bids.root / f"{place}.json").write_text(json.dumps({"who": place, place: 1}))
    theirs = BIDSLayout(bids.root, validate=False)
    ours = Sidecars(bids.root)
    for path in paths:
        assert ours.of(path) == theirs.get_metadata(str(path))
    # BIDS forbids two at one level; the one that says more of the image is the better guess, and pybids has none.
    assert ours.of(bids.add("sub-3_trc-FDG_pet"))["who"] == "trc-FDG_pet"


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


def test_age_at_baseline_grows_with_the_months(bids: "BidsTree") -> None:
    bids.add("sub-1_ses-M018_T1w")
    bids.table("participants.tsv", "participant_id AGE_BL", "1 70.5")
    assert read_bids(bids.root)[0].age == 72.0


@pytest.mark.parametrize(
    ("participant", "session", "expected"),
    [
        ("CN", "MCI", "MCI"),  # the diagnosis at the visit
        ("EMCI", "MCI", "EMCI"),  # the same, more finely
        ("SMC", "CN", "SMC"),
        ("LMCI", "Dementia", "AD"),
        ("AD", "n/a", "AD"),
        ("Patient", "n/a", ""),
    ],
)
def test_session_overrides_participant(bids: "BidsTree", participant: str, session: str, expected: str) -> None:
    bids.add("sub-1_ses-M12_T1w")
    bids.table("participants.tsv", "Participant_ID Age Diagnosis Gender", f"sub-1 70 {participant} Male")
    bids.table("sub-1/sub-1_sessions.tsv", "session_id AGE diagnosis", f"ses-M12 71.2 {session}")
    (scan,) = read_bids(bids.root)
    assert (scan.age, scan.group, scan.sex) == (71.2, expected, "M")
    assert scan.warnings == ("" if expected else "group_unknown")


def test_participants_with_a_row_per_session(bids: "BidsTree") -> None:
    for session in "ab":
        bids.add(f"sub-1_ses-{session}_T1w")
    header, rows = "participant_id session_id age", ("sub-1 ses-a 70", "sub-1 ses-b 72")
    bids.table("participants.tsv", header, *rows)
    assert [scan.age for scan in read_bids(bids.root)] == [70, 72]
    bids.table("participants.tsv", "participant_id age", "sub-1 70", "sub-1 72")
    with pytest.raises(InputError, match="1 is listed twice"):
        read_bids(bids.root)


def test_without_any_table(bids: "BidsTree") -> None:
    bids.add("sub-1_run-01_T1w")
    bids.add("sub-1_run-02_T1w")
    bids.add("sub-1_trc-18FFDG_pet")
    (bids.root / "dataset_description.json").unlink()
    scans = read_bids(bids.root)
    assert is_bids(bids.root)
    assert {(scan.reason, scan.group, scan.warnings, scan.date_source) for scan in scans} == {
        ("", "", "group_unknown", "session")
    }
    (pair,), _ = pair_scans(scans)
    assert pair.t1_id == "sub-1_run-01_T1w"


def test_layouts_around_the_dataset(bids: "BidsTree", tmp_path: Path) -> None:
    bids.add("sub-1_T1w")
    for folder in ("derivatives/x", "sourcedata", "sub-1/derivatives", "code"):
        write_image(bids.root / folder / "sub-9" / "anat" / "sub-9_T1w.nii.gz")
    write_image(bids.root / "sub-1" / "anat" / "._sub-1_T1w.nii.gz")
    assert [scan.subject for scan in read_bids(bids.root)] == ["1"]
    (tmp_path / "study").mkdir()
    bids.root.rename(tmp_path / "study" / "rawdata")
    (scan,) = read_bids(tmp_path / "study")
    assert is_bids(tmp_path / "study")
    assert Path(scan.paths[0]).is_file()
    assert not is_bids(tmp_path / "study" / "rawdata" / "sub-1")


def test_bidsignore(bids: "BidsTree") -> None:
    for name in ("sub-1_run-1_T1w", "sub-1_run-2_T1w", "sub-1_trc-FDG_pet", "sub-2_trc-FDG_pet"):
        bids.add(name)
    (bids.root / ".bidsignore").write_text("# bad\n*_run-1_T1w.nii.gz\nsub-2/pet/\nsub-*/ses-*/pet/**\n")
    reasons = {scan.scan_id: scan.reason for scan in read_bids(bids.root)}
    assert [name for name, reason in reasons.items() if reason == "bidsignored"] == [
        "sub-1_run-1_T1w",
        "sub-2_trc-FDG_pet",
    ]


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "unreadable", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 10\n", "unreadable", "sub-1_T1w.nii.gz"),
        (None, "file_missing", "datalad"),
    ],
)
def test_files_that_are_not_there(bids: "BidsTree", content: bytes | None, reason: str, detail: str) -> None:
    path = bids.add("sub-1_T1w")
    path.unlink()
    path.symlink_to("../.git/annex/objects/x") if content is None else path.write_bytes(content)
    (scan,) = read_bids(bids.root)
    assert scan.reason == reason
    assert detail in scan.detail


def test_geometry_and_orientation(bids: "BidsTree") -> None:
    write_image(bids.add("sub-1_T1w"), (42, 50, 3))
    path = bids.add("sub-2_T1w")
    image = nib.load(path)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, path)
    localizer, unoriented = read_bids(bids.root)
    assert (localizer.reason, unoriented.reason) == ("geometry", "")
    assert unoriented.warnings == "group_unknown orientation_assumed"
    assert read_bids(bids.root, strict=True)[1].reason == "orientation_assumed"


@pytest.mark.parametrize(
    ("shape", "starts", "durations", "warned"),
    [
        ((42, 50, 44, 3), [0, 60, 120], [60, 60, 60], False),
        ((42, 50, 44, 3), [0, 60], [60, 60, 60], True),
        ((42, 50, 44, 3), [0, 60, 120], [60, 60], True),
        ((42, 50, 44), [0, 60, 120], [60, 60, 60], True),
        ((42, 50, 44, 1), [0], [60], False),
        ((42, 50, 44), [0], [60], False),
        ((42, 50, 44, 3), "n/a", 180, False),
    ],
)
def test_frames(bids: "BidsTree", shape: tuple, starts: object, durations: object, warned: bool) -> None:
    write_image(bids.add("sub-1_trc-FDG_pet", {"FrameTimesStart": starts, "FrameDuration": durations}), shape)
    (scan,) = read_bids(bids.root)
    assert scan.usable
    assert ("frame_count" in scan.warnings) == warned


def test_damaged_sidecars_cost_only_what_they_alone_say(bids: "BidsTree") -> None:
    for name, damage in (("sub-1_T1w", b"[]"), ("sub-1_trc-FDG_pet", b"{"), ("sub-1_pet", b"\xff{}")):
        bids.add(name, {}).with_name(f"{name}.json").write_bytes(damage)
    t1, unknown, pet = read_bids(bids.root)
    assert [scan.reason for scan in (t1, pet, unknown)] == ["", "", "tracer_unknown"]
    assert all("sidecar_unreadable" in scan.warnings for scan in (t1, pet, unknown))
    assert "sub-1_pet.json is not JSON" in unknown.detail


def test_names_that_contradict_their_place(bids: "BidsTree") -> None:
    good = bids.add("sub-1_ses-a_T1w")
    write_image(good.with_name("sub-1_ses-a_T1w.nii"))
    for session in "ab":  # the person's name alone, in two sessions
        write_image(bids.root / "sub-1" / f"ses-{session}" / "anat" / "sub-1_T1w.nii.gz")
    write_image(good.with_name("sub-2_ses-a_T1w.nii.gz"))
    write_image(good.with_name("sub-1_ses-b_T1w.nii.gz"))
    scans = read_bids(bids.root)
    assert len(by_id(scans)) == len(scans) == 6
    assert sorted(scan.reason for scan in scans) == ["", "", "", "duplicate_file", "name_conflict", "name_conflict"]
    assert by_id(scans)["sub-1_ses-a_T1w"].usable


def test_progress_counts_images(bids: "BidsTree") -> None:
    for name in ("sub-1_T1w", "sub-2_T1w"):
        bids.add(name)
    seen: list[tuple[int, int]] = []
    read_bids(bids.root, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.permutations(range(6)), backwards=st.booleans())
def test_the_order_of_files_and_rows_does_not_matter(bids: "BidsTree", rows: list[int], backwards: bool) -> None:
    names = [f"sub-{n}_ses-{s}_{what}" for n in "12" for s in "ab" for what in ("T1w", "run-2_T1w", "trc-FDG_pet")]
    for name in names if not (bids.root / "sub-1").exists() else ():
        bids.add(name)
    people = [f"sub-{n} 7{n} {group}" for n, group in enumerate(("AD", "CN", "MCI", "SMC", "EMCI", "LMCI"))]
    bids.table("participants.tsv", "participant_id age group", *people)
    lines = [f"x/{name} 2000-01-0{n + 1}" for n, name in enumerate(names[:6])]
    bids.table("sub-1/sub-1_scans.tsv", "filename acq_time", *lines)
    expected = read_bids(bids.root)
    bids.table("participants.tsv", "participant_id age group", *(people[n] for n in rows))
    bids.table("sub-1/sub-1_scans.tsv", "filename acq_time", *(lines[n] for n in rows))
    listed = Path.iterdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path), reverse=backwards)))
        assert read_bids(bids.root) == expected


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
