from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from dualglow.errors import InputError
from dualglow.evaluation.ageing import fit_line
from dualglow.figures import figure12 as fig12
from dualglow.figures.figure4 import drawn, mae_boxplot
from dualglow.figures.figure5 import Person, montage
from dualglow.figures.figure7 import drawn as drawn7
from dualglow.figures.figure7 import roi_age, why_empty
from dualglow.figures.figure12 import Compared, of_all_methods
from dualglow.figures.people import (
    QUANTILES,
    figure_title,
    people_of_figure,
    person_label,
    typical_pairs,
    why_nobody,
)  # fmt: skip
from dualglow.figures.style import save_figure
from dualglow.preprocess.grid import MODEL_GRID

RNG = np.random.default_rng(0)


def metrics(simulated: bool = True) -> pd.DataFrame:
    groups = ["CN", "SMC", "EMCI", "MCI", "LMCI", "AD"] * 4
    rows = [
        {"method": method, "fold": 0, "pair_id": f"p{i:02d}", "subject": f"s{i}", "group": group, "mae_mask": error}
        for method in ("mean", "dualglow")
        for i, (group, error) in enumerate(zip(groups, RNG.uniform(0.05, 0.2, len(groups)), strict=True))
    ]
    return pd.DataFrame(rows).assign(data_range=2.5, split_hash="0123", simulated=simulated)


def points_in(figure: Figure, axes: int = 0) -> np.ndarray:
    collections = [c for c in figure.axes[axes].collections if isinstance(c, PathCollection)]
    return np.vstack([np.asarray(c.get_offsets()) for c in collections])


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def assert_files(paths: list[Path], table: pd.DataFrame) -> None:
    pdf, png, tsv = paths
    assert pdf.read_bytes().startswith(b"%PDF")
    height, width = matplotlib.image.imread(png).shape[:2]
    assert 600 < max(height, width) <= 1600
    assert len(pd.read_csv(tsv, sep="\t")) == len(table)


def test_figure_4_draws_every_pair_of_its_table(tmp_path: Path) -> None:
    table = metrics()
    figure = mae_boxplot(table)
    rows = drawn(table)
    assert rows["method"].unique().tolist() == ["dualglow", "mean"]
    assert points_in(figure)[:, 1] == pytest.approx(rows["mae_mask"].to_numpy())
    assert "SUVR" in figure.axes[0].get_ylabel()
    assert_files(save_figure(figure, rows, tmp_path / "figure4"), rows)


def test_figure_4_draws_medians_where_they_are() -> None:
    table = metrics()
    lines = mae_boxplot(table).axes[0].lines
    flat = {float(np.asarray(line.get_ydata())[0]) for line in lines if len(set(np.asarray(line.get_ydata()))) == 1}
    for _, part in table.groupby("method"):
        assert any(value == pytest.approx(part["mae_mask"].median()) for value in flat)


def test_typical_people_have_the_median_error_of_their_group() -> None:
    table = metrics()
    own = table[table["method"] == "mean"]
    shown = typical_pairs(own)
    assert shown["group"].tolist() == ["CN", "MCI", "AD"]
    for _, row in shown.iterrows():
        errors = np.sort(own.loc[own["group"] == row["group"], "mae_mask"])
        assert row["mae_mask"] == errors[1]  # the lower middle one of four
    assert typical_pairs(own[own["group"] == "LMCI"])["group"].tolist() == ["LMCI"]
    assert typical_pairs(own.assign(group="Patient")).empty


@pytest.mark.parametrize(("number", "stage"), [(9, ["CN", "SMC"]), (10, ["EMCI", "MCI", "LMCI"]), (11, ["AD"])])
def test_figures_9_to_11_show_low_and_high_errors(number: int, stage: list[str]) -> None:
    own = metrics().query("method == 'mean'")
    shown = people_of_figure(number, own)
    errors = np.sort(own.loc[own["group"].isin(stage), "mae_mask"])
    assert shown["quantile"].tolist() == list(QUANTILES)
    expected = np.quantile(errors, QUANTILES, method="nearest")
    assert shown["mae_mask"].tolist() == pytest.approx(expected)
    assert person_label(shown.assign(age=71.0, sex="F").iloc[0]).endswith("SUVR (5 % quantile)")
    assert "simulated cohort" in figure_title(number, own)
    assert len(people_of_figure(11, own[own["pair_id"].isin(["p05", "p11"])])) == 2  # nobody twice
    assert people_of_figure(number, own.assign(group="Patient")).empty
    assert why_nobody(number) == f"No held-out person is of {' or '.join(', '.join(stage).rsplit(', ', 1))}."


def person(sd: bool = True) -> Person:
    """A volume that is 1 in the left half (x < 0), 2 in the right."""
    x = MODEL_GRID.matrix[0, 3] + 2.25 * np.arange(64)
    real = np.broadcast_to(np.where(x < 0, 1.0, 2.0)[:, None, None], MODEL_GRID.shape)
    return Person("CN, 70 y, F", real / 2, real, real + 0.1, real / 10 if sd else None)


def test_figure_5_puts_left_on_the_left_and_the_error_in_its_row(tmp_path: Path) -> None:
    figure = montage([person(), person()], MODEL_GRID.matrix, "dualglow", figure_title(5, metrics()))
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 10
    real, difference = np.asarray(images[2]), np.asarray(images[6])
    assert (real[48, 5], real[48, 58]) == (1.0, 2.0)  # axial plane: x to the right
    assert difference[48, 5] == pytest.approx(0.1)
    assert {"L", "R"} <= set(texts(figure).split("\n"))
    assert texts(figure).count("SUVR") == 4
    table = pd.DataFrame({"pair_id": ["a", "b"]})
    assert_files(save_figure(figure, table, tmp_path / "figure5"), table)


def test_figure_5_without_uncertainty_has_four_rows() -> None:
    figure = montage([person(sd=False)], MODEL_GRID.matrix, "mean", "")
    assert sum(bool(axes.images) for axes in figure.axes) == 4


def compared(name: str) -> Compared:
    """Methods that are 0.2 too high on the left, and 0.1 too low everywhere."""
    one = person()
    left = np.where(one.real == 1, 0.2, 0.0)
    mask = np.zeros(MODEL_GRID.shape, dtype=bool)
    mask[4:60] = True
    return Compared(name, one.real, mask, {"dualglow": one.real + left, "mean": one.real - 0.1})


def test_figure_12_draws_synthetic_minus_real_on_one_scale(tmp_path: Path) -> None:
    table = metrics().assign(age=70.0, sex="F")
    shown = table[(table["method"] == "mean") & table["pair_id"].isin(["p03", "p05"])]
    rows = of_all_methods(table.sample(frac=1, random_state=1), shown)
    assert rows["pair_id"].tolist() == ["p03", "p03", "p05", "p05"]
    assert rows["method"].tolist() == ["dualglow", "mean"] * 2
    people = [compared("p03"), compared("p05")]
    numbers = fig12.drawn(rows, people)
    assert numbers["difference_mask"].tolist() == pytest.approx([0.2 * 28 / 56, -0.1] * 2)
    figure = fig12.difference_maps(people, numbers, MODEL_GRID.matrix, "title")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 2 + 2 * 2
    too_high, too_low = images[2], images[4]
    assert too_high.get_clim() == too_low.get_clim()
    assert sum(too_low.get_clim()) == 0  # white is no difference
    cut = np.ma.asarray(too_high.get_array())
    assert (cut[48, 5], cut[48, 58]) == (pytest.approx(0.2), 0.0)  # axial plane, left and right
    assert cut.mask[48, 2]  # outside the mask nothing is drawn
    assert np.ma.asarray(too_low.get_array()).compressed() == pytest.approx(-0.1)
    for _, row in numbers.iterrows():
        assert f"MAE {row['mae_mask']:.3f}, mean {row['difference_mask']:+.3f}" in texts(figure)
    with pytest.raises(InputError, match="p05 of mean"):
        of_all_methods(table[(table["method"] != "mean") | (table["pair_id"] != "p05")], shown)
    assert_files(save_figure(figure, numbers, tmp_path / "figure12"), numbers)


def ageing_points() -> pd.DataFrame:
    rows = [
        {"method": method, "region": region, "group": group, "age": age, "value": RNG.normal(1.2, 0.1)}
        for method in ("dualglow", "real")
        for region in ("Hippocampus", "Precuneus")
        for group in ("CN", "MCI", "AD")
        for age in RNG.uniform(60, 90, 6)
    ]
    return pd.DataFrame(rows).assign(simulated=True)


def test_figure_7_draws_points_and_the_fitted_line(tmp_path: Path) -> None:
    points = ageing_points()
    unknown = pd.DataFrame(
        {"method": "real", "region": "Hippocampus", "group": ["CN", "x", "CN"], "age": [np.nan, 70, 71]}
    )
    numbers = drawn7(pd.concat([points, unknown.assign(value=[1.2, 1.2, np.nan], simulated=True)]))
    figure = roi_age(numbers)
    first = points[(points["method"] == "real") & (points["region"] == "Hippocampus")]
    assert np.sort(points_in(figure)[:, 1]) == pytest.approx(np.sort(first["value"]))
    cn = first[first["group"] == "CN"]
    line = fit_line(cn["age"].to_numpy(), cn["value"].to_numpy())
    assert line is not None
    x, y = figure.axes[0].lines[0].get_data()
    assert np.asarray(y) == pytest.approx(line.at(np.asarray(x))[0])
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert (numbers["kind"] == "person").sum() == len(points)  # who has no place in it is not in its table
    stratum = (numbers["method"] == "real") & (numbers["region"] == "Hippocampus") & (numbers["stage"] == "CN")
    own = numbers[stratum & (numbers["kind"] == "line")]
    assert own["age"].to_numpy() == pytest.approx(np.asarray(x))
    for name, values in zip(("value", "low", "high"), line.at(np.asarray(x)), strict=True):
        assert own[name].to_numpy() == pytest.approx(values)
    assert set(own["n"]) == {6}
    assert_files(save_figure(figure, numbers, tmp_path / "figure7"), numbers)


def test_why_figure_7_is_empty() -> None:
    points = ageing_points()
    assert "name regions of its own in figures.regions" in why_empty(points.iloc[:0])
    assert why_empty(points.assign(group=np.nan)) == "Nobody of CN, MCI or AD was measured."
    assert why_empty(points.assign(age=np.nan)) == "Nobody's age is known."
    for empty in (points.iloc[:0], points.assign(group=np.nan), points.assign(age=np.nan)):
        assert drawn7(empty).empty
    few = drawn7(points.groupby(["method", "region", "group"]).head(3))  # too few for lines
    assert set(few["kind"]) == {"person"}
    roi_age(few)


def test_simulated_people_are_called_so_in_every_figure() -> None:
    for figure in (
        mae_boxplot(metrics()),
        roi_age(drawn7(ageing_points())),
        montage([person()], MODEL_GRID.matrix, "dualglow", figure_title(5, metrics())),
    ):
        assert "simulated cohort" in texts(figure)
    assert "simulated" not in texts(mae_boxplot(metrics(simulated=False)))


def test_the_same_table_gives_the_same_bytes_and_leaves_the_style_alone(tmp_path: Path) -> None:
    before, table = dict(matplotlib.rcParams), metrics()
    runs = [save_figure(mae_boxplot(table), drawn(table), tmp_path / name) for name in ("a", "b")]
    assert [path.read_bytes() for path in runs[0]] == [path.read_bytes() for path in runs[1]]
    assert dict(matplotlib.rcParams) == before
