"""Pairing: window, optimality, determinism, and that no scan is lost."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualglow.cohort.bids import read_bids
from dualglow.cohort.ida import read_ida
from dualglow.cohort.levels import FDG, T1_LEVELS, rank
from dualglow.cohort.pairing import check_accounting, pair_scans, require_pairs
from dualglow.cohort.scan import MRI, PET, Pair, Scan, pairs_to_table, read_pairs
from dualglow.errors import ConfigError, DualGlowError, InputError
from dualglow.files import write_table

if TYPE_CHECKING:
    from tests.cohort.conftest import BidsTree, IdaTree

DAY0 = date(2006, 1, 1)


def t1(number: int, day: int, level: str = "scaled", subject: str = "002_S_0001", **more: object) -> Scan:
    return Scan(
        f"I{number}", subject, MRI, "", level, "", DAY0 + timedelta(day), "csv", paths=(f"{number}.nii",), **more
    )


def pet(number: int, day: int, level: str = "coregiso", subject: str = "002_S_0001", **more: object) -> Scan:
    return replace(t1(number, day, level, subject, **more), modality=PET, tracer="FDG")


def ids(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.t1_id, pair.pet_id) for pair in pairs]


def reasons(scans: list[Scan], **options: object) -> dict[str, str]:
    return {e.scan.scan_id: e.reason for e in pair_scans(scans, **options)[1]}


def test_a_pair_has_the_facts_of_its_pet() -> None:
    first = t1(1, 0, visit="sc", group="MCI", sex="F", age=70.0)
    second = pet(2, 20, visit="m06", group="AD", age=71.5)
    (pair,), exclusions = pair_scans([first, second])
    assert not exclusions
    assert pair == Pair(
        "sub-002S0001_ses-20060121", "002_S_0001", "20060121", "I1", "I2", DAY0, DAY0 + timedelta(20), 20, "scaled",
        "coregiso", "csv", "m06", "AD", "F", 71.5, ("1.nii",), ("2.nii",), "group_differs",
    )  # fmt: skip


def test_pairs_table_round_trip(tmp_path: Path) -> None:
    pairs, _ = pair_scans([t1(1, 30), pet(2, 20), replace(t1(3, 0, subject="b"), date=None, date_source="session"),
                           replace(pet(4, 0, subject="b"), date=None, date_source="session")])  # fmt: skip
    write_table(pairs_to_table(pairs), tmp_path / "pairs.tsv")
    assert read_pairs(tmp_path / "pairs.tsv") == pairs
    assert [pair.delta_days for pair in pairs] == [-10, None]


@pytest.mark.parametrize(("days", "count"), [(180, 1), (-180, 1), (181, 0), (-181, 0)])
def test_case_15_the_window_is_inclusive(days: int, count: int) -> None:
    pairs, exclusions = pair_scans([t1(1, 200), pet(2, 200 + days)])
    assert len(pairs) == count
    assert [e.reason for e in exclusions] == ["outside_window"] * (2 - 2 * count)


def test_optimal_where_greedy_loses_a_pair() -> None:
    """Nearest first would take (100, 90) and leave MRI 0 and PET 270 apart by more than the window."""
    scans = [t1(1, 0), t1(2, 100), pet(3, 90), pet(4, 270)]
    pairs, exclusions = pair_scans(scans, per_subject="all")
    assert ids(pairs) == [("I1", "I3"), ("I2", "I4")]
    assert not exclusions
    pairs, _ = pair_scans(scans, per_subject="one")
    assert ids(pairs) == [("I2", "I3")]  # the nearest of all, not the nearest of that assignment


def test_case_16_two_t1s_equally_near() -> None:
    assert ids(pair_scans([t1(1, 0), t1(2, 60), pet(3, 30)])[0]) == [("I1", "I3")]
    assert ids(pair_scans([t1(1, 0, visit="sc"), t1(2, 60, visit="m06"), pet(3, 30, visit="m06")])[0]) == [("I2", "I3")]
    scans = [t1(1, 0, visit="sc"), t1(2, 60, visit="m06"), pet(3, 30, visit="m06")]
    assert ids(pair_scans(scans, per_subject="all")[0]) == [("I2", "I3")]
    assert reasons(scans) == {"I1": "unmatched"}


def test_one_pair_prefers_the_nearest_then_baseline_then_the_earlier_pet() -> None:
    scans = [t1(1, 0, visit="bl"), pet(2, 10, visit="bl"), t1(3, 400, visit="m12"), pet(4, 405, visit="m12")]
    assert ids(pair_scans(scans)[0]) == [("I3", "I4")]
    assert reasons(scans) == {"I1": "not_selected", "I2": "not_selected"}
    scans = [t1(1, 0, visit="m12"), pet(2, 5, visit="m12"), t1(3, 400, visit="bl"), pet(4, 405, visit="bl")]
    assert ids(pair_scans(scans)[0]) == [("I3", "I4")]
    scans = [t1(1, 0, visit="m06"), pet(2, 5, visit="m06"), t1(3, 400, visit="m12"), pet(4, 405, visit="m12")]
    assert ids(pair_scans(scans)[0]) == [("I1", "I2")]


def test_the_best_level_of_a_day_is_the_candidate() -> None:
    scans = [t1(1, 0, "original"), t1(2, 0, "scaled2"), t1(3, 0, "scaled")]
    scans += [pet(4, 5, level) for level in ("raw",)] + [pet(5, 5, "coregavg"), pet(10000, 5), pet(9999, 5)]
    pairs, exclusions = pair_scans(scans, per_subject="all")
    assert ids(pairs) == [("I2", "I9999")]  # the lower number, not the lower text
    assert {e.scan.scan_id for e in exclusions} == {"I1", "I3", "I4", "I5", "I10000"}
    assert {(e.stage, e.reason) for e in exclusions} == {("pair", "duplicate_same_day")}


def test_reasons_of_usable_scans() -> None:
    scans = [t1(1, 0, subject="a"), pet(2, 0, subject="b"), t1(3, 0, subject="b").excluded("unreadable", "x")]
    scans += [t1(4, 0, subject="c"), pet(5, 0, subject="c"), pet(6, 9, subject="c"), pet(7, 500, subject="c")]
    expected = {"I1": "no_partner", "I2": "no_partner", "I3": "unreadable", "I6": "unmatched", "I7": "outside_window"}
    assert reasons(scans) == expected
    detail = {e.scan.scan_id: (e.stage, e.detail) for e in pair_scans(scans)[1]}
    assert detail["I3"] == ("scan", "x")
    assert "I3: unreadable" in detail["I2"][1]
    assert "I4, is 500 days away" in detail["I7"][1]


DAYS = st.integers(0, 700)
SCANS = st.lists(
    st.builds(
        lambda kind, day, level, visit, subject, bad: (kind, day, level, visit, subject, bad),
        st.sampled_from([MRI, PET]),
        DAYS,
        st.integers(0, 4),
        st.sampled_from(["bl", "m06", "m12"]),
        st.sampled_from(["002_S_0001", "002_S_0002"]),
        st.integers(0, 9).map(lambda n: n == 0),
    ),
    max_size=14,
).map(lambda rows: [build(number, *row) for number, row in enumerate(rows, start=1)])


def build(number: int, kind: str, day: int, level: int, visit: str, subject: str, bad: bool) -> Scan:
    levels = T1_LEVELS if kind == MRI else tuple(FDG)
    scan = (t1 if kind == MRI else pet)(number, day, levels[level], subject, visit=visit)
    return scan.excluded("unreadable") if bad else scan


@settings(max_examples=150, deadline=None)
@given(scans=SCANS, window=st.integers(0, 300), per_subject=st.sampled_from(["one", "all"]), data=st.data())
def test_properties(scans: list[Scan], window: int, per_subject: str, data: st.DataObject) -> None:
    pairs, exclusions = pair_scans(scans, window, per_subject)
    places = Counter([p.t1_id for p in pairs] + [p.pet_id for p in pairs] + [e.scan.scan_id for e in exclusions])
    assert places == Counter(scan.scan_id for scan in scans)
    known = {scan.scan_id: scan for scan in scans}
    for pair in pairs:
        first, second = known[pair.t1_id], known[pair.pet_id]
        assert (first.modality, second.modality, first.subject) == (MRI, PET, second.subject)
        assert first.usable
        assert second.usable
        assert pair.delta_days == (second.date - first.date).days
        assert abs(pair.delta_days) <= window
    assert len({pair.pair_id for pair in pairs}) == len(pairs)
    if per_subject == "one":
        assert max(Counter(pair.subject for pair in pairs).values(), default=0) <= 1
    assert pair_scans(data.draw(st.permutations(scans)), window, per_subject) == (pairs, exclusions)


def best_by_hand(t1_days: list[int], pet_days: list[int], window: int) -> tuple[int, int]:
    """Most pairs, then fewest days, by trying every matching."""
    best = (0, 0)
    for size in range(1, min(len(t1_days), len(pet_days)) + 1):
        for chosen in combinations(t1_days, size):
            for partners in permutations(pet_days, size):
                gaps = [abs(a - b) for a, b in zip(chosen, partners, strict=True)]
                if max(gaps) <= window:
                    best = min(best, (-size, sum(gaps)))
    return -best[0], best[1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(DAYS, min_size=1, max_size=4, unique=True),
    st.lists(DAYS, min_size=1, max_size=4, unique=True),
    st.integers(0, 300),
    st.integers(0, 4),
)
def test_assignment_is_as_good_as_trying_all(mri: list[int], fdg: list[int], window: int, level: int) -> None:
    scans = [t1(i, day, T1_LEVELS[(level * i) % 8]) for i, day in enumerate(mri)]
    scans += [pet(10 + i, day, tuple(FDG)[(level + i) % 5], visit="bl") for i, day in enumerate(fdg)]
    pairs, _ = pair_scans(scans, window, "all")
    assert (len(pairs), sum(abs(pair.delta_days or 0) for pair in pairs)) == best_by_hand(mri, fdg, window)
    nearest = min(abs(a - b) for a in mri for b in fdg)
    pairs, _ = pair_scans(scans, window, "one")
    assert [abs(pair.delta_days or 0) for pair in pairs] == ([nearest] if nearest <= window else [])


@given(SCANS)
def test_rank_orders_levels_first(scans: list[Scan]) -> None:
    mri = sorted((scan for scan in scans if scan.modality == MRI), key=rank)
    assert [T1_LEVELS.index(scan.level) for scan in mri] == sorted(T1_LEVELS.index(scan.level) for scan in mri)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="--max-days -1"):
        pair_scans([], -1)
    with pytest.raises(ConfigError, match="some: expected one or all"):
        pair_scans([], 1, "some")
    assert pair_scans([]) == ([], [])


def test_accounting_is_checked_at_run_time() -> None:
    scans = [t1(1, 0), pet(2, 0)]
    pairs, exclusions = pair_scans(scans)
    with pytest.raises(DualGlowError, match="defect"):
        check_accounting([*scans, t1(3, 0)], pairs, exclusions)
    labels = [replace(scan, subject=name) for name in ("a_1", "a-1") for scan in scans]
    with pytest.raises(InputError, match="sub-a1_ses-20060101: two pairs"):
        pair_scans(labels)


def test_no_pairs_says_what_to_download(ida: "IdaTree") -> None:
    ida.add(1, "002_S_0001", "1/02/2006", "MPR; GradWarp; B1 Correction; N3; Scaled")
    ida.add(2, "002_S_0001", "1/02/2006", "AV45 Co-registered, Averaged")
    ida.add(3, "002_S_0001", "1/02/2006", "Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res")
    ida.write_csv()
    scans = read_ida(ida.root)
    with pytest.raises(InputError) as caught:
        require_pairs(scans, pair_scans(scans)[0], 180)
    for text in ("none of the 2 PET", "1 level_not_used, 1 wrong_tracer", "Vox Siz, Uniform Resolution", "N3; Scaled"):
        assert text in str(caught.value)
    far = [t1(1, 0), pet(2, 500)]
    with pytest.raises(InputError, match="within 180 days"):
        require_pairs(far, pair_scans(far)[0], 180)


def test_both_layouts_give_the_same_pairs(ida: "IdaTree", bids: "BidsTree") -> None:
    ida.add(1, "002_S_0001", "1/02/2006", "MPRAGE")
    ida.add(2, "002_S_0001", "1/22/2006", "Co-registered, Averaged")
    ida.write_csv()
    bids.add("sub-002S0001_ses-a_T1w", {"AcquisitionDate": "2006-01-02"})
    bids.add("sub-002S0001_ses-a_trc-FDG_rec-coregavg_pet", {"AcquisitionDate": "2006-01-22"})
    (one,), (other,) = pair_scans(read_ida(ida.root))[0], pair_scans(read_bids(bids.root))[0]
    for name in ("pair_id", "session", "t1_date", "pet_date", "delta_days", "t1_level", "pet_level"):
        assert getattr(one, name) == getattr(other, name)


def test_case_12_13_of_a_day_the_best_then_the_first_scan_is_taken() -> None:
    first, repeat = t1(1, 0, "original"), t1(2, 0, "repeat")
    assert ids(pair_scans([repeat, first, pet(3, 0)])[0]) == [("I1", "I3")]
    assert reasons([repeat, first, pet(3, 0)]) == {"I2": "duplicate_same_day"}
    assert ids(pair_scans([t1(1, 0, "scaled"), t1(2, 0, "scaled2"), pet(3, 0)])[0]) == [("I2", "I3")]


def test_case_14_only_one_modality() -> None:
    assert reasons([t1(1, 0, subject="a"), pet(2, 0, subject="b")]) == {"I1": "no_partner", "I2": "no_partner"}


@pytest.mark.parametrize("groups", [("", ""), ("MCI", "AD"), ("", "AD"), ("MCI", "")])
def test_case_35_groups_that_are_unknown_or_change(groups: tuple[str, str]) -> None:
    """The pair is kept; the PET's group counts, and what is odd is written beside it."""
    (pair,), _ = pair_scans([t1(1, 0, group=groups[0]), pet(2, 10, group=groups[1])])
    assert pair.group == (groups[1] or groups[0])
    expected = {("", ""): "group_unknown", ("MCI", "AD"): "group_differs"}
    assert pair.warnings == expected.get(groups, "")


@pytest.mark.parametrize(
    ("ages", "expected"),
    [((70.0, 71.5), 71.5), ((None, 71.5), 71.5), ((70.0, None), 70.5003), ((None, None), None)],
)
def test_case_36_age_is_that_at_the_pet(ages: tuple[float | None, float | None], expected: float | None) -> None:
    """Known at the T1 only, it is carried over the days between: 70 + 182.74 / 365.25 for half a year of 183 days."""
    (pair,), _ = pair_scans([t1(1, 0, age=ages[0]), pet(2, 183, age=ages[1])], 200)
    assert pair.age == pytest.approx(expected, abs=1e-3) if expected else pair.age is None


def test_case_37_38_one_person_at_two_sites_is_named(caplog: pytest.LogCaptureFixture) -> None:
    scans = [
        scan
        for n, s in ((1, "002_S_0295"), (3, "941_S_0295"))
        for scan in (t1(n, n, subject=s), pet(n + 1, n, subject=s))
    ]
    pairs, _ = pair_scans([*scans, t1(8, 0, subject="002_S_10295"), pet(9, 0, subject="002_S_10295")])
    assert [pair.warnings.split()[-1] for pair in pairs] == ["two_ptids", "group_unknown", "two_ptids"]
    assert "RID 295 is one person under 002_S_0295 and 941_S_0295" in caplog.text
