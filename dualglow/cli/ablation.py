"""Figure 17: λ's ablation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.paper import FigureOut, MoreFiles, figure_app

if TYPE_CHECKING:
    import pandas as pd


@figure_app.command("17")
def figure_17(
    runs: Annotated[
        list[Path], typer.Option(help="Folders of a run each, with model/, metrics.tsv, likelihood.tsv: D1 D2 …")
    ],
    out: FigureOut,
    more: MoreFiles = None,
) -> None:
    """Error and likelihood of held-out PETs against λ, the weight of p(MRI) (figure 17).

    Inputs: folders, each with a DUAL-GLOW model (its model.json says λ), and the tables of `dualglow evaluate` and
    `dualglow likelihood` of its held-out pairs, the same in both. Outputs: .pdf, .png, .tsv (mean and sd by fold and
    λ). Units: SUVR, bits per voxel.

    Example: `dualglow figure 17 --runs results/ablation/prior_weight~*/fold~* --out results/figures/figure17`
    """
    import pandas as pd

    from dualglow.figures.figure17 import against_prior_weight, summarised
    from dualglow.figures.style import save_figure

    tables = [_pairs(run).assign(prior_weight=_weight(run)) for run in [*runs, *(more or [])]]
    numbers = summarised(pd.concat(tables, ignore_index=True))
    save_figure(against_prior_weight(numbers), numbers, out)


def _weight(run: Path) -> float:
    """λ of a run's model; raises InputError if its method has none."""
    from dualglow.errors import InputError
    from dualglow.files import read_json

    card = read_json(run / "model" / "model.json")
    options = card.get("options", {})
    if "prior_weight" not in options:
        raise InputError(
            f"{run}/model/model.json: {card.get('method', 'its method')} has no prior_weight (λ). "
            "Give runs of DUAL-GLOW to --runs."
        )
    return float(options["prior_weight"])


def _pairs(run: Path) -> "pd.DataFrame":
    """Error and bits of each of a run's held-out pairs; raises InputError if its two tables are not of the same."""
    from dualglow.errors import InputError
    from dualglow.files import read_table

    metrics = read_table(run / "metrics.tsv", ["fold", "pair_id", "mae_mask", "simulated"])
    bits = read_table(run / "likelihood.tsv", ["fold", "pair_id", "bits"])[["fold", "pair_id", "bits"]]
    both = metrics.merge(bits, on=["fold", "pair_id"], how="outer", indicator=True)
    if len(single := both[both["_merge"] != "both"]):
        row = single.iloc[0]
        raise InputError(
            f"{run}: metrics.tsv and likelihood.tsv are not of the same pairs ({row['pair_id']} of fold {row['fold']} "
            "is in one of them). Make both of one model again."
        )
    return both.drop(columns="_merge")
