"""Reading the real sidecars and tables of public PET datasets (tests/cohort/data/bids), with images made here."""

import shutil
from pathlib import Path

import pytest

from dualglow.cohort.bids import read_bids
from dualglow.cohort.pairing import pair_scans
from dualglow.cohort.scan import Scan
from tests.cohort.conftest import write_image

PUBLIC = Path(__file__).parent / "data" / "bids"
HEAD = (42, 50, 44)


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Copy one dataset's metadata, with an image beside each sidecar: T1s in 3D, PETs with the frames given."""
    name, frames = request.param
    root = tmp_path / name
    shutil.copytree(PUBLIC / name, root)
    for path in root.glob("sub-*/**/*.json"):
        count = frames.get(path.parent.parent.name, 0) if path.parent.name == "pet" else 0
        write_image(path.with_suffix(".nii.gz"), (*HEAD, count) if count else HEAD)
    return root


def facts(scan: Scan) -> tuple:
    return scan.scan_id, scan.reason, scan.tracer, scan.sex, scan.age, scan.warnings


@pytest.mark.parametrize(
    ("copied", "expected"),
    [
        (("pet001", {}), ("sub-01_ses-01_pet", "wrong_tracer", "CIMBI-36", "", None, "group_unknown")),
        (("pet002", {}), ("sub-01_ses-baseline_pet", "wrong_tracer", "DASB", "F", 21.5086, "group_unknown")),
        (("pet003", {}), ("sub-01_ses-01_pet", "wrong_tracer", "DASB", "", None, "group_unknown")),
        (("pet004", {}), ("sub-01_pet", "wrong_tracer", "CIMBI-36", "", None, "group_unknown")),
        (
            ("pet005", {}),  # a sidecar that is not JSON: its tracer is nowhere else
            (
                "sub-01_ses-intervention_task-eyes_pet", "tracer_unknown", "", "F", None,
                "group_unknown sidecar_unreadable",
            ),
        ),
        (("pet006", {"sub-01": 1}), ("sub-01_pet", "", "FDG", "", None, "group_unknown")),
        (("pet006", {"sub-01": 2}), ("sub-01_pet", "", "FDG", "", None, "frame_count group_unknown")),
    ],
    indirect=["copied"],
)  # fmt: skip
def test_bids_examples(copied: Path, expected: tuple) -> None:
    assert [facts(scan) for scan in read_bids(copied)] == [expected]


@pytest.mark.parametrize("copied", [("ds004513", {"ses-open": 31, "ses-closed": 31})], indirect=True)
def test_sessions_without_dates_and_frames(copied: Path) -> None:
    """The session `closed` has 32 frames in its sidecar, `open` 31; neither has a date, so sessions pair."""
    scans = {scan.scan_id: scan for scan in read_bids(copied)}
    assert {name: scan.warnings for name, scan in scans.items()} == {
        "sub-s003_ses-closed_T1w": "group_unknown",
        "sub-s003_ses-closed_task-rest_pet": "frame_count group_unknown",
        "sub-s003_ses-open_task-rest_pet": "group_unknown",
    }
    assert {scan.date_source for scan in scans.values()} == {"session"}
    assert {scan.age for scan in scans.values()} == {None}  # ages lie in derivatives/ alone
    (pair,), exclusions = pair_scans(list(scans.values()))
    assert (pair.t1_id, pair.pet_id) == ("sub-s003_ses-closed_T1w", "sub-s003_ses-closed_task-rest_pet")
    assert (pair.delta_days, pair.date_source) == (None, "session")
    assert [e.scan.scan_id for e in exclusions] == ["sub-s003_ses-open_task-rest_pet"]


@pytest.mark.parametrize("copied", [("ds002898", {})], indirect=True)
def test_tracer_entity_reconstruction_and_run(copied: Path) -> None:
    """`trc-18FFDG_rec-acdyn_run-001` with 356 frame times; a clock time in AcquisitionTime is no date."""
    t1, pet = read_bids(copied)
    assert (t1.level, t1.reason, t1.date) == ("original", "", None)
    assert (pet.tracer, pet.level, pet.reason) == ("FDG", "acdyn", "")
    assert "frame_count" in pet.warnings  # the image made here has one frame
    pairs, _ = pair_scans([t1, pet])
    assert len(pairs) == 1
