"""Figure 17: λ's ablation."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.paper import FigureOut, MoreFiles, figure_app


@figure_app.command("17")
def figure_17(
    runs: Annotated[
        list[Path], typer.Option(help="Folders of a run each, with model/, metrics.tsv, likelihood.tsv: D1 D2 …")
    ],
    out: FigureOut,
    more: MoreFiles = None,
) -> None:
    """Error and likelihood of held-out PETs against λ, the weight of p(MRI) (figure 17).

    Inputs: folders, each with a model (its model.json says λ), and the tables of `dualglow evaluate` and `dualglow
    likelihood` of its held-out pairs. Outputs: .pdf, .png, .tsv (mean and sd by fold and λ). Units: SUVR, bits per
    voxel.

    Example: `dualglow figure 17 --runs results/ablation/prior_weight~*/fold~* --out results/figures/figure17`
    """
    import pandas as pd

    from dualglow.figures.figure17 import against_prior_weight, summarised
    from dualglow.figures.style import save_figure
    from dualglow.files import read_json, read_table

    tables = []
    for run in [*runs, *(more or [])]:
        weight = read_json(run / "model" / "model.json")["options"]["prior_weight"]
        metrics = read_table(run / "metrics.tsv", ["fold", "pair_id", "mae_mask", "simulated"])
        bits = read_table(run / "likelihood.tsv", ["fold", "pair_id", "bits"])[["fold", "pair_id", "bits"]]
        tables.append(metrics.merge(bits, on=["fold", "pair_id"]).assign(prior_weight=float(weight)))
    numbers = summarised(pd.concat(tables, ignore_index=True))
    save_figure(against_prior_weight(numbers), numbers, out)
