"""The verbs that say whether a model is as sure as it may be: `calibrate`, its table and its figure."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from dualglow.cli.app import app
from dualglow.cli.model import DATASET, DEVICE, FOLD, FOLDS, THREADS, device_of
from dualglow.cli.paper import FigureOut, TableOut, figure_app, table_app
from dualglow.cli.results import AtlasName
from dualglow.cli.uncertainty import MODEL, SEED

Files = Annotated[list[Path], Option("--calibration", help="Table(s) of `dualglow calibrate`: F1 F2 …")]
More = Annotated[list[Path] | None, Argument(hidden=True)]


@app.command()
def calibrate(
    model: Annotated[Path, MODEL],
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="The .tsv to write.")],
    samples: Annotated[int, Option(help="Random PETs per person; at least 39.", min=2)] = 39,
    temperature: Annotated[float, Option(help="Scales the noise of the samples; 1 is the model's own.", min=0)] = 1.0,
    atlas: AtlasName = "aal",
    seed: Annotated[int, SEED] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Measure whether the held-out real PETs lie in the intervals of a model's samples as often as they should.

    Refuses a model that was trained on another split than --folds. Works with every method; one without randomness
    covers nothing, and its CRPS is its absolute error.

    **Inputs**: a model, the packed dataset and folds.tsv.

    **Outputs**: two rows per pair, for the voxels of the brain and for the means of the atlas's regions: the share
    inside the central 10 to 95 % intervals, CRPS (fair estimator), error of the median, mean sd of the samples.

    **Units**: shares between 0 and 1, the others SUVR.

    **Memory**: all samples of one person, 0.7 MB each.

    **Example**: `dualglow calibrate --model model --dataset results/dataset --folds results/cohort/folds.tsv --fold 0
    --atlas aal2 --out calibration.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.evaluation.rois import regions_on
    from dualglow.files import write_table
    from dualglow.training.calibration import calibration_table
    from dualglow.training.synthesis import Sampling
    from dualglow.training.unseen import Unseen

    unseen = Unseen.load(model, dataset, folds, fold, device_of(device, threads))
    labels = regions_on(find_atlas(atlas), unseen.dataset.grid).labels
    write_table(calibration_table(unseen, Sampling(samples, temperature), labels, seed).assign(atlas=atlas), out)


@table_app.command("calibration")
def table_calibration(calibration: Files, out: TableOut = None, more: More = None) -> None:
    """Coverage of the 50, 90 and 95 % intervals and CRPS per method.

    Inputs: tables of `dualglow calibrate`. Outputs: .tsv (all intervals, shares 0 to 1) and .tex. Units: SUVR.

    Example: `dualglow table calibration --calibration results/calibration/*/fold-*.tsv
    --out results/tables/calibration.tsv`
    """
    from dualglow.figures.calibration import COLUMNS
    from dualglow.figures.calibration import calibration_table as tabulate
    from dualglow.figures.tables import print_table, save_table
    from dualglow.files import read_tables

    table = tabulate(read_tables([*calibration, *(more or [])], COLUMNS))
    if out is None:
        print_table(table)
    else:
        save_table(table, out)


@figure_app.command("calibration")
def figure_calibration(calibration: Files, out: FigureOut, more: More = None) -> None:
    """Reliability curves: share of the real PET inside each interval of the samples, per method.

    Inputs: tables of `dualglow calibrate`. Outputs: .pdf, .png, .tsv. Units: %.

    Example: `dualglow figure calibration --calibration results/calibration/*/fold-*.tsv
    --out results/figures/calibration`
    """
    from dualglow.figures.calibration import COLUMNS, drawn, reliability
    from dualglow.figures.style import save_figure
    from dualglow.files import read_tables

    table = read_tables([*calibration, *(more or [])], COLUMNS)
    save_figure(reliability(table), drawn(table), out)
