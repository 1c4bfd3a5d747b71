"""Figures 6, 7, 13 and 14: what is drawn is what stands in the tables."""

from pathlib import Path

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from dualglow.errors import ConfigError
from dualglow.figures import figure6, figure14
from dualglow.figures.ageing import slopes_compared, slopes_table
from dualglow.figures.figure7 import curves, roi_age
from dualglow.figures.figure7 import drawn as drawn7
from dualglow.figures.style import save_figure
from dualglow.preprocess.grid import MODEL_GRID

AGES = (50, 60, 70, 80, 90, 100)
REGIONS = ["Hippocampus", "Cingulate_Post", "Precuneus", *(f"Region{i:02d}" for i in range(33))]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def series() -> pd.DataFrame:
    """Nine people at six ages; region i has i + 1 voxels, but those of figure 7, which are small."""
    rng, rows = np.random.default_rng(0), []
    for person, group in enumerate(["CN", "SMC", "MCI", "LMCI", "AD", "AD", "CN", "EMCI", "AD"]):
        for i, region in enumerate(REGIONS):
            level = rng.normal(1.2, 0.1)
            rows += [
                {"method": "dualglow-conditional", "fold": 0, "pair_id": f"p{person}", "group": group, "age": 75.0}
                | {"told_age": age, "region": region, "n_voxels": 1 if i < 3 else i, "value": level - 0.002 * age}
                for age in AGES
            ]
    return pd.DataFrame(rows).assign(change=0.0, simulated=True)


def test_figure_14_shows_the_regions_of_figure_7_and_the_largest() -> None:
    shown = figure14.shown_regions(series())
    assert shown == REGIONS[:3] + REGIONS[-27:]


def test_figure_14_draws_mean_and_sd_of_its_table(tmp_path: Path) -> None:
    table = series()
    numbers = figure14.drawn(table)
    figure = figure14.regions_over_ages(numbers)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert len(panels) == 30
    ad = table[(table["region"] == "Region32") & (table["group"] == "AD")].groupby("told_age")["value"]
    line, band = panels["Region32"].lines[2], panels["Region32"].collections[2]
    assert np.asarray(line.get_xdata()).tolist() == list(AGES)
    assert np.asarray(line.get_ydata()) == pytest.approx(ad.mean().to_numpy())
    edge = band.get_paths()[0].vertices
    at_70 = edge[edge[:, 0] == 70, 1]
    assert [at_70.min(), at_70.max()] == pytest.approx([ad.mean()[70] - ad.std()[70], ad.mean()[70] + ad.std()[70]])
    spans = {round(float(np.ptp(axes.get_ylim())), 9) for axes in panels.values()}
    assert len(spans) == 1  # so that slopes compare
    for region, axes in panels.items():
        low, high = axes.get_ylim()
        own = numbers[numbers["region"].str.replace("_", " ") == region]
        assert low <= (own["mean"] - own["sd"]).min()
        assert high >= (own["mean"] + own["sd"]).max()
    assert "AD (n = 3)" in texts(figure)
    assert "simulated cohort" in texts(figure)
    _, _, tsv = save_figure(figure, numbers, tmp_path / "figure14")
    assert len(pd.read_csv(tsv, sep="\t")) == 30 * 3 * len(AGES)


def test_people_whom_several_folds_hold_out_count_once() -> None:
    table = series()
    twice = pd.concat([table, table.assign(fold=1, value=table["value"] + 0.2)])
    once = table.assign(value=table["value"] + 0.1)
    pd.testing.assert_frame_equal(figure14.drawn(twice), figure14.drawn(once))
    pd.testing.assert_frame_equal(curves(twice, REGIONS[:3]), curves(once, REGIONS[:3]))


def test_figure_7_draws_the_conditional_models_curve() -> None:
    table = series()
    told = curves(table, ["Hippocampus", "Precuneus"])
    points = pd.DataFrame({"method": "real", "region": ["Hippocampus", "Precuneus"], "group": "CN", "age": 70.0})
    numbers = drawn7(points.assign(value=1.2, simulated=True), told)
    assert numbers["kind"].value_counts().to_dict() == {"told": len(told), "person": 2}
    figure = roi_age(numbers)
    assert len(figure.axes) == 4
    cn = table[(table["region"] == "Hippocampus") & table["group"].isin(["CN", "SMC"])]
    at_90 = cn.loc[cn["told_age"] == 90, "value"]
    assert np.asarray(figure.axes[1].lines[0].get_ydata())[4] == pytest.approx(at_90.mean())
    row = told[(told["region"] == "Hippocampus") & (told["stage"] == "CN") & (told["age"] == 90)].iloc[0]
    low, high = stats.t.interval(0.95, 2, at_90.mean(), stats.sem(at_90))
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert "same MRIs at other ages" in texts(figure)


def person(name: str, per_decade: float) -> figure6.Aged:
    row = {"pair_id": name, "fold": 0, "group": "CN", "sex": "F", "age": 70.0, "mae_mask": 0.1, "simulated": True}
    mask = np.zeros(MODEL_GRID.shape, dtype=bool)
    mask[10:50, 10:80, 10:60] = True
    ages = {age: mask * (1.0 + per_decade * (age - 70) / 10) for age in AGES}
    return figure6.Aged(pd.Series(row), 0.5 * mask, 1.1 * mask, mask, ages[70], ages)


def test_figure_6_draws_the_change_against_the_own_age(tmp_path: Path) -> None:
    people = [person("a", -0.1), person("b", 0.05)]
    numbers = figure6.drawn(people)
    assert numbers["change_mask"].tolist() == pytest.approx(
        [0.2, 0.1, 0, -0.1, -0.2, -0.3, -0.1, -0.05, 0, 0.05, 0.1, 0.15]
    )
    figure = figure6.ages_montage(people, numbers, MODEL_GRID.matrix, "title")
    changes = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_cmap().name == "RdBu_r"]
    assert [np.ma.asarray(image.get_array()).mean() for image in changes] == pytest.approx(numbers["change_mask"])
    assert {tuple(np.round(image.get_clim(), 9)) for image in changes} == {(-0.3, 0.3)}
    assert {"+0.200", "-0.300", "+0.000"} <= set(texts(figure).split("\n"))
    assert texts(figure).count("SUVR") == 3
    _, png, tsv = save_figure(figure, numbers, tmp_path / "figure6")
    assert len(pd.read_csv(tsv, sep="\t")) == 12
    assert png.stat().st_size > 0


def test_a_model_that_ignores_age_looks_so() -> None:
    people = [person("a", -0.0001)]
    figure = figure6.ages_montage(people, figure6.drawn(people), MODEL_GRID.matrix, "title")
    limits = [axes.images[0].get_clim() for axes in figure.axes if axes.images]
    assert (-figure6.LEAST_LIMIT, figure6.LEAST_LIMIT) in limits


def test_figure_13_shows_others_than_figure_6() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"pair_id": f"{group}{fold}", "fold": fold, "group": group, "mae_mask": rng.uniform(), "simulated": True}
        for fold in range(4)
        for group in ("CN", "MCI", "AD")
    ]
    medians = figure6.median_pairs(pd.DataFrame(rows).assign(age=70.0))
    assert len(medians) == 12
    first, others = (figure6.people_of_ages(number, medians) for number in (6, 13))
    assert first["group"].tolist() == ["CN", "MCI", "AD"]
    assert others["group"].tolist() == ["CN", "MCI", "AD"]
    assert set(others["fold"]) <= {0, 1}
    assert not set(first["pair_id"]) & set(others["pair_id"])
    assert [figure6.lacking(6, first), figure6.lacking(13, others)] == ["", ""]
    one_fold = medians[medians["fold"] == 0]
    assert figure6.people_of_ages(13, one_fold).empty
    assert figure6.people_of_ages(13, medians.iloc[:0]).empty


def test_figure_6_shows_people_of_known_age_alone() -> None:
    """Without an own age there is none that the change could be against; a stage of which nobody has one is named."""
    table = pd.DataFrame({"pair_id": list("abcde"), "fold": 0, "group": ["CN", "CN", "CN", "AD", "AD"]})
    table = table.assign(mae_mask=[0.1, 0.2, 0.3, 0.1, 0.2], age=[70.0, np.nan, 80.0, np.nan, np.nan])
    shown = figure6.people_of_ages(6, figure6.median_pairs(table))
    assert shown["pair_id"].tolist() == ["a"]  # the lower middle of a and c
    assert figure6.lacking(6, shown) == "Nobody of MCI or AD whose age is known was held out."
    assert (
        figure6.lacking(13, shown.iloc[:0]) == "No other fold holds out a person of CN, MCI or AD whose age is known."
    )
    people = [person("a", -0.1)]
    numbers = figure6.drawn(people)
    figure = figure6.ages_montage(people, numbers, MODEL_GRID.matrix, "title", figure6.lacking(6, shown))
    assert "Nobody of MCI or AD" in texts(figure)


def slopes(truth: bool) -> pd.DataFrame:
    rng, stages = np.random.default_rng(0), ["CN", "MCI", "AD"] * 3
    regions = np.repeat(["Hippocampus", "Precuneus", "Cuneus"], 3)
    table = pd.DataFrame({"method": "dualglow-conditional", "region": regions, "stage": stages, "n": 9, "n_real": 8})
    for name, spread in (("model", 0.01), ("real", 0.05)):
        table[name] = rng.normal(-0.03, 0.02, 9)
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - spread, table[name] + spread
    if truth:
        table["true_total"], table["true_same_mri"] = rng.normal(-0.04, 0.02, (2, 9))
    return table.assign(simulated=truth)


def test_slopes_are_drawn_with_their_intervals_and_the_identity() -> None:
    table = slopes(truth=True)
    figure = slopes_compared(table)
    assert len(figure.axes) == 3
    for axes, (x, y) in zip(
        figure.axes, [("real", "model"), ("true_same_mri", "model"), ("true_total", "real")], strict=True
    ):
        points = {line.get_label(): line.get_data() for line in axes.lines}
        ad = table[table["stage"] == "AD"]
        assert np.asarray(points["AD"][0]) == pytest.approx(ad[x].to_numpy())
        assert np.asarray(points["AD"][1]) == pytest.approx(ad[y].to_numpy())
        identity = np.asarray(points["identity"])
        assert identity[0] == pytest.approx(identity[1])
        assert axes.get_xlim() == axes.get_ylim()
        low, high = axes.get_xlim()
        assert low < table[[x, y]].min().min() < table[[x, y]].max().max() < high
        ends = [np.asarray(segment)[:, 1] for part in axes.collections for segment in part.get_segments()]
        assert any(end == pytest.approx([ad[f"{y}_low"].iloc[0], ad[f"{y}_high"].iloc[0]]) for end in ends)
    assert "not how a person ages (simulated cohort)" in texts(figure)


def test_without_a_truth_the_model_stands_beside_the_real_pets_alone() -> None:
    table = slopes(truth=False)
    figure = slopes_compared(table)
    assert len(figure.axes) == 1
    assert "Truth" not in texts(figure)
    printed = slopes_table(table)
    assert "Truth, all" not in printed.cells
    assert printed.cells["Region"].unique().tolist() == ["Precuneus", "Hippocampus"]  # in the order of figure 7
    assert printed.cells["Stage"].tolist() == ["CN", "MCI", "AD"] * 2
    assert len(printed.numbers) == 9
    assert printed.cells["n"].eq("9").all()
    assert printed.cells["n, real"].eq("8").all()  # not everybody's age is known


def test_regions_of_ones_own_are_printed_instead_of_figure_7s() -> None:
    table = slopes(truth=True)
    for own in (["Cuneus"], ["Cuneus_L", "Cuneus_R"]):
        assert slopes_table(table, own).cells["Region"].tolist() == ["Cuneus"] * 3
    with pytest.raises(ConfigError, match="--regions Thalamus"):
        slopes_table(table, ["Cuneus", "Thalamus"])
    unknown = slopes_table(table.assign(region=table["region"] + "_of_mine"))
    assert unknown.cells.empty
    assert "name regions of its own in figures.regions" in unknown.caption


def test_nobodys_slopes_are_an_empty_table_that_says_so() -> None:
    for own in (None, ["Cuneus"]):
        printed = slopes_table(slopes(truth=True).iloc[:0], own)
        assert printed.cells.empty
        assert "Nobody of CN, MCI or AD was held out" in printed.caption


def test_with_too_few_people_for_a_line_the_truth_is_still_drawn() -> None:
    table = slopes(truth=True)
    table[["real", "real_low", "real_high", "model_low", "model_high"]] = np.nan
    figure = slopes_compared(table)
    assert figure.axes[0].get_title() == "n = 0"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["CN", "MCI", "AD", "identity"]
    assert slopes_table(table).cells["Real, between people"].eq("n/a").all()
