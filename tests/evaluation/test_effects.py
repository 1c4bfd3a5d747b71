from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import gammaln

from dualglow.evaluation.effects import effect_maps, hedges_g, map_agreement, region_effects, two_groups
from dualglow.figures.effects import effect_panels, effects_table
from tests.evaluation.test_verbs import run

RNG = np.random.default_rng(0)


def test_g_is_students_t_in_another_unit_with_the_exact_correction() -> None:
    """d = t √(1/n1 + 1/n2); Hedges' exact factor Γ(m/2) / (√(m/2) Γ((m−1)/2)) is near the one used."""
    sick, well = RNG.normal(0, 1, (7, 5)), RNG.normal(1, 2, (9, 5))
    d = stats.ttest_ind(sick, well).statistic * np.sqrt(1 / 7 + 1 / 9)
    m = 14
    exact = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2)
    assert hedges_g(sick, well) == pytest.approx(d * exact, rel=1e-3)
    assert hedges_g(sick, well) == pytest.approx(d * (1 - 3 / (4 * m - 1)))


def test_where_nobody_varies_and_with_one_person_there_is_no_effect() -> None:
    assert np.isnan(hedges_g(np.ones((3, 2)), np.zeros((3, 2)))).all()
    assert np.isnan(hedges_g(np.ones((1, 2)), RNG.normal(size=(5, 2)))).all()
    assert np.isnan(hedges_g([], RNG.normal(size=(5, 2)))).all()


def test_one_pair_per_person_of_the_two_groups() -> None:
    pairs = pd.DataFrame(
        {"pair_id": list("abcde"), "subject": ["1", "1", "2", "3", "4"], "group": ["AD", "AD", "MCI", "CN", "AD"]}
    )
    assert two_groups(pairs, "abcd") == {"AD": ["a"], "CN": ["d"]}


def test_maps_that_are_weaker_are_told_from_maps_that_are_elsewhere() -> None:
    shape, names = (6, 6, 6), [f"p{i}" for i in range(40)]
    groups, mask = {"AD": names[:20], "CN": names[20:]}, np.ones(shape, bool)
    mask[0] = False
    effect = RNG.normal(-2, 1, shape)
    noise = {name: RNG.normal(0, 1, shape) for name in names}
    real = {name: 10 + noise[name] + effect * (name in groups["AD"]) for name in names}
    half = {name: 10 + noise[name] + effect * (name in groups["AD"]) / 2 for name in names}
    other = {name: 10 + noise[name] + effect[::-1] * (name in groups["AD"]) for name in names}
    maps = effect_maps({"real": real.get, "half": half.get, "other": other.get}, groups, mask)  # type: ignore[dict-item]
    assert np.isnan(maps["real"][0]).all()
    assert np.isfinite(maps["real"][1:]).all()
    table = map_agreement(maps, mask, groups).set_index("method")
    assert table.loc["real", ["correlation", "slope"]].tolist() == pytest.approx([1, 1])
    assert table.loc["half", "correlation"] > 0.9
    assert 0.4 < table.loc["half", "slope"] < 0.7
    assert table.loc["other", "correlation"] < 0.5
    assert table["n_voxels"].eq(180).all()


def test_regions_have_both_means() -> None:
    rois = pd.DataFrame(
        {"pair_id": list("abcd"), "method": "real", "region": "A", "n_voxels": 5, "value": [1.0, 2.0, 4.0, 5.0]}
    )
    row = region_effects(rois, {"AD": ["a", "b"], "CN": ["c", "d"]}).iloc[0]
    assert (row["mean_ad"], row["mean_cn"], row["difference"]) == (1.5, 4.5, -3)
    assert row["g"] == pytest.approx(-3 / np.sqrt(0.5) * (1 - 3 / 7))


def test_the_verb_finds_the_painted_regions(results: Path) -> None:
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    out = results / "tables" / "effects.tsv"
    methods = ("--methods", "copy", "--methods", "mean")
    run("effects", *where, *methods, "--atlas", "aal2", "--maps", results / "effects", "--out", out)
    table = pd.read_csv(out, sep="\t").set_index("method")
    assert table.loc["copy", ["correlation", "region_correlation", "slope"]].tolist() == pytest.approx(
        [1] * 3, abs=1e-3
    )
    assert np.isnan(table.loc["mean", "correlation"])  # every fold tests as many of both groups
    assert (table["n_ad"] == 8).all()
    regions = pd.read_csv(results / "tables" / "effects_regions.tsv", sep="\t").set_index(["method", "region"])
    assert regions.loc[("real", "Precuneus_L"), "difference"] == pytest.approx(-0.4, abs=0.01)
    assert regions.loc[("real", "Calcarine_L"), "difference"] == pytest.approx(0, abs=0.01)
    figure = results / "figures" / "effects"
    run("figure", "effects", "--maps", results / "effects", "--effects", out, *where[:2], "--out", figure)
    assert figure.with_suffix(".png").is_file()


def test_voxels_without_a_g_are_in_no_number() -> None:
    """In half of the voxels nobody's synthetic PET varies: a 0 there would be an effect that nobody measured."""
    shape, names = (4, 4, 4), [f"p{i}" for i in range(12)]
    groups, mask = {"AD": names[:6], "CN": names[6:]}, np.ones(shape, bool)
    real = {name: RNG.normal(0, 1, shape) - 3 * (name in groups["AD"]) for name in names}
    half = {name: np.where(np.arange(4)[:, None, None] < 2, 1.0, volume) for name, volume in real.items()}
    maps = effect_maps({"real": real.get, "half": half.get}, groups, mask)  # type: ignore[dict-item]
    table = map_agreement(maps, mask, groups).set_index("method")
    assert table["n_voxels"].to_dict() == {"real": 64, "half": 32}
    assert table.loc["half", "mean_g"] == pytest.approx(maps["real"][2:].mean())
    assert table.loc["half", ["correlation", "slope"]].tolist() == pytest.approx([1, 1])


def test_without_people_of_a_group_there_is_no_effect_and_everything_says_so(results: Path) -> None:
    path = results / "dataset" / "pairs.tsv"
    pairs = pd.read_csv(path, sep="\t")
    pairs.assign(group=pairs["group"].replace("AD", "MCI")).to_csv(path, sep="\t", index=False)
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    out, figure = results / "tables" / "effects.tsv", results / "figures" / "effects"
    run("effects", *where, "--methods", "copy", "--atlas", "aal2", "--maps", results / "effects", "--out", out)
    table = pd.read_csv(out, sep="\t")
    assert table[["n_ad", "n_cn"]].to_numpy().tolist() == [[0, 8]] * 2
    assert table[["mean_g", "sd_g", "correlation", "slope", "region_correlation"]].isna().all(axis=None)
    page = out.with_suffix(".html").read_text()
    assert "There is no g: it needs two held-out people with AD and two with CN." in page
    assert "0.00" not in page
    run("figure", "effects", "--maps", results / "effects", "--effects", out, *where[:2], "--out", figure)
    empty = effect_panels({"real": np.zeros((4, 4, 4))}, table, np.eye(4))
    said = [text.get_text() for text in empty.texts]
    assert "There is no g: it needs two held-out people with AD and two with CN." in said
    assert not empty.axes


def test_the_caption_says_that_aal_is_not_warped() -> None:
    row = {"method": "real", "n_ad": 3, "n_cn": 3, "mean_g": 0.1, "sd_g": 0.1, "correlation": 1.0, "slope": 1.0}
    table = pd.DataFrame([row | {"region_correlation": 1.0}])
    assert "regions of AAL as it is, not warped to the template" in effects_table(table, "aal", False).caption
    assert "regions of mine.nii.gz;" in effects_table(table, "/home/jane/mine.nii.gz", False).caption
