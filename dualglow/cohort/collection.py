"""The tables that list images, of every generation of the archive, and the XML of single images."""

import csv
import io
import logging
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path

from dualglow.cohort.scan import parse_age, parse_date, parse_group, parse_sex
from dualglow.errors import InputError

log = logging.getLogger(__name__)

IDA_HEADER = (
    "Image Data ID, Subject, Group, Sex, Age, Visit, Modality, Description, Type, Acq Date, Format, Downloaded"  # exact
)
# Names of a column over the generations of exports; compared without case, blanks and punctuation.
ALIASES = {
    "image_id": ("imagedataid", "imageid", "imageuid", "loniuid"),
    "subject": ("subject", "subjectid", "ptid"),
    "rid": ("rid",),
    "description": ("description", "imagedescription", "sequence"),
    "date": ("acqdate", "imagedate", "studydate", "scandate", "acquisitiondate"),
    "modality": ("modality", "imagemodality"),
    "group": ("group", "researchgroup", "dxgroup"),
    "sex": ("sex", "gender", "ptgender"),
    "age": ("age", "subjectage"),
    "visit": ("visit", "viscode2", "viscode"),
}
REQUIRED = ("image_id", "subject", "description", "date")  # a table may have the roster number (RID) for the subject
STUDY_COLUMNS = ("origproc", "magstrength")  # tables of all images of the study, not of those that were downloaded
PLACEHOLDERS = (date(1977, 7, 3), date(1900, 1, 1))  # what the archive writes for a date it does not know


@dataclass(frozen=True)
class Entry:
    """What a table or an XML says of one image."""

    image_id: str  # I<number>
    subject: str  # PTID; `RID <number>` from a table that has no more
    description: str
    date: date | None
    modality: str
    group: str
    sex: str
    age: float | None
    visit: str
    study: bool = field(default=False, compare=False)  # of a table that lists the whole study
    frames: int | None = None  # only an XML tells


def image_id(text: str) -> str | None:
    """`I40817`, `i40817` or ` 40817 ` as `I40817`; None if it is not an image ID."""
    found = re.fullmatch(r"[Ii]?0*(\d+)", text.strip())
    return f"I{found[1]}" if found else None


def subject_id(text: str) -> str:
    """`2_S_295` and `002_s_0295` as `002_S_0295`; other names only stripped."""
    found = re.fullmatch(r"(\d{1,3})_[Ss]_(\d{1,5})", text.strip())
    return f"{int(found[1]):03d}_S_{int(found[2]):04d}" if found else text.strip()


def real_date(day: date | None) -> date | None:
    """Return the date unless it is one of the archive's placeholders."""
    return None if day in PLACEHOLDERS else day


def read_collections(paths: list[Path]) -> dict[str, Entry]:
    """Read and join tables: image ID → entry. A table of the whole study only fills what a collection leaves open.

    Raises InputError for one that is not such a table, and for an image with different values in two rows.
    """
    tables = [(path, _read_collection(path)) for path in paths]
    entries: dict[str, Entry] = {}
    for path, rows in sorted(tables, key=lambda table: bool(table[1]) and table[1][0][1].study):
        for line, entry in rows:
            known = entries.get(entry.image_id)
            entries[entry.image_id] = _joined(known, entry, path, line) if known else entry
    return entries


def _joined(known: Entry, entry: Entry, path: Path, line: int) -> Entry:
    """Fill the blanks of a known entry. Raises InputError where two values differ that should not."""
    gaps = {f.name: getattr(entry, f.name) for f in fields(Entry) if getattr(known, f.name) in ("", None)}
    joined = replace(known, **gaps)
    same_kind = known.study == entry.study
    names = [f.name for f in fields(Entry) if f.compare and (same_kind or f.name == "subject")]
    different = [name for name in names if getattr(entry, name) not in ("", None, getattr(joined, name))]
    if different and not _same_person(different, joined, entry):
        values = "; ".join(f"{name}: {getattr(joined, name)} and {getattr(entry, name)}" for name in different)
        raise InputError(
            f"{path}, line {line}: {entry.image_id} is listed twice with different values ({values}). "
            "Remove the wrong row."
        )
    return joined


def _same_person(different: list[str], one: Entry, other: Entry) -> bool:
    return different == ["subject"] and "RID" in one.subject + other.subject and rid(one.subject) == rid(other.subject)


def rid(subject: str) -> int | None:
    """Return the roster number, which a person keeps at every site: the last number of a PTID."""
    found = re.fullmatch(r"(?:RID |\d{3}_S_)(\d+)", subject)
    return int(found[1]) if found else None


def is_collection(path: Path) -> bool:
    """Whether the header has the columns that a table of images needs."""
    return not _missing(_columns(read_rows(path, header_only=True)))


def _read_collection(path: Path) -> list[tuple[int, Entry]]:
    rows = read_rows(path)
    columns = _columns(rows[:1])
    if missing := _missing(columns):
        raise InputError(
            f"{path}: is not the CSV of an IDA image collection: no column for {', '.join(missing)}. "
            f"Expected {IDA_HEADER}; found {', '.join(rows[0]) if rows else 'nothing'}. "
            "In IDA open Data Collections, choose yours and press CSV (not the export of the search page)."
        )
    study = any(plain(cell) in STUDY_COLUMNS for cell in rows[0])
    return [
        (line, replace(_entry(dict(zip(columns, row, strict=False)), path, line), study=study))
        for line, row in enumerate(rows[1:], start=2)
        if any(cell.strip() for cell in row)
    ]


def plain(name: str) -> str:
    """Return a column's name without case, blanks and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def read_rows(path: Path, header_only: bool = False) -> list[list[str]]:
    """Return the cells of a table separated by comma, semicolon or tab; a byte-order mark and CRLF do not matter.

    Raises InputError if the file is not such a table.
    """
    try:
        with path.open("rb") as stream:
            text = (stream.readline() if header_only else stream.read()).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give the collection's CSV with --csv.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text table in UTF-8. Export the collection's CSV again.") from error
    header = text.split("\n", 1)[0]
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count)))
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV ({error}). Export the collection's CSV again.") from error


def _columns(header: list[list[str]]) -> list[str]:
    """Our name of every column, or an empty string; of two columns that mean the same, the first alias wins."""
    found = [plain(cell) for cell in header[0]] if header else []
    names = [""] * len(found)
    for name, aliases in ALIASES.items():
        if present := [alias for alias in aliases if alias in found]:
            names[found.index(present[0])] = name
    return names


def _missing(columns: list[str]) -> list[str]:
    return [name for name in REQUIRED if name not in columns and not (name == "subject" and "rid" in columns)]


def _entry(row: dict[str, str], path: Path, line: int) -> Entry:
    """Check one row. Raises InputError with its line number."""
    name = image_id(row["image_id"])
    if name is None:
        raise InputError(f"{path}, line {line}: {row['image_id']!r} is not an image ID such as I40817.")
    try:
        day = parse_date(row.get("date", ""))
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {name}: {error}. Correct it or export the CSV again.") from error
    number = row.get("rid", "").strip()
    return Entry(
        name,
        subject_id(row.get("subject", "")) or (f"RID {int(number)}" if number.isdigit() else ""),
        row.get("description", "").strip(),
        real_date(day),
        row.get("modality", "").strip(),
        parse_group(row.get("group", "")),
        parse_sex(row.get("sex", "")),
        parse_age(row.get("age", "")),
        row.get("visit", "").strip(),
    )


def read_xml(content: bytes, path: str, name: str) -> Entry | None:
    """Read the IDA XML of the image with the ID `name`; None, with a warning, if it is damaged.

    Tags are looked up by name alone, wherever they stand: their nesting differs between exports.
    """
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        log.warning("%s: ignored, it cannot be read (%s).", path, error)
        return None
    texts: dict[str, str] = {}
    frames = None
    for element in root.iter():
        texts.setdefault(element.tag.rsplit("}", 1)[-1], (element.text or "").strip())
        if re.search(r"\bframes\b", element.get("term", ""), re.IGNORECASE) and (element.text or "").strip().isdigit():
            frames = int((element.text or "").strip())
    try:
        day = parse_date(texts.get("dateAcquired", ""))
    except ValueError:
        log.warning("%s: dateAcquired %r is not a date; ignored.", path, texts["dateAcquired"])
        day = None
    return Entry(
        name,
        subject_id(texts.get("subjectIdentifier", "")),
        texts.get("processedDataLabel") or texts.get("description", ""),
        real_date(day),
        texts.get("modality", ""),
        parse_group(texts.get("researchGroup", "")),
        parse_sex(texts.get("subjectSex", "")),
        parse_age(texts.get("subjectAge", "")),
        texts.get("visitIdentifier", ""),
        frames=frames,
    )
