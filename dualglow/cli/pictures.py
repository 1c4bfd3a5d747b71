"""The figures that show people's images: `figure 5`, `figure 9`, `figure 10`, `figure 11`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.paper import FigureOut, MetricsFiles, MoreFiles, figure_app, read_metrics

if TYPE_CHECKING:
    import pandas as pd

    from dualglow.figures.figure5 import Person
    from dualglow.preprocess.pack import Dataset

DatasetDir = Annotated[Path, typer.Option("--dataset", help="Folder that `dualglow pack` wrote.")]
SynthesisRoot = Annotated[Path, typer.Option("--synthesis", help="Folder that holds METHOD/fold-K/*.nii.gz.")]
Shown = Annotated[str, typer.Option("--method", help="Method to show.")]

HELP = """T1, real and synthetic PET, difference and standard deviation of held-out people: {who} (figure {number}).

    Inputs: the packed dataset, the synthetic PETs, the method's tables of `dualglow evaluate`. {rule}
    Outputs: .pdf, .png, .tsv (the pairs shown). Units: SUVR.

    Example: `dualglow figure {number} --dataset results/dataset --synthesis results/synthesis --method dualglow
    --metrics results/metrics/dualglow/fold-*.tsv --out results/figures/figure{number}`
    """
TYPICAL = "Of CN, MCI and AD each the pair with the median MAE is shown."
SPREAD = "The pairs at the 5, 35, 65 and 95 % quantile of the stage's MAE are shown, so that nobody picks the best."
WHO = {5: ("the median error", TYPICAL)} | {
    number: (f"several {stage}", SPREAD) for number, stage in {9: "CN", 10: "MCI", 11: "AD"}.items()
}


def _verb(number: int) -> Callable[..., None]:
    def draw(
        dataset: DatasetDir,
        synthesis: SynthesisRoot,
        metrics: MetricsFiles,
        method: Shown,
        out: FigureOut,
        more: MoreFiles = None,
    ) -> None:
        from dualglow.figures.figure5 import montage
        from dualglow.figures.people import figure_title, people_of_figure
        from dualglow.figures.style import save_figure
        from dualglow.preprocess.pack import Dataset

        shown, data = people_of_figure(number, _of_method(read_metrics(metrics, more), method)), Dataset.load(dataset)
        figure = montage(
            _people(shown, data, synthesis / method), data.grid.matrix, method, figure_title(number, shown)
        )
        save_figure(figure, shown, out)

    return draw


for _number, (_who, _rule) in WHO.items():
    figure_app.command(str(_number), help=HELP.format(number=_number, who=_who, rule=_rule))(_verb(_number))


def _of_method(metrics: "pd.DataFrame", method: str) -> "pd.DataFrame":
    from dualglow.errors import ConfigError

    own = metrics[metrics["method"] == method]
    if own.empty:
        raise ConfigError(f"--metrics holds no row of {method}; it has {', '.join(sorted(set(metrics['method'])))}.")
    return own


def _people(shown: "pd.DataFrame", data: "Dataset", syntheses: Path) -> "list[Person]":
    from dualglow.evaluation.heldout import read_on_grid, synthesis_file
    from dualglow.figures.figure5 import Person
    from dualglow.figures.people import person_label

    people = []
    for (_, row), index in zip(shown.iterrows(), data.rows(list(shown["pair_id"])), strict=True):
        folder = syntheses / f"fold-{row['fold']}"
        synthetic = read_on_grid(synthesis_file(folder, row["pair_id"]), data.grid)
        deviation = synthesis_file(folder, row["pair_id"], "std")
        sd = read_on_grid(deviation, data.grid) if deviation.is_file() else None
        people.append(Person(person_label(row), data.volumes[index, 0], data.volumes[index, 1], synthetic, sd))
    return people
