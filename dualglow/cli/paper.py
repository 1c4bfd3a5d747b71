"""The verbs that write the paper's tables and figures: `table 1` to `table 3`, `table folds`, `figure 4`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.app import app

if TYPE_CHECKING:
    import pandas as pd

    from dualglow.figures.tables import Table

table_app = typer.Typer(help="Write a table as .tsv, .tex and .html.", no_args_is_help=True)
figure_app = typer.Typer(help="Write a figure of the paper as .pdf, .png and .tsv.", no_args_is_help=True)
app.add_typer(table_app, name="table")
app.add_typer(figure_app, name="figure")

# `--metrics a.tsv b.tsv c.tsv`: the option takes the first, the argument the rest.
MetricsFiles = Annotated[list[Path], typer.Option("--metrics", help="Table(s) of `dualglow evaluate`: F1 F2 …")]
MoreFiles = Annotated[list[Path] | None, typer.Argument(hidden=True)]
TableOut = Annotated[
    Path | None, typer.Option("--out", help="The .tsv to write; .tex and .html go beside it. Without it, print it.")
]
FigureOut = Annotated[Path, typer.Option("--out", help="Without ending: .pdf, .png and .tsv are added.")]


@table_app.command("1")
def table_1(metrics: MetricsFiles, out: TableOut = None, more: MoreFiles = None) -> None:
    """Image metrics per method (table 1): mean ± sd of CorCoef, PSNR, SSIM and MAE over held-out pairs.

    Inputs: tables of `dualglow evaluate` for all methods and folds. Outputs: .tsv and .tex. Units: SUVR, dB.

    Example: `dualglow table 1 --metrics results/metrics/*/fold-*.tsv --out results/tables/table1.tsv`
    """
    from dualglow.figures.table1 import image_quality

    finish(image_quality(read_metrics(metrics, more)), out)


@table_app.command("2")
def table_2(
    classification: Annotated[Path, typer.Option(help="Output of `dualglow classify`.")],
    out: TableOut = None,
) -> None:
    """Diagnosis from real and synthetic PET (table 2).

    Inputs: the table of `dualglow classify`. Outputs: .tsv (shares 0 to 1) and .tex (percent).

    Example: `dualglow table 2 --classification results/metrics/diagnosis.tsv --out results/tables/table2.tsv`
    """
    from dualglow.figures.table2 import diagnosis
    from dualglow.files import read_tables

    numbers = ["n", "n_positive", "accuracy", "accuracy_low", "accuracy_high"]
    rates = ["fnr_share", "fpr_share", "fnr", "fpr", "auc"]
    needed = ["task", "method", "reason", "atlas", *numbers, *rates]
    finish(diagnosis(read_tables([classification], needed)), out)


@table_app.command("3")
def table_3(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv of the cohort or of the packed dataset.")],
    out: TableOut = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="These people are simulated: say so.")] = False,
) -> None:
    """People, age and sex per diagnostic group (table 3).

    Inputs: pairs.tsv. The cohort's own cannot say that it is simulated: give --simulated; the packed dataset's can
    (grid.json beside it). Outputs: .tsv and .tex. Units: years.

    Example: `dualglow table 3 --pairs results/cohort/pairs.tsv --out results/tables/table3.tsv`
    """
    from dualglow.figures.table3 import demographics
    from dualglow.files import read_json, read_table

    table = read_table(pairs, ["pair_id", "subject", "group", "sex", "age"])
    grid = pairs.with_name("grid.json")
    known = grid.is_file() and bool(read_json(grid).get("simulated"))
    finish(demographics(table, simulated or known), out)


@table_app.command("folds")
def table_folds(
    demographics: Annotated[Path, typer.Option(help="folds_demographics.tsv of `dualglow split`.")],
    out: TableOut = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="These people are simulated: say so.")] = False,
) -> None:
    """Who trains, validates and is tested in every fold.

    Inputs: folds_demographics.tsv. Outputs: .tsv, .tex and .html. Units: years.

    Example: `dualglow table folds --demographics results/cohort/folds_demographics.tsv
    --out results/tables/people_per_fold.tsv`
    """
    from dualglow.figures.folds import COLUMNS, folds_table
    from dualglow.files import read_table

    finish(folds_table(read_table(demographics, COLUMNS), simulated), out)


@figure_app.command("4")
def figure_4(metrics: MetricsFiles, out: FigureOut, more: MoreFiles = None) -> None:
    """Box plot of the error per method (figure 4).

    Inputs: tables of `dualglow evaluate` for all methods and folds. Outputs: .pdf, .png, .tsv. Units: SUVR.

    Example: `dualglow figure 4 --metrics results/metrics/*/fold-*.tsv --out results/figures/figure4`
    """
    from dualglow.figures.figure4 import drawn, mae_boxplot
    from dualglow.figures.style import save_figure

    table = read_metrics(metrics, more)
    save_figure(mae_boxplot(table), drawn(table), out)


def read_metrics(first: list[Path], more: list[Path] | None) -> "pd.DataFrame":
    """The tables of `dualglow evaluate` as one."""
    from dualglow.files import read_tables

    needed = ["method", "fold", "pair_id", "subject", "group", "mae_mask", "data_range", "split_hash", "simulated"]
    return read_tables([*first, *(more or [])], needed)


def finish(table: "Table", out: Path | None) -> None:
    """Print the table, or write it."""
    from dualglow.figures.tables import print_table, save_table

    if out is None:
        print_table(table)
    else:
        save_table(table, out)
