"""Pair each person's FDG-PETs with the nearest T1s, and say of every other scan why it is left out."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from dualglow.cohort.bids import months
from dualglow.cohort.levels import PET_LEVELS, T1_LEVELS, WANTED_PET, WANTED_T1, rank
from dualglow.cohort.scan import MRI, PET, Pair, Scan
from dualglow.errors import ConfigError, DualGlowError, InputError

log = logging.getLogger(__name__)

DAYS_PER_MONTH = 30.44
BASELINE = re.compile(r"bl|sc|scmri|m0+|.*(baseline|screening).*", re.IGNORECASE)
EXCLUSION_COLUMNS = ["scan_id", "subject", "modality", "description", "stage", "reason", "detail"]
Couple = tuple[Scan, Scan]  # T1, PET


@dataclass(frozen=True)
class Exclusion:
    """A scan that is in no pair. `stage` is scan (it cannot be used) or pair (it could, but is in no pair)."""

    scan: Scan
    stage: str
    reason: str
    detail: str


def pair_scans(
    scans: Iterable[Scan], max_days: int = 180, per_subject: str = "one"
) -> tuple[list[Pair], list[Exclusion]]:
    """Pair T1s with FDG-PETs; the result does not depend on the order of the scans.

    Of several scans of one person, day and modality the best level is the candidate. With `all`, T1s are assigned to
    PETs so that most pairs arise within `max_days` (inclusive), then the fewest days in total. With `one`, each
    person's nearest T1 and PET are the pair; of equally near ones that at baseline, then with the earlier PET.

    Raises
    ------
    ConfigError
        If `max_days` is negative or `per_subject` neither `one` nor `all`.
    InputError
        If two pairs would have the same name.
    """
    if max_days < 0:
        raise ConfigError(f"--max-days {max_days}: expected 0 or more days.")
    if per_subject not in ("one", "all"):
        raise ConfigError(f"--pairs-per-subject {per_subject}: expected one or all.")
    scans = sorted(scans, key=lambda scan: (scan.subject, _preference(scan)))
    pairs: list[Pair] = []
    exclusions: list[Exclusion] = []
    for _, group in groupby(scans, key=lambda scan: scan.subject):
        own_pairs, own_exclusions = _pair_person(list(group), max_days, per_subject == "one")
        pairs += own_pairs
        exclusions += own_exclusions
    check_accounting(scans, pairs, exclusions)
    return pairs, exclusions


def check_accounting(scans: list[Scan], pairs: list[Pair], exclusions: list[Exclusion]) -> None:
    """Check that every scan is in exactly one place and every pair has its own name. Raises a DualGlowError."""
    if 2 * len(pairs) + len(exclusions) != len(scans):
        raise DualGlowError(
            f"{len(scans)} scans were read, but {len(pairs)} pairs and {len(exclusions)} exclusions account for "
            f"{2 * len(pairs) + len(exclusions)}. This is a defect of dualglow: please report it with scans.tsv."
        )
    names = Counter(pair.pair_id for pair in pairs)
    if twice := [name for name, count in names.items() if count > 1]:
        who = sorted({f"{pair.subject} ({pair.pet_id})" for pair in pairs if pair.pair_id in twice})
        raise InputError(f"{', '.join(twice)}: two pairs would have this name: {', '.join(who)}. Rename one of them.")


def require_pairs(scans: list[Scan], pairs: list[Pair], max_days: int) -> None:
    """Raise InputError if there are no pairs; the message says what to download, by name."""
    if pairs:
        return
    for modality, what, wanted in ((PET, "FDG-PET", WANTED_PET), (MRI, "T1", WANTED_T1)):
        own = [scan for scan in scans if scan.modality == modality]
        if not any(scan.usable for scan in own):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(Counter(s.reason for s in own).items()))
            raise InputError(
                f"none of the {len(own)} {modality} scans is a usable {what}{f' ({reasons})' if reasons else ''}. "
                f"In IDA's Advanced Search download '{WANTED_PET}' (FDG-PET) and '{WANTED_T1}' (T1)"
                f"; '{wanted}' is what is missing here. In BIDS, PET files need trc-18FFDG or a TracerName."
            )
    raise InputError(
        f"no T1 and FDG-PET of the same person lie within {max_days} days of each other; exclusions.tsv says why for "
        "each scan. Raise --max-days or download the missing scans of the same people."
    )


def exclusions_to_table(exclusions: Iterable[Exclusion]) -> pd.DataFrame:
    """One row per scan that is in no pair."""
    rows = [
        (e.scan.scan_id, e.scan.subject, e.scan.modality, e.scan.description, e.stage, e.reason, e.detail)
        for e in exclusions
    ]
    return pd.DataFrame(rows, columns=EXCLUSION_COLUMNS).replace("", None)


def gap(t1: Scan, pet: Scan) -> int | None:
    """Days from T1 to PET; 0 for scans without comparable dates in the same session; None if not comparable."""
    if t1.date and pet.date:
        return (pet.date - t1.date).days
    if t1.visit == pet.visit:
        return 0
    if t1.date_source == pet.date_source == "months":
        return round(_month_day(pet)) - round(_month_day(t1))
    return None


def _month_day(scan: Scan) -> float:
    return DAYS_PER_MONTH * (months(scan.visit) or 0)


def _preference(scan: Scan) -> tuple:
    """Order within a person: by time, then the better scan, then the ID with its numbers as numbers."""
    parts = re.split(r"(\d+)", scan.scan_id)
    number = tuple((int(part), "") if part.isdigit() else (0, part) for part in parts)
    return _moment(scan), rank(scan)[:-1], number


def _moment(scan: Scan) -> tuple[str, float, str]:
    """What two scans of the same day share."""
    if scan.date:
        return "", scan.date.toordinal(), ""
    return scan.date_source, _month_day(scan), scan.visit


def _pair_person(scans: list[Scan], max_days: int, one: bool) -> tuple[list[Pair], list[Exclusion]]:
    """Pair one person's scans, given in order of preference."""
    exclusions = [Exclusion(scan, "scan", scan.reason, scan.detail) for scan in scans if not scan.usable]
    t1s, t1_duplicates = _candidates([scan for scan in scans if scan.usable and scan.modality == MRI])
    pets, pet_duplicates = _candidates([scan for scan in scans if scan.usable and scan.modality == PET])
    exclusions += t1_duplicates + pet_duplicates
    couples = _nearest(t1s, pets, max_days) if one else _assign(t1s, pets, max_days)
    rest_t1s = [scan for scan in t1s if scan not in [t1 for t1, _ in couples]]
    rest_pets = [scan for scan in pets if scan not in [pet for _, pet in couples]]
    further = [scan for couple in _assign(rest_t1s, rest_pets, max_days) for scan in couple]
    for rest, partners in ((rest_t1s, pets), (rest_pets, t1s)):
        exclusions += [_left_out(scan, partners, scans, scan in further, max_days) for scan in rest]
    return [_pair(t1, pet) for t1, pet in couples], exclusions


def _candidates(scans: list[Scan]) -> tuple[list[Scan], list[Exclusion]]:
    """Keep the best scan of each day; the others are duplicates."""
    best: dict[tuple, Scan] = {}
    duplicates = []
    for scan in scans:
        kept = best.setdefault(_moment(scan), scan)
        if kept is not scan:
            detail = f"{kept.scan_id} ({kept.level}) of the same {'day' if scan.date else 'session'} was taken"
            duplicates.append(Exclusion(scan, "pair", "duplicate_same_day", detail))
    return list(best.values()), duplicates


def _assign(t1s: list[Scan], pets: list[Scan], max_days: int) -> list[Couple]:
    """Most couples within the window, then fewest days in total, then same visits and better levels."""
    if not t1s or not pets:
        return []
    gaps = np.array([[_distance(t1, pet) for pet in pets] for t1 in t1s])
    allowed = gaps <= max_days
    ties = np.array([[_tie(t1, pet) for pet in pets] for t1 in t1s])
    order = 1e-6 * np.add.outer(np.arange(len(t1s)), np.arange(len(pets)))
    scale = 1 / (1 + ties.max() * min(gaps.shape))  # so that no sum of ties outweighs a day
    forbidden = (max_days + 1.0) * (min(gaps.shape) + 1)
    cost = np.where(allowed, gaps + scale * ties + order, forbidden)
    rows, columns = linear_sum_assignment(cost)
    return [(t1s[i], pets[j]) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def _distance(t1: Scan, pet: Scan) -> float:
    days = gap(t1, pet)
    return float("inf") if days is None else abs(days)


def _tie(t1: Scan, pet: Scan) -> float:
    """What decides between equal gaps, in days (adni.md §3): another visit, then the levels."""
    return 0.01 * (t1.visit != pet.visit) + 0.001 * (_level(t1, T1_LEVELS) + _level(pet, PET_LEVELS))


def _level(scan: Scan, known: tuple[str, ...]) -> int:
    return known.index(scan.level) if scan.level in known else len(known)


def _nearest(t1s: list[Scan], pets: list[Scan], max_days: int) -> list[Couple]:
    """Return the couple with the smallest gap: at baseline, with the earlier PET, of one visit, with the earlier T1."""
    couples = [(t1, pet) for t1 in t1s for pet in pets if _distance(t1, pet) <= max_days]

    def order(couple: Couple) -> tuple:
        t1, pet = couple
        undated = not (t1.date and pet.date)
        return (
            undated,
            _distance(t1, pet),
            not BASELINE.fullmatch(pet.visit),
            _moment(pet),
            t1.visit != pet.visit,
            _moment(t1),
        )

    return [min(couples, key=order)] if couples else []


def _left_out(scan: Scan, partners: list[Scan], scans: list[Scan], further: bool, max_days: int) -> Exclusion:
    """Say why a usable scan is in no pair."""
    what = "FDG-PET" if scan.modality == MRI else "T1"
    if further:
        return Exclusion(scan, "pair", "not_selected", "a nearer pair of this person was taken (one pair per subject)")
    if not partners:
        lost = [f"{s.scan_id}: {s.reason}" for s in scans if s.modality == (PET if scan.modality == MRI else MRI)]
        detail = f"no usable {what} of this person" + (f" ({', '.join(lost)})" if lost else "")
        return Exclusion(scan, "pair", "no_partner", detail)
    distance, nearest = min((_distance(scan, partner), partner.scan_id) for partner in partners)
    if distance > max_days:
        away = "has no comparable date" if distance == float("inf") else f"is {distance:.0f} days away"
        return Exclusion(scan, "pair", "outside_window", f"the nearest {what}, {nearest}, {away} (at most {max_days})")
    return Exclusion(scan, "pair", "unmatched", f"every {what} within {max_days} days has another partner")


def _pair(t1: Scan, pet: Scan) -> Pair:
    dated = t1.date and pet.date
    session = pet.date.strftime("%Y%m%d") if pet.date else re.sub(r"[^A-Za-z0-9]", "", pet.visit) or "unknown"
    approximate = t1.date_source == pet.date_source == "months"
    if t1.group and pet.group and t1.group != pet.group:
        log.warning("%s: group %s at the T1, %s at the PET; the PET's is kept.", pet.subject, t1.group, pet.group)
    return Pair(
        pair_id=f"sub-{re.sub(r'[^A-Za-z0-9]', '', pet.subject)}_ses-{session}",
        subject=pet.subject,
        session=session,
        t1_id=t1.scan_id,
        pet_id=pet.scan_id,
        t1_date=t1.date,
        pet_date=pet.date,
        delta_days=gap(t1, pet) if dated or approximate else None,
        t1_level=t1.level,
        pet_level=pet.level,
        date_source=pet.date_source if dated else "months" if approximate else "session",
        visit=pet.visit,
        group=pet.group or t1.group,
        sex=pet.sex or t1.sex,
        age=t1.age if pet.age is None else pet.age,
        t1_paths=t1.paths,
        pet_paths=pet.paths,
        warnings=" ".join(sorted({*t1.warnings.split(), *pet.warnings.split()})),
    )
