"""What a person decides against the rules: pairs that must or must not be, scans left out, dates put right."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date as Date
from pathlib import Path

import pandas as pd

from dualglow.cohort.matching import Ids
from dualglow.cohort.scan import MRI, PET, Scan, parse_date, person
from dualglow.errors import InputError

COLUMNS = ["action", "subject", "t1_id", "pet_id", "scan_id", "date", "reason"]
NEEDED = {
    "pair": ("t1_id", "pet_id"),
    "forbid": ("t1_id", "pet_id"),
    "exclude": ("scan_id", "reason"),
    "date": ("scan_id", "date"),
}
UNDATED = ("no_date", "date_conflict")  # what a date by hand puts right


@dataclass(frozen=True)
class Override:
    """One row of overrides.tsv; what does not apply is empty."""

    line: int  # in the file, the header being line 1
    action: str  # pair, forbid, exclude or date
    subject: str = ""
    t1_id: str = ""
    pet_id: str = ""
    scan_id: str = ""
    date: Date | None = None
    reason: str = ""

    @property
    def couple(self) -> Ids:
        """The T1 and the PET of `pair` and `forbid`."""
        return self.t1_id, self.pet_id


@dataclass(frozen=True)
class Overrides:
    """All rows of one file. Every method raises InputError naming file and line."""

    path: Path
    rows: tuple[Override, ...]

    def applied(self, scans: Iterable[Scan]) -> list[Scan]:
        """Return the scans with dates put right and the excluded ones excluded, once every row has been checked."""
        scans = list(scans)
        known = {scan.scan_id: scan for scan in scans}
        for row in self.rows:
            self._check(row, known)
        self._check_forced()
        dates = {row.scan_id: row for row in self._of("date")}
        excluded = {row.scan_id: row.reason for row in self._of("exclude")}
        scans = [_dated(scan, dates.get(scan.scan_id)) for scan in scans]
        scans = [_excluded(scan, excluded.get(scan.scan_id)) for scan in scans]
        known = {scan.scan_id: scan for scan in scans}
        for row in self._of("pair"):
            self._check_usable(row, [known[name] for name in row.couple])
        return scans

    @property
    def forced(self) -> dict[Ids, str]:
        """Couples that must be pairs, and why."""
        return {row.couple: row.reason for row in self._of("pair")}

    @property
    def forbidden(self) -> dict[Ids, str]:
        """Couples that must not be pairs, and why."""
        return {row.couple: row.reason for row in self._of("forbid")}

    def _of(self, action: str) -> list[Override]:
        return [row for row in self.rows if row.action == action]

    def _check(self, row: Override, known: dict[str, Scan]) -> None:
        """Every scan is known, of the modality that its column says, and of one person."""
        wanted = {"t1_id": MRI, "pet_id": PET, "scan_id": ""}
        named = [(column, getattr(row, column)) for column in wanted if getattr(row, column)]
        for column, name in named:
            if name not in known:
                raise self._error(row, f"{column} {name} is not in scans.tsv. Expected a scan_id of that table.")
            if wanted[column] and known[name].modality != wanted[column]:
                what = known[name].modality
                raise self._error(row, f"{column} {name} is of the modality {what}, expected {wanted[column]}.")
        labels = {row.subject, *(known[name].subject for _, name in named)} - {""}
        if len({person(label) for label in labels}) > 1:
            who = ", ".join(f"{name} of {known[name].subject}" for _, name in named)
            said = f"; the row says subject {row.subject}" if row.subject else ""
            raise self._error(row, f"{who}{said}: expected scans of one person.")

    def _check_usable(self, row: Override, scans: list[Scan]) -> None:
        for scan in scans:
            if not scan.usable:
                why = f"{scan.reason}: {scan.detail}" if scan.detail else scan.reason
                raise self._error(row, f"{scan.scan_id} cannot be paired ({why}). Remove the row or mend the scan.")

    def _check_forced(self) -> None:
        """No scan is forced into two pairs, and nothing is forced and forbidden."""
        forced = self._of("pair")
        uses = Counter(name for row in forced for name in row.couple)
        for row in forced:
            if twice := [name for name in row.couple if uses[name] > 1]:
                raise self._error(row, f"{twice[0]} is in {uses[twice[0]]} rows `pair`; a scan is in one pair only.")
            if row.couple in self.forbidden:
                raise self._error(row, f"{row.t1_id} and {row.pet_id} are also forbidden. Keep one of the two rows.")

    def _error(self, row: Override, problem: str) -> InputError:
        return InputError(f"{self.path}: line {row.line} ({row.action}): {problem}")


def read_overrides(path: Path) -> Overrides:
    """Read overrides.tsv: columns action, subject, t1_id, pet_id, scan_id, date, reason; unused ones may be missing.

    `pair` and `forbid` need t1_id and pet_id, `exclude` scan_id and reason, `date` scan_id and date; `subject` is
    checked where it is given. Dates are YYYY-MM-DD or month/day/year.

    Raises InputError naming the line and what was expected.
    """
    try:
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # so that a row's number is its line's
            quoting=csv.QUOTE_NONE,
            encoding="utf-8-sig",
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such table of overrides.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: is not a tab-separated table ({' '.join(str(error).split())}).") from error
    if "action" not in table or (unknown := [str(name) for name in table if name not in COLUMNS]):
        bad = f"unknown column(s) {', '.join(unknown)}" if "action" in table else "no column action"
        raise InputError(f"{path}: line 1: {bad}; expected {', '.join(COLUMNS)}, separated by tabs.")
    cells = [{str(name): _cell(value) for name, value in row.items()} for row in table.to_dict("records")]
    rows = [_row(path, line, row) for line, row in enumerate(cells, start=2) if any(row.values())]
    return Overrides(path, tuple(rows))


def _row(path: Path, line: int, cells: dict[str, str]) -> Override:
    action = cells["action"].casefold()
    if action not in NEEDED:
        raise InputError(f"{path}: line {line}: unknown action '{cells['action']}'; expected {', '.join(NEEDED)}.")
    if missing := [name for name in NEEDED[action] if not cells.get(name)]:
        needed = " and ".join(NEEDED[action])
        raise InputError(f"{path}: line {line} ({action}): lacks {', '.join(missing)}; {action} needs {needed}.")
    foreign = {"t1_id", "pet_id", "scan_id", "date"} - set(NEEDED[action])
    if extra := sorted(name for name in foreign if cells.get(name)):
        needed = " and ".join(NEEDED[action])
        raise InputError(f"{path}: line {line} ({action}): {', '.join(extra)} has no meaning here; expected {needed}.")
    try:
        day = parse_date(cells.get("date", ""))
    except ValueError as error:
        raise InputError(f"{path}: line {line} ({action}): {error}.") from error
    given = {name: cells.get(name, "") for name in ("subject", "t1_id", "pet_id", "scan_id", "reason")}
    return Override(line, action, date=day, **given)


def _cell(value: str) -> str:
    text = " ".join(value.split())
    return "" if text.casefold() == "n/a" else text


def _dated(scan: Scan, row: Override | None) -> Scan:
    if row is None:
        return scan
    scan = replace(scan, date=row.date, date_source="overrides")
    return replace(scan, reason="", detail="") if scan.reason in UNDATED else scan


def _excluded(scan: Scan, why: str | None) -> Scan:
    return scan if why is None else replace(scan, reason="excluded_by_hand", detail=why)
