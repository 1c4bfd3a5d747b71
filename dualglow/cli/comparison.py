"""The verbs that ask whether one method is better, and whether its PET helps the diagnosis: `compare`, `gain`."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app
from dualglow.cli.paper import FigureOut, MetricsFiles, MoreFiles, figure_app
from dualglow.cli.results import DatasetDir, FoldsFile, TableFile


@app.command()
def compare(
    metrics: MetricsFiles,
    dataset: DatasetDir,
    folds: FoldsFile,
    out: TableFile,
    reference: Annotated[str, typer.Option(help="Method that every other one is compared with.")] = "dualglow",
    more: MoreFiles = None,
) -> None:
    """Test whether one method is better than the others on the same held-out pairs.

    Refuses metrics of another split than --folds, or of methods that were scored on different pairs.

    Inputs: tables of `dualglow evaluate` for all methods and folds, the packed dataset, folds.tsv.

    Outputs: one row per metric and method: the difference (reference − method) with its 95 % interval, t and p of the
    corrected resampled t-test over folds (Nadeau & Bengio 2003; n/a with one fold), p of Wilcoxon's test over people,
    both also after Holm. docs/evaluation.md says what each assumes. The .tex has the paper's metrics in the brain mask.

    Units: those of the metrics: MAE and bias in SUVR, PSNR in dB.

    Example: `dualglow compare --metrics results/metrics/*/fold-*.tsv --dataset results/dataset
    --folds results/cohort/folds.tsv --reference dualglow --out results/tables/comparison.tsv`
    """
    from dualglow.cohort.splits import read_folds
    from dualglow.evaluation.comparison import compare as tests
    from dualglow.figures.comparison import comparison_table
    from dualglow.figures.style import in_order, is_simulated
    from dualglow.figures.tables import save_table
    from dualglow.files import read_tables
    from dualglow.preprocess.pack import Dataset

    needed = ["method", "fold", "pair_id", "subject", "mae_mask", "split_hash", "simulated"]
    table, data = read_tables([*metrics, *(more or [])], needed), Dataset.load(dataset)
    order = in_order(table["method"])
    table = table.sort_values("method", key=lambda column: column.map(order.index), kind="stable", ignore_index=True)
    found = tests(table, read_folds(folds, data.pairs, data.left_out), reference)
    save_table(comparison_table(found, is_simulated(table)), out)


@figure_app.command("comparison")
def figure_comparison(
    comparison: Annotated[Path, typer.Option(help="Output of `dualglow compare`.")],
    out: FigureOut,
) -> None:
    """Forest plot of how far one method is ahead of the others, with 95 % intervals.

    Inputs: the table of `dualglow compare`. Outputs: .pdf, .png, .tsv. Units: those of the metrics.

    Example: `dualglow figure comparison --comparison results/tables/comparison.tsv --out results/figures/comparison`
    """
    from dualglow.errors import InputError
    from dualglow.figures.comparison import COLUMNS, drawn, forest
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table

    table = read_table(comparison, [*COLUMNS, "folds"])
    if table.empty:
        raise InputError(f"{comparison}: has no rows: there is only one method. Configure a second one in `models`.")
    save_figure(forest(table), drawn(table), out)


@app.command()
def gain(
    classification: Annotated[Path, typer.Option(help="Output of `dualglow classify`, NAME_predictions.tsv beside.")],
    out: TableFile,
    seed: Annotated[int, typer.Option(help="Of the bootstrap over people.")] = 0,
) -> None:
    """Test what a PET, real or synthetic, adds to the T1 alone in the diagnosis.

    Inputs: both tables of `dualglow classify`.

    Outputs: one row per task and PET: accuracy with the T1 alone and with both, the pairs that only one of the two got
    right with McNemar's exact p (also after Holm), the AUC within folds of both and its gain with a 95 % interval.

    Units: rates between 0 and 1.

    Example: `dualglow gain --classification results/metrics/classification.tsv
    --out results/tables/diagnosis_gain.tsv`
    """
    from dualglow.evaluation.classification import PREDICTED
    from dualglow.evaluation.diagnosis_gain import diagnosis_gain
    from dualglow.figures.diagnosis_gain import gain_table
    from dualglow.figures.style import is_simulated
    from dualglow.figures.tables import save_table
    from dualglow.files import read_table

    table = read_table(classification, ["task", "method", "reason", "atlas"])
    predictions = read_table(classification.with_name(f"{classification.stem}_predictions.tsv"), PREDICTED)
    save_table(gain_table(diagnosis_gain(predictions, seed), table, is_simulated(table)), out)
