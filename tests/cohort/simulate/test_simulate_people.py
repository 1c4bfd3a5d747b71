from collections import Counter

import pytest

from dualglow.cohort.simulate.people import GROUPS, WINDOW_DAYS, at_visits, cohort, group_sequence
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


def test_scans_of_different_visits_never_fall_into_one_window() -> None:
    for person in cohort(300, seed=1)[:-4]:
        visits = at_visits(person, 3, seed=1)
        assert visits[0] == person
        assert at_visits(person, 2, seed=1) == visits[:2]
        assert [later.visit for later in visits] == [0, 1, 2]
        for t1 in visits:
            for pet in visits:
                near = abs((pet.pet_date - t1.t1_date).days) <= WINDOW_DAYS
                assert near is (t1.visit == pet.visit)


def test_people_age_and_the_ill_get_worse() -> None:
    for person in cohort(60, seed=1)[:-4]:
        for later in at_visits(person, 3, seed=1)[1:]:
            assert later.age - person.age == pytest.approx((later.pet_date - person.pet_date).days / 365.25, abs=1e-3)
            assert (later.severity > person.severity) is (person.severity > 0)
            assert (later.group, later.sex, later.reasons) == (person.group, person.sex, person.reasons)


def test_planted_people_come_once() -> None:
    assert all(at_visits(person, 3, seed=1) == [person] for person in cohort(5, seed=1)[-4:])


@pytest.mark.parametrize(("subjects", "seed"), [(0, 1), (900, 1), (5, -1)])
def test_impossible_cohorts_are_refused(subjects: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        cohort(subjects, seed)
