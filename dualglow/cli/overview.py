"""The verb that writes the report's first page."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def overview(
    results: Annotated[Path, typer.Option(help="Results folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="The .html to write.")],
) -> None:
    """Write the report's first page: who, which methods, how many folds, and the main result.

    Inputs: config.json, dataset/ and table1, table2, diagnosis_gain and comparison.tsv of tables/ below --results.

    Outputs: one HTML page. Units: SUVR, dB.

    Example: `dualglow overview --results results --out results/overview.html`
    """
    from dualglow.figures.overview import PRINTED, Findings, overview_page
    from dualglow.files import read_json, read_table, written

    tables, dataset = results / "tables", results / "dataset"
    measured = [f"{name}_{kind}" for name, _ in PRINTED.values() for kind in ("mean", "sd")]
    diagnosed = ["task", "method", "n", "accuracy", "accuracy_low", "accuracy_high", "reason"]
    found = Findings(
        read_json(results / "config.json"),
        read_json(dataset / "grid.json"),
        read_table(dataset / "pairs.tsv", ["pair_id", "subject", "group"]),
        read_table(tables / "table1.tsv", ["method", "folds", *measured]),
        read_table(tables / "table2.tsv", diagnosed),
        read_table(tables / "comparison.tsv", ["metric", "region", "reference", "method", "difference", "p_holm"]),
        read_table(tables / "diagnosis_gain.tsv", ["task", "base", "added", "accuracy_base", "accuracy", "p_holm"]),
    )
    with written(out) as part:
        part.write_text(overview_page(found), encoding="utf-8")
