"""The verbs that ask whether regional uptake agrees: `agreement` and its figure."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app
from dualglow.cli.paper import FigureOut, figure_app
from dualglow.cli.results import AtlasName, DatasetDir, FoldsFile, Methods, SynthesisRoot, TableFile


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

    Inputs: the packed dataset, folds.tsv, the synthetic PET of the held-out pairs of every fold and method.

    Outputs: in --out per method bias, 95 % limits of agreement, ICC(3,1), Lin's concordance and r of the AD
    meta-region; beside it NAME_pairs.tsv (its uptake in each pair) and NAME_regions.tsv (bias of every region of the
    atlas). An atlas without regions named as in AAL or AAL2 has no meta-region: the first two then have no rows.

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
    from dualglow.figures.agreement import bland_altman, drawn
    from dualglow.figures.style import save_figure
    from dualglow.files import read_table

    table = read_table(agreement_file, ["method", "bias", "loa_low", "loa_high", "ccc"])
    beside = agreement_file.with_name(f"{agreement_file.stem}_pairs.tsv")
    pairs = read_table(beside, ["method", "pair_id", "group", "real", "synthetic", "simulated"])
    save_figure(bland_altman(pairs, table), drawn(pairs, table), out)
