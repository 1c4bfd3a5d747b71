"""What lies in a results tree and what Snakemake marks as unfinished, with one listing per folder."""

import json
import os
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LEFTOVER = re.compile(r"\.\d+\.part\..+|\..+\.part")


class Tree:
    """Which files there are below a folder; every folder is listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.leftovers: list[Path] = []
        self.names = cache(self._names)

    def _names(self, folder: str) -> frozenset[str]:
        try:
            found = frozenset(os.listdir(self.root / folder))
        except OSError:
            return frozenset()
        self.leftovers += [self.root / folder / name for name in found if _LEFTOVER.fullmatch(name)]
        return found

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.names(folder)

    def changed(self, path: str) -> float:
        """When it was last written, in seconds since 1970; 0 if it is not there."""
        try:
            return (self.root / path).stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True)
class Mark:
    """Snakemake's mark of an output that was begun and has not been finished: since when, by which job of SLURM."""

    since: float
    job: str | None


def marks(directory: Path, results: str) -> dict[str, Mark]:
    """Read Snakemake's marks of unfinished outputs, by path below the results folder.

    They are files in `.snakemake/incomplete` whose names are the outputs' in base64, long ones cut into folders that
    begin with @ (snakemake.persistence.file of Snakemake 9).
    """
    root = directory / ".snakemake" / "incomplete"
    found = {}
    for folder, _, names in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        for name in names:
            try:
                path = urlsafe_b64decode("".join([*(part.removeprefix("@") for part in parts), name])).decode()
                if path.startswith(f"{results}/"):
                    found[path.removeprefix(f"{results}/")] = _mark(Path(folder, name))
            except (OSError, ValueError):
                continue  # finished meanwhile, or not Snakemake's
    return found


def _mark(path: Path) -> Mark:
    try:
        job = json.loads(path.read_text()).get("external_jobid")
    except json.JSONDecodeError:  # being written
        job = None
    return Mark(path.stat().st_mtime, job)
