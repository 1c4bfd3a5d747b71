"""A sample sheet: one row per T1–PET couple or single image, for everyone whose files are in no archive's layout.

docs/bids.md has an example and says what each column means.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from dualglow.cohort.bids import months
from dualglow.cohort.disk import Disk, found_at
from dualglow.cohort.geometry import judged
from dualglow.cohort.headers import image_facts
from dualglow.cohort.scan import MRI, PET, Scan, on_disk, parse_age, parse_date, parse_group, parse_sex
from dualglow.errors import InputError
from dualglow.files import INSIDE

Row = dict[str, str]
IMAGES = {"t1": MRI, "pet": PET}
UNKNOWN = ("", "n/a", "na", "nan")
MANY = 3  # mistakes that one message names


@dataclass(frozen=True)
class Column:
    """What a column may hold: `fits` tells a good value, `expected` says it in words."""

    expected: str
    fits: Callable[[str], bool] = bool


def _is_date(value: str) -> bool:
    try:
        return parse_date(value) is not None
    except ValueError:
        return False


COLUMNS = {
    "subject": Column("a name of the person"),
    "t1": Column("a NIfTI file"),
    "pet": Column("a NIfTI file"),
    "t1_date": Column("a date, year-month-day or month/day/year", _is_date),
    "pet_date": Column("a date, year-month-day or month/day/year", _is_date),
    "group": Column("a diagnosis"),
    "sex": Column("F or M", lambda value: bool(parse_sex(value))),
    "age": Column("years between 0 and 120, such as 75.3", lambda value: parse_age(value) is not None),
    "visit": Column("a label such as bl or m12"),
    "pair": Column("a label that the T1 and the PET of a pair share"),
}


def is_sheet(path: Path) -> bool:
    """Whether the path is a table, not a folder."""
    return path.suffix.lower() in (".tsv", ".csv") and path.is_file()


def read_sheet(path: Path, strict: bool = False) -> list[Scan]:
    """Read a sample sheet, separated by tabs, commas or semicolons: every file in it becomes one Scan.

    Needed are `subject` and `t1` or `pet`; the other COLUMNS may be left out. Files are relative to the sheet or
    absolute. The T1 and PET of one row, or of rows with one label in `pair`, share their visit, so that without dates
    they are paired. Neither the scans nor their ids depend on the order of the rows; rows count from the header's, 1.

    Raises
    ------
    InputError
        If there is no such table, it has an unknown column, or a value is not what is expected.
    """
    rows = _rows(path)
    _check(path, rows)
    labels = _labels(rows)
    with Disk() as disk:
        scans = [
            _checked(_scan(path.parent, row, which, labels[line]), line, disk, strict)
            for line, row in rows.items()
            for which in IMAGES
            if row.get(which)
        ]
    return _unique(sorted(scans, key=_order))


def _rows(path: Path) -> dict[int, Row]:
    """Return the rows by their number in the file; unknown values are empty."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
        header = content.split("\n", 1)[0]
        lines = list(csv.reader(io.StringIO(content, newline=""), delimiter=max("\t,;", key=header.count)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give a sample sheet.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a text table in UTF-8 ({error}). Save it as TSV or CSV (UTF-8).") from error
    names = [cell.strip().casefold() for cell in lines[0]] if lines else []
    while names and not names[-1]:
        names.pop()  # a spreadsheet's empty columns
    _check_columns(path, names)
    numbered = enumerate(lines[1:], start=2)
    return {line: _row(names, cells) for line, cells in numbered if any(cell.strip() for cell in cells)}


def _row(names: list[str], cells: list[str]) -> Row:
    row = {name: _known(cell) for name, cell in zip(names, cells, strict=False)}
    return row | {"subject": row.get("subject", "").removeprefix("sub-")}


def _known(cell: str) -> str:
    return "" if cell.strip().casefold() in UNKNOWN else cell.strip()


def _check_columns(path: Path, names: list[str]) -> None:
    known = f"Known columns: {', '.join(COLUMNS)}."
    for name in names:
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise InputError(f"{path}: unknown column '{name}'{meant} {known}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: the column {twice[0]} is there twice. Keep one. {known}")
    if "subject" not in names or not set(IMAGES) & set(names):
        raise InputError(f"{path}: lacks the column(s) subject, and t1 or pet. {known}")


def _check(path: Path, rows: dict[int, Row]) -> None:
    """Raise InputError naming the first mistakes with row, column, value and what was expected."""
    mistakes = [mistake for line, row in rows.items() for mistake in _mistakes(line, row)]
    mistakes += _shared(path.parent, rows)
    if not rows:
        mistakes = ["has no rows below the header"]
    if mistakes:
        more = f" (and {len(mistakes) - MANY} more)" if len(mistakes) > MANY else ""
        raise InputError(f"{path}: {'; '.join(mistakes[:MANY])}{more}. Correct the sheet.")


def _mistakes(line: int, row: Row) -> Iterator[str]:
    if not row["subject"]:
        yield f"row {line}, column subject: is empty, expected {COLUMNS['subject'].expected}"
    if not any(row.get(which) for which in IMAGES):
        yield f"row {line}: has neither a t1 nor a pet, expected at least one file"
    for name, value in row.items():
        if value and not COLUMNS[name].fits(value):
            yield f"row {line}, column {name}: '{value}', expected {COLUMNS[name].expected}"


def _shared(folder: Path, rows: dict[int, Row]) -> Iterator[str]:
    """Name files that stand in the rows of two people: they would be trained and tested on at once."""
    owners: dict[str, tuple[str, int]] = {}
    for line, row in rows.items():
        for which in filter(row.get, IMAGES):
            file = str(Path(_place(folder, row[which])).resolve())
            subject, first = owners.setdefault(file, (row["subject"], line))
            if subject != row["subject"]:
                yield f"row {line}, column {which}: '{row[which]}' is also {subject}'s in row {first}"


def _place(folder: Path, file: str) -> str:
    return str(folder / Path(file).expanduser())


def _labels(rows: dict[int, Row]) -> dict[int, str]:
    """Label of each row's visit: its pair's, its own, or, for a T1 and PET without either, one of its own.

    The last are numbered by their files within a person, so that they do not depend on the order of the rows.
    """
    labels = {line: row.get("pair") or row.get("visit") or "" for line, row in rows.items()}
    bare = [line for line, row in rows.items() if not labels[line] and all(row.get(which) for which in IMAGES)]
    count: Counter[str] = Counter()
    for line in sorted(bare, key=lambda line: [rows[line].get(name, "") for name in COLUMNS]):
        count[rows[line]["subject"]] += 1
        labels[line] = f"pair{count[rows[line]['subject']]}"
    return labels


def _scan(folder: Path, row: Row, which: str, visit: str) -> Scan:
    """Make the scan of one cell; its name says person, day or visit, and kind."""
    date = parse_date(row.get(f"{which}_date", ""))
    undated = "session" if months(visit) is None else "months"
    scan = Scan(
        "_".join(filter(None, (row["subject"], date.isoformat() if date else visit, which))),
        row["subject"],
        IMAGES[which],
        Path(row[which]).name,
        level="native" if which == "pet" else "original",
        tracer="FDG" if which == "pet" else "",
        date=date,
        date_source="sheet" if date else undated,
        visit=visit,
        group=parse_group(row.get("group", "")),
        sex=parse_sex(row.get("sex", "")),
        age=parse_age(row.get("age", "")),
        paths=(_place(folder, row[which]),),
    )
    return scan if scan.group else scan.warned("group_unknown")


def _checked(scan: Scan, line: int, disk: Disk, strict: bool) -> Scan:
    """Exclude a file that is not there, damaged or no head."""
    path = scan.paths[0]
    place = Path(on_disk(path))
    if not place.exists():
        return scan.excluded("file_missing", f"row {line}: {path} does not exist")
    if INSIDE in path:  # in a zip, or the slices of one image: read when it is converted
        return scan
    if place.is_dir():
        return scan.excluded("unreadable", f"row {line}: {path} is a folder; convert DICOM with dcm2niix first")
    checked = judged(scan, [image_facts(found_at(place), disk)], strict)
    return replace(checked, detail=f"row {line}: {checked.detail}") if checked.reason else checked


def _order(scan: Scan) -> tuple:
    return scan.subject, scan.scan_id, scan.paths, scan.visit, scan.group, scan.sex, scan.age or 0


def _unique(scans: list[Scan]) -> list[Scan]:
    """Number the scans of one name, in the order of their files."""
    number: Counter[str] = Counter()
    result = []
    for scan in scans:
        number[scan.scan_id] += 1
        again = number[scan.scan_id]
        result.append(replace(scan, scan_id=f"{scan.scan_id}-{again}") if again > 1 else scan)
    return result
