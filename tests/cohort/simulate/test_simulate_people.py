from collections import Counter

import pytest

from dualglow.cohort.simulate.people import GROUPS, cohort, group_sequence
from dualglow.errors import ConfigError


def test_shares_sum_to_one_and_every_group_has_three_of_24() -> None:
    assert sum(group.share for group in GROUPS.values()) == pytest.approx(1)
    counts = Counter(group_sequence(24))
    assert counts.keys() == GROUPS.keys()
    assert min(counts.values()) >= 3


def test_a_large_cohort_has_the_shares() -> None:
    counts = Counter(group_sequence(800))
    for name, group in GROUPS.items():
        assert counts[name] / 800 == pytest.approx(group.share, abs=0.003)


def test_a_longer_cohort_only_adds_people() -> None:
    short, long = cohort(10, seed=4), cohort(30, seed=4)
    assert long[:10] == short[:10]
    assert long[-4:] == short[-4:]


def test_seeds_differ() -> None:
    assert cohort(5, seed=1) != cohort(5, seed=2)


def test_severity_follows_diagnosis() -> None:
    people = cohort(600, seed=1)
    mean = {g: [p.severity for p in people if p.group == g] for g in GROUPS}
    levels = [sum(mean[g]) / len(mean[g]) for g in GROUPS]
    assert levels == sorted(levels)


@pytest.mark.parametrize(("subjects", "seed"), [(0, 1), (900, 1), (5, -1)])
def test_impossible_cohorts_are_refused(subjects: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        cohort(subjects, seed)
