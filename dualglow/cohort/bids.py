"""Read T1w and FDG-PET images of a BIDS dataset; derivatives/ and sourcedata/ are not looked into."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from dualglow.cohort.scan import (
    GROUPS,
    MRI,
    PET,
    Scan,
    header_problem,
    parse_age,
    parse_date,
    parse_group,
    parse_sex,
)
from dualglow.errors import InputError
from dualglow.files import read_json

Row = dict[str, str]
FDG = re.compile(r"fdg|fludeoxyglucose|fluorodeoxyglucose", re.IGNORECASE)
DATE_COLUMNS = ("acq_time", "examination_date", "EXAMDATE", "date")
AGE_COLUMNS = ("age", "age_bl", "AGE")
SEX_COLUMNS = ("sex", "gender", "PTGENDER")
GROUP_COLUMNS = ("group", "diagnosis_sc", "diagnosis_bl", "diagnosis", "DX_bl", "DX", "dx")


@dataclass(frozen=True)
class Dataset:
    """Root folder and the participants table, by subject label."""

    root: Path
    participants: dict[str, Row]


@dataclass(frozen=True)
class Session:
    """One session folder (the subject's folder where there are no sessions) and what the tables say of it."""

    subject: str  # label without sub-
    label: str  # label without ses-; empty without sessions
    folder: Path
    scans: dict[str, Row]  # scans.tsv by the file's stem
    row: Row  # this session's row of sessions.tsv


def is_bids(root: Path) -> bool:
    """Whether the folder is a BIDS dataset."""
    return (root / "dataset_description.json").is_file()


def read_bids(root: Path) -> list[Scan]:
    """Read a BIDS dataset: every image in anat/ and pet/ becomes one Scan, sorted by subject, session and name.

    A scan's date comes from scans.tsv (acq_time), its sidecar, sessions.tsv, the month in `ses-M012`, or is unknown:
    then `date_source` is `months` or `session`, and the scan can only be paired by its session label.

    Raises
    ------
    InputError
        If the folder is missing or holds no sub-*/ folders, or if a table has a date that is none.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the root of a BIDS dataset.")
    subjects = sorted(path for path in root.glob("sub-*") if path.is_dir())
    if not subjects:
        raise InputError(f"{root}: has no sub-*/ folders. Give the root of a BIDS dataset.")
    dataset = Dataset(root, {_label(row["participant_id"]): row for row in _table(root / "participants.tsv")})
    return [
        scan
        for subject in subjects
        for session in _sessions(subject)
        for path in _images(session.folder)
        for scan in [_scan(dataset, session, path)]
    ]


def _sessions(subject: Path) -> Iterator[Session]:
    """List sessions from the folders: a sessions.tsv may name others."""
    label = _label(subject.name)
    rows = {_label(row.get("session_id", "")): row for row in _table(subject / f"{subject.name}_sessions.tsv")}
    folders = sorted(path for path in subject.glob("ses-*") if path.is_dir())
    for folder in [subject, *folders]:
        session = "" if folder == subject else _label(folder.name)
        name = subject.name if folder == subject else f"{subject.name}_{folder.name}"
        listed = {_stem(Path(row.get("filename", ""))): row for row in _table(folder / f"{name}_scans.tsv")}
        yield Session(label, session, folder, listed, rows.get(session, {}))


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for datatype in ("anat", "pet")
        for path in (folder / datatype).glob("*.nii*")
        if path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")
    )


def _scan(dataset: Dataset, session: Session, path: Path) -> Scan:
    pet = path.parent.name == "pet"
    stem = _stem(path)
    person = dataset.participants.get(session.subject, {})
    scan = Scan(
        stem,
        session.subject,
        PET if pet else MRI,
        _description(stem),
        visit=session.label,
        group=_group(person) or _group(session.row),
        sex=parse_sex(_first(person, SEX_COLUMNS)),
        age=parse_age(_first(session.row, AGE_COLUMNS) or _first(person, AGE_COLUMNS)),
        paths=(str(path),),
    )
    try:
        sidecar = _sidecar(dataset.root, session, path)
    except InputError as error:
        return scan.excluded("unreadable", str(error))
    day, source = _date(session, sidecar, path)
    scan = replace(scan, date=day, date_source=source)
    scan = _pet(scan, stem, sidecar) if pet else _t1(scan, stem)
    if scan.usable and (problem := header_problem(path)):
        return scan.excluded("unreadable", problem)
    return scan


def _pet(scan: Scan, stem: str, sidecar: dict[str, Any]) -> Scan:
    """Find the tracer (trc- entity, else TracerName) and the level (rec- entity)."""
    if not stem.endswith("_pet"):
        return scan.excluded("not_pet", f"{stem} has not the suffix _pet")
    entities = _entities(stem)
    tracer = entities.get("trc", "") or str(sidecar.get("TracerName", ""))
    if not tracer:
        return scan.excluded("tracer_unknown", f"{stem}: no trc- entity, and no TracerName in a sidecar")
    if not FDG.search(tracer):
        return replace(scan, tracer=tracer).excluded("wrong_tracer", f"{tracer} is not FDG")
    return replace(scan, tracer="FDG", level=entities.get("rec", "native"))


def _t1(scan: Scan, stem: str) -> Scan:
    if not stem.endswith("_T1w") or "part" in _entities(stem):
        return scan.excluded("not_t1", f"{scan.description} is not a T1w magnitude image")
    return replace(scan, level="original")


def _date(session: Session, sidecar: dict[str, Any], path: Path) -> tuple[date | None, str]:
    """Return the date and where it comes from. Raises InputError for a value that is no date."""
    acquired = sidecar.get("AcquisitionDateTime") or sidecar.get("AcquisitionDate") or ""
    sources = {
        "scans.tsv": session.scans.get(_stem(path), {}).get("acq_time", ""),
        "sidecar": str(acquired),
        "sessions.tsv": _first(session.row, DATE_COLUMNS),
    }
    for source, text in sources.items():
        try:
            day = parse_date(text)
        except ValueError as error:
            raise InputError(f"{path}: the date in its {source}: {error}. Correct it or write n/a.") from error
        if day:
            return day, source
    return None, "months" if months(session.label) is not None else "session"


def months(label: str) -> int | None:
    """Read the month in a session label such as M012, m06 or bl; None if it has none."""
    if label.casefold() == "bl":
        return 0
    found = re.fullmatch(r"[Mm](\d{1,3})", label)
    return int(found[1]) if found else None


def _sidecar(root: Path, session: Session, path: Path) -> dict[str, Any]:
    """Join the JSON files that apply to an image, the nearest winning (BIDS inheritance principle)."""
    wanted = set(_stem(path).split("_"))
    suffix = _stem(path).rsplit("_", 1)[-1]
    content: dict[str, Any] = {}
    for folder in dict.fromkeys((root, root / f"sub-{session.subject}", session.folder, path.parent)):
        fitting = [file for file in folder.glob(f"*{suffix}.json") if set(file.stem.split("_")) <= wanted]
        for file in sorted(fitting, key=lambda file: len(file.stem)):
            content |= read_json(file)
    return content


def _table(path: Path) -> list[Row]:
    """Return the rows of a BIDS table, `n/a` as empty text; none if there is no such table."""
    if not path.is_file():
        return []
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a tab-separated table ({error}).") from error
    if path.name == "participants.tsv" and "participant_id" not in table:
        raise InputError(f"{path}: lacks the column participant_id; it has {', '.join(table.columns)}.")
    return [{str(k): str(v).strip() for k, v in row.items()} for row in table.replace("n/a", "").to_dict("records")]


def _first(row: Row, columns: tuple[str, ...]) -> str:
    """Return the first of these columns that has a value."""
    return next((row[name] for name in columns if row.get(name)), "")


def _group(row: Row) -> str:
    """Return the first diagnosis column with one of the six groups."""
    found = (parse_group(row.get(name, "")) for name in GROUP_COLUMNS)
    return next((group for group in found if group in GROUPS), "")


def _label(name: str) -> str:
    return re.sub(r"^(sub|ses)-", "", name)


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _entities(stem: str) -> dict[str, str]:
    return dict(part.split("-", 1) for part in stem.split("_") if "-" in part)


def _description(stem: str) -> str:
    """Return what the file name says beyond subject and session."""
    return "_".join(part for part in stem.split("_") if not part.startswith(("sub-", "ses-")))
