"""The three verbs one after the other, and how they fail."""

import sys
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
