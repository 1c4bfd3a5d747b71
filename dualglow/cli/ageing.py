"""The verbs about age: what a model makes of the same MRI at other ages, and figures 6, 7, 13 and 14."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.app import app
from dualglow.cli.model import DATASET, DEVICE, FOLD, FOLDS, THREADS, device_of
from dualglow.cli.paper import FigureOut, MetricsFiles, MoreFiles, figure_app
from dualglow.cli.pictures import read_people
from dualglow.cli.uncertainty import MODEL, numbers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from dualglow.figures.figure6 import Aged
    from dualglow.training.unseen import Unseen

AGES = "50,60,70,80,90,100"
SeriesRoot = Annotated[Path, typer.Option("--series", help="Folder that holds fold-K/ of `dualglow age-series`.")]
SeriesTables = Annotated[list[Path], typer.Option("--ages", help="ages.tsv of `dualglow age-series`: F1 F2 …")]
NEEDED = ["method", "fold", "pair_id", "group", "age", "told_age", "region", "n_voxels", "value", "change", "simulated"]


def only_method(option: str, table: "pd.DataFrame") -> str:
    """The name in print of the one method of a table; of a table without rows, "The model".

    Raises
    ------
    ConfigError
        If there are several: they would be drawn and named as one.
    """
    from dualglow.errors import ConfigError
    from dualglow.figures.style import in_order, method_name

    methods = in_order(table["method"])
    if len(methods) > 1:
        raise ConfigError(f"{option}: holds several methods ({', '.join(methods)}). Give the tables of one of them.")
    return method_name(methods[0]) if methods else "The model"


@app.command()
def age_series(
    model: Annotated[Path, MODEL],
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, typer.Option(help="Folder for the results; earlier ones in it are replaced.")],
    ages: Annotated[str, typer.Option(help="Years, with commas between them.")] = AGES,
    atlas: Annotated[str, typer.Option(help="aal, aal2 (no download) or the path of a label NIfTI.")] = "aal",
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="The fold's table of `dualglow evaluate`: keep only the volumes of the pairs with the median MAE of "
            "CN, MCI and AD among those of known age; without it, of all pairs."
        ),
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Synthesise the PETs of a fold's test pairs as if they were of other ages: the same MRI, another age told.

    Works with every model that reads ages: dualglow-conditional with age among its covariates, and linear. Refuses a
    model that was trained on another split than --folds, for it may have seen the people to be tested.

    **Inputs**: a model, the packed dataset and folds.tsv.

    **Outputs** in --out: ages.tsv (a row per pair, age told and region, left and right joined: mean uptake, and its
    change against the prediction at the person's own age), ages.json, and `<pair_id>_desc-age050_pet.nii.gz` and so
    on, `desc-ageown` at the own age. docs/figures.md says what such a change is not.

    **Units**: SUVR, years; volumes on the model grid, with its true affine (RAS+, mm).

    **Example**: `dualglow age-series --model results/models/dualglow-conditional/fold-0 --dataset results/dataset
    --folds results/cohort/folds.tsv --fold 0 --out results/ages/dualglow-conditional/fold-0`
    """
    from dualglow.training.ageing import age_series as run
    from dualglow.training.unseen import Unseen

    unseen = Unseen.load(model, dataset, folds, fold, device_of(device, threads))
    run(unseen, out, numbers("--ages", ages), _measure(unseen, atlas), _keeper(metrics))


def _measure(unseen: "Unseen", atlas: str) -> "Callable[[str, np.ndarray], pd.DataFrame]":
    """Means of the atlas's regions, left and right joined, within the pair's brain mask."""
    from dualglow.atlases import atlas as find_atlas
    from dualglow.evaluation.rois import regions_on, roi_means, without_sides

    data, regions = unseen.dataset, regions_on(find_atlas(atlas), unseen.dataset.grid)
    masks = dict(zip(unseen.names, unseen.rows, strict=True))
    return lambda name, volume: without_sides(roi_means(volume, data.masks[masks[name]], regions)).assign(atlas=atlas)


def _keeper(metrics: Path | None) -> Callable[[str], bool]:
    """Whether a pair's volumes are kept."""
    from dualglow.figures.figure6 import median_pairs
    from dualglow.files import read_table

    if metrics is None:
        return lambda name: True
    needed = ["fold", "pair_id", "group", "age", "mae_mask"]
    chosen = set(median_pairs(read_table(metrics, needed))["pair_id"])  # no rows where the fold has nobody to test
    return lambda name: name in chosen


def _figure_of_ages(number: int) -> Callable[..., None]:
    def draw(
        dataset: Annotated[Path, DATASET],
        series: SeriesRoot,
        metrics: MetricsFiles,
        out: FigureOut,
        ages: Annotated[str, typer.Option(help="Years, with commas between them.")] = AGES,
        more: MoreFiles = None,
    ) -> None:
        from dualglow.figures.figure6 import ages_montage, drawn, lacking, median_pairs, people_of_ages
        from dualglow.figures.style import is_simulated, nothing_to_draw, save_figure, titled

        table = read_people(metrics, more)
        method = only_method("--metrics", table)
        shown = people_of_ages(number, median_pairs(table))
        people, affine = _aged(shown, dataset, series, numbers("--ages", ages))
        title, found = titled(f"{method}: the same MRI at other ages", is_simulated(table)), drawn(people)
        if people:
            save_figure(ages_montage(people, found, affine, title, lacking(number, shown)), found, out)
        else:
            save_figure(nothing_to_draw(title, lacking(number, shown)), found, out)

    return draw


AGES_HELP = """One held-out MRI {who} at six ages, and the change against the person's own age (figure {number}).

    Inputs: the packed dataset, the volumes of `dualglow age-series`, the method's tables of `dualglow evaluate`. {rule}
    Outputs: .pdf, .png, .tsv (mean uptake and change in the brain at each age). Units: SUVR, years.

    Example: `dualglow figure {number} --dataset results/dataset --series results/ages/dualglow-conditional
    --metrics results/metrics/dualglow-conditional/fold-*.tsv --out results/figures/figure{number}`
    """
for _number, _who, _rule in (
    (
        6,
        "per diagnosis",
        "Of each fold's people with the median MAE of CN, MCI and AD, all of known age, the median ones are shown.",
    ),
    (
        13,
        "of other people",
        "Of each diagnosis another is shown, of the first fold whose median is not in figure 6.",
    ),
):
    figure_app.command(str(_number), help=AGES_HELP.format(number=_number, who=_who, rule=_rule))(
        _figure_of_ages(_number)
    )


def _aged(
    shown: "pd.DataFrame", dataset: Path, series: Path, ages: tuple[float, ...]
) -> "tuple[list[Aged], np.ndarray]":
    """The volumes of the people shown, and the affine of them all."""
    from dualglow.evaluation.heldout import read_on_grid, synthesis_file
    from dualglow.figures.figure6 import Aged
    from dualglow.preprocess.pack import Dataset
    from dualglow.training.ageing import age_name

    data, people = Dataset.load(dataset), []
    for (_, row), index in zip(shown.iterrows(), data.rows(list(shown["pair_id"])), strict=True):
        folder = series / f"fold-{row['fold']}"
        own, *told = (
            read_on_grid(synthesis_file(folder, row["pair_id"], kind), data.grid)
            for kind in ("ageown", *map(age_name, ages))
        )
        mri, real = data.volumes[index]
        people.append(Aged(row, mri, real, data.masks[index], own, dict(zip(ages, told, strict=True))))
    return people, data.grid.matrix


@figure_app.command("14")
def figure_14(ages: SeriesTables, out: FigureOut, more: MoreFiles = None) -> None:
    """Uptake of thirty regions over six ages, as a conditional model makes them of the same MRIs (figure 14).

    Inputs: ages.tsv of `dualglow age-series`, of all folds of one method. Shown are the regions of figure 7 and the
    largest others. Outputs: .pdf, .png, .tsv (mean and sd over the people of each stage). Units: SUVR, years.

    Example: `dualglow figure 14 --ages results/ages/dualglow-conditional/fold-*/ages.tsv
    --out results/figures/figure14`
    """
    from dualglow.figures.figure14 import drawn, regions_over_ages
    from dualglow.figures.style import is_simulated, nothing_to_draw, save_figure, titled
    from dualglow.files import read_tables

    table = read_tables([*ages, *(more or [])], NEEDED)
    only_method("--ages", table)
    found = drawn(table)
    if found.empty:
        title = titled("The same held-out MRIs at six ages", is_simulated(table))
        save_figure(nothing_to_draw(title, "Nobody of CN, MCI or AD is in the cohort."), found, out)
    else:
        save_figure(regions_over_ages(found), found, out)


@figure_app.command("7")
def figure_7(
    roi_age: Annotated[Path, typer.Option(help="Output of `dualglow age`.")],
    out: FigureOut,
    ages: Annotated[
        list[Path] | None, typer.Option(help="ages.tsv of `dualglow age-series`, for a conditional model's curve.")
    ] = None,
    more: MoreFiles = None,
) -> None:
    """Regional uptake against age with 95 % bands, real and synthetic PET (figure 7).

    Inputs: the table of `dualglow age`, perhaps those of `dualglow age-series`: the same MRIs at other ages in a
    column of their own. Outputs: .pdf, .png, .tsv (`kind`: person, line, told). Units: SUVR, years.

    Example: `dualglow figure 7 --roi-age results/metrics/age.tsv --out results/figures/figure7`
    """
    from dualglow.figures.figure7 import curves, drawn, why_empty
    from dualglow.figures.figure7 import roi_age as draw
    from dualglow.figures.style import is_simulated, nothing_to_draw, save_figure, titled
    from dualglow.files import read_table, read_tables

    points, told = read_table(roi_age, ["pair_id", "method", "region", "group", "age", "value", "simulated"]), None
    if ages:
        series = read_tables([*ages, *(more or [])], NEEDED)
        only_method("--ages", series)
        told = curves(series, list(dict.fromkeys(points["region"])))
    found = drawn(points, told)
    if len(found):
        save_figure(draw(found), found, out)
    else:
        title = titled("Regional FDG uptake against age", is_simulated(points))
        save_figure(nothing_to_draw(title, why_empty(points)), found, out)
