"""The figures that show people's images: `figure 5`, `figure 9` to `figure 12`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.paper import FigureOut, MetricsFiles, MoreFiles, figure_app

if TYPE_CHECKING:
    import pandas as pd

    from dualglow.figures.figure5 import Person
    from dualglow.figures.figure12 import Compared
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
        from dualglow.figures.people import figure_title, people_of_figure, why_nobody
        from dualglow.figures.style import nothing_to_draw, save_figure
        from dualglow.preprocess.pack import Dataset

        own, data = _of_method(read_people(metrics, more), method), Dataset.load(dataset)
        shown, title = people_of_figure(number, own), figure_title(number, own)
        if shown.empty:
            save_figure(nothing_to_draw(title, why_nobody(number)), shown, out)
        else:
            people = _people(shown, data, synthesis / method)
            save_figure(montage(people, data.grid.matrix, method, title), shown, out)

    return draw


for _number, (_who, _rule) in WHO.items():
    figure_app.command(str(_number), help=HELP.format(number=_number, who=_who, rule=_rule))(_verb(_number))


def read_people(first: list[Path], more: list[Path] | None) -> "pd.DataFrame":
    """The tables of `dualglow evaluate` as one, with all that chooses and labels the people of the figures."""
    from dualglow.files import read_tables

    needed = ["method", "fold", "pair_id", "group", "sex", "age", "mae_mask", "simulated"]
    return read_tables([*first, *(more or [])], needed)


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


@figure_app.command("12")
def figure_12(
    dataset: DatasetDir,
    synthesis: SynthesisRoot,
    metrics: MetricsFiles,
    method: Shown,
    out: FigureOut,
    more: MoreFiles = None,
) -> None:
    """Difference maps (synthetic − real PET) of the same people, method by method (figure 12).

    Inputs: the packed dataset, the synthetic PETs, the tables of `dualglow evaluate` of all methods and folds. Of CN,
    MCI and AD each the pair with the median MAE of --method is shown, with every method of --metrics. Outputs: .pdf,
    .png, .tsv (MAE and mean difference of every person and method). Units: SUVR.

    Example: `dualglow figure 12 --dataset results/dataset --synthesis results/synthesis --method dualglow
    --metrics results/metrics/*/fold-*.tsv --out results/figures/figure12`
    """
    from dualglow.figures.figure12 import difference_maps, drawn, of_all_methods
    from dualglow.figures.people import typical_pairs, why_nobody
    from dualglow.figures.style import is_simulated, method_name, nothing_to_draw, save_figure, titled
    from dualglow.preprocess.pack import Dataset

    table, data = read_people(metrics, more), Dataset.load(dataset)
    shown = typical_pairs(_of_method(table, method))
    rows = of_all_methods(table, shown)
    people = _compared(rows, data, synthesis)
    title, numbers = "Error of every method in the people with the median error", drawn(rows, people)
    if people:
        title = titled(f"{title} of {method_name(method)}", is_simulated(table))
        save_figure(difference_maps(people, numbers, data.grid.matrix, title), numbers, out)
    else:
        save_figure(nothing_to_draw(titled(title, is_simulated(table)), why_nobody(12)), numbers, out)


def _compared(rows: "pd.DataFrame", data: "Dataset", synthesis: Path) -> "list[Compared]":
    """Each person with the synthetic PETs of all methods, in the order of the rows."""
    from dualglow.evaluation.heldout import read_on_grid, synthesis_file
    from dualglow.figures.figure12 import Compared

    people = []
    for pair_id, own in rows.groupby("pair_id", sort=False):
        files = {
            row["method"]: synthesis_file(synthesis / row["method"] / f"fold-{row['fold']}", str(pair_id))
            for _, row in own.iterrows()
        }
        volumes = {name: read_on_grid(path, data.grid) for name, path in files.items()}
        index = data.rows([str(pair_id)])[0]
        people.append(Compared(str(pair_id), data.volumes[index, 1], data.masks[index], volumes))
    return people
