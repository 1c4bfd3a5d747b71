"""Which T1 goes with which PET: the days between them, same-day candidates, and the best assignment of one person."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from dualglow.cohort.bids import months
from dualglow.cohort.levels import PET_LEVELS, T1_LEVELS, rank
from dualglow.cohort.scan import Scan

DAYS_PER_MONTH = 30.44
BASELINE = re.compile(r"bl|sc|scmri|m0+|.*(baseline|screening).*", re.IGNORECASE)
FAR = float("inf")
Couple = tuple[Scan, Scan]  # T1, PET
Ids = tuple[str, str]  # the same as scan_ids


@dataclass(frozen=True)
class Window:
    """The largest gap in days, inclusive, and the couples (T1, PET ids) that a person forbade."""

    max_days: int
    forbidden: frozenset[Ids] = field(default_factory=frozenset)

    def days(self, t1: Scan, pet: Scan) -> float:
        """Days between the scans; infinite where they cannot be compared or are forbidden."""
        return FAR if self.forbids(t1, pet) else days_between(t1, pet)

    def forbids(self, t1: Scan, pet: Scan) -> bool:
        """Whether a person forbade this couple."""
        return (t1.scan_id, pet.scan_id) in self.forbidden


def gap(t1: Scan, pet: Scan) -> int | None:
    """Days from T1 to PET; 0 for scans without comparable dates in the same session; None if not comparable."""
    if t1.date and pet.date:
        return (pet.date - t1.date).days
    if t1.visit == pet.visit:
        return 0
    if t1.date_source == pet.date_source == "months":
        return round(month_day(pet)) - round(month_day(t1))
    return None


def days_between(t1: Scan, pet: Scan) -> float:
    """Distance of two scans in days, infinite if not comparable."""
    days = gap(t1, pet)
    return FAR if days is None else abs(days)


def month_day(scan: Scan) -> float:
    """Days after baseline that a session label such as M012 means."""
    return DAYS_PER_MONTH * (months(scan.visit) or 0)


def preference(scan: Scan) -> tuple:
    """Order within a person: by time, then the better scan, then the ID with its numbers as numbers."""
    parts = re.split(r"(\d+)", scan.scan_id)
    number = tuple((int(part), "") if part.isdigit() else (0, part) for part in parts)
    return moment(scan), rank(scan)[:-1], number


def moment(scan: Scan) -> tuple[str, float, str]:
    """What two scans of the same day share."""
    if scan.date:
        return "", scan.date.toordinal(), ""
    return scan.date_source, month_day(scan), scan.visit


def candidates(scans: Iterable[Scan]) -> tuple[list[Scan], list[tuple[Scan, Scan]]]:
    """Keep the first scan of each day; also return the others, each with the one that was kept."""
    best: dict[tuple, Scan] = {}
    duplicates = []
    for scan in scans:
        kept = best.setdefault(moment(scan), scan)
        if kept is not scan:
            duplicates.append((scan, kept))
    return list(best.values()), duplicates


def assign(t1s: list[Scan], pets: list[Scan], window: Window) -> list[Couple]:
    """Most couples within the window, then fewest days in total, then same visits and better levels."""
    if not t1s or not pets:
        return []
    gaps = np.array([[window.days(t1, pet) for pet in pets] for t1 in t1s])
    allowed = gaps <= window.max_days
    ties = np.array([[_tie(t1, pet) for pet in pets] for t1 in t1s])
    order = 1e-6 * np.add.outer(np.arange(len(t1s)), np.arange(len(pets)))
    scale = 1 / (1 + ties.max() * min(gaps.shape))  # so that no sum of ties outweighs a day
    forbidden = (window.max_days + 1.0) * (min(gaps.shape) + 1)
    cost = np.where(allowed, gaps + scale * ties + order, forbidden)
    rows, columns = linear_sum_assignment(cost)
    return [(t1s[i], pets[j]) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def nearest(t1s: list[Scan], pets: list[Scan], window: Window) -> list[Couple]:
    """Return the couple with the smallest gap: at baseline, with the earlier PET, of one visit, with the earlier T1."""
    couples = [(t1, pet) for t1 in t1s for pet in pets if window.days(t1, pet) <= window.max_days]

    def order(couple: Couple) -> tuple:
        t1, pet = couple
        undated = not (t1.date and pet.date)
        return (
            undated,
            days_between(t1, pet),
            not BASELINE.fullmatch(pet.visit),
            moment(pet),
            t1.visit != pet.visit,
            moment(t1),
        )

    return [min(couples, key=order)] if couples else []


def _tie(t1: Scan, pet: Scan) -> float:
    """What decides between equal gaps, in days: another visit, then the levels."""
    return 0.01 * (t1.visit != pet.visit) + 0.001 * (_level(t1, T1_LEVELS) + _level(pet, PET_LEVELS))


def _level(scan: Scan, known: tuple[str, ...]) -> int:
    return known.index(scan.level) if scan.level in known else len(known)
