"""The verb that writes the methods section."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def methods(
    results: Annotated[Path, typer.Option(help="Results folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option(help="The .md to write; .html goes beside it. Without it, print it.")
    ] = None,
) -> None:
    """Write the methods section of a paper, from what was really run: settings, versions, people, references.

    Inputs: config.json, dataset/, cohort/folds.tsv, derivatives/dataset_description.json and a model card per method
    below --results.

    Outputs: Markdown, ready to paste, and the same as a page; read it before you sign it.

    Example: `dualglow methods --results results --out results/methods.md`
    """
    from dualglow.errors import InputError
    from dualglow.figures.methods import Run, methods_text
    from dualglow.figures.pages import page
    from dualglow.figures.style import in_order
    from dualglow.files import read_json, read_table, written

    cards: dict[str, Path] = {}
    for card in sorted((results / "models").glob("*/fold-*/model.json")):
        cards.setdefault(card.parts[-3], card)
    config = read_json(results / "config.json")
    if "methods" not in config:
        raise InputError(
            f"{results}/config.json: names no methods; another version wrote it. Start the run again first."
        )
    named = [name for name in in_order(cards) if name in config["methods"]]
    if not named:
        raise InputError(
            f"{results}/models: holds no trained model of {', '.join(config['methods'])}. Train one first."
        )
    run = Run(
        config,
        read_json(results / "dataset" / "grid.json"),
        read_table(results / "dataset" / "pairs.tsv", ["pair_id", "subject", "group"]),
        read_json(results / "derivatives" / "dataset_description.json"),
        read_table(results / "cohort" / "folds.tsv", ["fold"])["fold"].nunique(),
        [read_json(cards[name]) for name in named],
    )
    text = methods_text(run)
    if out is None:
        print(text)
        return
    with written(out) as part:
        part.write_text(text, encoding="utf-8")
    with written(out.with_suffix(".html")) as part:
        part.write_text(page("text", title="Methods", text=text), encoding="utf-8")
