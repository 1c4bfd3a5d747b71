"""Reading a sample sheet."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualglow.cohort.pairing import pair_scans
from dualglow.cohort.scan import Scan, read_scans, scans_to_table
from dualglow.cohort.sheet import is_sheet, read_sheet
from dualglow.errors import InputError
from dualglow.files import write_table
from tests.cohort.conftest import write_image

Sheet = Callable[..., Path]


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    """Write a sheet of lines with `|` between the cells; files a.nii.gz to f.nii.gz lie beside it in `images 1`."""
    for letter in "abcdef":
        write_image(tmp_path / "images 1" / f"{letter}.nii.gz")

    def write(*lines: str, name: str = "sheet.tsv", separator: str = "\t", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        text = "\r\n".join(separator.join(cell.strip() for cell in line.split("|")) for line in lines)
        path.write_bytes(text.replace("@", "images 1/").encode(encoding))
        return path

    return write


def test_a_row_is_a_pair(sheet: Sheet, tmp_path: Path) -> None:
    path = sheet(
        "subject | t1 | pet | t1_date | pet_date | group | sex | age | visit",
        "sub-01 | @a.nii.gz | @b.nii.gz | 2020-01-02 | 1/20/2020 | Dementia | female | 89+ | bl",
    )
    t1, pet = sorted(read_sheet(path), key=lambda scan: scan.modality)
    image = str(tmp_path / "images 1" / "b.nii.gz")
    assert pet == Scan(
        "01_2020-01-20_pet", "01", "PET", "b.nii.gz", "native", "FDG", date(2020, 1, 20), "sheet", "bl", "AD", "F",
        89.0, (image,),
    )  # fmt: skip
    assert (t1.scan_id, t1.modality, t1.level, t1.tracer) == ("01_2020-01-02_t1", "MRI", "original", "")
    (pair,), _ = pair_scans([t1, pet])
    assert pair.delta_days == 18


def test_scans_table_keeps_everything(sheet: Sheet, tmp_path: Path) -> None:
    scans = read_sheet(sheet("subject | t1 | pet", "1 | @a.nii.gz | @b.nii.gz", "2 | @c.nii.gz | n/a"))
    write_table(scans_to_table(scans), tmp_path / "scans.tsv")
    assert read_scans(tmp_path / "scans.tsv") == scans


def test_only_what_is_needed(sheet: Sheet, tmp_path: Path) -> None:
    (scan,) = read_sheet(sheet("subject | t1", f"x | {tmp_path}/images 1/a.nii.gz"))
    assert (scan.scan_id, scan.subject, scan.usable, scan.warnings) == ("x_t1", "x", True, "group_unknown")


def test_without_dates_a_row_pairs_with_itself(sheet: Sheet) -> None:
    path = sheet("subject | t1 | pet", "1 | @a.nii.gz | @b.nii.gz", "1 | @c.nii.gz | @d.nii.gz")
    pairs, exclusions = pair_scans(read_sheet(path), per_subject="all")
    together = {(Path(pair.t1_paths[0]).name[0], Path(pair.pet_paths[0]).name[0]) for pair in pairs}
    assert together == {("a", "b"), ("c", "d")}
    assert not exclusions
    assert {pair.date_source for pair in pairs} == {"session"}


def test_rows_of_one_pair_label(sheet: Sheet) -> None:
    path = sheet(
        "subject | t1 | pet | pair | visit",
        "1 | @a.nii.gz | | first | sc",
        "1 | | @b.nii.gz | first | bl",
        "1 | @c.nii.gz | | second | sc",
    )
    (pair,), (rest,) = pair_scans(read_sheet(path))
    assert (pair.t1_id, pair.pet_id, pair.session) == ("1_first_t1", "1_first_pet", "first")
    assert rest.scan.scan_id == "1_second_t1"


def test_single_images_of_one_person_without_labels_are_paired(sheet: Sheet) -> None:
    pairs, _ = pair_scans(read_sheet(sheet("subject | t1 | pet", "1 | @a.nii.gz |", "1 | | @b.nii.gz")))
    assert len(pairs) == 1


def test_visits_in_months_are_compared(sheet: Sheet) -> None:
    path = sheet("subject | t1 | pet | visit", "1 | @a.nii.gz | | bl", "1 | | @b.nii.gz | m06")
    (pair,), _ = pair_scans(read_sheet(path), max_days=190)
    assert (pair.delta_days, pair.date_source) == (183, "months")


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-8-sig")])
def test_separators_marks_and_empty_rows(sheet: Sheet, separator: str, encoding: str) -> None:
    path = sheet("Subject | T1 | Age | ", "1 | @a.nii.gz | 70 | ", " | | | ", "", name="x.csv", separator=separator,
                 encoding=encoding)  # fmt: skip
    assert is_sheet(path)
    assert [(scan.subject, scan.age) for scan in read_sheet(path)] == [("1", 70)]


def test_group_may_be_any_text(sheet: Sheet) -> None:
    path = sheet("subject | t1 | group", "1 | @a.nii.gz | early tauopathy", "2 | @b.nii.gz | mci")
    assert [(scan.group, scan.warnings) for scan in read_sheet(path)] == [("", "group_unknown"), ("MCI", "")]


def test_files_that_cannot_be_used(sheet: Sheet, tmp_path: Path) -> None:
    write_image(tmp_path / "images 1" / "few.nii.gz", (42, 50, 3))
    (tmp_path / "images 1" / "broken.nii").write_bytes(b"x")
    names = ("gone.nii.gz", "few.nii.gz", "broken.nii", "")
    path = sheet("subject | t1", *(f"{n} | @{name}" for n, name in enumerate(names)))
    scans = read_sheet(path)
    assert [scan.reason for scan in scans] == ["file_missing", "geometry", "unreadable", "unreadable"]
    assert scans[0].detail.startswith("row 2: ")
    assert "does not exist" in scans[0].detail
    assert "dcm2niix" in scans[3].detail


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("subject | t1 | pet_dat", "1 | @a.nii.gz | x"), r"unknown column 'pet_dat'; did you mean pet_date\?"),
        (("subject | t1 | colour", "1 | @a.nii.gz | x"), r"unknown column 'colour'\. Known columns: subject, t1, "),
        (("subject | age", "1 | 70"), "lacks the column"),
        (("t1", "@a.nii.gz"), "lacks the column"),
        (("subject | t1 | T1", "1 | @a.nii.gz | @a.nii.gz"), "t1 is there twice"),
        (("subject | t1 | t1_date", "1 | @a.nii.gz | ", "2 | @b.nii.gz | 13/05/2010"),
         r"row 3, column t1_date: '13/05/2010', expected a date"),
        (("subject | t1 | age", "1 | @a.nii.gz | 150"), "row 2, column age: '150', expected years"),
        (("subject | t1 | sex", "1 | @a.nii.gz | 2"), "row 2, column sex: '2', expected F or M"),
        (("subject | t1", " | @a.nii.gz"), "row 2, column subject: is empty"),
        (("subject | t1 | pet", "1 | | n/a"), "row 2: has neither a t1 nor a pet"),
        (("subject | t1", "1 | @a.nii.gz", "2 | @../images 1/a.nii.gz"), "row 3, column t1: .* is also 1's in row 2"),
        (("subject | t1 | age", *["1 | @a.nii.gz | x"] * 5), r"\(and 2 more\)"),
        (("subject | t1",), "no rows"),
        (("",), "lacks the column"),
    ],
)  # fmt: skip
def test_mistakes_say_row_column_value_and_what_is_expected(sheet: Sheet, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(sheet(*lines))
    assert "\n" not in str(caught.value)


def test_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b"\xff\xfe\x00")
    for name, message in (("absent.tsv", "cannot be read"), ("x.tsv", "not a text table")):
        with pytest.raises(InputError, match=message):
            read_sheet(tmp_path / name)
    assert not is_sheet(tmp_path)


ROWS = (
    "1 | @a.nii.gz | @b.nii.gz | | | 70",
    "1 | @c.nii.gz | @d.nii.gz | | | 71",
    "1 | @a.nii.gz | | 2020-01-01 | | 70",
    "1 | @c.nii.gz | | 2020-01-01 | | 70",
    "2 | | @e.nii.gz | | 2020-01-01 | 60",
    "2 | @f.nii.gz | @e.nii.gz | 2020-02-01 | 2020-01-01 | 61",
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.permutations(ROWS))
def test_the_order_of_rows_does_not_matter(sheet: Sheet, rows: list[str]) -> None:
    header = "subject | t1 | pet | t1_date | pet_date | age"
    expected, shuffled = ([replace(s, detail="") for s in read_sheet(sheet(header, *lines))] for lines in (ROWS, rows))
    assert shuffled == expected
    assert len({scan.scan_id for scan in shuffled}) == len(shuffled) == 9
    assert pair_scans(shuffled, per_subject="all")[0] == pair_scans(expected, per_subject="all")[0]
