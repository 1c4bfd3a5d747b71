"""The oracles: which pairs and exclusions scanning and pairing must find, from how the people were made alone."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd

from dualglow.cohort.simulate.archive import Record
from dualglow.files import write_table

Name = Callable[[Record], str]
Couple = tuple[Record, Record]  # T1, PET


def write_expected(folder: Path, records: list[Record], scan: Name, subject: Name) -> None:
    """Write `expected_pairs.tsv` and `expected_exclusions.tsv` for one pair per subject.

    With follow-ups also `…_all.tsv`, for all pairs. `scan`, `subject`: what a delivery's reader calls them.
    """
    couples = _couples(records)
    nearest = _nearest(couples)
    if len(nearest) < len(couples):
        write_table(_exclusions(records, couples, scan), folder / "expected_exclusions_all.tsv")
        write_table(_pairs(couples, scan, subject), folder / "expected_pairs_all.tsv")
    write_table(_exclusions(records, nearest, scan), folder / "expected_exclusions.tsv")
    write_table(_pairs(nearest, scan, subject), folder / "expected_pairs.tsv")


def _couples(records: list[Record]) -> list[Couple]:
    """The T1 and FDG-PET of each visit; scans of different visits are always too far apart."""
    valid = {(of.subject, of.occasion, of.kind): of for of in records if not of.reason}
    visits = dict.fromkeys((subject, occasion) for subject, occasion, _ in valid)
    return [(valid[*visit, "T1"], valid[*visit, "FDG"]) for visit in visits]


def _nearest(couples: list[Couple]) -> list[Couple]:
    """Each subject's couple with the fewest days between its scans, the earlier of equal ones."""
    subjects = dict.fromkeys(pet.subject for _, pet in couples)
    return [min((c for c in couples if c[1].subject == subject), key=_days) for subject in subjects]


def _days(couple: Couple) -> int:
    t1, pet = (date.fromisoformat(of.acquired) for of in couple)
    return abs((pet - t1).days)


def _pairs(couples: list[Couple], scan: Name, subject: Name) -> pd.DataFrame:
    rows = [(subject(pet), scan(t1), scan(pet)) for t1, pet in couples]
    return pd.DataFrame(rows, columns=["subject", "t1_id", "pet_id"])


def _exclusions(records: list[Record], couples: list[Couple], scan: Name) -> pd.DataFrame:
    paired = {of.image_id for couple in couples for of in couple}
    rest = [of for of in records if of.image_id not in paired]
    return pd.DataFrame([(scan(of), of.reason or "not_selected") for of in rest], columns=["scan_id", "reason"])
