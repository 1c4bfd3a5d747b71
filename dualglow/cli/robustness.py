"""The verbs that say what the results hang on and what they cost: `reference-regions`, `table resources`."""

from pathlib import Path
from typing import Annotated

from typer import Option

from dualglow.cli.app import app
from dualglow.cli.paper import TableOut, table_app
from dualglow.cli.results import AtlasName, DatasetDir, FoldsFile, Methods, SynthesisRoot, TableFile


@app.command("reference-regions")
def reference_regions(
    dataset: DatasetDir,
    folds: FoldsFile,
    synthesis: SynthesisRoot,
    methods: Methods,
    out: TableFile,
    atlas: AtlasName = "aal",
    seed: Annotated[int, Option(help="Seed of the inner folds of the classifier.")] = 0,
) -> None:
    """Measure whether the results hang on the SUVR reference region.

    Real and synthetic PET are each divided by their own mean in pons, cerebellum, pons-vermis (mean of the upper half)
    or the whole brain, as far as these lie on the model grid; the models are not trained again.

    Inputs: the packed dataset, folds.tsv, the synthetic PET of the held-out pairs of every fold and method.

    Outputs: one row per reference region and method: MAE, MAE in percent of the real mean, CorCoef, and the accuracy of
    both tasks of table 2.

    Units: mae in units of that reference (so compare mae_percent), accuracies between 0 and 1.

    Example: `dualglow reference-regions --dataset results/dataset --folds results/cohort/folds.tsv
    --synthesis results/synthesis --methods dualglow --methods mean --atlas aal2
    --out results/tables/reference_regions.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.cohort.splits import read_folds
    from dualglow.evaluation import heldout
    from dualglow.evaluation.blind import check_blind
    from dualglow.evaluation.reference_region import sensitivity
    from dualglow.evaluation.rois import regions_on
    from dualglow.figures.reference_region import reference_table
    from dualglow.figures.tables import save_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    table = read_folds(folds, data.pairs, data.left_out)
    check_blind(synthesis, methods)
    held = {fold: heldout.held_out(table, fold) for fold in heldout.synthesised_folds(table, synthesis, methods)}
    files = {
        name: {k: heldout.synthesis_files(synthesis / name / f"fold-{k}", ids) for k, ids in held.items() if ids}
        for name in methods
    }
    found, references = sensitivity(data, table, files, regions_on(find_atlas(atlas), data.grid), seed)
    left_out = [name for name in references.lost if name not in references.masks]
    packed, simulated = str(data.info.get("reference_region")), bool(data.info["simulated"])
    save_table(reference_table(found.assign(atlas=atlas), packed, left_out, simulated), out)


@table_app.command("resources")
def table_resources(
    benchmarks: Annotated[Path, Option(help="Folder of Snakemake's benchmark files: train/ and synthesise/ in it.")],
    methods: Methods,
    out: TableOut = None,
    simulated: Annotated[bool, Option("--simulated", help="The people are simulated: say so.")] = False,
) -> None:
    """Time and memory per method, for the training of a fold and the synthesis of its test people.

    Inputs: benchmark files <method>_fold-<k>.tsv. Outputs: .tsv and .tex. Units: minutes, GB (1024 MB).

    Example: `dualglow table resources --benchmarks results/benchmarks --methods dualglow --methods mean
    --out results/tables/resources.tsv`
    """
    from dualglow.figures.resources import read_benchmarks, resources_table
    from dualglow.figures.tables import print_table, save_table

    table = resources_table(read_benchmarks(benchmarks, methods), methods, simulated)
    if out is None:
        print_table(table)
    else:
        save_table(table, out)
