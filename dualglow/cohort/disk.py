"""Files below a folder and inside its zips, read in place: nothing is unpacked, no more is read than is asked for."""

import filecmp
import gzip
import logging
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from dualglow.errors import InputError
from dualglow.files import INSIDE

log = logging.getLogger(__name__)

HEAD = 4096  # bytes; a gzip's first block of them holds any image header
CHUNK = 1 << 20
# What a damaged or encrypted zip, a vanished file or an unknown compression raises.
DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Found:
    """A file on disk or a member of a zip: its path as in Scan.paths, its size in bytes, and what tells a change."""

    path: str
    size: int  # -1 for a link that leads nowhere
    stamp: str  # time of the last change in ns; of a member its CRC-32

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        return self.path.rsplit("/", 1)[0]

    @property
    def signature(self) -> str:
        """What changes when the content does."""
        return f"{self.size}:{self.stamp}"

    @property
    def member(self) -> tuple[str, str] | None:
        """The zip and the name in it; None for a plain file."""
        archive, inside, name = self.path.partition(INSIDE)
        return (archive, name) if inside else None


class Disk:
    """Lists and reads files; holds the zips open until it is closed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._zips: dict[str, zipfile.ZipFile] = {}
        self.damaged: dict[str, str] = {}  # zip that cannot be read → why

    def __enter__(self) -> "Disk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def files(self, root: Path, suffixes: tuple[str, ...]) -> Iterator[Found]:
        """Yield the files with these suffixes (lower case), those on disk before those in zips, in a fixed order.

        Hidden files and macOS's copies are passed over; links are followed, each folder is listed once.
        """
        zips = []
        for found in _listed(str(root), (*suffixes, ".zip"), set()):
            if found.path.lower().endswith(".zip"):
                zips.append(found.path)
            else:
                yield found
        for path in zips:
            yield from self._members(path, suffixes)

    def _members(self, path: str, suffixes: tuple[str, ...]) -> Iterator[Found]:
        try:
            archive = self._zips[path] = self._stack.enter_context(zipfile.ZipFile(path))
        except DAMAGE as error:
            self.damaged[path] = " ".join(str(error).split()) or type(error).__name__
            return
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            parts = member.filename.split("/")
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            if member.filename.lower().endswith(suffixes) and not hidden:
                yield Found(f"{path}{INSIDE}{member.filename}", member.file_size, f"{member.CRC:08x}")

    def open(self, found: Found) -> IO[bytes]:
        """Open a file or member for reading. Raises one of DAMAGE."""
        if found.member is None:
            return open(found.path, "rb")
        archive, name = found.member
        return self._zips[archive].open(name)

    def read(self, found: Found, count: int = -1) -> bytes:
        """Read the first `count` bytes, or all of them. Raises one of DAMAGE."""
        with self.open(found) as stream:
            return stream.read(count)

    def ends(self, found: Found) -> tuple[bytes, bytes]:
        """Read the first HEAD bytes and, of a plain file, the last four. Raises one of DAMAGE."""
        if found.member:
            return self.read(found, HEAD), b""
        with open(found.path, "rb", buffering=0) as stream:
            head = stream.read(HEAD)
            stream.seek(max(found.size - 4, 0))
            return head, stream.read(4)

    def same(self, one: Found, other: Found) -> bool:
        """Whether two files have the same content; members of zips are known by their checksums. Raises DAMAGE."""
        packed = [found.name.lower().endswith(".gz") for found in (one, other)]
        if packed[0] == packed[1] and one.size != other.size:
            return False
        if packed[0] == packed[1] and not one.member and not other.member:
            return filecmp.cmp(one.path, other.path, shallow=False)
        unpack = packed[0] != packed[1]
        return self._checksum(one, unpack) == self._checksum(other, unpack)

    def _checksum(self, found: Found, unpack: bool) -> str:
        if found.member and not unpack:
            return found.stamp
        total = 0
        with ExitStack() as stack:
            stream: IO[bytes] | gzip.GzipFile = stack.enter_context(self.open(found))
            if unpack and found.name.lower().endswith(".gz"):
                stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
            while block := stream.read(CHUNK):
                total = zlib.crc32(block, total)
        return f"{total:08x}"


def found_at(path: Path) -> Found:
    """Find one plain file; its size is -1 if there is none."""
    try:
        status = path.stat()
    except OSError:
        return Found(str(path), -1, "")
    return Found(str(path), status.st_size, str(status.st_mtime_ns))


def _listed(folder: str, suffixes: tuple[str, ...], seen: set[tuple[int, int]]) -> Iterator[Found]:
    """List a folder's files, then its subfolders: one stat per file with a wanted suffix, one per folder."""
    try:
        place = os.stat(folder)
        if (key := (place.st_dev, place.st_ino)) in seen:
            return
        seen.add(key)
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        log.warning("%s: passed over, it cannot be listed (%s).", folder, error.strerror)
        return
    subfolders = [entry.path for entry in entries if entry.is_dir() and entry.name != "__MACOSX"]
    for entry in entries:
        if entry.name.lower().endswith(suffixes) and not entry.is_dir():
            yield _found(entry)
    for subfolder in subfolders:
        yield from _listed(subfolder, suffixes, seen)


def _found(entry: os.DirEntry[str]) -> Found:
    if INSIDE in entry.path:
        raise InputError(
            f"{entry.path}: a folder whose name ends in '!' cannot be told from a zip. Rename or link the folder."
        )
    try:
        status = entry.stat()
    except OSError:  # such as git-annex leaves for a file that was not fetched
        return Found(entry.path, -1, "")
    return Found(entry.path, status.st_size, str(status.st_mtime_ns))
