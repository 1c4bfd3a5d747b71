"""Pictures of what a model is unsure of, of what surprises it, and of how probable real PETs are to it."""

from pathlib import Path

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from dualglow.errors import InputError
from dualglow.figures.likelihood import bits_by_group, bits_table, drawn
from dualglow.figures.style import save_picture
from dualglow.figures.uncertainty import Z_LIMIT, Images, person_title, surprise_picture, synthesis_picture
from dualglow.preprocess.grid import MODEL_GRID
from tests.conftest import Dualglow

X = MODEL_GRID.matrix[0, 3] + 2.25 * np.arange(64)
SIDES = np.broadcast_to(np.where(X < 0, 1.0, 2.0)[:, None, None], MODEL_GRID.shape)
"""1 in the left half, 2 in the right."""

IMAGES = Images(SIDES / 2, SIDES, MODEL_GRID.matrix)
ROW = pd.Series({"samples": 32, "temperature": 1.0, "share_surprising": 0.098, "share_calibrated": 0.059})


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def pictures(figure: Figure) -> dict[str, tuple[np.ndarray, tuple[float, float]]]:
    """Title → what is drawn, and the ends of its colours."""
    shown = [axes for axes in figure.axes if axes.images]
    return {axes.get_title(): (np.ma.filled(axes.images[0].get_array()), axes.images[0].get_clim()) for axes in shown}


@pytest.mark.parametrize(
    ("quantiles", "shown"), [([], 0), (["q05"], 1), (["q05", "q95"], 2), (["q05", "q50", "q95"], 2)]
)
def test_a_synthesis_shows_its_spread_and_its_outer_quantiles(quantiles: list[str], shown: int) -> None:
    maps = {"synthetic": SIDES, "std": SIDES / 10} | {name: SIDES * float("0." + name[1:]) for name in quantiles}
    found = pictures(synthesis_picture(IMAGES, maps, "40 samples (T = 1)", "title"))
    assert len(found) == 4 + shown
    real, limits = found["Real PET"]
    assert (real[48, 5], real[48, 58]) == (1.0, 2.0)  # axial plane: x to the right
    assert found["Prediction (temperature 0)"][1] == limits
    for name, title in (("q05", "5 % quantile"), ("q95", "95 % quantile")):
        if name in quantiles:
            picture, own_limits = found[f"{title} of 40 samples (T = 1)"]
            assert picture[48, 58] == pytest.approx(2 * float("0." + name[1:]))
            assert own_limits == limits


def test_z_has_colours_that_diverge_from_0_and_compare_between_people(tmp_path: Path) -> None:
    figure = surprise_picture(IMAGES, SIDES, SIDES - 4, ROW, "title")
    found = pictures(figure)
    assert list(found)[2:] == ["Expected: mean of 32 samples (T = 1)", "Surprise: 10 % beyond ±1.96 (calibrated: 6 %)"]
    picture, limits = list(found.values())[3]
    assert (picture[48, 5], picture[48, 58]) == (-3, -2)
    assert limits == (-Z_LIMIT, Z_LIMIT)
    weak = surprise_picture(IMAGES, SIDES, SIDES / 100, ROW, "title")
    assert list(pictures(weak).values())[3][1] == limits
    save_picture(figure, tmp_path / "z.png", dpi=100)
    assert (tmp_path / "z.png").stat().st_size < 300_000


def test_titles_say_who_and_that_it_is_simulated() -> None:
    person = pd.Series({"pair_id": "sub-1", "group": "AD", "sex": "M", "age": 90.3})
    assert person_title(person, "dualglow", simulated=True) == "DUAL-GLOW: sub-1, AD, M, 90 y (simulated cohort)"
    unknown = pd.Series({"pair_id": "sub-1", "group": None, "sex": float("nan"), "age": float("nan")})
    assert person_title(unknown, "linear", simulated=False) == "Linear per voxel: sub-1"


def likelihoods() -> pd.DataFrame:
    groups = ["CN", "SMC", "EMCI", "MCI", "LMCI", "AD", None] * 8
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"method": "dualglow", "fold": np.arange(len(groups)) % 2, "group": groups})
    table["pair_id"] = [f"p{i:02d}" for i in range(len(groups))]
    table["bits"] = 4 + 0.5 * table["fold"] + rng.normal(0, 0.02, len(groups))
    return table.assign(bits_importance=table["bits"], grey_value=0.008, mask_share=0.42, simulated=True)


def test_likelihoods_are_drawn_against_the_people_of_the_same_model() -> None:
    table = likelihoods()
    figure = bits_by_group(table)
    collections = [own for own in figure.axes[0].collections if isinstance(own, PathCollection)]
    heights = np.sort(np.concatenate([np.asarray(own.get_offsets())[:, 1] for own in collections]))
    points = drawn(table)
    assert heights == pytest.approx(np.sort(points["bits_above_fold"]))
    assert np.abs(points.groupby("fold")["bits_above_fold"].median()).max() < 1e-12
    labels = [label.get_text().split("\n")[0] for label in figure.axes[0].get_xticklabels()]
    assert labels == ["CN", "SMC", "EMCI", "MCI", "LMCI", "AD", "n/a"]
    assert "simulated cohort" in texts(figure)
    assert "bits" in figure.axes[0].get_ylabel().lower()


def test_the_table_has_the_bits_of_the_figure() -> None:
    ad = likelihoods()["group"] == "AD"
    told = likelihoods().assign(method="dualglow-conditional")
    told["bits"] += 0.25 * ad - 1
    table = bits_table(pd.concat([told, likelihoods()]))
    plain, conditional = (row for _, row in table.numbers.iterrows())
    assert (plain["method"], conditional["method"]) == ("dualglow", "dualglow-conditional")
    assert plain["bits_mean"] == pytest.approx(likelihoods()["bits"].mean())
    assert conditional["bits_mean"] == pytest.approx(plain["bits_mean"] - 1 + 0.25 / 7)
    assert conditional["ad_above_fold_mean"] == pytest.approx(plain["ad_above_fold_mean"] + 0.25, abs=0.01)
    assert conditional["cn_above_fold_mean"] == pytest.approx(plain["cn_above_fold_mean"], abs=0.01)
    assert list(table.cells) == [
        "Method",
        "n",
        "Bits per voxel",
        "Tighter bound",
        "CN, above",
        "MCI, above",
        "AD, above",
    ]
    assert table.cells["Bits per voxel"][0] == f"{plain['bits_mean']:.3f} ± {plain['bits_sd']:.3f}"
    assert "simulated cohort" in table.full_caption


def test_bits_of_different_people_are_not_put_into_one_table() -> None:
    with pytest.raises(InputError, match="scored on different pairs"):
        bits_table(pd.concat([likelihoods(), likelihoods()[1:].assign(method="dualglow-conditional")]))


def test_two_methods_have_a_panel_each() -> None:
    table = pd.concat([likelihoods(), likelihoods().assign(method="dualglow-conditional", simulated=False)])
    titles = [axes.get_title() for axes in bits_by_group(table).axes]
    assert [title.split(":")[0] for title in titles] == ["DUAL-GLOW", "DUAL-GLOW (conditional)"]


def test_pairs_that_several_folds_hold_out_are_not_called_people() -> None:
    twice = pd.concat([likelihoods(), likelihoods().assign(fold=likelihoods()["fold"] + 2)])
    table = bits_table(twice)
    assert table.numbers["n"].tolist() == [2 * len(likelihoods())]
    assert "mean ± sd over held-out pairs" in table.caption
    assert "people" not in table.caption


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_likelihoods_without_a_row_are_one_line(kind: str, tmp_path: Path, dualglow: Dualglow) -> None:
    likelihoods().iloc[:0].to_csv(tmp_path / "bits.tsv", sep="\t", index=False)
    line = dualglow(kind, "likelihood", "--likelihood", tmp_path / "bits.tsv", "--out", tmp_path / "out.tsv")
    said = "has no rows. Give the tables of folds in which somebody was held out."
    assert line == f"dualglow {kind}: {tmp_path / 'bits.tsv'}: {said}\n"
