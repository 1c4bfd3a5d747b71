"""Figure 17: what is drawn is the mean and sd of the runs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.errors import InputError
from dualglow.figures.figure17 import against_prior_weight, summarised
from tests.conftest import Dualglow

WEIGHTS = (0.0, 0.001, 0.1)


def pairs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"prior_weight": weight, "fold": fold, "pair_id": f"p{fold}{i}"}
        | {"mae_mask": rng.uniform(0.08, 0.15), "bits": rng.uniform(3, 5)}
        for weight in reversed(WEIGHTS)
        for fold in (0, 1)
        for i in range(4)
    ]
    return pd.DataFrame(rows).assign(simulated=True)


def test_figure_17_draws_mean_and_sd_of_every_fold_and_weight() -> None:
    table = pairs()
    figure = against_prior_weight(summarised(table))
    for axes, column in zip(figure.axes, ("mae_mask", "bits"), strict=True):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.001", "0.1"]
        for fold, container in zip((0, 1), axes.containers, strict=True):
            assert isinstance(container, ErrorbarContainer)
            line, _, (bars,) = container.lines
            assert isinstance(bars, LineCollection)
            own = table[table["fold"] == fold].groupby("prior_weight")[column]
            assert np.rint(line.get_xdata()).tolist() == [0, 1, 2]
            assert np.asarray(line.get_ydata()) == pytest.approx(own.mean().to_numpy())
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            assert np.ptp(ends, axis=1) / 2 == pytest.approx(own.std().to_numpy())
            assert container.get_label() == f"fold {fold}"


def test_no_two_folds_look_the_same() -> None:
    table = pairs()
    every = pd.concat([table[table["fold"] == 0].assign(fold=fold) for fold in range(20)])
    for axes in against_prior_weight(summarised(every)).axes:
        lines = [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]
        assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 20


def test_runs_that_cannot_be_compared_are_refused() -> None:
    table = pairs()
    with pytest.raises(InputError, match="twice"):
        summarised(pd.concat([table, table.iloc[:1]]))
    with pytest.raises(InputError, match="different pairs of fold 1"):
        summarised(table.iloc[:-1])


def write_runs(table: pd.DataFrame, root: Path) -> list[str]:
    folders = []
    for (weight, fold), own in table.groupby(["prior_weight", "fold"]):
        folder = root / f"prior_weight~{weight:g}" / f"fold~{fold}"
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.json").write_text(json.dumps({"options": {"prior_weight": weight}}))
        own.drop(columns=["prior_weight", "bits"]).to_csv(folder / "metrics.tsv", sep="\t", index=False)
        own[["fold", "pair_id", "bits"]].to_csv(folder / "likelihood.tsv", sep="\t", index=False)
        folders.append(str(folder))
    return folders


def test_the_verb_reads_the_weight_from_the_models_card(tmp_path: Path) -> None:
    table = pairs()
    folders = write_runs(table, tmp_path)
    out = CliRunner().invoke(app, ["figure", "17", "--runs", *folders, "--out", str(tmp_path / "figure17")])
    assert out.exit_code == 0, (out.output, out.exception)
    drawn = pd.read_csv(tmp_path / "figure17.tsv", sep="\t")
    expected = table.groupby(["prior_weight", "fold"])["bits"].mean()
    assert drawn.set_index(["prior_weight", "fold"])["bits"].to_numpy() == pytest.approx(expected.to_numpy())
    assert (tmp_path / "figure17.png").stat().st_size > 0


def test_runs_of_which_pairs_lack_a_number_are_one_line(tmp_path: Path, dualglow: Dualglow) -> None:
    folders = write_runs(pairs(), tmp_path)
    path = Path(folders[1]) / "likelihood.tsv"
    pd.read_csv(path, sep="\t").iloc[1:].to_csv(path, sep="\t", index=False)
    line = dualglow("figure", "17", "--runs", *folders, "--out", tmp_path / "figure17")
    assert f"{folders[1]}: metrics.tsv and likelihood.tsv are not of the same pairs (p10 of fold 1" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "figure17.tsv").exists()


def test_a_model_without_the_weight_is_one_line(tmp_path: Path, dualglow: Dualglow) -> None:
    folders = write_runs(pairs(), tmp_path)
    card = {"method": "pix2pix", "options": {"width": 64}}
    (Path(folders[0]) / "model" / "model.json").write_text(json.dumps(card))
    line = dualglow("figure", "17", "--runs", *folders, "--out", tmp_path / "figure17")
    assert "model.json: pix2pix has no prior_weight (λ). Give runs of DUAL-GLOW to --runs." in line
    assert line.count("\n") == 1
