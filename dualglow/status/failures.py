"""Which items failed, and why: what stands in their logs, in SLURM's and in Snakemake's."""

import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dualglow.status import words
from dualglow.status.disk import Tree
from dualglow.status.items import Item, State
from dualglow.status.runs import Run

_NEXT_TO = 1  # seconds
_LITTLE = 50_000_000  # bytes


@dataclass(frozen=True)
class _Suspect:
    """An item without outputs that has a log, and what is said of it."""

    item: Item
    changed: float
    text: str
    report: words.Report | None

    @property
    def error(self) -> str | None:
        return words.error_in(self.text)


def explain(items: Iterable[Item], tree: Tree, run: Run, since: float) -> None:
    """Set those of the missing items to FAILED that failed after `since` (s since 1970), with the reason.

    An older failure is about to be tried again by the run that began at `since`.
    """
    suspects = _suspects(items, tree, run)
    for suspect in _guilty(suspects):
        item, reason = suspect.item, _reason(suspect, run)
        if suspect.changed < since:
            item.detail = f"failed before this run: {reason}"
        else:
            item.state, item.detail = State.FAILED, reason


def _suspects(items: Iterable[Item], tree: Tree, run: Run) -> list[_Suspect]:
    """Items that have a log but are not done, with their log's last words and Snakemake's report."""
    begun = [(item, tree.changed(item.log)) for item in items if item.log and tree.has(item.log)]
    if not begun:
        return []
    reports = _reports(run, min(changed for _, changed in begun))
    return [
        _Suspect(item, changed, words.tail(tree.root / item.log), _of(item, changed, reports, run))
        for item, changed in begun
    ]


def _of(item: Item, changed: float, reports: dict[str, words.Report], run: Run) -> words.Report | None:
    """Snakemake's report, unless the item was tried again later."""
    report = reports.get(f"{run.results}/{item.log}")
    return report if report and report.written > changed - _NEXT_TO else None


def _reports(run: Run, since: float) -> dict[str, words.Report]:
    folder = Path(run.directory, ".snakemake", "log")
    return words.reports(path for path in sorted(folder.glob("*.log")) if path.stat().st_mtime > since - _NEXT_TO)


def _guilty(suspects: list[_Suspect]) -> list[_Suspect]:
    """Leave out what is missing only because another step of the same job failed: all that a job made is removed."""
    jobs = defaultdict(list)
    for suspect in suspects:
        together = suspect.report and suspect.report.grouped
        jobs[suspect.item.name if together else (suspect.item.name, suspect.item.rule.name)].append(suspect)
    guilty = []
    for job in jobs.values():
        last = max(job, key=lambda suspect: suspect.changed)
        guilty += [suspect for suspect in job if suspect.error] or ([last] if last.report else [])
    return guilty


def _reason(suspect: _Suspect, run: Run) -> str:
    """Say why, in one line: SLURM's reason before the step's own words, for these may end in the middle."""
    logs = "\n".join(words.tail(path) for path in _slurm_logs(suspect, run))
    said = suspect.report.text if suspect.report else ""
    if refused := words.refusal(said):
        return refused
    last = suspect.error or words.last_line(suspect.text)
    killed = words.slurm_reason(logs) or words.slurm_reason(said) or words.signal(said) or words.signal(logs)
    if killed:
        return f"{killed}; its last words: {last}" if last else killed
    return last or f"ended without a word{_want_of_space(run)}"


def _want_of_space(run: Run) -> str:
    """On a full disk there is no room for a log that says so."""
    free = shutil.disk_usage(Path(run.directory, run.results)).free
    return f": only {free / 1e6:.0f} MB are left on its disk" if free < _LITTLE else ""


def _slurm_logs(suspect: _Suspect, run: Run) -> list[Path]:
    """The log of its last job: named in Snakemake's report, or in the folder of this rule and these wildcards."""
    if suspect.report and suspect.report.logs:
        return list(suspect.report.logs)
    if not run.slurm_logs:
        return []
    item = suspect.item
    folder = Path(run.directory, run.slurm_logs, f"rule_{item.rule.name}", "_".join(item.wildcards.values()))
    return sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)[-1:]
