"""Who is in the simulated cohort: groups, ages, severities and visit dates, each drawn from the person's own seed."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from dualglow.errors import ConfigError

SITE = "900"  # no ADNI site has this number
MAX_SUBJECTS = 899
FIRST_PLANTED = 901
WINDOW_DAYS = 180
VISITS = ("bl", "m12", "m24")  # the archive's codes
PROGRESSION = 0.11  # severity gained per year at severity 1: hippocampus −4.7 %/y in AD, −1.4 %/y healthy (PMC2773132)


@dataclass(frozen=True)
class Group:
    """A diagnostic group: share of the cohort, age (years), share of women, severity (0 healthy, 1 typical AD)."""

    share: float
    age_mean: float
    age_sd: float
    women: float
    severity_mean: float
    severity_sd: float


# Severities: adni.md's design values. Ages and sexes: round numbers near ADNI's; shares give each group 3 of 24.
GROUPS = {
    "CN": Group(0.21, 75, 6, 0.50, 0.00, 0.08),
    "SMC": Group(0.13, 72, 6, 0.58, 0.05, 0.12),
    "EMCI": Group(0.17, 71, 7, 0.44, 0.25, 0.18),
    "MCI": Group(0.14, 75, 7, 0.36, 0.45, 0.18),
    "LMCI": Group(0.15, 73, 8, 0.44, 0.55, 0.18),
    "AD": Group(0.20, 75, 8, 0.42, 1.00, 0.18),
}

# Why a planted person has no pair: the scans the person has, and the reason that each must be excluded for.
PLANTED = {
    "wrong_tracer": {"T1": "no_partner", "AV45": "wrong_tracer"},
    "not_t1": {"FLAIR": "not_t1", "FDG": "no_partner"},
    "outside_window": {"T1": "outside_window", "FDG": "outside_window"},
    "no_partner": {"T1": "no_partner"},
}


@dataclass(frozen=True)
class Person:
    """One simulated person. `reasons`: the person's scans and why each is excluded (empty: half of a valid pair)."""

    number: int
    group: str
    sex: str
    age: float  # years, at the second scan (PET)
    severity: float
    t1_date: date
    pet_date: date
    reasons: dict[str, str]
    visit: int = 0  # position in VISITS

    @property
    def ptid(self) -> str:
        return f"{SITE}_S_{9000 + self.number}"


def person_seed(seed: int, number: int) -> np.random.SeedSequence:
    """Give the seed of one person, which depends on nothing but the cohort's seed and the person's number."""
    return np.random.SeedSequence([seed, number])


def visit_seeds(seed: int, number: int, visit: int) -> list[np.random.SeedSequence]:
    """Give the seeds of a follow-up (visit 1 or 2): of its dates, its T1 and its PET."""
    return np.random.SeedSequence([seed, number, visit]).spawn(3)


def at_visits(person: Person, visits: int, seed: int) -> list[Person]:
    """List the person at the first `visits` visits, a year apart; planted people come once."""
    if any(person.reasons.values()):
        return [person]
    return [person, *(_followed_up(person, visit, seed) for visit in range(1, visits))]


def _followed_up(person: Person, visit: int, seed: int) -> Person:
    rng = np.random.default_rng(visit_seeds(seed, person.number, visit)[0])
    days = 365 * visit + int(rng.integers(-10, 11))
    pet_date = person.pet_date + timedelta(days=days)
    age = round(person.age + days / 365.25, 4)
    severity = round(person.severity * (1 + PROGRESSION * days / 365.25), 4)
    t1_date = pet_date - timedelta(days=_gap(rng))
    return replace(person, age=age, severity=severity, t1_date=t1_date, pet_date=pet_date, visit=visit)


def _gap(rng: np.random.Generator) -> int:
    """Days from T1 to PET; less than to another visit's scan."""
    return int(np.clip(rng.normal(20, 25), -90, 150))


def group_sequence(count: int) -> list[str]:
    """Deal `count` people to the groups by Webster's method: a longer cohort only adds people to a shorter one."""
    dealt = dict.fromkeys(GROUPS, 0)
    sequence = []
    for _ in range(count):
        name = max(GROUPS, key=lambda g: GROUPS[g].share / (2 * dealt[g] + 1))
        dealt[name] += 1
        sequence.append(name)
    return sequence


def cohort(subjects: int, seed: int) -> list[Person]:
    """List the people of a cohort: `subjects` with a valid T1–FDG pair, then the planted ones, which have none.

    Raises
    ------
    ConfigError
        If `subjects` is not in 1…899 or the seed is negative.
    """
    if not 1 <= subjects <= MAX_SUBJECTS:
        raise ConfigError(f"--subjects {subjects}: expected 1 to {MAX_SUBJECTS}.")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: expected a number ≥ 0.")
    valid = {"T1": "", "FDG": ""}
    people = [_person(n, group, seed, valid) for n, group in enumerate(group_sequence(subjects), start=1)]
    planted_groups = ("CN", "EMCI", "LMCI", "AD")
    for offset, (reason, group) in enumerate(zip(PLANTED, planted_groups, strict=True)):
        people.append(_person(FIRST_PLANTED + offset, group, seed, PLANTED[reason]))
    return people


def _person(number: int, name: str, seed: int, reasons: dict[str, str]) -> Person:
    rng = np.random.default_rng(person_seed(seed, number).spawn(1)[0])
    group = GROUPS[name]
    age = float(np.clip(rng.normal(group.age_mean, group.age_sd), 55, 95))
    severity = float(np.clip(rng.normal(group.severity_mean, group.severity_sd), 0, 1.4))
    sex = "F" if rng.random() < group.women else "M"
    pet_date = date(2006, 1, 1) + timedelta(days=int(rng.integers(0, 10 * 365)))
    gap = _gap(rng)
    if "outside_window" in reasons.values():
        gap = WINDOW_DAYS + int(rng.integers(30, 150))
    t1_date = pet_date - timedelta(days=gap)
    return Person(number, name, sex, round(age, 4), round(severity, 4), t1_date, pet_date, reasons)
