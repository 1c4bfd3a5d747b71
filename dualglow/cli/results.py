"""The verbs that measure synthetic PET: `evaluate`, `classify`, `age`."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app

DatasetDir = Annotated[Path, typer.Option("--dataset", help="Folder that `dualglow pack` wrote.")]
FoldsFile = Annotated[Path, typer.Option("--folds", help="folds.tsv of `dualglow split`.")]
SynthesisRoot = Annotated[Path, typer.Option("--synthesis", help="Folder that holds METHOD/fold-K/*.nii.gz.")]
AtlasName = Annotated[str, typer.Option("--atlas", help="aal, aal2 (no download) or the path of a label NIfTI.")]
Methods = Annotated[list[str], typer.Option("--methods", help="Method to measure; repeat for more.")]
TableFile = Annotated[Path, typer.Option("--out", help="The .tsv to write; .tex and .html go beside it.")]


@app.command()
def evaluate(
    dataset: DatasetDir,
    synthesis: Annotated[Path, typer.Option(help="Folder of this fold's *_desc-synthetic_pet.nii.gz.")],
    folds: FoldsFile,
    fold: Annotated[int, typer.Option(help="Fold, from 0.")],
    method: Annotated[str, typer.Option(help="Name of the method, for the table.")],
    out: Annotated[Path, typer.Option(help="The .tsv to write.")],
    data_range: Annotated[float, typer.Option(min=0.01, help="SUVR: the peak of PSNR and (MS-)SSIM.")] = 2.5,
) -> None:
    """Measure a fold's synthetic PET against the real one.

    Inputs: the packed dataset, folds.tsv, one synthetic PET per held-out pair of the fold (no more, no fewer).

    Outputs: one row per pair with MAE, CorCoef, PSNR, SSIM, MS-SSIM (3D) and NMI, in the brain mask and over the whole
    box, and in the mask NMSE and bias (synthetic − real). docs/evaluation.md says how each is computed.

    Units: MAE and bias in SUVR, PSNR in dB; PSNR, SSIM and MS-SSIM refer to the fixed --data-range in SUVR, which the
    table states.

    Example: `dualglow evaluate --dataset results/dataset --synthesis results/synthesis/dualglow/fold-0
    --folds results/cohort/folds.tsv --fold 0 --method dualglow --out results/metrics/dualglow/fold-0.tsv`
    """
    from dualglow.cohort.splits import read_folds, split_hash
    from dualglow.evaluation.heldout import held_out, synthesis_files
    from dualglow.evaluation.image_metrics import fold_metrics
    from dualglow.files import write_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    table = read_folds(folds, data.pairs, data.left_out)
    files = synthesis_files(synthesis, held_out(table, fold))
    metrics = fold_metrics(data, files, data_range)
    metrics.insert(0, "method", method)
    metrics.insert(1, "fold", fold)
    write_table(metrics.assign(split_hash=split_hash(table, fold), simulated=bool(data.info["simulated"])), out)


@app.command()
def classify(
    dataset: DatasetDir,
    folds: FoldsFile,
    synthesis: SynthesisRoot,
    methods: Annotated[list[str], typer.Option(help="Method to classify; repeat for more.")],
    out: Annotated[Path, typer.Option(help="The .tsv to write; NAME_predictions.tsv goes beside it.")],
    atlas: AtlasName = "aal",
    seed: Annotated[int, typer.Option(help="Seed of the inner folds.")] = 0,
) -> None:
    """Diagnose from region means of real PET, MRI and synthetic PET (table 2).

    Inputs: the packed dataset, folds.tsv, the synthetic PET of the held-out pairs of every fold and method; one that
    was told their diagnosis is refused.

    Outputs: one row per task (AD vs CN; MCI, LMCI, AD vs CN, SMC, EMCI) and kind of features (real PET, T1, each
    method, age and sex; each of these beside the T1, each PET beside T1, age and sex; majority): n, accuracy with 95 %
    interval, FNR and FPR as shares of all cases and as conditional rates, AUC. A task with too few people has no
    numbers and says why in `reason`.
    NAME_predictions.tsv: what was predicted of each pair (score: larger is more likely diseased, within a fold).

    Units: all rates between 0 and 1.

    Example: `dualglow classify --dataset results/dataset --folds results/cohort/folds.tsv
    --synthesis results/synthesis --methods dualglow --methods mean --atlas aal2 --out results/metrics/diagnosis.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.cohort.splits import read_folds, split_hash
    from dualglow.evaluation import classification as svm
    from dualglow.evaluation import heldout, rois
    from dualglow.evaluation.blind import check_blind
    from dualglow.files import write_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    table = read_folds(folds, data.pairs, data.left_out)
    check_blind(synthesis, methods)
    found = {fold: heldout.held_out(table, fold) for fold in heldout.synthesised_folds(table, synthesis, methods)}
    tests = {fold: held for fold, held in found.items() if held}
    used = list(tests)
    people = sorted(set().union(*tests.values()))
    regions = rois.regions_on(find_atlas(atlas), data.grid)
    measured = {name: rois.dataset_rois(data, regions, people, name) for name in (rois.REAL, rois.MRI)}
    for method in methods:
        files = {fold: heldout.synthesis_files(synthesis / method / f"fold-{fold}", tests[fold]) for fold in used}
        measured[method] = rois.join(
            [rois.synthesis_rois(data, regions, method, fold, held) for fold, held in files.items()]
        )
    features = {name: svm.feature_matrix(means) for name, means in measured.items()}
    features[svm.AGE_SEX] = svm.age_and_sex(data.pairs, people)
    features |= svm.joined(features)
    result, predictions = svm.classify(features, data.pairs, table, used, seed)
    hashes = ",".join(split_hash(table, fold) for fold in used)
    result = result.assign(atlas=atlas, seed=seed, folds=len(used), split_hash=hashes)
    write_table(result.assign(simulated=bool(data.info["simulated"])), out)
    predictions = predictions.assign(simulated=bool(data.info["simulated"]))
    write_table(predictions, out.with_name(f"{out.stem}_predictions.tsv"))


@app.command()
def age(
    dataset: DatasetDir,
    out: Annotated[Path, typer.Option(help="The .tsv to write; NAME_slopes.tsv goes beside it.")],
    synthesis: Annotated[Path | None, typer.Option(help="Folder that holds METHOD/fold-K/*.nii.gz.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help="Method to measure; repeat for more.")] = None,
    folds: Annotated[Path | None, typer.Option(help="folds.tsv of `dualglow split`, of these synthetic PETs.")] = None,
    atlas: AtlasName = "aal",
    regions: Annotated[list[str] | None, typer.Option(help="Region without _L, _R; repeat for more.")] = None,
) -> None:
    """Measure regional uptake against age, in real and synthetic PET (figure 7).

    Inputs: the packed dataset; with --synthesis, --methods and --folds also the synthetic PETs of all held-out pairs:
    then only these pairs are measured, so that real and synthetic show the same people.

    Outputs: one row per pair, method and region (left and right joined; posterior cingulate, precuneus and
    hippocampus, as AAL calls them, unless --regions names others); `_slopes.tsv`: change per decade with 95 % interval
    per stage, n being those whose age is known.

    Units: uptake in SUVR, age in years, slopes in SUVR per decade.

    Example: `dualglow age --dataset results/dataset --synthesis results/synthesis --methods dualglow
    --folds results/cohort/folds.tsv --atlas aal2 --out results/metrics/age.tsv`
    """
    from dualglow.atlases import atlas as find_atlas
    from dualglow.cohort.splits import read_folds
    from dualglow.errors import ConfigError, InputError
    from dualglow.evaluation import ageing, heldout, rois
    from dualglow.files import write_table
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    files: dict[str, dict[str, Path]] = {}
    if synthesis and methods and folds:
        files = heldout.every_synthesis(read_folds(folds, data.pairs, data.left_out), synthesis, methods)
    elif synthesis or methods or folds:
        raise ConfigError(
            "--synthesis, --methods and --folds belong together: give all three, or none to measure real PET only."
        )
    people = list(next(iter(files.values()))) if files else list(data.pairs["pair_id"])
    if not people:
        raise InputError(f"{folds}: of those whom the folds hold out, nobody is in the dataset.")
    on_grid = rois.regions_on(find_atlas(atlas), data.grid)
    names = regions or ageing.figure7_regions(list(on_grid.names.values()))
    if not names:
        print(f"Mind that the tables are empty: {ageing.NO_REGIONS}")
    tables = [rois.dataset_rois(data, on_grid, people, rois.REAL)]
    tables += [rois.synthesis_rois(data, on_grid, method, None, held) for method, held in files.items()]
    facts = data.pairs[["pair_id", "subject", "group", "sex", "age"]]
    means = facts.merge(rois.both_sides(rois.join(tables), names), on="pair_id").assign(atlas=atlas)
    write_table(means.assign(simulated=bool(data.info["simulated"])), out)
    write_table(ageing.slopes(means), out.with_name(f"{out.stem}_slopes.tsv"))
