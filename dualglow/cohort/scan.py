"""The two records of the cohort: a scan that was read, and a T1–PET pair of one person; and their tables."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import date as Date
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dualglow.errors import InputError
from dualglow.files import INSIDE, read_table

GROUPS = ("CN", "SMC", "EMCI", "MCI", "LMCI", "AD")
MRI, PET, OTHER = "MRI", "PET", "other"


@dataclass(frozen=True)
class Scan:
    """One scan as found in the download, whether it can be used or not. Unknown text is empty, other unknowns None."""

    scan_id: str
    subject: str
    modality: str  # MRI, PET or other
    description: str = ""
    level: str = ""  # how far the archive has processed it: dualglow.cohort.levels
    tracer: str = ""
    date: Date | None = None
    date_source: str = ""  # csv, xml, folder; scans.tsv, sidecar, sessions.tsv, months, session; overrides
    visit: str = ""
    group: str = ""  # one of GROUPS
    sex: str = ""  # F or M
    age: float | None = None  # years at the scan
    paths: tuple[str, ...] = ()  # one file, or one per frame in temporal order
    reason: str = ""  # why the scan cannot be used; empty when it can
    detail: str = ""
    warnings: str = ""  # codes of what is odd but does not exclude the scan, joined by a blank

    @property
    def usable(self) -> bool:
        """Whether the scan may be paired."""
        return not self.reason

    def excluded(self, reason: str, detail: str = "") -> "Scan":
        """Return the scan with a reason against its use; the first reason found stays."""
        return self if self.reason else replace(self, reason=reason, detail=detail)

    def warned(self, code: str) -> "Scan":
        """Return the scan with one more warning."""
        return replace(self, warnings=" ".join(sorted({*self.warnings.split(), code})))


@dataclass(frozen=True)
class Pair:
    """A T1 and the FDG-PET of the same person that goes with it."""

    pair_id: str  # sub-<label>_ses-<session>
    subject: str
    session: str  # PET date as YYYYMMDD; the session label where there is no date
    t1_id: str
    pet_id: str
    t1_date: Date | None
    pet_date: Date | None
    delta_days: int | None  # from T1 to PET, negative when the PET came first
    t1_level: str
    pet_level: str
    date_source: str
    visit: str  # visit, group, sex and age: those of the PET
    group: str
    sex: str
    age: float | None
    t1_paths: tuple[str, ...]
    pet_paths: tuple[str, ...]
    warnings: str = ""  # of both scans, and of the pair


def on_disk(path: str) -> str:
    """The file or folder that must exist for a path of a Scan."""
    return path.split(INSIDE, 1)[0]


def person(subject: str) -> str:
    """Who a subject label means: ADNI's roster number, which stays when a person moves to another site."""
    found = re.fullmatch(r"(?:ADNI)?\d{3}_?S_?(\d{4,5})", subject.strip(), re.IGNORECASE)
    return f"RID {int(found[1])}" if found else subject


SCAN_COLUMNS = [field.name for field in fields(Scan)]
PAIR_COLUMNS = [field.name for field in fields(Pair)]


def scans_to_table(scans: Iterable[Scan]) -> pd.DataFrame:
    """One row per scan; dates ISO, paths joined by `;`, unknowns missing."""
    return pd.DataFrame([_row(scan) for scan in scans], columns=SCAN_COLUMNS)


def pairs_to_table(pairs: Iterable[Pair]) -> pd.DataFrame:
    """One row per pair; dates ISO, paths joined by `;`, unknowns missing."""
    return pd.DataFrame([_row(pair) for pair in pairs], columns=PAIR_COLUMNS).astype({"delta_days": "Int64"})


def read_scans(path: Path) -> list[Scan]:
    """Read scans.tsv. Raises InputError if a column is missing or a value cannot be read."""
    return [Scan(**_values(row, path)) for row in _records(read_table(path, SCAN_COLUMNS)[SCAN_COLUMNS])]


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs.tsv. Raises InputError if a column is missing or a value cannot be read."""
    return [Pair(**_values(row, path)) for row in _records(read_table(path, PAIR_COLUMNS)[PAIR_COLUMNS])]


Field = str | float | int | Date | tuple[str, ...] | None
Cell = str | float | int | None


def _row(record: Scan | Pair) -> dict[str, Cell]:
    return {name: _cell(value) for name, value in asdict(record).items()}


def _cell(value: Field) -> Cell:
    """Make a field a table cell. Raises InputError for a path that holds the separator of paths."""
    if isinstance(value, tuple):
        if any(";" in path for path in value):
            raise InputError(f"{value[0]}: a path with ';' cannot be listed. Rename or link the folder.")
        value = ";".join(value)
    if isinstance(value, Date):
        return value.isoformat()
    if isinstance(value, str):
        return " ".join(value.split()) or None
    return value


def _records(table: pd.DataFrame) -> list[dict[str, Cell]]:
    """Return the rows with None for what is missing."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): cell for name, cell in row.items()} for row in plain.to_dict("records")]


def _values(row: dict[str, Cell], path: Path) -> dict[str, Any]:
    try:
        return {name: _value(name, cell) for name, cell in row.items()}
    except ValueError as error:
        raise InputError(f"{path}: row of {next(iter(row.values()))}: {error}.") from error


def _value(name: str, cell: Cell) -> Field:
    """Turn a cell into a field; which kind it is, its name says. Raises ValueError."""
    if name in ("age", "delta_days", "date", "t1_date", "pet_date"):
        if cell is None:
            return None
        return float(cell) if name == "age" else int(cell) if name == "delta_days" else Date.fromisoformat(str(cell))
    text = "" if cell is None else str(cell)
    if name.endswith("paths"):
        return tuple(text.split(";")) if text else ()
    return text


DATE_FORMATS = ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d", "%Y%m%d")


def parse_date(text: str) -> Date | None:
    """Read `8/10/2021` (month first, never day first), `03/02/07`, `2021-08-10`, `20210810` or an ISO date and time.

    Returns None for an empty value; raises ValueError for anything else.
    """
    text = text.strip()
    if text.casefold() in ("", "n/a", "na", "nan"):
        return None
    for pattern in DATE_FORMATS:
        try:
            return datetime.strptime(text, pattern).date()
        except ValueError:
            continue
    if re.match(r"\d{4}-\d\d-\d\d[T ]", text):
        return Date.fromisoformat(text[:10])
    raise ValueError(f"{text!r} is not a date (month/day/year or year-month-day)")


SYNONYMS = {"DEMENTIA": "AD", "NL": "CN", "NC": "CN", "HC": "CN", "CONTROL": "CN", "NORMAL": "CN"}


def parse_group(text: str) -> str:
    """Return one of GROUPS, or an empty string for anything that is none of them (`Patient`, `n/a`)."""
    name = text.strip().upper()
    name = SYNONYMS.get(name, name)
    return name if name in GROUPS else ""


def parse_sex(text: str) -> str:
    """Return F, M or an empty string."""
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(text.strip().casefold(), "")


def parse_age(text: str) -> float | None:
    """Age in years (`89+` is 89); None if missing or implausible (not above 0, or above 120)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*\+?", text.strip())
    age = float(found[1]) if found else 0.0
    return age if 0 < age <= 120 else None


def header_problem(path: Path) -> str:
    """Say what is wrong with an image file as far as its header and size tell; an empty string if nothing is.

    A compressed file is read to its end only if its last bytes say that it is cut short.
    """
    from dualglow.cohort.headers import header_problem as problem  # which needs the records of this module

    return problem(path)
