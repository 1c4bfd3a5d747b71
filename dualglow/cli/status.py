"""The verb that says where a run stands: status."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def status(
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option(help="Output: a row per item, for scripts.", show_default="<results>/status.tsv")
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only what failed or was interrupted, and totals.")] = False,
) -> None:
    """Say per stage what is done, running, failed or missing; why something failed; how to run it again.

    Works in the middle of a run and after it, on any machine that sees the folder.

    - **done**: the outputs are there and whole (a temporary one: what is made of it is). Whether they are older than
      their inputs or than the configuration, only `snakemake --dry-run` says.
    - **running**: begun, by a Snakemake that is alive or a job of SLURM that goes on without it.
    - **queued**: waits in SLURM's queue, or in its job for the step before.
    - **interrupted**: begun, then killed.
    - **failed**: ended with an error, or was ended by SLURM or the system.
    - **missing**: not made yet, or was waiting for something that failed.
    - **left out**: a pair that a person excluded.

    Inputs: the results, the records of runs in it (logs/runs), Snakemake's marks and logs, SLURM's where there are any.
    Outputs: status.tsv with the columns stage, item, state, detail, log and command.
    Example: `dualglow status --results results/demo`
    """
    from rich.console import Console

    from dualglow.errors import InputError
    from dualglow.files import write_table
    from dualglow.status.show import show
    from dualglow.status.survey import survey

    found = survey(results)
    console = Console()
    show(found, console, brief)
    try:
        write_table(found.table(), out or results / "status.tsv")
    except InputError as error:
        if out:
            raise
        console.print(f"status.tsv is not written: {error}")  # someone else's results
