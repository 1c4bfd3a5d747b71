"""Rewrite a packed report so that it can leave the institute: real names of people and scans become pseudonyms."""

import html
import json
import re
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, is_zipfile

import pandas as pd

from dualglow.cohort.pseudonyms import hashed
from dualglow.cohort.scan import person
from dualglow.errors import InputError
from dualglow.files import written

TEXT = (".html", ".tsv", ".csv", ".json", ".txt", ".tex", ".svg", ".rst", ".md", ".log")
# Snakemake names a result's folder after the unsalted hash of its path, from which the path can be guessed.
FOLDER = re.compile(r"(?<=data/raw/)[0-9a-f]{8,64}(?=/)")
SHORT = 5  # characters: "01" or "S1" are no names by themselves, but sub-01 and sub=01 are


@dataclass(frozen=True)
class Names:
    """What must not be in a shared report, in lower case, and by what each is replaced."""

    replaced: dict[str, str]
    salt: bytes
    pattern: re.Pattern[str]
    letters: re.Pattern[bytes]  # stretches of what names consist of, in which alone one can be

    @classmethod
    def of(cls, replaced: dict[str, str], salt: bytes) -> "Names":
        """Join all names in one pattern, in whatever case they come; where several fit, the longest is meant."""
        lower = {name.lower(): pseudonym for name, pseudonym in replaced.items()}
        pattern = rf"(?<![A-Za-z0-9])(?:{_any_of(sorted(lower))})(?![A-Za-z0-9])" if lower else "(?!)"
        used = b"".join(re.escape(bytes([byte])) for byte in sorted(set("".join(lower).encode())))
        letters = re.compile(b"[%s]{%d,}" % (used, SHORT + 1) if used else b"(?!)")
        return cls(lower, salt, re.compile(pattern, re.IGNORECASE), letters)

    def clean(self, text: str) -> str:
        """Replace every name, and the folders that give paths away."""
        text = FOLDER.sub(lambda found: hashed(found[0], self.salt, 16), text)
        return self.pattern.sub(lambda found: self.replaced[found[0].lower()], text)

    def left_in(self, content: bytes) -> list[str]:
        """Names that stand in a file's bytes, whatever is around them."""
        lower = b"\0".join(self.letters.findall(content.lower()))
        return sorted(name for name in self.replaced if len(name) > SHORT and name.encode() in lower)


def _any_of(names: list[str]) -> str:
    """A pattern for sorted names, longer ones first, in which what they begin with stands once.

    A plain alternative of the ten thousand names of a large cohort takes a second per page.
    """
    common = "".join(
        one for one, other in takewhile(lambda both: both[0] == both[1], zip(names[0], names[-1], strict=False))
    )
    rest = [name.removeprefix(common) for name in names]
    branches = [_any_of(list(group)) for _, group in groupby(filter(None, rest), key=itemgetter(0))]
    optional = "?" if branches and "" in rest else ""
    return re.escape(common) + (f"(?:{'|'.join(branches)}){optional}" if branches else "")


def names_to_hide(key: pd.DataFrame, scans: pd.DataFrame, salt: bytes) -> Names:
    """Collect the names of all people and scans, in every spelling that our files use.

    Parameters
    ----------
    key
        pseudonyms.tsv: pair_id, subject, pseudonym.
    scans
        scans.tsv: scan_id and subject of every scan, in pairs or not.
    """
    rows = [tuple(map(str, row)) for row in key[["pair_id", "subject", "pseudonym"]].itertuples(index=False)]
    subjects = {subject: pseudonym.rsplit("-", 1)[0] for _, subject, pseudonym in rows}
    for subject in scans["subject"].dropna().astype(str):
        subjects.setdefault(subject, "P" + hashed(person(subject), salt))
    replaced: dict[str, str] = {}
    for pair_id, _, pseudonym in rows:
        who, number = pseudonym.rsplit("-", 1)
        label, session = pair_id.removeprefix("sub-").split("_ses-", 1)
        for pattern in ("sub-{}_ses-{}", "sub-{}/ses-{}", "sub={}, ses={}"):  # a name, a path, Snakemake's wildcards
            replaced[pattern.format(label, session)] = pattern.format(who, number)
    for subject, pseudonym in subjects.items():
        replaced |= _spellings(subject, pseudonym)
    for name in scans["scan_id"].dropna().astype(str):
        if _telling(name):
            replaced.setdefault(name, "S" + hashed(name, salt))
    return Names.of(replaced, salt)


def _spellings(subject: str, pseudonym: str) -> dict[str, str]:
    """A subject as in tables (002_S_0295), in file names (sub-002S0295) and escaped in HTML or JSON."""
    label = re.sub(r"[^A-Za-z0-9]", "", subject)
    found = {f"sub-{label}": f"sub-{pseudonym}", f"sub={label}": f"sub={pseudonym}"}
    plain = {subject, label, html.escape(subject), json.dumps(subject)[1:-1]}
    return found | {name: pseudonym for name in plain if _telling(name)}


def _telling(name: str) -> bool:
    """Whether a name by itself can only mean that person or scan: a bare number or word may be something else."""
    kinds = {"digit" if c.isdigit() else "letter" if c.isalpha() else "other" for c in name}
    return len(name) > SHORT and len(kinds) > 1


def share_report(report: Path, out: Path, names: Names | None) -> None:
    """Write `out`: the zip `report` with every name replaced in its texts and file names, in a folder named as `out`.

    Pictures are copied: what is drawn in them is the business of those who draw. Without `names` all is copied.

    Raises
    ------
    InputError
        If `report` is no zip, or a name is still there after the replacement; nothing is written then.
    """
    if not is_zipfile(report):
        raise InputError(f"{report}: no such zip. Make it with snakemake --report {report}.")
    with ZipFile(report) as source, written(out) as part, ZipFile(part, "w", ZIP_DEFLATED) as target:
        for member in source.infolist():
            name = str(PurePosixPath(out.stem, *PurePosixPath(member.filename).parts[1:]))
            content = source.read(member)
            if names:
                name, content = _cleaned(names, name, content, out)
            target.writestr(name, content)


def _cleaned(names: Names, name: str, content: bytes, out: Path) -> tuple[str, bytes]:
    name = names.clean(name)
    if name.lower().endswith(TEXT):
        content = names.clean(content.decode("utf-8")).encode()
    if left := names.left_in(name.encode()) or names.left_in(content):
        raise InputError(
            f"{out}: not written, since {name} would still hold the names of {len(left)} people or scans. "
            "This is a defect of dualglow: please report which kind of file it is, without the names."
        )
    return name, content
