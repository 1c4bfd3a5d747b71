"""The verbs that hold what a model makes of age against real and true slopes: `age-slopes`, `age-truth`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.ageing import NEEDED, SeriesTables, only_method
from dualglow.cli.app import app
from dualglow.cli.paper import FigureOut, MoreFiles, TableOut, figure_app, finish, table_app
from dualglow.cli.results import AtlasName, DatasetDir

if TYPE_CHECKING:
    import pandas as pd

    from dualglow.evaluation.rois import Regions
    from dualglow.preprocess.pack import Dataset

NEEDED_SLOPES = ["method", "region", "stage", "n", "model", "model_low", "model_high"]
NEEDED_SLOPES += ["n_real", "real", "real_low", "real_high", "simulated"]
SlopesFile = Annotated[Path, typer.Option("--slopes", help="Output of `dualglow age-slopes`.")]


@app.command()
def age_slopes(
    dataset: DatasetDir,
    ages: SeriesTables,
    out: Annotated[Path, typer.Option(help="The .tsv to write.")],
    atlas: AtlasName = "aal",
    truth: Annotated[
        Path | None, typer.Option(help="Output of `dualglow age-truth`, if the cohort is simulated.")
    ] = None,
    more: MoreFiles = None,
) -> None:
    """Hold what a model makes of age against the slopes of the real PETs, region by region and stage by stage.

    Both are cross-sectional: the model learned from different people, and the real slopes are between people. Neither
    is how a person ages.

    Inputs: the packed dataset, ages.tsv of `dualglow age-series` of all folds of one method, for simulated people the
    truth.

    Outputs: one row per region and stage (CN, MCI, AD): the model's slope (mean over n held-out people), the slope over
    the real PETs of those of them whose age is known (n_real), both with 95 % intervals; with --truth what age alone
    does.

    Units: SUVR per decade.

    Example: `dualglow age-slopes --dataset results/dataset --ages results/ages/dualglow-conditional/fold-*/ages.tsv
    --atlas aal2 --out results/metrics/age_model_slopes.tsv`
    """
    from dualglow.evaluation.ageing import compared_slopes
    from dualglow.files import read_table, read_tables, write_table
    from dualglow.preprocess.pack import Dataset

    data, series = Dataset.load(dataset), read_tables([*ages, *(more or [])], NEEDED)
    only_method("--ages", series)
    true = None if truth is None else read_table(truth, ["region", "stage", "total", "same_mri"])
    found = compared_slopes(series, _real(data, list(dict.fromkeys(series["pair_id"])), atlas), true)
    write_table(found.assign(atlas=atlas, simulated=bool(data.info["simulated"])), out)


def _real(data: "Dataset", pair_ids: list[str], atlas: str) -> "pd.DataFrame":
    """Means of all regions, left and right joined, in the real PETs of these pairs."""
    from dualglow.atlases import atlas as find_atlas
    from dualglow.evaluation import rois

    regions = rois.regions_on(find_atlas(atlas), data.grid)
    names = rois.stems(list(regions.names.values()))
    means = rois.both_sides(rois.dataset_rois(data, regions, pair_ids, rois.REAL), names)
    return data.pairs[["pair_id", "group", "age"]].merge(means, on="pair_id")


@app.command()
def age_truth(
    dataset: DatasetDir,
    out: Annotated[Path, typer.Option(help="The .tsv to write.")],
    atlas: AtlasName = "aal",
) -> None:
    """Say what age alone does to the regions' uptake in the people that `dualglow simulate` makes: truth_slopes.tsv.

    Computed from the simulator's own effects, not from any scan of the cohort: noiseless PETs of average people (mean
    severity of each group, women and men as in the dataset) at 65 and 85 years, blurred as by a scanner.

    Inputs: a packed dataset of simulated people, for grid, reference region, groups and sexes.

    Outputs: one row per region (left and right joined) and stage: `total`, where uptake and cortex age, as between
    people; `same_mri`, where only uptake ages, as where a model is given one MRI and told another age.

    Units: SUVR per decade.

    Example: `dualglow age-truth --dataset results/demo/dataset --atlas aal2 --out truth_slopes.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.errors import InputError
    from dualglow.evaluation.rois import regions_on
    from dualglow.files import write_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    if not data.info["simulated"]:
        raise InputError(f"{dataset}: holds real people, of whom nobody knows the truth. Leave --truth out.")
    found = _true_slopes(data, regions_on(find_atlas(atlas), data.grid))
    region = data.info["reference_region"]
    write_table(found.assign(atlas=atlas, reference_region=region, simulated=True), out)


def _true_slopes(data: "Dataset", regions: "Regions") -> "pd.DataFrame":
    """Means over the people of each stage, whose groups and sexes count."""
    from dualglow.evaluation.ageing import STAGES

    people = data.pairs[["group", "sex"]].assign(stage=data.pairs["group"].map(STAGES)).dropna()
    kinds = people.groupby(["group", "sex"], sort=False).size()
    of_kind = {kind: _of_kind(data, regions, *kind) for kind in kinds.index}
    weighted = people.merge(_stacked(of_kind), on=["group", "sex"])
    return weighted.groupby(["region", "stage"], sort=False)[["total", "same_mri"]].mean().reset_index()


def _stacked(of_kind: "dict[tuple[str, str], pd.DataFrame]") -> "pd.DataFrame":
    import pandas as pd

    return pd.concat([table.assign(group=group, sex=sex) for (group, sex), table in of_kind.items()])


def _of_kind(data: "Dataset", regions: "Regions", group: str, sex: str) -> "pd.DataFrame":
    """Slopes of all regions in average people of one group and sex, in SUVR per decade."""
    import numpy as np
    import pandas as pd

    from dualglow.cohort.simulate.ageing import AGES, at_both_ages
    from dualglow.cohort.simulate.head import Grid
    from dualglow.evaluation.rois import roi_means, without_sides
    from dualglow.preprocess.intensity import measure_reference

    slopes = {}
    for effect in ("total", "same_mri"):
        values = []
        for pet, brain in at_both_ages(group, sex, effect, Grid(data.grid.shape, data.grid.matrix)):
            images = data.grid.image(pet), data.grid.image(brain.astype(np.uint8))
            reference = measure_reference(*images, data.info["reference_region"])
            means = without_sides(roi_means(pet / reference.mean, brain, regions)).set_index("region")
            values.append(means["value"])
        slopes[effect] = 10 * (values[1] - values[0]) / (AGES[1] - AGES[0])
    return pd.DataFrame(slopes).reset_index()


@table_app.command("ageing")
def table_ageing(
    slopes: SlopesFile,
    out: TableOut = None,
    regions: Annotated[
        list[str] | None, typer.Option(help="Region to print instead of figure 7's; repeat for more.")
    ] = None,
) -> None:
    """Slopes of uptake with age: a model's, the real PETs' and, of simulated people, the true ones.

    Inputs: the table of `dualglow age-slopes`. Outputs: .tsv (all regions) and .tex (those of figure 7). Units: SUVR
    per decade.

    Example: `dualglow table ageing --slopes results/metrics/age_model_slopes.tsv --out results/tables/ageing.tsv`
    """
    from dualglow.figures.ageing import slopes_table

    finish(slopes_table(_slopes(slopes), regions), out)


@figure_app.command("ageing")
def figure_ageing(slopes: SlopesFile, out: FigureOut) -> None:
    """Slopes of uptake with age: a model's against the real PETs' and, of simulated people, against the true ones.

    Inputs: the table of `dualglow age-slopes`. Outputs: .pdf, .png, .tsv. Units: SUVR per decade.

    Example: `dualglow figure ageing --slopes results/metrics/age_model_slopes.tsv --out results/figures/ageing`
    """
    from dualglow.figures.ageing import NOBODY, slopes_compared
    from dualglow.figures.style import nothing_to_draw, save_figure

    table = _slopes(slopes)
    empty = nothing_to_draw("Change of regional uptake per decade of age", NOBODY) if table.empty else None
    save_figure(empty or slopes_compared(table), table, out)


def _slopes(path: Path) -> "pd.DataFrame":
    from dualglow.files import read_table

    table = read_table(path, NEEDED_SLOPES)
    only_method("--slopes", table)
    return table
