"""The cohort's flow chart and histogram show the numbers of the tables, all of them, and no names."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from dualglow.figures.cohort_flow import SHOWN_REASONS, days_histogram, flow_chart, flow_table
from dualglow.figures.style import save_figure

SCANS = pd.DataFrame(
    {"modality": ["MRI"] * 9 + ["PET"] * 7 + ["other"], "subject": [f"900_S_9{n % 5}" for n in range(17)]}
)
PAIRS = pd.DataFrame(
    {
        "subject": ["900_S_90", "900_S_91", "900_S_92"],
        "group": ["AD", "CN", None],
        "pet_level": ["coregiso", "coregavg", "coregiso"],
        "t1_level": ["scaled"] * 3,
        "warnings": ["forced group_differs", None, "forced"],
        "delta_days": [-12, 30, None],
    }
)
ROWS = [("MRI", "scan", "not_t1")] * 3 + [("PET", "scan", "wrong_tracer")] * 2 + [("other", "scan", "name_unknown")]
ROWS += [("MRI", "pair", "no_partner")] * 3 + [("PET", "pair", "outside_window")] * 2
EXCLUSIONS = pd.DataFrame(ROWS, columns=["modality", "stage", "reason"])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [figure.get_suptitle()]


def counted(flow: pd.DataFrame, stage: str) -> dict[tuple[str, str], int]:
    part = flow[flow["stage"] == stage]
    return dict(zip(zip(part["modality"], part["what"], strict=True), part["count"], strict=True))


def test_the_counts_add_up() -> None:
    flow = flow_table(SCANS, PAIRS, EXCLUSIONS)
    read = counted(flow, "read")
    assert read == {("MRI", "scans"): 9, ("PET", "scans"): 7, ("other", "scans"): 1, ("all", "people"): 5}
    lost, left = sum(counted(flow, "excluded").values()), sum(counted(flow, "unpaired").values())
    usable = counted(flow, "usable")
    assert usable == {("MRI", "scans"): 6, ("PET", "scans"): 5}
    assert 17 - lost == sum(usable.values()) == left + 2 * counted(flow, "paired")["all", "pairs"]
    assert list(counted(flow, "group")) == [("all", "CN"), ("all", "AD"), ("all", "unknown")]
    assert counted(flow, "warning") == {("all", "forced"): 2, ("all", "group_differs"): 1}


def test_the_chart_says_every_reason_and_that_levels_are_mixed() -> None:
    shown = texts(flow_chart(flow_table(SCANS, PAIRS, EXCLUSIONS), simulated=True))
    for text in (
        "17 scans of 5 people read", "6 not usable", "6 T1", "5 FDG-PET", "5 usable, in no pair", "3 pairs of 3 people",
        "MRI: not a T1", "PET: another tracer than FDG", "MRI: no partner of this person", "CN 1, AD 1, unknown 1",
        "PET level: coregavg 1, coregiso 2", "Mind: PETs of several processing levels are mixed",
        "From the download to T1–PET pairs (simulated cohort)",
    ):  # fmt: skip
        assert text in shown
    assert not any("900_S" in text for text in shown)
    one = flow_chart(flow_table(SCANS, PAIRS.assign(pet_level="coregiso"), EXCLUSIONS), simulated=False)
    assert not any("Mind" in text for text in texts(one))


def test_rare_reasons_are_summed_up() -> None:
    many = pd.DataFrame([("MRI", "scan", f"r{n:02d}") for n in range(14) for _ in range(20 - n)])
    many.columns = EXCLUSIONS.columns
    scans = pd.DataFrame({"modality": ["MRI"] * len(many), "subject": "x"})
    shown = texts(flow_chart(flow_table(scans, PAIRS.head(0), many), simulated=False))
    assert f"{14 - SHOWN_REASONS} rarer reasons" in shown
    assert str(sum(20 - n for n in range(SHOWN_REASONS, 14))) in shown
    assert "0 pairs of 0 people" in shown


@pytest.mark.parametrize("days", [[-12, 30, None], [0, 0, 0], [None] * 3, [170, -179, 5]])
def test_the_histogram_holds_every_dated_pair(days: list[int | None], tmp_path: Path) -> None:
    figure = days_histogram(PAIRS.assign(delta_days=days), simulated=False)
    (axes,) = figure.axes
    dated = sum(day is not None for day in days)
    heights = [bar.get_height() for container in axes.containers for bar in container]
    assert sum(heights) == dated
    assert f"{dated} pairs" in figure.get_suptitle()
    assert ("without dates" in figure.get_suptitle()) == (dated < 3)
    save_figure(figure, PAIRS, tmp_path / "days")
    assert (tmp_path / "days.png").stat().st_size > 1000
