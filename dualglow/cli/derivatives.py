"""Verbs about derivatives: describe ours as BIDS wants it, adopt another program's."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def describe(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv.")],
    derivatives: Annotated[Path, typer.Option(help="Folder of the derivatives.")],
    root: Annotated[Path, typer.Option(help="The download, BIDS dataset or sample sheet that the pairs come from.")],
    simulated: Annotated[bool, typer.Option("--simulated", help="Say so in every file.")] = False,
) -> None:
    """Make the derivatives a BIDS dataset: a JSON beside every image, dataset_description.json, a README.

    Inputs: pairs.tsv and the derivatives of its pairs. Outputs: JSON with sources, units, space, engine and seed.
    Example: `dualglow describe --pairs pairs.tsv --derivatives results/derivatives --root data/ADNI`
    """
    from dualglow.preprocess.derivatives import Source
    from dualglow.preprocess.sidecars import describe as run

    run(pairs, derivatives, Source(root, simulated))


@app.command()
def adopt(
    derivatives: Annotated[Path, typer.Option(help="Folder of fMRIPrep's, Clinica's (CAPS) or DualGlow's outputs.")],
    pair: Annotated[str, typer.Option(help="pair_id.")],
    scan: Annotated[str, typer.Option(help="The raw T1's path; the BIDS labels in its name are looked for first.")],
    converted: Annotated[Path, typer.Option(help="Converted T1; used where no bias-corrected one was kept.")],
    out_t1: Annotated[Path, typer.Option(help="Output: bias-corrected T1, cropped to the head.")],
    out_gm: Annotated[Path, typer.Option(help="Output: grey matter probability.")],
    out_wm: Annotated[Path, typer.Option(help="Output: white matter probability.")],
    out_csf: Annotated[Path, typer.Option(help="Output: cerebrospinal fluid probability.")],
    out_mask: Annotated[Path, typer.Option(help="Output: brain mask.")],
    out_metrics: Annotated[Path, typer.Option(help="Output: JSON that says which files these come from.")],
    preset: Annotated[str, typer.Option(help="Settings of the bias correction, where one is needed.")] = "default",
    engine: Annotated[str, typer.Option(help="As of normalise.")] = "auto",
) -> None:
    """Take a T1 that fMRIPrep, Clinica or DualGlow have processed, instead of correcting and segmenting it.

    Then `dualglow normalise --corrected`: the warp to MNI152 is always ours. Inputs: their files in the T1's own space.
    Outputs: the same, cropped to the head; probabilities in [0, 1].
    Example: `dualglow adopt --derivatives derivatives/fmriprep --pair sub-01_ses-1 --scan sub-01_ses-1_T1w.nii.gz
    --converted t1.nii.gz --out-t1 preproc.nii.gz --out-gm gm.nii.gz --out-wm wm.nii.gz --out-csf csf.nii.gz
    --out-mask mask.nii.gz --out-metrics adoption.json`
    """
    from dualglow.preprocess.adopt import adopt as run
    from dualglow.preprocess.adopt import find
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.presets import preset_named
    from dualglow.preprocess.segment import Segmented

    use_engine(engine)
    outputs = Segmented(out_gm, out_wm, out_csf, out_mask)
    found = find(derivatives, pair, scan)
    run(found, derivatives, converted, out_t1, outputs, out_metrics, preset_named(preset))
