from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from dualglow.errors import InputError
from dualglow.figures.figure4 import mae_boxplot
from dualglow.figures.table1 import image_quality
from dualglow.figures.table2 import diagnosis
from dualglow.figures.table3 import demographics
from dualglow.figures.tables import Table, mean_sd, print_table, save_table, to_latex
from tests.conftest import Dualglow

COLUMNS = [*(f"{metric}_{place}" for place in ("mask", "box") for metric in ("mae", "cor", "psnr", "ssim"))]
COLUMNS += ["nmse_mask", "msssim_mask", "bias_mask"]


def metrics(methods: tuple[str, ...] = ("mean", "dualglow"), simulated: bool = False) -> pd.DataFrame:
    rows = [
        {"method": method, "fold": i % 2, "pair_id": f"p{i}", "subject": f"s{i}", "group": "CN"}
        | dict.fromkeys(COLUMNS, float(i))
        | {"data_range": 2.5, "split_hash": f"hash{i % 2}", "simulated": simulated}
        for method in methods
        for i in range(4)
    ]
    return pd.DataFrame(rows)


def test_table_1_is_mean_and_sd_over_pairs() -> None:
    table = image_quality(metrics())
    assert table.numbers["method"].tolist() == ["dualglow", "mean"]  # the order of the paper, not of the files
    first = table.numbers.iloc[0]
    assert (first["n"], first["folds"], first["data_range"]) == (4, 2, 2.5)
    assert first["mae_mask_mean"] == pytest.approx(1.5)
    assert first["mae_mask_sd"] == pytest.approx(np.std([0, 1, 2, 3], ddof=1))
    assert table.cells.loc[0, "PSNR (dB), brain"] == "1.50 ± 1.29"
    assert {"bias_mask_mean", "mae_box_mean"} <= set(table.numbers)
    assert table.cells.shape[1] <= 11  # as many as a page is wide
    assert first["split_hash"] == "hash0,hash1"
    assert "2.5 SUVR" in table.caption


@pytest.mark.parametrize(
    ("column", "message"), [("split_hash", "fold 1 differ in split_hash"), ("data_range", "differ in data_range")]
)
@pytest.mark.parametrize("show", [image_quality, mae_boxplot])
def test_table_1_and_figure_4_refuse_what_cannot_be_compared(
    show: Callable[[pd.DataFrame], Table | Figure], column: str, message: str
) -> None:
    mixed = metrics()
    mixed[column] = mixed[column].astype(object)
    mixed.loc[5, column] = 3.0
    with pytest.raises(InputError, match=message):
        show(mixed)


@pytest.mark.parametrize("show", [image_quality, mae_boxplot])
def test_table_1_and_figure_4_refuse_other_pairs_and_pairs_given_twice(
    show: Callable[[pd.DataFrame], Table | Figure],
) -> None:
    with pytest.raises(InputError, match="different pairs"):
        show(metrics().drop(index=0))
    with pytest.raises(InputError, match="p0 of mean, fold 0 twice"):
        show(pd.concat([metrics(), metrics()]))


def test_two_labels_of_one_person_are_one_person() -> None:
    """ADNI's roster number stays when a person moves to another site."""
    rows = metrics()
    rows["subject"] = rows["subject"].replace({"s0": "002_S_0295", "s1": "137_S_0295"})
    assert "(3 people)" in image_quality(rows).caption
    pairs = pd.DataFrame({"pair_id": list("ab"), "subject": ["002_S_0295", "137_S_0295"], "group": "AD", "sex": "F"})
    table = demographics(pairs.assign(age=[71.0, 70.0]), simulated=False)
    assert table.numbers["n"].tolist() == [1, 1]
    assert table.numbers["n_pairs"].tolist() == [2, 2]
    assert table.cells["Age (years)"].tolist() == ["70.0"] * 2


@pytest.mark.parametrize("words", [("table", "1"), ("figure", "4")])
def test_metrics_without_a_row_are_one_line(words: tuple[str, str], tmp_path: Path, dualglow: Dualglow) -> None:
    metrics().iloc[:0].to_csv(tmp_path / "m.tsv", sep="\t", index=False)
    line = dualglow(*words, "--metrics", tmp_path / "m.tsv", "--out", tmp_path / "out.tsv")
    said = "has no rows. Give the tables of folds in which somebody was held out."
    assert line == f"dualglow {words[0]}: {tmp_path / 'm.tsv'}: {said}\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "m.tsv"]


def classification(simulated: bool = False) -> pd.DataFrame:
    done = {"task": "AD vs CN", "method": "real", "n": 10, "n_positive": 4, "accuracy": 0.7, "accuracy_low": 0.4}
    done |= {"accuracy_high": 0.89, "fnr_share": 0.1, "fpr_share": 0.2, "fnr": 0.25, "fpr": 1 / 3, "auc": 0.8}
    skipped = {"task": "other", "method": "real", "reason": "fold 0 has 1 diseased people"}
    return pd.DataFrame([done, skipped]).assign(atlas="aal2", simulated=simulated)


def test_table_2_prints_percent_and_says_why_a_task_is_missing() -> None:
    table = diagnosis(classification())
    assert table.cells.iloc[0].tolist()[2:] == ["4 / 10", "70% (40–89)", "10%", "20%", "25%", "33%", "0.80"]
    assert len(table.cells) == 1  # a row of n/a per method says nothing
    assert table.numbers["task"].tolist() == ["AD vs CN", "other"]
    assert "other: not done, fold 0 has 1 diseased people" in table.caption
    assert r"70\% (40--89)" in to_latex(table)


@pytest.mark.parametrize("lost", sorted(set(classification()) - {"simulated"}))
def test_table_2_without_a_column_is_one_line(lost: str, tmp_path: Path, dualglow: Dualglow) -> None:
    classification().drop(columns=lost).to_csv(tmp_path / "c.tsv", sep="\t", index=False)
    line = dualglow("table", "2", "--classification", tmp_path / "c.tsv", "--out", tmp_path / "out.tsv")
    assert f"lacks the column(s) {lost};" in line
    assert line.count("\n") == 1


def test_table_2_of_too_few_people_is_a_caption(tmp_path: Path) -> None:
    save_table(diagnosis(classification().iloc[1:]), tmp_path / "table2.tsv")
    for kind in ("tex", "html"):
        assert "other: not done" in (tmp_path / f"table2.{kind}").read_text()


def test_table_3_counts_people_once() -> None:
    pairs = pd.DataFrame(
        {
            "pair_id": ["a", "b", "c", "d"],
            "subject": ["1", "1", "2", "3"],
            "group": ["AD", "AD", "AD", "CN"],
            "sex": ["F", "F", "M", "F"],
            "age": [71.0, 70.0, 80.0, np.nan],
        }
    )
    table = demographics(pairs, simulated=False)
    assert table.numbers["group"].tolist() == ["CN", "AD", "Total"]
    assert table.numbers["n"].tolist() == [1, 2, 3]
    assert table.numbers["n_pairs"].tolist() == [1, 3, 4]
    assert table.cells["Age (years)"].tolist() == ["n/a", "75.0 ± 7.1", "75.0 ± 7.1"]
    assert table.cells["F / M"].tolist() == ["1 / 0", "1 / 1", "2 / 1"]


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_people_are_called_so_in_the_files(tmp_path: Path, simulated: bool) -> None:
    for name, table in (
        ("1", image_quality(metrics(simulated=simulated))),
        ("2", diagnosis(classification(simulated))),
    ):
        save_table(table, tmp_path / f"table{name}.tsv")
        assert ("simulated cohort" in (tmp_path / f"table{name}.tex").read_text()) is simulated
        assert pd.read_csv(tmp_path / f"table{name}.tsv", sep="\t")["simulated"].eq(simulated).all()


def test_the_terminal_shows_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    table = image_quality(metrics())
    print_table(table)
    shown = capsys.readouterr().out
    assert all(str(cell) in shown for cell in table.cells.to_numpy().ravel())


@pytest.mark.parametrize(("values", "text"), [([], "n/a"), ([2.0], "2.0"), ([1.0, 3.0, np.nan], "2.0 ± 1.4")])
def test_mean_sd(values: list[float], text: str) -> None:
    assert mean_sd(pd.Series(values, dtype=float), 1) == text
