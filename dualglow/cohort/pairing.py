"""Pair each person's FDG-PETs with the nearest T1s, and say of every other scan why it is left out."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from dualglow.cohort.levels import WANTED_PET, WANTED_T1
from dualglow.cohort.matching import (
    FAR,
    Couple,
    Ids,
    Window,
    assign,
    candidates,
    days_between,
    gap,
    nearest,
    preference,
)
from dualglow.cohort.overrides import Overrides
from dualglow.cohort.scan import MRI, PET, Pair, Scan, person
from dualglow.errors import ConfigError, DualGlowError, InputError

log = logging.getLogger(__name__)

DAYS_PER_YEAR = 365.25
EXCLUSION_COLUMNS = ["scan_id", "subject", "modality", "description", "stage", "reason", "detail"]


@dataclass(frozen=True)
class Exclusion:
    """A scan that is in no pair. `stage` is scan (it cannot be used) or pair (it could, but is in no pair)."""

    scan: Scan
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Rules:
    """By what rules people's scans are paired."""

    window: Window
    one: bool  # one pair per subject
    forced: frozenset[Ids]  # couples (T1, PET ids) that must be pairs
    moved: frozenset[str]  # people with two subject labels


def pair_scans(
    scans: Iterable[Scan], max_days: int = 180, per_subject: str = "one", overrides: Overrides | None = None
) -> tuple[list[Pair], list[Exclusion]]:
    """Pair T1s with FDG-PETs; the result does not depend on the order of the scans.

    Of several scans of one person, day and modality the best level is the candidate. With `all`, T1s are assigned to
    PETs so that most pairs arise within `max_days` (inclusive), then the fewest days in total. With `one`, each
    person's nearest T1 and PET are the pair; of equally near ones that at baseline, then with the earlier PET.
    What `overrides` says goes before all this; pairs that it forces may lie outside the window.

    Raises
    ------
    ConfigError
        If `max_days` is negative or `per_subject` neither `one` nor `all`.
    InputError
        If two pairs would have the same name, or an override cannot be followed.
    """
    if max_days < 0:
        raise ConfigError(f"--max-days {max_days}: expected 0 or more days.")
    if per_subject not in ("one", "all"):
        raise ConfigError(f"--pairs-per-subject {per_subject}: expected one or all.")
    scans = overrides.applied(scans) if overrides else list(scans)
    scans = sorted(scans, key=lambda scan: (scan.subject, preference(scan)))
    forced = frozenset(overrides.forced) if overrides else frozenset()
    window = Window(max_days, frozenset(overrides.forbidden) if overrides else frozenset())
    rules = Rules(window, per_subject == "one", forced, _moved(scans))
    across = [couple for couple in _chosen(scans, forced) if couple[0].subject != couple[1].subject]
    taken = {scan.scan_id for couple in across for scan in couple}
    pairs = [_pair(t1, pet, rules) for t1, pet in across]
    exclusions: list[Exclusion] = []
    for _, group in groupby(scans, key=lambda scan: scan.subject):
        own_pairs, own_exclusions = _pair_person([scan for scan in group if scan.scan_id not in taken], rules)
        pairs += own_pairs
        exclusions += own_exclusions
    pairs.sort(key=lambda pair: pair.subject)
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
    mri, pet = ([scan for scan in scans if scan.modality == modality] for modality in (MRI, PET))
    wanted_t1, wanted_pet = _wanted(mri, WANTED_T1), _wanted(pet, WANTED_PET)
    for own, what, wanted in ((pet, "FDG-PET", wanted_pet), (mri, "T1", wanted_t1)):
        if not any(scan.usable for scan in own):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(Counter(s.reason for s in own).items()))
            raise InputError(
                f"none of the {len(own)} {PET if own is pet else MRI} scans is a usable {what}"
                f"{f' ({reasons})' if reasons else ''}. "
                f"In IDA's Advanced Search download {wanted_pet} (FDG-PET) and {wanted_t1} (T1); {wanted} is what is "
                "missing here. In BIDS, PET files need trc-18FFDG or a TracerName."
            )
    raise InputError(
        f"no T1 and FDG-PET of the same person lie within {max_days} days of each other; exclusions.tsv says why for "
        "each scan. Raise --max-days or download the missing scans of the same people."
    )


def _wanted(scans: list[Scan], usual: str) -> str:
    """Name what to download: of the level that was asked for, which the details of the scans refused for it name."""
    refused = [scan.detail.split(": download ")[-1] for scan in scans if scan.reason == "level_not_wanted"]
    name = Counter(refused).most_common(1)[0][0] if refused else usual
    return name if name.startswith(("'", "the ")) else f"'{name}'"


def exclusions_to_table(exclusions: Iterable[Exclusion]) -> pd.DataFrame:
    """One row per scan that is in no pair."""
    rows = [
        (e.scan.scan_id, e.scan.subject, e.scan.modality, e.scan.description, e.stage, e.reason, e.detail)
        for e in exclusions
    ]
    return pd.DataFrame(rows, columns=EXCLUSION_COLUMNS).replace("", None)


def _moved(scans: list[Scan]) -> frozenset[str]:
    """People who appear under two subject labels, that is at two sites."""
    labels: dict[str, set[str]] = {}
    for scan in scans:
        labels.setdefault(person(scan.subject), set()).add(scan.subject)
    for who, names in sorted(labels.items()):
        if len(names) > 1:
            log.warning("%s is one person under %s: folds keep them together.", who, " and ".join(sorted(names)))
    return frozenset(who for who, names in labels.items() if len(names) > 1)


def _chosen(scans: list[Scan], couples: frozenset[Ids]) -> list[Couple]:
    """Return these couples as scans, of those whose scans are both here, in the scans' order."""
    known = {scan.scan_id: scan for scan in scans}
    order = {name: n for n, name in enumerate(known)}
    present = [ids for ids in couples if ids[0] in known and ids[1] in known]
    return [(known[t1], known[pet]) for t1, pet in sorted(present, key=lambda ids: order[ids[0]])]


def _pair_person(scans: list[Scan], rules: Rules) -> tuple[list[Pair], list[Exclusion]]:
    """Pair one person's scans, given in order of preference."""
    exclusions = [Exclusion(scan, "scan", scan.reason, scan.detail) for scan in scans if not scan.usable]
    forced = _chosen(scans, rules.forced)
    t1s, t1_duplicates = _candidates(scans, MRI, [t1 for t1, _ in forced])
    pets, pet_duplicates = _candidates(scans, PET, [pet for _, pet in forced])
    exclusions += t1_duplicates + pet_duplicates
    couples = forced
    if not (rules.one and forced):
        couples = forced + (nearest if rules.one else assign)(t1s, pets, rules.window)
    used = [scan for couple in couples for scan in couple]
    rest_t1s, rest_pets = ([scan for scan in own if scan not in used] for own in (t1s, pets))
    further = [scan for couple in assign(rest_t1s, rest_pets, rules.window) for scan in couple]
    all_t1s, all_pets = t1s + [t1 for t1, _ in forced], pets + [pet for _, pet in forced]
    for rest, partners in ((rest_t1s, all_pets), (rest_pets, all_t1s)):
        exclusions += [_left_out(scan, partners, scans, scan in further, rules.window) for scan in rest]
    return [_pair(t1, pet, rules) for t1, pet in couples], exclusions


def _candidates(scans: list[Scan], modality: str, forced: list[Scan]) -> tuple[list[Scan], list[Exclusion]]:
    """Keep the best scan of each day, but none of a day from which one is forced; the others are duplicates."""
    usable = [scan for scan in scans if scan.usable and scan.modality == modality and scan not in forced]
    kept, duplicates = candidates(forced + usable)
    lost = [(scan, other) for scan, other in duplicates if scan not in forced]
    return [scan for scan in kept if scan not in forced], [_duplicate(scan, other) for scan, other in lost]


def _duplicate(scan: Scan, kept: Scan) -> Exclusion:
    detail = f"{kept.scan_id} ({kept.level}) of the same {'day' if scan.date else 'session'} was taken"
    return Exclusion(scan, "pair", "duplicate_same_day", detail)


def _left_out(scan: Scan, partners: list[Scan], scans: list[Scan], further: bool, window: Window) -> Exclusion:
    """Say why a usable scan is in no pair."""
    what = "FDG-PET" if scan.modality == MRI else "T1"
    if further:
        return Exclusion(scan, "pair", "not_selected", "a nearer pair of this person was taken (one pair per subject)")
    if not partners:
        lost = [f"{s.scan_id}: {s.reason}" for s in scans if s.modality == (PET if scan.modality == MRI else MRI)]
        detail = f"no usable {what} of this person" + (f" ({', '.join(lost)})" if lost else "")
        return Exclusion(scan, "pair", "no_partner", detail)
    couples = [(scan, other) if scan.modality == MRI else (other, scan) for other in partners]
    days, name = min((days_between(*c), o.scan_id) for c, o in zip(couples, partners, strict=True))
    if days > window.max_days:
        away = "has no comparable date" if days == FAR else f"is {days:.0f} days away"
        return Exclusion(
            scan, "pair", "outside_window", f"the nearest {what}, {name}, {away} (at most {window.max_days})"
        )
    if all(window.days(*couple) > window.max_days for couple in couples):
        return Exclusion(scan, "pair", "forbidden_by_hand", f"overrides forbid {name}, and no other {what} is near")
    return Exclusion(scan, "pair", "unmatched", f"every {what} within {window.max_days} days has another partner")


def _pair(t1: Scan, pet: Scan, rules: Rules) -> Pair:
    dated = t1.date and pet.date
    session = pet.date.strftime("%Y%m%d") if pet.date else re.sub(r"[^A-Za-z0-9]", "", pet.visit) or "unknown"
    approximate = t1.date_source == pet.date_source == "months"
    days = gap(t1, pet) if dated or approximate else None
    return Pair(
        pair_id=f"sub-{re.sub(r'[^A-Za-z0-9]', '', pet.subject)}_ses-{session}",
        subject=pet.subject,
        session=session,
        t1_id=t1.scan_id,
        pet_id=pet.scan_id,
        t1_date=t1.date,
        pet_date=pet.date,
        delta_days=days,
        t1_level=t1.level,
        pet_level=pet.level,
        date_source=pet.date_source if dated else "months" if approximate else "session",
        visit=pet.visit,
        group=pet.group or t1.group,
        sex=pet.sex or t1.sex,
        age=_age(t1, pet, days),
        t1_paths=t1.paths,
        pet_paths=pet.paths,
        warnings=" ".join(sorted({*t1.warnings.split(), *pet.warnings.split(), *_oddities(t1, pet, rules)})),
    )


def _age(t1: Scan, pet: Scan, days: int | None) -> float | None:
    """Age in years at the PET, carried over the days between if it is known at the T1 only."""
    if pet.age is not None or t1.age is None:
        return pet.age
    return round(t1.age + (days or 0) / DAYS_PER_YEAR, 4)


def _oddities(t1: Scan, pet: Scan, rules: Rules) -> list[str]:
    """Codes of what is odd about a pair."""
    found = []
    if t1.group and pet.group and t1.group != pet.group:
        log.warning("%s: group %s at the T1, %s at the PET; the PET's is kept.", pet.subject, t1.group, pet.group)
        found.append("group_differs")
    if not (t1.group or pet.group):
        found.append("group_unknown")
    if (t1.scan_id, pet.scan_id) in rules.forced:
        found.append("forced")
    if person(pet.subject) in rules.moved:
        found.append("two_ptids")
    return found
