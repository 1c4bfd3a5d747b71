"""What was read from files, kept beside scans.tsv, so that a second scan reads only what has changed since."""

import json
import logging
from pathlib import Path
from typing import Any

from dualglow.files import written

log = logging.getLogger(__name__)

VERSION = 1  # raise it when what is kept changes its meaning

Kept = dict[str, Any]


class Cache:
    """Facts by file, each valid as long as the file's signature (size and time of change) is the same.

    Without a path it remembers nothing beyond this run. A cache that cannot be read is made anew.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._old: dict[str, tuple[str, Kept]] = _read(path) if path and path.is_file() else {}
        self._new: dict[str, tuple[str, Kept]] = {}

    def get(self, key: str, signature: str) -> Kept | None:
        """Return what is kept of an unchanged file; None if it must be read."""
        kept = self._old.get(key)
        if kept is None or kept[0] != signature:
            return None
        self._new[key] = kept
        return kept[1]

    def put(self, key: str, signature: str, facts: Kept) -> None:
        """Keep what was read."""
        self._new[key] = (signature, facts)

    def save(self) -> None:
        """Write what this run used, if it differs from what is there. Raises InputError if it cannot be written."""
        if self._path is None or self._new == self._old:
            return
        with written(self._path) as part:
            part.write_text(json.dumps({"version": VERSION, "files": self._new}, separators=(",", ":")))


def _read(path: Path) -> dict[str, tuple[str, Kept]]:
    try:
        content = json.loads(path.read_text())
        if content["version"] != VERSION:
            return {}
        return {key: (signature, facts) for key, (signature, facts) in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.warning("%s: is not a cache of headers; all headers are read again.", path)
        return {}
