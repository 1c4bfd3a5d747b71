"""Verbs for people that a model has not seen: their PET, how sure the model is, how probable the real PET was to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from dualglow.cli.app import app
from dualglow.cli.model import DATASET, DEVICE, FOLD, FOLDS, THREADS, device_of
from dualglow.cli.paper import FigureOut, MoreFiles, TableOut, figure_app, finish, table_app

if TYPE_CHECKING:
    import numpy as np

    from dualglow.figures.uncertainty import Images
    from dualglow.training.unseen import Unseen

MODEL = Option(help="A model's folder (from `dualglow train`).")
SEED = Option(help="Of the random numbers; each pair has a generator of its own.")
QUANTILES = Option(help="Voxelwise quantiles of the samples, such as 0.05,0.5,0.95 (these need 19 samples).")
LikelihoodFiles = Annotated[list[Path], Option("--likelihood", help="Table(s) of `dualglow likelihood`: F1 F2 …")]


@app.command()
def synthesise(
    model: Annotated[Path, MODEL],
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="Folder for the images; an earlier synthesis in it is replaced.")],
    samples: Annotated[int, Option(help="Random PETs per person, for the standard deviation.", min=2)] = 16,
    temperature: Annotated[float, Option(help="Scales the noise of the samples; 1 is the model's own.", min=0)] = 0.7,
    quantiles: Annotated[str, QUANTILES] = "none",
    seed: Annotated[int, SEED] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Synthesise the PETs of a fold's test pairs, and how sure the model is of each voxel.

    Refuses a model that was trained on another split than --folds, for it may have seen the people to be tested.

    **Inputs**: a model, the packed dataset and folds.tsv.

    **Outputs** in --out: `<pair_id>_desc-synthetic_pet.nii.gz` (the prediction, temperature 0), `desc-std` (standard
    deviation of the samples), `desc-q05` and so on for --quantiles, a picture `<pair_id>_synthesis.png`, and
    synthesis.json. docs/uncertainty.md says what they mean.

    **Units**: SUVR on the model grid, with its true affine (RAS+, mm).

    **Memory**: with --quantiles all samples of one person at a time, 1.6 MB each; without, one.

    **Example**: `dualglow synthesise --model model --dataset results/dataset --folds results/cohort/folds.tsv --fold 0
    --samples 40 --temperature 1 --quantiles 0.05,0.5,0.95 --out synthesis`
    """
    from dualglow.training.synthesis import Sampling, quantile_name, synthesise_fold
    from dualglow.training.unseen import Unseen

    sampling = Sampling(samples, temperature, numbers("--quantiles", quantiles))
    unseen = Unseen.load(model, dataset, folds, fold, device_of(device, threads))
    kinds = ["synthetic", "std", *map(quantile_name, sorted(sampling.quantiles))]
    described = f"{samples} samples (T = {temperature:g})"

    def pictures(part: Path) -> None:
        from dualglow.figures.style import save_picture
        from dualglow.figures.uncertainty import synthesis_picture

        for name, images, maps, title in _shown(unseen, part, kinds):
            figure = synthesis_picture(images, maps, described, title)
            save_picture(figure, part / f"{name}_synthesis.png", dpi=120)

    synthesise_fold(unseen, out, sampling, seed, pictures)


@app.command()
def likelihood(
    model: Annotated[Path, MODEL],
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="The .tsv to write.")],
    draws: Annotated[int, Option(help="Draws of the noise that dequantises the images.", min=1)] = 8,
    seed: Annotated[int, SEED] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Measure how probable each held-out real PET is to a flow, given its T1: exact bits per voxel.

    Refuses a model that was trained on another split than --folds, and a method that has no density.

    **Inputs**: a model, the packed dataset and folds.tsv.

    **Outputs**: one row per pair: bits (mean over the draws), bits_sd, bits_importance (log-mean-exp over the draws),
    draws, grey_value, mask_share. docs/uncertainty.md says which is a bound of what.

    **Units**: bits per voxel of the whole grid, background included, for 256 grey values of the PET window; grey_value
    in SUVR.

    **Example**: `dualglow likelihood --model model --dataset results/dataset --folds results/cohort/folds.tsv --fold 0
    --out likelihood.tsv`
    """
    from dualglow.files import write_table
    from dualglow.training.likelihood import likelihood_table
    from dualglow.training.unseen import Unseen

    unseen = Unseen.load(model, dataset, folds, fold, device_of(device, threads))
    write_table(likelihood_table(unseen, draws, seed), out)


@table_app.command("likelihood")
def table_likelihood(tables: LikelihoodFiles, out: TableOut = None, more: MoreFiles = None) -> None:
    """Bits per voxel of the held-out real PETs, per method.

    Inputs: tables of `dualglow likelihood`. Outputs: .tsv, .tex and .html. Units: bits per voxel.

    Example: `dualglow table likelihood --likelihood results/likelihood/*/fold-*.tsv
    --out results/tables/likelihood.tsv`
    """
    from dualglow.figures.likelihood import COLUMNS, bits_table
    from dualglow.files import read_tables

    finish(bits_table(read_tables([*tables, *(more or [])], COLUMNS)), out)


@figure_app.command("likelihood")
def figure_likelihood(tables: LikelihoodFiles, out: FigureOut, more: MoreFiles = None) -> None:
    """Bits per voxel of the held-out real PETs by diagnosis, one panel per method.

    Inputs: tables of `dualglow likelihood`. Outputs: .pdf, .png, .tsv. Units: bits per voxel.

    Example: `dualglow figure likelihood --likelihood results/likelihood/*/fold-*.tsv --out results/figures/likelihood`
    """
    from dualglow.figures.likelihood import COLUMNS, bits_by_group, drawn
    from dualglow.figures.style import save_figure
    from dualglow.files import read_tables

    table = read_tables([*tables, *(more or [])], COLUMNS)
    save_figure(bits_by_group(table), drawn(table), out)


@app.command()
def surprise(
    model: Annotated[Path, MODEL],
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="Folder for the maps; earlier ones in it are replaced.")],
    samples: Annotated[int, Option(help="Random PETs per person.", min=2)] = 32,
    temperature: Annotated[float, Option(help="Scales the noise of the samples; 1 is the model's own.", min=0)] = 1.0,
    floor: Annotated[float, Option(help="SUVR, in quadrature with the samples' sd; above 0.")] = 0.02,
    atlas: Annotated[str, Option(help="Also mean z by region of aal, aal2 or a label NIfTI; not if empty.")] = "",
    seed: Annotated[int, SEED] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Map where each held-out real PET is unlike what the model expects from its T1.

    z = (real − mean of the samples) / √((1 + 1/samples) sd² + floor²), at each voxel. Works with every method.

    **Inputs**: a model, the packed dataset and folds.tsv.

    **Outputs** in --out: `<pair_id>_desc-z_pet.nii.gz`, `desc-expected` and `desc-std` (mean and standard deviation of
    the samples), a picture `<pair_id>_surprise.png`, surprise.tsv (share of |z| > 1.96 in the brain, mean and sd of z),
    surprise.json, and with --atlas regions.tsv (mean z by region). docs/uncertainty.md says what z is not.

    **Units**: z in standard deviations, the others in SUVR; on the model grid, with its true affine (RAS+, mm).

    **Example**: `dualglow surprise --model model --dataset results/dataset --folds results/cohort/folds.tsv --fold 0
    --atlas aal2 --out surprise`
    """
    from dualglow.training.surprise import surprise_fold
    from dualglow.training.synthesis import Sampling
    from dualglow.training.unseen import Unseen

    unseen = Unseen.load(model, dataset, folds, fold, device_of(device, threads))

    def finish(part: Path) -> None:
        from dualglow.figures.style import save_picture
        from dualglow.figures.uncertainty import surprise_picture
        from dualglow.files import read_table

        rows = read_table(part / "surprise.tsv", ["pair_id", "share_surprising"])
        shown = _shown(unseen, part, ["expected", "z"])
        for (name, images, maps, title), (_, row) in zip(shown, rows.iterrows(), strict=True):
            figure = surprise_picture(images, maps["expected"], maps["z"], row, title)
            save_picture(figure, part / f"{name}_surprise.png", dpi=120)
        if atlas:
            _regions(unseen, part, atlas)

    surprise_fold(unseen, out, Sampling(samples, temperature), floor, seed, finish)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them, or `none`; raises ConfigError naming the option."""
    from dualglow.errors import ConfigError

    if text == "none":
        return ()
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text}: expected numbers such as 0.05,0.95, or none.") from error


def _shown(
    unseen: "Unseen", part: Path, kinds: list[str]
) -> "Iterator[tuple[str, Images, dict[str, np.ndarray], str]]":
    """What a picture of each pair needs: pair_id, the dataset's images, the maps of these kinds, the title."""
    from dualglow.evaluation.heldout import read_on_grid, synthesis_file
    from dualglow.figures.uncertainty import Images, person_title

    data = unseen.dataset
    for row, (_, person) in zip(unseen.rows, unseen.people.iterrows(), strict=True):
        name = person["pair_id"]
        images = Images(data.volumes[row, 0], data.volumes[row, 1], data.grid.matrix)
        maps = {kind: read_on_grid(synthesis_file(part, name, kind), data.grid) for kind in kinds}
        yield name, images, maps, person_title(person, unseen.card["method"], bool(unseen.card["simulated"]))


def _regions(unseen: "Unseen", part: Path, atlas: str) -> None:
    """Write regions.tsv: mean z of each region in each pair."""
    from dualglow.atlases import atlas as find_atlas
    from dualglow.evaluation.heldout import synthesis_file
    from dualglow.evaluation.rois import regions_on, synthesis_rois
    from dualglow.files import write_table

    data, card = unseen.dataset, unseen.card
    files = {name: synthesis_file(part, name, "z") for name in unseen.names}
    regions = regions_on(find_atlas(atlas), data.grid)
    means = synthesis_rois(data, regions, card["method"], card["fold"], files).rename(columns={"value": "z_mean"})
    write_table(means.assign(atlas=atlas, simulated=bool(card["simulated"])), part / "regions.tsv")
