"""The verb that draws the cohort: `figure cohort`."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.paper import FigureOut, figure_app


@figure_app.command("cohort")
def figure_cohort(
    scans: Annotated[Path, typer.Option(help="scans.tsv.")],
    pairs: Annotated[Path, typer.Option(help="pairs.tsv.")],
    exclusions: Annotated[Path, typer.Option(help="exclusions.tsv.")],
    out: FigureOut,
    simulated: Annotated[bool, typer.Option("--simulated", help="These people are simulated: say so.")] = False,
) -> None:
    """Flow chart from the download to the pairs, and beside it `<out>_days`: the days between T1 and PET.

    Inputs: the three tables. Outputs: .pdf, .png and .tsv (the counts, the days) of both. No names of people or scans.
    Units: days.

    Example: `dualglow figure cohort --scans scans.tsv --pairs pairs.tsv --exclusions exclusions.tsv --out cohort`
    """
    from dualglow.cohort.pairing import EXCLUSION_COLUMNS
    from dualglow.cohort.scan import PAIR_COLUMNS, SCAN_COLUMNS
    from dualglow.figures.cohort_flow import days_histogram, flow_chart, flow_table
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table

    made = read_table(pairs, PAIR_COLUMNS)
    flow = flow_table(read_table(scans, SCAN_COLUMNS), made, read_table(exclusions, EXCLUSION_COLUMNS))
    save_figure(flow_chart(flow, simulated), flow, out)
    days = made[["delta_days", "date_source"]].sort_values("delta_days", ignore_index=True)
    save_figure(days_histogram(made, simulated), days, out.with_name(f"{out.name}_days"))
