"""Files that are whole or absent: everything is written beside its final name, then renamed."""

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from dualglow.errors import DualGlowError, InputError
from dualglow.processes import running

INSIDE = "!/"
"""Separates what lies on disk from what is inside it: `some.zip!/ADNI/…/x.nii`, or `folder!/I123`, the DICOM slices of
image I123 in that folder."""


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` (same suffix); on success it becomes `path`, on failure it is removed.

    Raises DualGlowError if the disk is full: what was at `path` before is then still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be created ({error.strerror}). Choose a writable output.") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent}: is not writable. Choose another output folder or change its permissions.")
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        with enough_space(path):
            yield part
            os.replace(part, path)
            _clear_earlier(path)
    finally:
        part.unlink(missing_ok=True)


def _clear_earlier(path: Path) -> None:
    """Remove what killed processes had begun to write of `path`, which is now whole; what cannot be removed stays."""
    with suppress(OSError):
        for part in path.parent.glob(f".*.part.{glob.escape(path.name)}"):
            process = part.name.split(".")[1]
            if process.isdigit() and not running(int(process)):
                part.unlink(missing_ok=True)


NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def enough_space(path: Path) -> Iterator[None]:
    """Turn whatever a library raises when the disk of `path` is full into a DualGlowError that says what to do."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DualGlowError) or not out_of_space(error):
            raise
        raise DualGlowError(full_disk(path)) from error


def full_disk(where: Path | str) -> str:
    """What to tell a person whose disk is full."""
    return (
        f"{where}: cannot be written, for the disk is full or your quota is used up. "
        "Free some space and give the same command again."
    )


def out_of_space(error: BaseException | None) -> bool:
    """Whether a full disk or quota is behind the error.

    Few libraries raise the OSError itself: PyTorch raises another error after it, safetensors only quotes it, numpy
    says how much was written.
    """
    if error is None:
        return False
    said = str(error)
    return (
        (isinstance(error, OSError) and error.errno in NO_SPACE)
        or any(os.strerror(number) in said for number in NO_SPACE)
        or (isinstance(error, OSError) and error.errno is None and " requested and " in said)
        or out_of_space(error.__cause__ or error.__context__)
    )


def reserve(path: Path) -> None:
    """Take the disk space of a sparse file now: writing to a memory map on a full disk would kill the program."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


SNAKEMAKE_STAMP = ".snakemake_timestamp"  # put into every output folder of a rule


@contextmanager
def written_folder(out: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it replaces `out` as a whole, on failure it is removed.

    Raises InputError if `out` holds a file whose name has none of the `endings`: it is not an earlier result of ours.
    """
    present = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in present if not name.endswith((*endings, SNAKEMAKE_STAMP))]
    if foreign:
        raise InputError(f"{out}: holds other files ({foreign[0]}). Choose a new or empty folder for --out.")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{part}: cannot be created ({error.strerror}). Choose a writable --out.") from error
    try:
        with enough_space(out):
            yield part
            shutil.rmtree(out, ignore_errors=True)
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a tab-separated table; an empty field or `n/a` is missing. Raises InputError if a column is missing."""
    if not path.is_file():
        raise InputError(f"{path}: no such table.")
    try:
        table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(TEXT_COLUMNS, str))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a tab-separated table ({error}).") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}.")
    return table


def read_tables(paths: Iterable[Path], columns: list[str]) -> pd.DataFrame:
    """Read tables of one kind as one. A fold of which preprocessing left nobody to test has a table without rows.

    Raises InputError if a column is missing, or if none of the tables has rows.
    """
    names = list(paths)
    filled = [table for table in (read_table(path, columns) for path in names) if len(table)]
    if not filled:
        others = ", nor has any other table that was given" if len(names) > 1 else ""
        raise InputError(f"{names[0]}: has no rows{others}. Give the tables of folds in which somebody was held out.")
    return pd.concat(filled, ignore_index=True)


# Columns whose values look like numbers but are names.
TEXT_COLUMNS = ("pair_id", "subject", "scan_id", "t1_id", "pet_id", "session", "visit", "split_hash")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tab-separated table, whole or not at all; missing values become `n/a` (BIDS)."""
    with written(path) as part:
        table.to_csv(part, sep="\t", index=False, na_rep="n/a")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write indented JSON, whole or not at all."""
    with written(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises InputError naming the file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object.")
    return content


def check_writable(folder: Path) -> None:
    """Raise InputError if `folder` is not there and cannot be made, or nothing can be written into it."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{folder}: cannot be made, for {existing} is a file. Choose another folder.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"{folder}: {existing} is not writable. Choose another folder, or ask for the right to write.")


def source_digest() -> str:
    """SHA-256 of DualGlow's own modules as installed: two installations with the same digest run the same code."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()
