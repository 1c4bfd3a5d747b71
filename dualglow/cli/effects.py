"""The verbs that ask whether the disease is in synthetic PET: `effects` and its figure."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app
from dualglow.cli.paper import FigureOut, figure_app
from dualglow.cli.results import AtlasName, DatasetDir, FoldsFile, Methods, SynthesisRoot, TableFile


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

    Outputs: in --maps `<method>_desc-hedgesg_pet.nii.gz` of `real` and every method, on the model grid, 0 where there
    is no g (it needs two people of each group, who differ); in --out the correlation of each map with the real one;
    beside it NAME_regions.tsv: both groups' mean uptake and g per region.

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
    from dualglow.evaluation.blind import check_blind
    from dualglow.evaluation.heldout import every_synthesis, read_on_grid
    from dualglow.figures.effects import effects_table
    from dualglow.figures.tables import save_table
    from dualglow.files import write_table, written_folder
    from dualglow.preprocess.pack import Dataset

    data = Dataset.load(dataset)
    check_blind(synthesis, methods)
    files = every_synthesis(read_folds(folds, data.pairs, data.left_out), synthesis, methods)
    regions = rois.regions_on(find_atlas(atlas), data.grid)  # before anything is written
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
            nib.save(data.grid.image(np.nan_to_num(volume)), part / f"{name}_desc-hedgesg_pet.nii.gz")
    means = [rois.dataset_rois(data, regions, people, rois.REAL)]
    held = {name: {pair_id: own[pair_id] for pair_id in people} for name, own in files.items()}
    means += [rois.synthesis_rois(data, regions, name, None, own) for name, own in held.items()]
    by_region = measured.region_effects(rois.join(means), groups)
    table = measured.map_agreement(found, mask, groups)
    table["region_correlation"] = measured.region_correlations(by_region, list(table["method"]))
    save_table(effects_table(table, atlas, simulated), out)
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
        read_table(effects_file, ["method", "n_ad", "n_cn", "mean_g", "correlation", "simulated"]),
    )
    found = {name: read_on_grid(maps / f"{name}_desc-hedgesg_pet.nii.gz", data.grid) for name in table["method"]}
    save_figure(effect_panels(found, table, data.grid.matrix), table, out)
