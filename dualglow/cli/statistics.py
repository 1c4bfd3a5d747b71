"""The verbs that say what the measurements mean: `compare` and its neighbours, each a table as .tsv and .tex."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app
from dualglow.cli.paper import FigureOut, MetricsFiles, MoreFiles, figure_app
from dualglow.cli.results import AtlasName, DatasetDir, FoldsFile, SynthesisRoot

Methods = Annotated[list[str], typer.Option("--methods", help="Method to measure; repeat for more.")]
TableFile = Annotated[Path, typer.Option("--out", help="The .tsv to write; .tex goes beside it.")]


@app.command()
def compare(
    metrics: MetricsFiles,
    dataset: DatasetDir,
    folds: FoldsFile,
    out: TableFile,
    reference: Annotated[str, typer.Option(help="Method that every other one is compared with.")] = "dualglow",
    more: MoreFiles = None,
) -> None:
    """Test whether one method is better than the others on the same held-out pairs.

    Refuses metrics of another split than --folds, or of methods that were scored on different pairs.

    Inputs: tables of `dualglow evaluate` for all methods and folds, the packed dataset, folds.tsv.

    Outputs: one row per metric and method: the difference (reference − method) with its 95 % interval, t and p of the
    corrected resampled t-test over folds (Nadeau & Bengio 2003), p of Wilcoxon's test over people, both also after
    Holm. docs/evaluation.md says what each assumes. The .tex has the paper's metrics in the brain mask.

    Units: those of the metrics: MAE and bias in SUVR, PSNR in dB.

    Example: `dualglow compare --metrics results/metrics/*/fold-*.tsv --dataset results/dataset
    --folds results/cohort/folds.tsv --reference dualglow --out results/tables/comparison.tsv`
    """
    from dualglow.cohort.splits import read_folds
    from dualglow.evaluation.comparison import compare as tests
    from dualglow.figures.comparison import comparison_table
    from dualglow.figures.style import in_order, is_simulated
    from dualglow.figures.tables import save_table
    from dualglow.files import read_tables
    from dualglow.preprocess.pack import Dataset

    needed = ["method", "fold", "pair_id", "subject", "mae_mask", "split_hash", "simulated"]
    table, data = read_tables([*metrics, *(more or [])], needed), Dataset.load(dataset)
    order = in_order(table["method"])
    table = table.sort_values("method", key=lambda column: column.map(order.index), kind="stable", ignore_index=True)
    found = tests(table, read_folds(folds, data.pairs, data.left_out), reference)
    save_table(comparison_table(found.assign(simulated=is_simulated(table))), out)


@figure_app.command("comparison")
def figure_comparison(
    comparison: Annotated[Path, typer.Option(help="Output of `dualglow compare`.")],
    out: FigureOut,
) -> None:
    """Forest plot of how far one method is ahead of the others, with 95 % intervals.

    Inputs: the table of `dualglow compare`. Outputs: .pdf, .png, .tsv. Units: those of the metrics.

    Example: `dualglow figure comparison --comparison results/tables/comparison.tsv --out results/figures/comparison`
    """
    from dualglow.errors import InputError
    from dualglow.figures.comparison import COLUMNS, drawn, forest
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table

    table = read_table(comparison, [*COLUMNS, "folds"])
    if table.empty:
        raise InputError(f"{comparison}: has no rows: there is only one method. Configure a second one in `models`.")
    save_figure(forest(table), drawn(table), out)


@app.command()
def gain(
    classification: Annotated[Path, typer.Option(help="Output of `dualglow classify`, NAME_predictions.tsv beside.")],
    out: TableFile,
    seed: Annotated[int, typer.Option(help="Of the bootstrap over people.")] = 0,
) -> None:
    """Test what a PET, real or synthetic, adds to the T1 alone in the diagnosis.

    Inputs: both tables of `dualglow classify`.

    Outputs: one row per task and PET: accuracy with the T1 alone and with both, the pairs that only one of the two got
    right with McNemar's exact p (also after Holm), the AUC within folds of both and its gain with a 95 % interval.

    Units: rates between 0 and 1.

    Example: `dualglow gain --classification results/metrics/classification.tsv
    --out results/tables/diagnosis_gain.tsv`
    """
    from dualglow.evaluation.classification import PREDICTED
    from dualglow.evaluation.diagnosis_gain import diagnosis_gain
    from dualglow.figures.diagnosis_gain import gain_table
    from dualglow.figures.style import is_simulated
    from dualglow.figures.tables import save_table
    from dualglow.files import read_table

    table = read_table(classification, ["task", "method", "reason", "atlas"])
    predictions = read_table(classification.with_name(f"{classification.stem}_predictions.tsv"), PREDICTED)
    save_table(gain_table(diagnosis_gain(predictions, seed), table, is_simulated(table)), out)


@app.command()
def effects(
    dataset: DatasetDir,
    folds: FoldsFile,
    synthesis: SynthesisRoot,
    methods: Methods,
    maps: Annotated[Path, typer.Option(help="Folder for the maps; earlier ones in it are replaced.")],
    out: TableFile,
    atlas: AtlasName = "aal",
) -> None:
    """Map how far AD and CN lie apart, in real and in synthetic PET, and how alike the maps are.

    Inputs: the packed dataset, folds.tsv, the synthetic PET of the held-out pairs of every fold and method. One pair of
    each person with AD or CN is used, in the voxels that lie in everyone's brain mask.

    Outputs: in --maps `<method>_desc-hedgesg_pet.nii.gz` of `real` and every method, on the model grid; in --out the
    correlation of each map with the real one; beside it NAME_regions.tsv: both groups' mean uptake and g per region.

    Units: g in pooled standard deviations (below 0: less uptake in AD), uptake in SUVR. Age is not adjusted for.

    Example: `dualglow effects --dataset results/dataset --folds results/cohort/folds.tsv --synthesis results/synthesis
    --methods dualglow --methods mean --atlas aal2 --maps results/effects --out results/tables/effects.tsv`
    """
    import nibabel as nib
    import numpy as np

    from dualglow.atlases import atlas as find_atlas
    from dualglow.cohort.splits import read_folds
    from dualglow.evaluation import effects as measured
    from dualglow.evaluation import rois
    from dualglow.evaluation.heldout import every_synthesis, read_on_grid
    from dualglow.figures.effects import effects_table
    from dualglow.figures.tables import save_table
    from dualglow.files import write_table, written_folder
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    files = every_synthesis(read_folds(folds, data.pairs, data.left_out), synthesis, methods)
    groups = measured.two_groups(data.pairs, files[methods[0]])
    people = [pair_id for group in groups.values() for pair_id in group]
    rows = dict(zip(people, data.rows(people), strict=True))
    mask = np.all([data.masks[row] for row in rows.values()], axis=0) if rows else np.asarray(data.masks[0])

    def reader(name: str) -> measured.Read:
        if name == rois.REAL:
            return lambda pair_id: np.asarray(data.volumes[rows[pair_id], 1])
        return lambda pair_id: read_on_grid(files[name][pair_id], data.grid)

    readers = {name: reader(name) for name in (rois.REAL, *files)}
    found, simulated = measured.effect_maps(readers, groups, mask), bool(data.info["simulated"])
    with written_folder(maps, ("_pet.nii.gz",)) as part:
        for name, volume in found.items():
            nib.save(data.grid.image(volume), part / f"{name}_desc-hedgesg_pet.nii.gz")
    regions = rois.regions_on(find_atlas(atlas), data.grid)
    means = [rois.dataset_rois(data, regions, people, rois.REAL)]
    held = {name: {pair_id: own[pair_id] for pair_id in people} for name, own in files.items()}
    means += [rois.synthesis_rois(data, regions, name, None, own) for name, own in held.items()]
    by_region = measured.region_effects(rois.join(means), groups)
    table = measured.map_agreement(found, mask, groups)
    table["region_correlation"] = measured.region_correlations(by_region, list(table["method"]))
    save_table(effects_table(table, simulated), out)
    by_region = by_region.assign(atlas=atlas, simulated=simulated)
    write_table(by_region, out.with_name(f"{out.stem}_regions.tsv"))


@figure_app.command("effects")
def figure_effects(
    maps: Annotated[Path, typer.Option(help="Folder of maps of `dualglow effects`.")],
    effects_file: Annotated[Path, typer.Option("--effects", help="Table of `dualglow effects`.")],
    dataset: DatasetDir,
    out: FigureOut,
) -> None:
    """Effect maps of AD against CN, real and synthetic PET side by side.

    Inputs: maps and table of `dualglow effects`, the packed dataset (its grid). Outputs: .pdf, .png, .tsv. Units:
    Hedges' g.

    Example: `dualglow figure effects --maps results/effects --effects results/tables/effects.tsv
    --dataset results/dataset --out results/figures/effects`
    """
    from dualglow.evaluation.heldout import read_on_grid
    from dualglow.figures.effects import effect_panels
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table
    from dualglow.preprocess.pack import Dataset

    data, table = (
        Dataset.load(dataset),
        read_table(effects_file, ["method", "n_ad", "n_cn", "correlation", "simulated"]),
    )
    found = {name: read_on_grid(maps / f"{name}_desc-hedgesg_pet.nii.gz", data.grid) for name in table["method"]}
    save_figure(effect_panels(found, table, data.grid.matrix), table, out)


@app.command()
def agreement(
    dataset: DatasetDir,
    folds: FoldsFile,
    synthesis: SynthesisRoot,
    methods: Methods,
    out: TableFile,
    atlas: AtlasName = "aal",
) -> None:
    """Measure how well regional uptake of synthetic PET agrees with the real one, and that of the AD meta-region.

    Inputs: the packed dataset, folds.tsv, the synthetic PET of the held-out pairs of every fold and method; an atlas
    with the regions of AAL or AAL2.

    Outputs: per method bias, 95 % limits of agreement, ICC(3,1), Lin's concordance and r of the AD meta-region; beside
    it NAME_pairs.tsv (its uptake in each pair) and NAME_regions.tsv (bias of every region of the atlas).

    Units: SUVR; `percent` in % of the real mean.

    Example: `dualglow agreement --dataset results/dataset --folds results/cohort/folds.tsv
    --synthesis results/synthesis --methods dualglow --methods mean --atlas aal2 --out results/tables/agreement.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.cohort.splits import read_folds
    from dualglow.evaluation import agreement as measured
    from dualglow.evaluation import rois
    from dualglow.evaluation.heldout import every_synthesis
    from dualglow.figures.agreement import agreement_table
    from dualglow.figures.tables import save_table
    from dualglow.files import write_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    files = every_synthesis(read_folds(folds, data.pairs, data.left_out), synthesis, methods)
    regions = rois.regions_on(find_atlas(atlas), data.grid)
    tables = [rois.dataset_rois(data, regions, list(files[methods[0]]), rois.REAL)]
    tables += [rois.synthesis_rois(data, regions, name, None, held) for name, held in files.items()]
    means = rois.join(tables)
    meta = measured.beside_real(measured.meta_region(means))
    simulated = bool(data.info["simulated"])
    save_table(agreement_table(measured.agreement(meta), atlas, simulated), out)
    pairs = meta.merge(data.pairs[["pair_id", "subject", "group"]], on="pair_id")
    write_table(pairs.assign(atlas=atlas, simulated=simulated), out.with_name(f"{out.stem}_pairs.tsv"))
    by_region = measured.region_bias(measured.beside_real(means)).assign(atlas=atlas, simulated=simulated)
    write_table(by_region, out.with_name(f"{out.stem}_regions.tsv"))


@figure_app.command("agreement")
def figure_agreement(
    agreement_file: Annotated[Path, typer.Option("--agreement", help="Table of `dualglow agreement`.")],
    out: FigureOut,
) -> None:
    """Bland-Altman plots of the AD meta-region, one panel per method.

    Inputs: the table of `dualglow agreement`, NAME_pairs.tsv beside it. Outputs: .pdf, .png, .tsv. Units: SUVR.

    Example: `dualglow figure agreement --agreement results/tables/agreement.tsv --out results/figures/agreement`
    """
    from dualglow.figures.agreement import bland_altman
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table

    table = read_table(agreement_file, ["method", "bias", "loa_low", "loa_high", "ccc"])
    beside = agreement_file.with_name(f"{agreement_file.stem}_pairs.tsv")
    pairs = read_table(beside, ["method", "pair_id", "group", "real", "synthetic", "simulated"])
    save_figure(bland_altman(pairs, table), pairs, out)
