"""What the report shows as pages: tables to read, and the overview."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from dualglow.figures.folds import folds_table
from dualglow.figures.overview import diagnosed, gained, ranking, verdicts
from dualglow.figures.pages import is_text
from dualglow.figures.tables import Table, save_table
from tests.conftest import Dualglow


class Text(HTMLParser):
    """The words of a page, tag by tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(page.split("</style>")[1])

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def test_a_table_is_also_a_page_with_its_cells_and_caption(tmp_path: Path) -> None:
    cells = pd.DataFrame({"Method": ["A <b> & c", "D"], "MAE": ["0.1 ± 0.2", "n/a"]})
    numbers = pd.DataFrame({"mae": [0.12345678901234567, None]})
    save_table(Table(numbers, cells, "What it is.", "tab:x", True), tmp_path / "x.tsv")
    words = Text((tmp_path / "x.html").read_text()).words
    assert words[0] == "What it is. This is a simulated cohort: no real people."
    assert words[1:7] == ["Method", "MAE", "A <b> & c", "0.1 ± 0.2", "D", "n/a"]
    assert "x.tsv" in words
    assert not [word for word in words if "0.123456" in word]


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["0.1 ± 0.2", "n/a"], False),
        (["n/a"], False),
        (["", "+0.1"], False),
        (["<0.001", "-0.1 (-0.2 to +0.1)"], False),
        (["AD", "CN"], True),
    ],
)
def test_words_stand_at_the_left_and_numbers_at_the_right(cells: list[str], text: bool) -> None:
    assert is_text(cells) is text


QUALITY = pd.DataFrame(
    {
        "method": ["dualglow", "cgan", "mean"],
        "folds": 5,
        "mae_mask_mean": [0.2, 0.1, 0.3],
        "mae_mask_sd": [0.02, None, 0.03],
        "cor_mask_mean": 0.9,
        "cor_mask_sd": 0.01,
        "psnr_mask_mean": 25.0,
        "psnr_mask_sd": 1.0,
        "ssim_mask_mean": 0.8,
        "ssim_mask_sd": 0.1,
    }
)
TESTS = pd.DataFrame(
    {
        "metric": "mae",
        "region": "mask",
        "reference": "dualglow",
        "method": ["cgan", "mean", "linear"],
        "difference": [0.1, -0.1, -0.1],
        "p_holm": [0.01, 0.04, 0.06],
    }
)
DIAGNOSIS = pd.DataFrame(
    {
        "task": ["AD vs CN"] * 2 + ["late"],
        "method": ["real", "dualglow", "real"],
        "n": [20, 20, None],
        "accuracy": [0.9, 0.75, None],
        "accuracy_low": [0.8, 0.5, None],
        "accuracy_high": [1.0, 0.9, None],
        "reason": [None, None, "too few"],
    }
)


def test_the_main_result_is_said_as_it_is() -> None:
    said = ranking(QUALITY, "dualglow")
    assert said.startswith("cGAN has the smallest mean error (0.100 SUVR); DUAL-GLOW is number 2 of 3 (0.200 SUVR)")
    assert ranking(QUALITY, "cgan") == "cGAN has the smallest mean error (0.100 SUVR)."
    assert verdicts(TESTS, "dualglow") == [
        "DUAL-GLOW is better than Mean PET.",
        "DUAL-GLOW is worse than cGAN.",
        "DUAL-GLOW cannot be told from Linear per voxel.",
    ]
    assert verdicts(TESTS.iloc[:0], "dualglow") == []
    untested = verdicts(TESTS.assign(p_holm=[0.01, 0.04, None]), "dualglow")
    assert untested[-1] == "DUAL-GLOW was not tested against Linear per voxel."


def test_what_a_pet_adds_to_the_t1_is_said_beside_what_the_real_one_does() -> None:
    assert gained(GAIN, "AD vs CN", "dualglow") == (
        "AD vs CN: from 50 % to 62 % (p = 0.200) with DUAL-GLOW's PET, to 90 % (p <0.001) with the real one; beside "
        "age and sex as well, from 60 % to 62 % (p = 1.000) with DUAL-GLOW's."
    )
    assert gained(GAIN, "AD vs CN", "mean") == "AD vs CN: from 50 % to 90 % (p <0.001) with the real PET."


def test_a_diagnosis_that_was_not_done_says_why() -> None:
    first, second = (diagnosed(part, str(task), "dualglow") for task, part in DIAGNOSIS.groupby("task"))
    assert first == "AD vs CN: Real PET 90 % (80–100); DUAL-GLOW 75 % (50–90) (n = 20)."
    assert second == "late: not done (too few)."


GAIN = pd.DataFrame(
    {
        "task": "AD vs CN",
        "base": ["mri", "mri", "mri+age-sex"],
        "added": ["real", "dualglow", "dualglow"],
        "accuracy_base": [0.5, 0.5, 0.6],
        "accuracy": [0.9, 0.62, 0.62],
        "p_holm": [0.0001, 0.2, 1.0],
    }
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with what the overview reads."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "tables").mkdir()
    config = {
        "figures": {"method": "dualglow"},
        "cohort": {"max_days": 180},
        "split": {"scheme": "kfold", "validation": 0.15},
        "preprocess": {"preset": "fast", "reference": "pons"},
        "evaluation": {"atlas": "/home/jane/mine.nii.gz", "data_range": 2.5},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "dataset" / "grid.json").write_text(json.dumps({"simulated": True, "left_out": {"bad": 2}}))
    pairs = pd.DataFrame({"pair_id": list("uvwx"), "subject": list("aabc"), "group": ["AD", "AD", "CN", None]})
    pairs.to_csv(tmp_path / "dataset" / "pairs.tsv", sep="\t", index=False)
    tables = {"table1": QUALITY, "table2": DIAGNOSIS, "comparison": TESTS, "diagnosis_gain": GAIN}
    for name, table in tables.items():
        table.to_csv(tmp_path / "tables" / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    return tmp_path


def test_the_overview_says_first_what_a_reader_needs(results: Path, dualglow: Dualglow) -> None:
    assert dualglow("overview", "--results", results, "--out", results / "overview.html") == ""
    page = (results / "overview.html").read_text()
    words = " ".join(Text(page).words)
    assert "no image and no number here comes from a real person" in words
    assert "3 people, 4 T1–PET pairs (1 CN, 1 AD, 1 unknown); 2 further pairs were left out" in words
    assert "3 methods: DUAL-GLOW, cGAN, Mean PET." in words
    assert "5 folds by person; every pair is held out once" in words
    assert "0.200 ± 0.020" in words
    assert "0.100 " in words  # one pair has no standard deviation
    assert "the test is blunt" not in words
    assert "AD vs CN: from 50 % to 62 % (p = 0.200) with DUAL-GLOW's PET" in words
    assert "late: from" not in words  # it was not done
    assert "jane" not in page


def test_the_overview_of_one_fold_claims_no_test(results: Path, dualglow: Dualglow) -> None:
    for name, table in {"table1": QUALITY.assign(folds=1), "comparison": TESTS.assign(p_holm=None)}.items():
        table.to_csv(results / "tables" / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    assert dualglow("overview", "--results", results, "--out", results / "overview.html") == ""
    words = " ".join(Text((results / "overview.html").read_text()).words)
    assert "There is only one fold, which allows no test between the methods." in words
    assert "cannot be told from" not in words
    assert "resampled" not in words


def test_the_overview_counts_people_and_days_as_the_pairs_say_and_how_aal_lies(
    results: Path, dualglow: Dualglow
) -> None:
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    pairs["subject"] = ["002_S_0295", "137_S_0295", "b", "c"]
    pairs = pairs.assign(delta_days=[-20, 3, None, 500], warnings=[None, None, None, "forced"])
    pairs.to_csv(results / "dataset" / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    config = json.loads((results / "config.json").read_text())
    config["evaluation"]["atlas"] = "aal"
    (results / "config.json").write_text(json.dumps(config))
    assert dualglow("overview", "--results", results, "--out", results / "overview.html") == ""
    words = " ".join(Text((results / "overview.html").read_text()).words)
    assert "3 people, 4 T1–PET pairs" in words
    assert (
        "T1 and PET are at most 20 days apart (180 were allowed); in 1 pair made by hand the two are at most" in words
    )
    assert "the atlas AAL as it is, not warped to the template." in words


@pytest.mark.parametrize(("name", "lost"), [("table1", "ssim_mask_sd"), ("table2", "accuracy_high")])
def test_an_overview_without_a_column_is_one_line(name: str, lost: str, results: Path, dualglow: Dualglow) -> None:
    path = results / "tables" / f"{name}.tsv"
    pd.read_csv(path, sep="\t").drop(columns=lost).to_csv(path, sep="\t", index=False)
    line = dualglow("overview", "--results", results, "--out", results / "overview.html")
    assert f"{name}.tsv: lacks the column(s) {lost};" in line
    assert line.count("\n") == 1


def test_an_overview_without_its_tables_is_one_line(results: Path, dualglow: Dualglow) -> None:
    (results / "tables" / "table2.tsv").unlink()
    line = dualglow("overview", "--results", results, "--out", results / "overview.html")
    assert line == f"dualglow overview: {results}/tables/table2.tsv: no such table.\n"
    assert not (results / "overview.html").exists()


def test_people_per_fold_are_a_table_to_read() -> None:
    rows = {"fold": [0], "part": ["test"], "n": [2], "n_pairs": [3], "n_CN": [2], "n_AD": [0], "n_SMC": [0]}
    rows |= {
        "n_EMCI": [0],
        "n_MCI": [0],
        "n_LMCI": [0],
        "n_unknown": [0],
        "age_mean": [70.04],
        "age_sd": [float("nan")],
    }
    table = folds_table(pd.DataFrame(rows | {"female": [2], "male": [0], "pet_levels": ["raw 3"]}), False)
    shown = {"Fold": "0", "Part": "test", "People": 2, "Pairs": 3, "CN": 2, "Age (years)": "70.0", "F / M": "2 / 0"}
    assert table.cells.iloc[0].to_dict() == shown | {"Pairs per PET level": "raw 3"}
