"""Why something failed: the last words of its own log, of SLURM's and of Snakemake's."""

import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TAIL = 20_000  # bytes
_ERROR = re.compile(r"^dualglow [a-z-]+: .+", re.MULTILINE)
# What SLURM writes into a job's log, or Snakemake of it; the first that is found counts.
_REASONS = (
    (r"oom[-_]kill|OUT_OF_MEMORY|Out Of Memory", "out of memory: SLURM killed it at its limit (mem_mb)"),
    (r"DUE TO TIME LIMIT|'TIMEOUT'", "time limit reached (runtime)"),
    (r"DUE TO NODE FAILURE|'NODE_FAIL'", "the node failed"),
    (r"DUE TO PREEMPTION|'PREEMPTED'", "preempted by another job"),
    (r"CANCELLED AT|'CANCELLED", "cancelled (scancel)"),
)
# Reports of Snakemake: of a group of steps up to its list of jobs, or of a step.
_BLOCK = re.compile(
    rb"^(?:(?P<group> *message: Error in group .*\n(?: *log: .*\n)?)"
    rb"|(?P<indent> *)Error in rule \w+:\n(?:(?P=indent) +.*\n|For further error details.*\n)*)",
    re.MULTILINE,
)
_LOG = re.compile(r"^ *log: (.*)", re.MULTILINE)
_SIGNAL = re.compile(r"died with <Signals\.(\w+)|non-zero exit status (1[2-9]\d)\b")


def tail(path: Path) -> str:
    """Read the end of a log; empty if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def error_in(text: str) -> str | None:
    """Find the last line that says `dualglow verb: what is wrong`."""
    found = _ERROR.findall(text)
    return found[-1] if found else None


def last_line(text: str) -> str:
    """Give the last line with words in it."""
    lines = [line.split("\r")[-1].strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if re.search(r"\w{2}", line)), "")


def slurm_reason(text: str) -> str | None:
    """Say why SLURM ended a job, if it did."""
    return next((meaning for pattern, meaning in _REASONS if re.search(pattern, text)), None)


def refusal(text: str) -> str | None:
    """Say why SLURM did not take a job, if it did not."""
    found = re.search(r"SLURM sbatch failed\. The error message was '(?:sbatch: error: )?(.*?)'", text)
    return f"refused by SLURM: {found[1]}" if found else None


def signal(text: str) -> str | None:
    """Say which signal ended a command, out of what Snakemake says of it."""
    found = _SIGNAL.findall(text)
    if not found:
        return None
    name = found[-1][0] or {"137": "SIGKILL", "143": "SIGTERM", "130": "SIGINT"}.get(found[-1][1])
    if not name:
        return None
    return f"killed ({name})" + (": the machine may have run out of memory" if name == "SIGKILL" else "")


def steps_in(texts: Iterable[str], results: str) -> Iterator[str]:
    """Yield the logs of the steps that these logs of jobs speak of, by path below the results folder."""
    for text in texts:
        for line in _LOG.findall(text):
            yield line.split(" (check")[0].removeprefix(f"{results}/")


@dataclass(frozen=True)
class Report:
    """What Snakemake's log says of a failed step; `written` is when that log ended (s since 1970).

    A `grouped` step was one of several in its job, and need not be the one that failed. `logs` are those of its job.
    """

    grouped: bool
    text: str
    logs: tuple[Path, ...]
    written: float


def reports(logs: Iterable[Path]) -> dict[str, Report]:
    """Read the failures out of Snakemake's logs, the oldest first, by the path of the step's own log."""
    found: dict[str, Report] = {}
    for path in logs:
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found |= _reports_in(content, path.stat().st_mtime)
        except (OSError, ValueError):  # gone, or empty
            continue
    return found


def _reports_in(content: mmap.mmap, written: float) -> dict[str, Report]:
    found = {}
    job: tuple[Path, ...] = ()
    for match in _BLOCK.finditer(content):
        text = match[0].decode(errors="replace")
        own, *others = [name for line in _LOG.findall(text) for name in line.split(" (check")[0].split(", ")] or [""]
        if match["group"]:
            job = tuple(map(Path, filter(None, [own, *others])))
        elif match["indent"]:
            found[own] = Report(True, text, job, written)
        else:
            found[own] = Report(False, _exception(content, match.start()) + text, tuple(map(Path, others)), written)
    return found


def _exception(content: mmap.mmap, end: int) -> str:
    """The exception that Snakemake prints right before a report, with the command's exit status in it."""
    before = content[max(0, end - _TAIL) : end].decode(errors="replace")
    return before[before.rfind("RuleException:") :] if "RuleException:" in before[-8000:] else ""
