"""Files are whole or absent, and a table that is not what it should be is named."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dualglow.errors import InputError
from dualglow.files import read_json, read_table, read_tables, write_table, written


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written(path) as part:  # noqa: PT012
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_began_goes_when_the_file_is_whole(tmp_path: Path) -> None:
    """Its own part only: not that of a process that still writes, nor of another file."""
    path = tmp_path / "table[1].tsv"
    code = "import os, pathlib, sys; from dualglow.files import written\n"
    killed = f"{code}with written(pathlib.Path(sys.argv[1])) as part:\n part.touch(); os.kill(os.getpid(), 9)"
    for name in (path, tmp_path / "table1.tsv"):
        assert subprocess.run([sys.executable, "-c", killed, str(name)], check=False).returncode == -9
    alive = tmp_path / f".{os.getppid()}.part.{path.name}"
    alive.touch()
    assert len(list(tmp_path.iterdir())) == 3
    with written(path) as part:
        part.touch()
    left = {name.name.split(".part.")[-1] for name in tmp_path.iterdir() if name != alive}
    assert left == {path.name, "table1.tsv"}
    assert path.exists()
    assert alive.exists()


def test_a_leftover_that_cannot_be_removed_does_not_cost_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as somebody else's in a folder where each may remove only their own."""
    path = tmp_path / "table.tsv"
    leftover = tmp_path / ".4194999.part.table.tsv"  # above the largest number of a process
    leftover.touch()

    def refused(part: Path, missing_ok: bool = False) -> None:
        if part == leftover:
            raise PermissionError(part)

    monkeypatch.setattr(Path, "unlink", refused)
    with written(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert leftover.exists()


def test_a_part_keeps_the_ending_by_which_programs_choose_a_format(tmp_path: Path) -> None:
    with written(tmp_path / "image.nii.gz") as part:
        assert part.name.endswith("image.nii.gz")
        part.touch()
    assert (tmp_path / "image.nii.gz").exists()


def test_ids_stay_text_and_missing_values_survive(tmp_path: Path) -> None:
    table = pd.DataFrame({"subject": ["007", "010"], "age": [70.5, None]})
    write_table(table, tmp_path / "t.tsv")
    again = read_table(tmp_path / "t.tsv", ["subject", "age"])
    assert again["subject"].tolist() == ["007", "010"]
    assert again["age"].isna().tolist() == [False, True]
    assert "n/a" in (tmp_path / "t.tsv").read_text()


@pytest.mark.parametrize("content", ["", "subject\n1\n", '{"a": '])
def test_what_is_not_the_table_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text(content)
    with pytest.raises(InputError, match="broken"):
        read_table(path, ["pair_id"])
    with pytest.raises(InputError, match="broken"):
        read_json(path)


def test_an_output_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"), written(tmp_path / "file" / "out.tsv"):
        pass


def test_a_table_without_rows_is_passed_over_unless_all_are(tmp_path: Path) -> None:
    empty, filled = tmp_path / "empty.tsv", tmp_path / "filled.tsv"
    write_table(pd.DataFrame({"pair_id": []}), empty)
    write_table(pd.DataFrame({"pair_id": ["p"]}), filled)
    assert read_tables([empty, filled], ["pair_id"])["pair_id"].tolist() == ["p"]
    assert len(read_tables([filled, filled], ["pair_id"])) == 2  # who compares them sees that a file was given twice
    with pytest.raises(InputError, match=r"empty\.tsv: has no rows\. "):
        read_tables([empty], ["pair_id"])
    with pytest.raises(InputError, match=r"empty\.tsv: has no rows, nor has any other table that was given"):
        read_tables([empty, empty], ["pair_id"])
