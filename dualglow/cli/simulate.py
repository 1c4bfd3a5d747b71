"""The verb that makes a simulated cohort."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


class Delivery(StrEnum):
    """How a cohort is laid out on disk."""

    ida = "ida"
    ida_dicom = "ida-dicom"
    ida_zip = "ida-zip"
    bids = "bids"


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to make or to complete.")],
    subjects: Annotated[int, typer.Option(help="Subjects with a valid T1–FDG pair.")] = 24,
    seed: Annotated[int, typer.Option(help="Seed of the cohort; a subject depends on it and on its number.")] = 1,
    voxel: Annotated[float, typer.Option(help="Voxel size of all scans, mm.")] = 2.0,
    only: Annotated[str | None, typer.Option(help="Make only this subject, e.g. 900_S_9003.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Subjects made at the same time.")] = 1,
    delivery: Annotated[
        Delivery, typer.Option(help="Layout: an ADNI download as NIfTI, DICOM or zips, or a BIDS dataset.")
    ] = Delivery.ida,
    visits: Annotated[int, typer.Option(help="Visits per subject, a year apart: 1 to 3.")] = 1,
    adnimerge: Annotated[
        bool, typer.Option("--adnimerge", help="Also write a table like ADNIMERGE into study_data/.")
    ] = False,
) -> None:
    """Make a SYNTHETIC cohort of T1 MRIs and FDG-PETs, laid out as an ADNI download or a BIDS dataset.

    Inputs: none. People who are in --out already are kept, so that a broken run goes on.

    Outputs: `ADNI/` (images, XML), a collection CSV, `truth/` (labels, poses, deformations, noiseless PET, and the
    pairs and exclusions that must be found). Four more subjects than asked for have no valid pair, on purpose. The
    people and their scans are the same in every delivery.

    Units: mm, years; PET in Bq/mL of a random dose; all poses in RAS+ mm.

    Example: `dualglow simulate --out results/demo/raw --subjects 24 --seed 1 --jobs 2`
    """
    from rich.progress import Progress

    from dualglow.cohort.simulate import Recipe, simulate

    with Progress(transient=True) as bar:
        task = bar.add_task("Simulating", total=None)
        recipe = Recipe(subjects, seed, voxel, delivery.value, visits, adnimerge)
        records = simulate(out, recipe, only, jobs, lambda done, n: bar.update(task, completed=done, total=n))
    print(f"{len({of.subject for of in records})} subjects, {len(records)} scans in {out} (SYNTHETIC).")
