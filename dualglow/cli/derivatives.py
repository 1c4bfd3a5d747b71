"""Verbs about derivatives: describe ours as BIDS wants it, adopt another program's."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def describe(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv.")],
    derivatives: Annotated[Path, typer.Option(help="Folder of the derivatives.")],
    root: Annotated[Path, typer.Option(help="The download, BIDS dataset or sample sheet that the pairs come from.")],
    simulated: Annotated[bool, typer.Option("--simulated", help="Say so in every file.")] = False,
) -> None:
    """Make the derivatives a BIDS dataset: a JSON beside every image, dataset_description.json, a README.

    Inputs: pairs.tsv and the derivatives of its pairs. Outputs: JSON with sources, units, space, engine and seed.
    Example: `dualglow describe --pairs pairs.tsv --derivatives results/derivatives --root data/ADNI`
    """
    from dualglow.preprocess.derivatives import Source
    from dualglow.preprocess.sidecars import describe as run

    run(pairs, derivatives, Source(root, simulated))
