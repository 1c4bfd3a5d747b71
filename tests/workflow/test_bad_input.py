"""What a user's mistake looks like through the workflow: one clear line, a bad exit status, nothing half-written."""

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np

from dualglow.preprocess.derivatives import derivative
from tests.workflow.conftest import Snakemake, write_cohort


def lines_with(result: subprocess.CompletedProcess, text: str) -> list[str]:
    said = result.stdout + result.stderr
    assert "Traceback" not in said
    return [line for line in said.splitlines() if text in line]


def test_results_that_cannot_be_written_are_named(settings: dict, snakemake: Snakemake) -> None:
    blocking = Path(settings["cohort"]["root"]).parent / "file"
    blocking.write_text("not a folder")
    settings["results"] = str(blocking / "results")
    result = snakemake(settings, "--cores", "1", "--", "cohort")
    assert result.returncode != 0
    (line,) = lines_with(result, "configuration: results:")
    assert f"{settings['results']}: cannot be made, for {blocking} is a file" in line
    assert blocking.read_text() == "not a folder"


def test_a_truncated_image_is_named_and_leaves_no_output(settings: dict, snakemake: Snakemake) -> None:
    """The header is whole and says more voxels than there are."""
    (pair_id,) = write_cohort(settings, 1)
    t1 = Path(settings["cohort"]["root"]) / "900S0000_T1w.nii"
    nib.save(nib.Nifti1Image(np.ones((32, 32, 32), np.float32), np.eye(4)), t1)
    t1.write_bytes(t1.read_bytes()[:50_000])
    results = Path(settings["results"])
    converted = derivative(results / "derivatives", pair_id, "anat", "T1w", desc="converted")
    result = snakemake(settings, "--cores", "1", "--", str(converted))
    assert result.returncode != 0
    line, summed_up = lines_with(result, "dualglow convert:")  # the step's own words, and the summary's
    assert line in summed_up
    assert str(t1) in line
    assert "cannot be read to its end" in line
    assert not list(results.rglob("*desc-converted*.nii.gz"))
    assert not list(results.rglob("*.part*"))
    assert line in (results / "logs" / "convert_t1" / f"{pair_id}.log").read_text()
