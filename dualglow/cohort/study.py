"""Tables about the study's people and scans that may be given beside a download: ADNIMERGE and quality control."""

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from dualglow.cohort.collection import image_id, plain, read_rows, rid
from dualglow.cohort.scan import PET, Scan, parse_age, parse_date, parse_group, parse_sex
from dualglow.errors import InputError

DAYS_PER_YEAR = 365.25
MERGE_COLUMNS = ("RID", "EXAMDATE", "AGE", "PTGENDER", "DX")
ID_COLUMNS = ("loniuid", "loniimage", "loniseries", "imageuid", "seriesid")
DATE_COLUMNS = ("examdate", "scandate")
# What a quality column says of a failed scan; a negative number or a blank says nothing.
QUALITY = {"pass": ("0",), "scanqlty": ("0", "2"), "seriesquality": ("4",)}

Row = dict[str, str]


@dataclass
class Person:
    """What ADNIMERGE says of one person."""

    sex: str = ""
    age: float | None = None  # years at the baseline
    baseline: date | None = None
    diagnoses: list[tuple[date, str]] = field(default_factory=list)  # date of the visit, group


def read_merge(path: Path) -> dict[int, Person]:
    """Read ADNIMERGE: roster number → person. Raises InputError if a column is missing or a date is none."""
    people: dict[int, Person] = {}
    for line, row in _rows(path, MERGE_COLUMNS):
        if not row["rid"].isdigit():
            raise InputError(f"{path}, line {line}: RID {row['rid']!r} is not a number. Export the table again.")
        person = people.setdefault(int(row["rid"]), Person())
        visit, baseline = (_date(row.get(name, ""), path, line) for name in ("examdate", "examdatebl"))
        person.sex = person.sex or parse_sex(row["ptgender"])
        person.age = parse_age(row["age"]) if person.age is None else person.age
        first = baseline or (visit if row.get("viscode", "bl") == "bl" else None)
        person.baseline = person.baseline or first
        if visit and (group := parse_group(row["dx"])):
            person.diagnoses.append((visit, group))
    for person in people.values():
        person.diagnoses.sort()
    return people


def completed(scan: Scan, people: dict[int, Person], precise_age: bool) -> Scan:
    """Return the scan with age at the scan, sex and group of ADNIMERGE where they are unknown or less precise.

    ADNIMERGE's AGE is that of the baseline; its decimals are better than the whole years of a collection CSV but not
    than an XML's (`precise_age`). Its diagnosis has three groups only, so it never replaces a known one.
    """
    person = people.get(rid(scan.subject) or -1)
    if person is None:
        return scan
    if not precise_age and person.age is not None and person.baseline and scan.date:
        years = (scan.date - person.baseline).days / DAYS_PER_YEAR
        scan = replace(scan, age=round(person.age + years, 4))
    scan = replace(scan, sex=scan.sex or person.sex)
    if not scan.group and scan.date and person.diagnoses:
        scan = replace(scan, group=_nearest(person.diagnoses, scan.date)).warned("group_from_adnimerge")
    return scan


def _nearest(diagnoses: list[tuple[date, str]], day: date) -> str:
    place = bisect_left(diagnoses, (day, ""))
    near = diagnoses[max(place - 1, 0) : place + 1]
    return min(near, key=lambda visit: abs(visit[0] - day))[1]


@dataclass
class Quality:
    """Which scans failed quality control: by image, by series, and PET also by person and date."""

    failed: dict[str, str] = field(default_factory=dict)  # I<number> or S<number> → which table says so
    failed_days: dict[tuple[int, date], str] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    passed_days: set[tuple[int, date]] = field(default_factory=set)

    def verdict(self, scan: Scan, series: str) -> str:
        """Which table fails the scan; an empty string if none does.

        The tables name the original image. Of a PET, its processed levels have other image IDs; they are known by
        person and date, unless another scan of that day passed.
        """
        for name in (scan.scan_id, series):
            if name in self.failed:
                return self.failed[name]
        number = rid(scan.subject)
        if scan.modality != PET or number is None or scan.date is None or scan.scan_id in self.passed:
            return ""
        day = (number, scan.date)
        return "" if day in self.passed_days else self.failed_days.get(day, "")


def read_quality(paths: Iterable[Path]) -> Quality:
    """Read quality tables (PETQC, PETC3, MRIQUALITY, MAYOADIRL_MRI_IMAGEQC). Raises InputError for any other table."""
    quality = Quality()
    for path in paths:
        rows = read_rows(path)
        columns = [plain(cell) for cell in rows[0]] if rows else []
        judged = next((name for name in QUALITY if name in columns), None)
        if judged is None or not set(columns) & set(ID_COLUMNS):
            raise InputError(
                f"{path}: is not a table of quality control: expected LONIUID (or loni_image) and PASS, SCANQLTY or "
                f"series_quality; found {', '.join(rows[0]) if rows else 'nothing'}."
            )
        for line, row in enumerate(rows[1:], start=2):
            _judge(quality, dict(zip(columns, (cell.strip() for cell in row), strict=False)), judged, path, line)
    return quality


def _judge(quality: Quality, row: Row, column: str, path: Path, line: int) -> None:
    value = re.sub(r"\.0*$", "", row.get(column, ""))
    if not value.isdigit():
        return
    names = [_name(row[key], key) for key in ID_COLUMNS if row.get(key)]
    series_only = all(name.startswith("S") for name in names)
    day = next((_date(row[key], path, line) for key in DATE_COLUMNS if row.get(key)), None)
    days = [(int(row["rid"]), day)] if day and row.get("rid", "").isdigit() and not series_only else []
    if value not in QUALITY[column]:
        quality.passed.update(names)
        quality.passed_days.update(days)
        return
    detail = f"{path.name}, line {line}: {column} is {value}"
    quality.failed.update(dict.fromkeys(names, detail))
    if column != "seriesquality":
        quality.failed_days.update(dict.fromkeys(days, detail))


def _name(text: str, column: str) -> str:
    """`I123`, `S45` or, in a column of images or series, the number alone."""
    if re.fullmatch(r"[Ss]\d+", text):
        return f"S{int(text[1:])}"
    number = image_id(re.sub(r"\.0*$", "", text)) or text
    return f"S{number[1:]}" if "series" in column and number.startswith("I") else number


def _rows(path: Path, expected: tuple[str, ...]) -> list[tuple[int, Row]]:
    """Return the rows with their line numbers. Raises InputError that lists what was found and what was expected."""
    rows = read_rows(path)
    columns = [plain(cell) for cell in rows[0]] if rows else []
    if missing := [name for name in expected if plain(name) not in columns]:
        raise InputError(
            f"{path}: lacks the column(s) {', '.join(missing)}; expected {', '.join(expected)} of ADNIMERGE; "
            f"found {', '.join(rows[0]) if rows else 'nothing'}."
        )
    return [
        (line, dict(zip(columns, (cell.strip() for cell in row), strict=False)))
        for line, row in enumerate(rows[1:], start=2)
        if len(row) >= len(columns)
    ]


def _date(text: str, path: Path, line: int) -> date | None:
    try:
        return parse_date(text)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {error}. Correct it or export the table again.") from error
