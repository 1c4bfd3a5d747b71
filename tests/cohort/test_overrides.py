"""What a person decides by hand goes before the rules, and a row that cannot be followed is named."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualglow.cohort.overrides import COLUMNS, Override, Overrides, read_overrides
from dualglow.cohort.pairing import pair_scans
from dualglow.cohort.scan import MRI, PET, Scan
from dualglow.errors import InputError

DAY0 = date(2006, 1, 1)


def t1(number: int, day: int, subject: str = "002_S_0001", level: str = "scaled") -> Scan:
    paths = (f"{number}.nii",)
    return Scan(f"I{number}", subject, MRI, "", level, "", DAY0 + timedelta(day), "csv", paths=paths)


def pet(number: int, day: int, subject: str = "002_S_0001", level: str = "coregiso") -> Scan:
    return replace(t1(number, day, subject, level), modality=PET, tracer="FDG")


def table(path: Path, *rows: dict[str, str]) -> Overrides:
    lines = ["\t".join(COLUMNS), *("\t".join(row.get(name, "n/a") for name in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return read_overrides(path)


def ids(scans: list[Scan], overrides: Overrides, per_subject: str = "one") -> list[tuple[str, str]]:
    return [(pair.t1_id, pair.pet_id) for pair in pair_scans(scans, 180, per_subject, overrides)[0]]


SCANS = [t1(1, 0), t1(2, 30), t1(3, 400), pet(4, 35), pet(5, 900)]


def pair_row(t1_id: str, pet_id: str, **more: str) -> dict[str, str]:
    return {"action": "pair", "t1_id": t1_id, "pet_id": pet_id, **more}


def test_a_forced_pair_may_lie_outside_the_window(tmp_path: Path) -> None:
    overrides = table(tmp_path / "o.tsv", pair_row("I3", "I5", subject="002_S_0001", reason="only T1 without motion"))
    (pair,), exclusions = pair_scans(SCANS, 180, "one", overrides)
    assert (pair.t1_id, pair.pet_id, pair.delta_days, pair.warnings) == ("I3", "I5", 500, "forced group_unknown")
    assert {e.scan.scan_id: e.reason for e in exclusions} == {
        "I1": "unmatched",
        "I2": "not_selected",
        "I4": "not_selected",
    }
    assert ids(SCANS, overrides, "all") == [("I3", "I5"), ("I2", "I4")]


def test_a_forced_scan_needs_not_be_the_best_of_its_day(tmp_path: Path) -> None:
    scans = [*SCANS, t1(6, 30, level="original")]
    overrides = table(tmp_path / "o.tsv", pair_row("I6", "I4"))
    (pair,), exclusions = pair_scans(scans, 180, "all", overrides)
    assert (pair.t1_id, pair.pet_id) == ("I6", "I4")
    assert {e.scan.scan_id: e.reason for e in exclusions}["I2"] == "duplicate_same_day"


def test_a_forbidden_pair_gives_way_to_the_next_best(tmp_path: Path) -> None:
    first = {"action": "forbid", "t1_id": "I2", "pet_id": "I4", "reason": "motion"}
    for per_subject in ("one", "all"):
        assert ids(SCANS, table(tmp_path / "o.tsv", first), per_subject) == [("I1", "I4")]
    pairs, exclusions = pair_scans(SCANS, 180, "one", table(tmp_path / "o.tsv", first, first | {"t1_id": "I1"}))
    assert not pairs
    assert {e.scan.scan_id: e.reason for e in exclusions}["I4"] == "forbidden_by_hand"


def test_an_excluded_scan_keeps_the_persons_reason(tmp_path: Path) -> None:
    overrides = table(tmp_path / "o.tsv", {"action": "exclude", "scan_id": "I2", "reason": "wrap-around, seen by eye"})
    pairs, exclusions = pair_scans(SCANS, 180, "one", overrides)
    assert [(pair.t1_id, pair.pet_id) for pair in pairs] == [("I1", "I4")]
    excluded = next(e for e in exclusions if e.scan.scan_id == "I2")
    assert (excluded.stage, excluded.reason, excluded.detail) == (
        "scan",
        "excluded_by_hand",
        "wrap-around, seen by eye",
    )


@pytest.mark.parametrize("reason", ["no_date", "date_conflict", ""])
def test_a_date_by_hand_makes_a_scan_usable(reason: str, tmp_path: Path) -> None:
    undated = replace(
        pet(9, 0), date=None if reason == "no_date" else DAY0, reason=reason, detail="x" if reason else ""
    )
    overrides = table(tmp_path / "o.tsv", {"action": "date", "scan_id": "I9", "date": "2006-02-01"})
    (pair,), _ = pair_scans([*SCANS[:2], undated], 180, "one", overrides)
    assert (pair.t1_id, pair.pet_date, pair.delta_days, pair.date_source) == ("I2", date(2006, 2, 1), 1, "overrides")


def test_a_date_does_not_hide_other_reasons(tmp_path: Path) -> None:
    overrides = table(tmp_path / "o.tsv", {"action": "date", "scan_id": "I4", "date": "2006-02-01"})
    scans = [t1(1, 0), pet(4, 0).excluded("wrong_tracer", "AV45")]
    assert [e.reason for e in pair_scans(scans, 180, "one", overrides)[1]] == ["wrong_tracer", "no_partner"]


def test_one_person_under_two_ptids_can_be_paired_by_hand(tmp_path: Path) -> None:
    scans = [t1(1, 0), pet(2, 5, "941_S_0001")]
    assert not pair_scans(scans)[0]
    (pair,), exclusions = pair_scans(scans, 180, "one", table(tmp_path / "o.tsv", pair_row("I1", "I2")))
    assert (pair.subject, pair.warnings) == ("941_S_0001", "forced group_unknown two_ptids")
    assert not exclusions


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"action": "pare"}, "line 3: unknown action 'pare'; expected pair, forbid, exclude, date"),
        ({"action": "pair", "t1_id": "I1"}, r"line 3 \(pair\): lacks pet_id; pair needs t1_id and pet_id"),
        ({"action": "exclude", "scan_id": "I1"}, "lacks reason; exclude needs scan_id and reason"),
        ({"action": "exclude", "scan_id": "I1", "reason": "x", "t1_id": "I2"}, "t1_id has no meaning here"),
        ({"action": "date", "scan_id": "I1", "date": "13/05/2010"}, r"line 3 \(date\): '13/05/2010' is not a date"),
        (pair_row("I1", "I77"), r"line 3 \(pair\): pet_id I77 is not in scans.tsv"),
        (pair_row("I4", "I1"), "t1_id I4 is of the modality PET, expected MRI"),
        (pair_row("I1", "I8"), "I1 of 002_S_0001, I8 of 002_S_0002: expected scans of one person"),
        (pair_row("I1", "I4", subject="002_S_0002"), "the row says subject 002_S_0002"),
        (pair_row("I1", "I9"), r"I9 cannot be paired \(wrong_tracer: AV45\)"),
        (pair_row("I2", "I5"), r"line 2 \(pair\): I2 is in 2 rows `pair`"),
        ({"action": "forbid", "t1_id": "I2", "pet_id": "I4"}, "I2 and I4 are also forbidden"),
        ({"action": "exclude", "scan_id": "I4", "reason": "motion"}, r"cannot be paired \(excluded_by_hand: motion\)"),
    ],
)
def test_a_row_that_cannot_be_followed_is_named(row: dict[str, str], message: str, tmp_path: Path) -> None:
    scans = [*SCANS, pet(8, 0, "002_S_0002"), pet(9, 0).excluded("wrong_tracer", "AV45")]
    with pytest.raises(InputError, match=message) as caught:
        pair_scans(scans, 180, "one", table(tmp_path / "o.tsv", pair_row("I2", "I4"), row))
    assert str(caught.value).startswith(f"{tmp_path / 'o.tsv'}: line ")


def test_what_is_no_table_of_overrides_is_said(tmp_path: Path) -> None:
    path = tmp_path / "o.tsv"
    with pytest.raises(InputError, match="no such table"):
        read_overrides(path)
    path.write_text("action\tt1\n")
    with pytest.raises(InputError, match=r"line 1: unknown column\(s\) t1; expected action, subject, t1_id"):
        read_overrides(path)
    path.write_text("t1_id,pet_id\n")
    with pytest.raises(InputError, match="line 1: no column action"):
        read_overrides(path)
    path.write_text('\ufeffaction\tscan_id\treason\r\n\r\nexclude\t I1 \t"moved\r\n')
    assert [(row.line, row.scan_id, row.reason) for row in read_overrides(path).rows] == [(3, "I1", '"moved')]


DAYS = st.lists(st.integers(0, 700), min_size=1, max_size=4, unique=True)


@settings(max_examples=100, deadline=None)
@given(mri=DAYS, fdg=DAYS, data=st.data(), per_subject=st.sampled_from(["one", "all"]))
def test_the_accounting_closes_whatever_is_decided(
    mri: list[int], fdg: list[int], data: st.DataObject, per_subject: str
) -> None:
    """Forced pairs are made, forbidden ones are not, and every scan is in one place, in whatever order they come."""
    scans = [t1(n, day) for n, day in enumerate(mri)] + [pet(10 + n, day) for n, day in enumerate(fdg)]
    couples = [(f"I{i}", f"I{10 + j}") for i in range(len(mri)) for j in range(len(fdg))]
    forced = data.draw(st.sampled_from([None, *couples]))
    forbidden = data.draw(st.sets(st.sampled_from(couples), max_size=4)) - {forced}
    chosen = [{"action": "pair", "t1_id": forced[0], "pet_id": forced[1]}] if forced else []
    chosen += [{"action": "forbid", "t1_id": one, "pet_id": other} for one, other in sorted(forbidden)]
    overrides = Overrides(Path("o.tsv"), tuple(Override(n, **row) for n, row in enumerate(chosen, start=2)))
    pairs, exclusions = pair_scans(scans, 180, per_subject, overrides)
    made = [(pair.t1_id, pair.pet_id) for pair in pairs]
    assert forced is None or forced in made
    assert not forbidden & set(made)
    places = [name for couple in made for name in couple] + [e.scan.scan_id for e in exclusions]
    assert sorted(places) == sorted(scan.scan_id for scan in scans)
    assert pair_scans(data.draw(st.permutations(scans)), 180, per_subject, overrides) == (pairs, exclusions)
