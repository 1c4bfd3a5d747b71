import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dualglow.evaluation.ageing import figure7_regions, fit_line, slopes


def test_a_noiseless_line_is_found_and_has_no_band() -> None:
    age = np.linspace(60, 80, 6)
    line = fit_line(age, 2.0 - 0.01 * age)
    assert line is not None
    mean, low, high = line.at(np.array([65.0]))
    assert [mean[0], low[0], high[0]] == pytest.approx([1.35] * 3)


def test_the_band_covers_the_true_line_95_times_in_100() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        age = rng.uniform(55, 90, 20)
        line = fit_line(age, 1.5 - 0.005 * age + rng.normal(0, 0.1, 20))
        assert line is not None
        _, low, high = line.at(np.array([85.0]))
        hits += int(low[0] <= 1.5 - 0.005 * 85 <= high[0])
    assert hits / 1000 == pytest.approx(0.95, abs=0.02)


def test_slopes_are_per_decade_and_per_stage() -> None:
    rng = np.random.default_rng(1)
    age, group = rng.uniform(55, 90, 30), np.array(["CN", "SMC", "AD"] * 10)
    points = pd.DataFrame(
        {"method": "real", "region": "A", "group": group, "age": age, "value": rng.normal(1, 0.1, 30)}
    )
    table = slopes(points).set_index("stage")
    assert table["n"].to_dict() == {"CN": 20, "AD": 10}
    ad = points[points["group"] == "AD"]
    expected = stats.linregress(ad["age"], ad["value"])
    assert table.loc["AD", "slope_per_decade"] == pytest.approx(10 * expected.slope)
    assert table.loc["AD", "p"] == pytest.approx(expected.pvalue)
    assert table.loc["AD", "low"] < table.loc["AD", "slope_per_decade"] < table.loc["AD", "high"]


def test_who_has_no_known_age_is_not_counted() -> None:
    age = np.array([60.0, 65, 70, 75, 80, np.nan, np.nan])
    points = pd.DataFrame({"method": "real", "region": "A", "group": "CN", "age": age, "value": 1 - 0.002 * age})
    row = slopes(points.assign(value=points["value"].fillna(1.0))).iloc[0]
    assert (row["n"], row["slope_per_decade"]) == (5, pytest.approx(-0.02))
    assert slopes(points.assign(age=np.nan))["n"].tolist() == [0]


def test_without_a_diagnosis_there_are_columns_and_no_rows() -> None:
    points = pd.DataFrame({"method": "real", "region": "A", "group": np.nan, "age": [60.0, 70], "value": 1.0})
    table = slopes(points)
    assert table.empty
    assert table.columns.tolist() == ["method", "region", "stage", "n", "slope_per_decade", "low", "high", "p"]


def test_too_few_people_have_no_slope() -> None:
    assert fit_line(np.array([60.0, 70, 80]), np.array([1.0, 1, 2])) is None
    assert fit_line(np.full(9, 70.0), np.arange(9.0)) is None


def test_region_names_of_both_atlases_are_known() -> None:
    assert figure7_regions(["Cingulum_Post_L", "Precuneus_R", "Hippocampus_L"])[0] == "Cingulum_Post"
    assert figure7_regions(["Cingulate_Post_L", "Hippocampus_L"]) == ["Cingulate_Post", "Hippocampus"]
