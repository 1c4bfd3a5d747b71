from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dualglow.evaluation.agreement import agreement, beside_real, concordance, icc_3_1, meta_region, region_bias
from dualglow.evaluation.rois import Regions
from dualglow.figures.agreement import agreement_table, bland_altman, drawn
from tests.evaluation.conftest import write_volume
from tests.evaluation.test_verbs import run

JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
"""Table 2 of Shrout & Fleiss (1979): six people, four judges."""


def test_icc_is_that_of_shrout_and_fleiss() -> None:
    assert icc_3_1(JUDGES) == pytest.approx(0.7148, abs=1e-4)  # their table 4 prints .71
    assert icc_3_1(JUDGES[:, :2] * [1, 0] + [0, 3]) == pytest.approx(0, abs=1e-12)


def test_a_constant_bias_lowers_concordance_but_not_the_icc() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert icc_3_1(np.column_stack([a, a + 1])) == pytest.approx(1)
    assert concordance(a, a) == 1
    assert concordance(a, a + 1) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))


def both(real: list[float], synthetic: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"method": "m", "region": "A", "pair_id": range(len(real)), "real": real, "synthetic": synthetic}
    )


def test_limits_of_agreement_written_out() -> None:
    """Differences 0.1, 0.2, 0.3, 0.4: mean 0.25, sd √(0.05/3)."""
    row = agreement(both([1.0, 1.0, 2.0, 2.0], [1.1, 1.2, 2.3, 2.4])).iloc[0]
    sd = np.sqrt(0.05 / 3)
    assert (row["n"], row["bias"], row["sd"]) == (4, pytest.approx(0.25), pytest.approx(sd))
    assert (row["loa_low"], row["loa_high"]) == pytest.approx((0.25 - 1.96 * sd, 0.25 + 1.96 * sd))
    assert row["bias_high"] == pytest.approx(0.25 + 3.182446 * sd / 2)  # a printed table's t, 3 degrees
    assert row["percent"] == pytest.approx(100 * 0.25 / 1.5)
    assert row["proportional"] > 0


def test_limits_hold_95_of_100_new_people() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(1.2, 0.2, 4000)
    row = agreement(both(real[:2000].tolist(), (real[:2000] + rng.normal(0.05, 0.1, 2000)).tolist())).iloc[0]
    new = rng.normal(0.05, 0.1, 2000)
    assert ((new > row["loa_low"]) & (new < row["loa_high"])).mean() == pytest.approx(0.95, abs=0.015)


def test_the_meta_region_weighs_its_five_parts_alike(caplog: pytest.LogCaptureFixture) -> None:
    names = [
        "Angular_L",
        "Angular_R",
        "Temporal_Inf_L",
        "Temporal_Mid_L",
        "Temporal_Inf_R",
        "Cingulate_Post_L",
        "Other",
    ]
    means = pd.DataFrame({"pair_id": "p", "method": "real", "region": names, "n_voxels": [9, 1, 10, 30, 5, 2, 1]})
    means["value"] = [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 100.0]
    assert meta_region(means)["value"].tolist() == pytest.approx([(1 + 2 + 1.75 + 3 + 4) / 5])
    assert meta_region(means[means["region"] != "Angular_R"]).empty
    assert "the atlas has no region Angular_R" in caplog.text


def test_a_region_is_compared_with_itself() -> None:
    means = pd.DataFrame(
        {"pair_id": list("aabb") * 2, "region": list("AB") * 4, "method": ["real"] * 4 + ["m"] * 4}
        | {"value": [1.0, 2.0, 1.0, 4.0, 1.5, 2.0, 1.5, 3.0]}
    )
    table = region_bias(beside_real(means)).set_index("region")
    assert table["bias"].to_dict() == {"A": 0.5, "B": -0.5}
    assert table.loc["A", ["bias_low", "bias_high", "percent"]].tolist() == [0.5, 0.5, 50]


def test_the_limits_of_agreement_are_always_in_the_picture() -> None:
    """Two people who differ by 1 and -1: limits at 1.96 times the root of 2, far beyond the points."""
    pairs = pd.DataFrame({"method": "m", "group": "CN", "real": [1.0, 2.0], "synthetic": [2.0, 1.0]})
    table = agreement(pairs.assign(pair_id=["p", "q"]))
    axes = bland_altman(pairs.assign(simulated=True), table).axes[0]
    lines = [line.get_ydata()[0] for line in axes.lines]
    assert max(lines) == pytest.approx(1.96 * np.sqrt(2))
    assert axes.get_ylim()[0] < min(lines) < max(lines) < axes.get_ylim()[1]


def test_the_verb_finds_the_planted_bias(results: Path) -> None:
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    out = results / "tables" / "agreement.tsv"
    run("agreement", *where, "--methods", "copy", "--methods", "mean", "--atlas", "aal2", "--out", out)
    table = pd.read_csv(out, sep="\t").set_index("method")
    assert table.loc["copy", ["bias", "bias_low", "bias_high"]].tolist() == pytest.approx([0.1] * 3, abs=1e-5)
    assert table.loc["copy", "icc"] == pytest.approx(1, abs=1e-5)
    assert table.loc["copy", "ccc"] < 0.9
    assert abs(table.loc["mean", "icc"]) < 0.3
    pairs = pd.read_csv(results / "tables" / "agreement_pairs.tsv", sep="\t")
    assert len(pairs) == 2 * 48
    assert len(pd.read_csv(results / "tables" / "agreement_regions.tsv", sep="\t")) == 2 * 116
    run("figure", "agreement", "--agreement", out, "--out", results / "figures" / "agreement")
    assert (results / "figures" / "agreement.png").is_file()


def test_one_missing_value_costs_one_pair_and_no_number() -> None:
    real, synthetic = [1.0, 1.0, 2.0, 2.0], [1.1, 1.2, 2.3, 2.4]
    whole = agreement(both(real, synthetic))
    pd.testing.assert_frame_equal(agreement(both([*real, np.nan, 3.0], [*synthetic, 1.0, np.nan])), whole)
    nobody = agreement(both([np.nan], [1.0])).iloc[0]
    assert nobody["n"] == 0
    assert nobody[["bias", "sd", "loa_low", "icc", "ccc", "r"]].isna().all()


def test_one_pair_has_a_bias_and_no_limits() -> None:
    pairs = both([1.0], [1.25]).assign(group="CN", simulated=False)
    table = agreement(pairs)
    assert table.loc[0, ["ccc", "icc", "loa_low"]].isna().all()
    shown = agreement_table(table, "aal2", False)
    assert shown.cells.iloc[0].tolist() == ["m", 1, "+0.250", *["n/a"] * 4]
    assert "AAL2 as it is, not warped to the template" in shown.caption
    assert "nan" not in bland_altman(pairs, table).axes[0].get_title()


def test_what_is_drawn_is_in_the_numbers_and_in_the_legend() -> None:
    pairs = both([1.0, 2.0, 3.0], [1.1, 2.3, 2.9]).assign(group=["CN", None, "Patient"], simulated=False)
    table = agreement(pairs)
    figure = bland_altman(pairs, table)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CN", "unknown"]
    numbers = drawn(pairs, table)
    assert numbers["difference"].tolist() == pytest.approx([0.1, 0.3, -0.1])
    assert numbers["mean"].tolist() == pytest.approx([1.05, 2.15, 2.95])
    lines = {float(line.get_ydata()[0]) for line in figure.axes[0].lines} - {0.0}
    assert lines == set(numbers[["bias", "loa_low", "loa_high"]].iloc[0])


def test_an_atlas_without_the_meta_region_has_its_regions_measured_all_the_same(
    results: Path, regions: Regions
) -> None:
    write_volume(1 + (regions.labels % 2), results / "mine.nii.gz")
    (results / "mine.tsv").write_text("index\tname\n1\teven\n2\todd\n")
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    out = results / "tables" / "agreement.tsv"
    run("agreement", *where, "--methods", "copy", "--atlas", results / "mine.nii.gz", "--out", out)
    found = pd.read_csv(results / "tables" / "agreement_regions.tsv", sep="\t")
    assert found["region"].tolist() == ["even", "odd"]
    assert found["bias"].tolist() == pytest.approx([0.1] * 2, abs=1e-5)
    assert pd.read_csv(out, sep="\t").empty
    page = out.with_suffix(".html").read_text()
    assert "There is no AD meta-region" in page
    assert "mine.nii.gz" in page
    assert str(results) not in page
    run("figure", "agreement", "--agreement", out, "--out", results / "figures" / "agreement")
    assert (results / "figures" / "agreement.png").is_file()
