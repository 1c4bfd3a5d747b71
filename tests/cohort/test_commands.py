"""The three verbs one after the other, and how they fail."""

import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from dualglow.cli import main
from dualglow.cohort.scan import PAIR_COLUMNS, SCAN_COLUMNS

if TYPE_CHECKING:
    from tests.cohort.conftest import BidsTree, IdaTree

SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
EXCLUSION_COLUMNS = ["scan_id", "subject", "modality", "description", "stage", "reason", "detail"]


def run(*arguments: object) -> None:
    """Run `dualglow …` in this process; SystemExit carries the exit status."""
    sys.argv = ["dualglow", *map(str, arguments)]
    with pytest.raises(SystemExit) as caught:
        main()
    if caught.value.code not in (0, None):
        raise caught.value


@pytest.fixture(autouse=True)
def _argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dualglow"])


def fill(ida: "IdaTree", people: int) -> None:
    for n in range(people):
        ida.add(2 * n, f"900_S_9{n:03d}", "1/02/2006", SCALED, Group=["CN", "AD"][n % 2])
        ida.add(2 * n + 1, f"900_S_9{n:03d}", "2/02/2006", "Co-registered, Averaged", Group=["CN", "AD"][n % 2])
    ida.add(900, "900_S_9000", "2/02/2006", "Axial T2")
    ida.write_csv()


def test_scan_pair_split(ida: "IdaTree", tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(ida, 6)
    scans, pairs, exclusions, folds = (tmp_path / "out" / f"{n}.tsv" for n in ("scans", "pairs", "exclusions", "folds"))
    run("scan", ida.root, "--out", scans)
    run("pair", "--scans", scans, "--out", pairs, "--exclusions", exclusions)
    run("split", "--pairs", pairs, "--out", folds, "--folds", 3, "--seed", 5)
    tables = {path.stem: pd.read_csv(path, sep="\t") for path in (scans, pairs, exclusions, folds)}
    assert [len(tables[name]) for name in ("scans", "pairs", "exclusions", "folds")] == [13, 6, 1, 18]
    assert list(tables["scans"]) == SCAN_COLUMNS
    assert list(tables["pairs"]) == PAIR_COLUMNS
    assert list(tables["exclusions"]) == EXCLUSION_COLUMNS
    assert list(tables["folds"]) == ["fold", "pair_id", "subject", "part"]
    assert tables["pairs"]["pair_id"][0] == "sub-900S9000_ses-20060202"
    assert "6 pairs of 6 people" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["auto", "bids"])
def test_scan_of_bids(bids: "BidsTree", tmp_path: Path, source: str) -> None:
    bids.add("sub-1_T1w")
    run("scan", bids.root, "--out", tmp_path / "scans.tsv", "--source", source)
    assert len(pd.read_csv(tmp_path / "scans.tsv", sep="\t")) == 1


def test_paths_are_as_the_root_was_given(ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ida, 1)
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root.name, "--out", "scans.tsv")
    paths = pd.read_csv("scans.tsv", sep="\t")["paths"]
    assert paths.str.startswith(ida.root.name).all()
    assert all(Path(path).is_file() for path in paths)


def test_mistakes_end_in_one_line(ida: "IdaTree", tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scans.tsv"
    for arguments, message in (
        (("scan", tmp_path / "absent", "--out", out), "dualglow scan: "),
        (("scan", ida.root, "--out", out), "neither a BIDS dataset"),
        (("pair", "--scans", out, "--out", out, "--exclusions", out), "no such table"),
        (("split", "--pairs", out, "--out", out), "no such table"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert "Traceback" not in error
    assert not out.exists()


def test_without_pairs_the_exclusions_are_still_written(ida: "IdaTree", tmp_path: Path) -> None:
    ida.add(1, "900_S_9000", "1/02/2006", SCALED)
    ida.write_csv()
    scans, pairs, exclusions = (tmp_path / f"{name}.tsv" for name in ("scans", "pairs", "exclusions"))
    run("scan", ida.root, "--out", scans)
    with pytest.raises(SystemExit):
        run("pair", "--scans", scans, "--out", pairs, "--exclusions", exclusions)
    assert list(pd.read_csv(exclusions, sep="\t")["reason"]) == ["no_partner"]
    assert not pairs.exists()


def test_two_commands_and_no_options(ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dualglow scan ROOT && dualglow pair && dualglow split`, as a user types them."""
    fill(ida, 6)
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root)
    run("pair")
    run("split", "--folds", 3)
    made = sorted(path.name for path in Path("results/cohort").iterdir() if not path.name.startswith("."))
    assert made == ["exclusions.tsv", "folds.tsv", "folds_demographics.tsv", "pairs.tsv", "scans.tsv"]
    assert len(pd.read_csv("results/cohort/folds_demographics.tsv", sep="\t")) == 9


def test_the_level_that_is_missing_is_named(
    ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ida, 3)
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root, "--pet-level", "coregstd")
    with pytest.raises(SystemExit):
        run("pair")
    said = capsys.readouterr().err
    assert "none of the 3 PET scans is a usable FDG-PET (3 level_not_wanted)" in said
    assert "Coreg, Avg, Standardized Image and Voxel Size" in said
    with pytest.raises(SystemExit):
        run("scan", ida.root, "--pet-level", "level4")
    assert "pet_level level4: expected auto, coregiso" in capsys.readouterr().err


def test_mixed_levels_are_said_aloud(
    ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ida, 6)
    ida.add(800, "900_S_9100", "1/02/2006", SCALED)
    ida.add(801, "900_S_9100", "2/02/2006", "Coreg, Avg, Standardized Image and Voxel Size")
    ida.write_csv()
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root)
    run("pair")
    assert "the pairs mix 2 PET levels" in capsys.readouterr().out
    run("split", "--folds", 3)
    assert "train on mixed PET levels" in capsys.readouterr().out
    levels = pd.read_csv("results/cohort/folds_demographics.tsv", sep="\t")["pet_levels"]
    assert levels.str.contains("coregavg 3, coregstd 1").any()


def test_overrides_and_a_check_of_edited_folds(
    ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ida, 6)
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root)
    Path("overrides.tsv").write_text("action\tscan_id\treason\nexclude\tI3\tmotion, seen by eye\n")
    run("pair", "--overrides", "overrides.tsv")
    lost = pd.read_csv("results/cohort/exclusions.tsv", sep="\t").set_index("scan_id")
    assert tuple(lost.loc["I3", ["reason", "detail"]]) == ("excluded_by_hand", "motion, seen by eye")
    run("split", "--folds", 2)
    folds = pd.read_csv("results/cohort/folds.tsv", sep="\t")
    run("split", "--check", "results/cohort/folds.tsv")
    assert "5 pairs of 5 people in 2 folds" in capsys.readouterr().out
    folds.assign(part="train").to_csv("edited.tsv", sep="\t", index=False)
    with pytest.raises(SystemExit):
        run("split", "--check", "edited.tsv")
    assert "nobody is in the part test of fold 0" in capsys.readouterr().err


def test_options_of_ida_do_not_go_with_bids(
    bids: "BidsTree", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bids.add("sub-1_T1w")
    with pytest.raises(SystemExit):
        run("scan", bids.root, "--out", tmp_path / "scans.tsv", "--allow-unlisted")
    assert "--allow-unlisted: goes with an IDA download, not with bids" in capsys.readouterr().err
    run("scan", bids.root, "--out", tmp_path / "scans.tsv", "--t1-level", "processed")
    assert list(pd.read_csv(tmp_path / "scans.tsv", sep="\t")["reason"]) == ["level_not_wanted"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_case_44_an_unwritable_folder_is_named(
    ida: "IdaTree", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ida, 1)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(SystemExit):
        run("scan", ida.root, "--out", closed / "cohort" / "scans.tsv")
    assert "is not writable" in capsys.readouterr().err


def test_case_44_a_file_in_the_way_is_named_before_anything_is_read(
    ida: "IdaTree", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SystemExit):
        run("scan", ida.root / "absent", "--out", tmp_path / "file" / "scans.tsv")
    assert "cannot be made, for" in capsys.readouterr().err


def test_case_44_nothing_is_written_into_the_download(ida: "IdaTree", tmp_path: Path) -> None:
    fill(ida, 2)
    before = {path: path.stat().st_mtime_ns for path in ida.root.rglob("*")}
    run("scan", ida.root, "--out", tmp_path / "out" / "scans.tsv")
    assert {path: path.stat().st_mtime_ns for path in ida.root.rglob("*")} == before


def test_figure_pseudonyms_and_share(ida: "IdaTree", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ida, 4)
    monkeypatch.chdir(tmp_path)
    run("scan", ida.root)
    run("pair")
    cohort = Path("results/cohort")
    tables = [word for name in ("scans", "pairs", "exclusions") for word in (f"--{name}", cohort / f"{name}.tsv")]
    run("figure", "cohort", *tables, "--out", "figures/cohort", "--simulated")
    assert sorted(path.name for path in Path("figures").iterdir()) == [
        f"cohort{name}.{kind}" for name in ("", "_days") for kind in ("pdf", "png", "tsv")
    ]
    run("pseudonyms", "--pairs", cohort / "pairs.tsv", "--out", cohort / "pseudonyms.tsv")
    with zipfile.ZipFile("raw.zip", "w") as archive:
        archive.writestr("raw/report.html", "900_S_9001 and sub-900S9001_ses-20060202")
    run("share", "--report", "raw.zip", "--pseudonyms", cohort / "pseudonyms.tsv", "--out", "report.zip")
    with zipfile.ZipFile("report.zip") as archive:
        assert re.fullmatch(r"(P\w{8}) and sub-\1_ses-1", archive.read("report/report.html").decode())
