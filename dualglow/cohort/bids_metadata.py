"""What the names, the JSON sidecars and the tables of a BIDS dataset say of its images.

pybids is not used to read: it indexes every file before the first answer (seven times as long on 1,000 images),
stops at the first sidecar that is not JSON, and passes .bidsignore by. What is needed of it, the inheritance of
sidecars, is the dozen lines of `Sidecars`; the tests hold them against pybids.
"""

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from dualglow.cohort.scan import parse_date
from dualglow.errors import InputError

Row = dict[str, str]  # by column in lower case; n/a is empty
MISSING = ("", "n/a", "na", "nan", "none", "unknown")
# `pet/` or `sub-*/ses-*/pet/**`: all images of a datatype.
WHOLE_DATATYPE = re.compile(r"/?((\*{1,2}|sub-\*|ses-\*)/)*(anat|pet)(/\**)*")


def stem(name: str) -> str:
    """Name of an image without folder and ending, whether it is listed as .nii or as .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", re.split(r"[/\\]", name)[-1])


def label(name: str) -> str:
    """`sub-01` as `01`, `ses-M012` as `M012`."""
    return re.sub(r"^(sub|ses)-", "", name)


def entities(name: str) -> dict[str, str]:
    """`sub-01_trc-18FFDG_pet` as {sub: 01, trc: 18FFDG}."""
    return dict(part.split("-", 1) for part in name.split("_") if "-" in part)


def text(value: object) -> str:
    """Return the value of a cell or a JSON field; empty if it says that it is not known."""
    plain = "" if value is None else str(value).strip()
    return "" if plain.casefold() in MISSING else plain


def first(columns: tuple[str, ...], *rows: Row) -> str:
    """Return the first value that one of these columns has, in the first row that has any of them."""
    return next((row[name] for row in rows for name in columns if row.get(name)), "")


class Sidecars:
    """The JSON files of one dataset, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[Path, list[Path]] = {}
        self._contents: dict[Path, dict[str, Any]] = {}

    def of(self, image: Path) -> dict[str, Any]:
        """Join the JSON files that apply to an image, the nearest winning (BIDS inheritance principle).

        They lie in the image's folder or above, have its suffix, and no entity that it has not; of several in one
        folder the one with more entities wins. Raises InputError naming a file that is no JSON object.
        """
        parts = stem(image.name).split("_")
        content: dict[str, Any] = {}
        for folder in reversed(image.relative_to(self.root).parents):
            for file in self._in(self.root / folder):
                named = file.stem.split("_")
                if named[-1] == parts[-1] and set(named) <= set(parts):
                    content |= self._read(file)
        return content

    def _in(self, folder: Path) -> list[Path]:
        if folder not in self._names:
            files = (path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
            self._names[folder] = sorted(files, key=lambda path: (path.stem.count("_"), path.name))
        return self._names[folder]

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._contents:
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError) as error:  # not there (a link to an annex), not UTF-8, or not JSON
                raise InputError(f"{path.name} is not JSON ({error})") from error
            if not isinstance(content, dict):
                raise InputError(f"{path.name} is not a JSON object")
            self._contents[path] = content
        return self._contents[path]


def read_rows(path: Path, key: str) -> list[Row]:
    """Return the rows of a BIDS table; none if there is no such table.

    Raises
    ------
    InputError
        If it is not a tab-separated table or lacks the column `key`.
    """
    if not path.is_file():
        return []
    try:
        lines = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a tab-separated table in UTF-8 ({error}). Save it again as such.") from error
    header = [cell.strip().casefold() for cell in lines[0]] if lines else []
    if key not in header:
        raise InputError(f"{path}: lacks the column {key}; it has {', '.join(header) or 'none'}. Name it so.")
    return [dict(zip(header, map(text, cells), strict=False)) for cells in lines[1:] if any(cells)]


def by_label(path: Path, *columns: str) -> dict[tuple[str, ...], Row]:
    """Rows of a table by the labels in these columns (without sub- and ses-; the first column must be there).

    Raises InputError if two rows of the same labels differ.
    """
    found: dict[tuple[str, ...], Row] = {}
    for row in read_rows(path, columns[0]):
        labels = tuple(label(row.get(column, "")) for column in columns)
        if found.setdefault(labels, row) != row:
            raise InputError(
                f"{path}: {' '.join(filter(None, labels))} is listed twice with different values. "
                "Keep one row, or tell sessions apart in a column session_id."
            )
    return found


def read_ignored(root: Path) -> GitIgnoreSpec:
    """Return the patterns of .bidsignore, but not those of a whole datatype.

    Early releases of Clinica list `pet/` because the validators of the time did not know PET; the images are good.
    """
    path = root / ".bidsignore"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return GitIgnoreSpec.from_lines(line for line in lines if not WHOLE_DATATYPE.fullmatch(line.strip()))


def first_date(sources: Iterable[tuple[str, object]]) -> tuple[date | None, str]:
    """Return the first date among (source, value), and its source. Raises ValueError for a value that is no date."""
    for source, value in sources:
        try:
            day = _day(text(value))
        except ValueError as error:
            raise ValueError(f"the date in its {source}: {error}") from error
        if day:
            return day, source
    return None, ""


def _day(value: str) -> date | None:
    """Read a date of a table or sidecar; a clock time alone is none, and DICOM's 20200102093000.00 is one."""
    if re.fullmatch(r"\d\d:\d\d\S*", value):
        return None
    return parse_date(value[:8] if re.fullmatch(r"\d{14}(\.\d+)?", value) else value)
