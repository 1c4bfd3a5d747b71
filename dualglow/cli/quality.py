"""Verbs by which a person sees whether preprocessing worked: qc, qc-group."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def qc(
    pair: Annotated[str, typer.Option(help="pair_id.")],
    t1: Annotated[Path, typer.Option(help="Bias-corrected T1.")],
    gm: Annotated[Path, typer.Option(help="Grey matter in T1 space.")],
    wm: Annotated[Path, typer.Option(help="White matter in T1 space.")],
    csf: Annotated[Path, typer.Option(help="CSF in T1 space.")],
    mask: Annotated[Path, typer.Option(help="Brain mask in T1 space.")],
    t1_pet: Annotated[Path, typer.Option(help="PET in T1 space, SUVR.")],
    mni_t1: Annotated[Path, typer.Option(help="T1, MNI152 1.5 mm.")],
    mni_mask: Annotated[Path, typer.Option(help="Brain mask, MNI152 1.5 mm.")],
    mni_pet: Annotated[Path, typer.Option(help="PET, MNI152 1.5 mm, SUVR.")],
    warp: Annotated[Path, typer.Option(help="Warp of normalise.")],
    motion: Annotated[Path, typer.Option(help="Motion trace of convert (TSV: mm, degrees).")],
    normalisation: Annotated[Path, typer.Option(help="JSON of normalise.")],
    coregistration: Annotated[Path, typer.Option(help="JSON of coregister.")],
    suvr_qc: Annotated[Path, typer.Option(help="JSON of resample.")],
    pictures: Annotated[Path, typer.Option(help="Output: folder of pictures (WebP, SVG); nobody is named in them.")],
    metrics: Annotated[Path, typer.Option(help="Output: JSON with all numbers, flags, and whether it is usable.")],
) -> None:
    """Measure one pair's preprocessing, flag what is unusual and draw it.

    Inputs: the derivatives of a pair. Outputs: pictures; numbers. Units: ml, mm, degrees, SUVR, %.
    Example: see `workflow/rules/preprocess.smk`.
    """
    from dualglow.preprocess.qc import QcInputs, quality

    native = (t1, gm, wm, csf, mask, t1_pet)
    steps = (motion, normalisation, coregistration, suvr_qc)
    quality(QcInputs(*native, mni_t1, mni_mask, mni_pet, warp, *steps), pair, pictures, metrics)


@app.command()
def qc_group(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv.")],
    derivatives: Annotated[Path, typer.Option(help="Folder of the derivatives, with the outputs of `dualglow qc`.")],
    out: Annotated[Path, typer.Option(help="Output: folder of index.html, group.tsv and a page per pair.")],
    exclude: Annotated[
        Path | None, typer.Option(help="Table of pairs that a person excluded: pair_id, reason. They need no numbers.")
    ] = None,
    shared: Annotated[bool, typer.Option("--shared", help="For readers elsewhere: nothing to tick.")] = False,
    pseudonyms: Annotated[
        Path | None, typer.Option(help="Table of `dualglow pseudonyms`: call pairs by these names, in file names too.")
    ] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Say on every page that nobody is real.")] = False,
) -> None:
    """Put all pairs' quality control on pages: the most unusual first, each before the cohort's distributions.

    Inputs: numbers and pictures of every pair. Outputs: pages that work without a network or a server; group.tsv.
    Units: ml, mm, degrees, SUVR, %; how unusual a number is, in robust standard deviations.
    Example: `dualglow qc-group --pairs results/cohort/pairs.tsv --derivatives results/derivatives --out results/qc`
    """
    from dualglow.files import read_table
    from dualglow.preprocess.exclusions import read_exclude
    from dualglow.preprocess.qc.cohort import read_cohort
    from dualglow.preprocess.qc.pages import Site, write_pages

    names = list(read_table(pairs, ["pair_id"])["pair_id"])
    labels = None
    if pseudonyms:
        key = read_table(pseudonyms, ["pair_id", "pseudonym"])
        labels = dict(zip(key["pair_id"], key["pseudonym"], strict=True))
    cohort = read_cohort(names, derivatives, read_exclude(exclude), labels)
    write_pages(cohort, derivatives, Site(simulated, shared, exclude), out)
