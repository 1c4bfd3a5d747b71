"""A smaller twin of `make demo`: every stage on a simulated cohort of 4 mm voxels, killed in the middle on the way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dualglow.preprocess.ants import read_affine
from tests.bids_issues import bids_issues
from tests.workflow.conftest import ROOT, names_in, run_snakemake, snakemake_command

SMALL = {
    "split": {"folds": 2, "validation": 0.3},
    "preprocess": {"preset": "fast"},
    "training": {"epochs": 2, "threads": 1},
    "methods": ["dualglow", "dualglow-conditional", "ucgan", "iglow", "mean", "linear"],
    "models": {
        "ucgan": {"width": 2},
        "iglow": {"levels": 1, "steps": 1, "hidden": 8, "iterations": 2},
        "dualglow": {"levels": 2, "steps": [1, 2], "hidden": 8, "spatial_prior": True, "memory": "invert"},
        "dualglow-conditional": {"levels": 2, "steps": 1, "hidden": 8, "covariates": ["age", "group"]},
    },
    "synthesis": {"samples": 2},
    "evaluation": {"atlas": "aal2"},
}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The settings of a run that was killed with SIGKILL in the middle, started again and finished."""
    folder = tmp_path_factory.mktemp("twin")
    cohort = {"root": str(folder / "download"), "simulated": True}
    settings = {"results": str(folder / "results"), "cohort": cohort, **SMALL}
    made = [sys.executable, "-m", "dualglow", "simulate", "--out", cohort["root"], "--subjects", "6", "--voxel", "4"]
    subprocess.run(made, check=True, cwd=ROOT)
    _start_and_kill(settings)
    finished = run_snakemake(settings, "--", "all")
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    return settings


def _start_and_kill(settings: dict) -> None:
    """Kill the run and all its jobs, without a warning, once a first T1 is being normalised."""
    run = subprocess.Popen(
        snakemake_command(settings, "--", "all"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    logs = Path(settings["results"], "logs", "normalise")
    while not list(logs.glob("*.log")):
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.2)
    time.sleep(2)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def results(settings: dict) -> Path:
    return Path(settings["results"])


def planned(settings: dict, *arguments: str) -> set[str]:
    """The rules that a dry-run would run."""
    result = run_snakemake(settings, "--dry-run", "--quiet", "rules", *arguments, "--", "all")
    assert result.returncode == 0, result.stdout
    return set(re.findall(r"^(\w+) +\d+ *$", result.stdout, flags=re.MULTILINE)) - {"total"}


def test_everything_is_there_and_whole(twin: dict) -> None:
    made = results(twin)
    for name in ("table1", "table2", "table3", "ageing"):
        assert all((made / "tables" / f"{name}.{kind}").stat().st_size > 0 for kind in ("tsv", "tex", "html"))
    for name in (*(f"figure{number}" for number in (4, 5, 6, 7, 9, 10, 11, 12, 13, 14)), "ageing"):
        assert all((made / "figures" / f"{name}.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "tsv"))
    assert (made / "report.zip").stat().st_size > 100_000
    assert not [path for path in made.rglob("*") if ".part" in path.name]


def test_every_method_is_measured_on_every_person_once(twin: dict) -> None:
    pairs = pd.read_csv(results(twin) / "cohort" / "pairs.tsv", sep="\t")
    for method in ("dualglow", "dualglow-conditional", "mean", "linear"):
        rows = pd.concat(pd.read_csv(path, sep="\t") for path in (results(twin) / "metrics" / method).glob("*.tsv"))
        assert sorted(rows["pair_id"]) == sorted(pairs["pair_id"])


def test_a_second_run_does_nothing(twin: dict) -> None:
    assert planned(twin) == set()


def test_training_options_retrain_and_do_not_preprocess(twin: dict) -> None:
    rules = planned({**twin, "training": {"epochs": 3, "threads": 1}})
    assert {"train", "synthesise", "evaluate", "table1"} <= rules
    assert not rules & {"convert_t1", "normalise", "coregister", "resample", "pack"}


def test_figure_options_do_not_retrain(twin: dict) -> None:
    rules = planned({**twin, "figures": {"method": "mean"}})
    assert "figure9" in rules
    assert not rules & {"train", "synthesise", "evaluate", "table1"}


def test_the_derivatives_are_valid_bids(twin: dict) -> None:
    """By the official validator: no error; the warnings: nobody is named as author, frames have no unit of time."""
    found = bids_issues(results(twin) / "derivatives")
    assert {code for code, severity, _ in found if severity == "error"} == set(), found
    assert {code for code, _, _ in found} <= {"TOO_FEW_AUTHORS", "NIFTI_UNIT"}, found


def test_planted_scans_are_excluded_for_their_reason_and_no_other(twin: dict) -> None:
    truth = pd.read_csv(Path(twin["cohort"]["root"]) / "truth" / "expected_exclusions.tsv", sep="\t")
    found = pd.read_csv(results(twin) / "cohort" / "exclusions.tsv", sep="\t")
    assert dict(zip(found["scan_id"], found["reason"], strict=True)) == dict(
        zip(truth["scan_id"], truth["reason"], strict=True)
    )


def test_the_report_holds_every_kind_of_result(twin: dict) -> None:
    with zipfile.ZipFile(results(twin) / "report.zip") as report:
        names = [Path(name).name for name in report.namelist()]
    assert names.count("training.png") == 2 * 6  # folds × methods
    assert sum(name.endswith("desc-suvr_pet.webp") for name in names) == 6
    assert len([name for name in names if re.fullmatch(r"P[0-9a-f]{8}-\d\.html", name)]) == 6
    assert {"index.html", "group.tsv", "template.webp"} <= set(names)
    for name in ("cohort.png", "cohort_days.png", "table1.html", "figure4.png", "figure5.png", "figure7.png"):
        assert name in names
    assert {"overview.html", "people_per_fold.html", "methods.html"} <= set(names)
    assert {"methods.md", "comparison.png", "figure6.png", "figure12.png"} <= set(names)


def test_the_report_names_nobody(twin: dict) -> None:
    pairs = pd.read_csv(results(twin) / "cohort" / "pairs.tsv", sep="\t", dtype=str)
    assert names_in(results(twin) / "report.zip", pairs) == []


def test_pets_are_coregistered(twin: dict) -> None:
    """Mean distance over the brain to the simulated pose: what 4 mm voxels on coarse levels allow."""
    pairs = pd.read_csv(results(twin) / "cohort" / "pairs.tsv", sep="\t")
    errors = [rigid_error(twin, row.pair_id, row.subject) for row in pairs.itertuples()]
    assert max(errors) < 6.0


def rigid_error(settings: dict, pair_id: str, subject: str) -> float:
    folder = results(settings) / "derivatives" / pair_id.replace("_", "/")
    estimated = read_affine(folder / "pet" / f"{pair_id}_from-pet_to-T1w_mode-image_xfm.mat")
    pose = json.loads((Path(settings["cohort"]["root"]) / "truth" / subject / "pose.json").read_text())
    # An average of frames shows the head where it was on average.
    frames = [np.array(frame) for frame in pose["motion"]] or [np.eye(4)]
    t1_from_pet = np.mean([np.array(pose["t1_from_pet"]) @ np.linalg.inv(frame) for frame in frames], axis=0)
    mask = nib.load(folder / "anat" / f"{pair_id}_desc-brain_mask.nii.gz")
    points = nib.affines.apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0))
    difference = nib.affines.apply_affine(t1_from_pet @ estimated, points) - points
    return float(np.linalg.norm(difference, axis=1).mean())


def test_a_model_is_applied_to_a_raw_t1(twin: dict, tmp_path: Path) -> None:
    """The synthetic PET comes back on the raw T1's own voxels and resembles that person's real PET there."""
    pair = pd.read_csv(results(twin) / "cohort" / "pairs.tsv", sep="\t").iloc[0]
    model = results(twin) / "models" / "mean" / "fold-0"
    command = ["apply", str(model), "--t1", pair["t1_paths"], "--preset", "fast", "--samples", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "dualglow", *command, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    raw, synthetic = nib.load(pair["t1_paths"]), nib.load(tmp_path / "space-T1w_desc-synthetic_pet.nii.gz")
    assert synthetic.shape == raw.shape
    assert np.allclose(synthetic.affine, raw.affine, atol=1e-3)
    folder = results(twin) / "derivatives" / pair["pair_id"].replace("_", "/") / "pet"
    real = nib.load(folder / f"{pair['pair_id']}_space-MNI152_desc-suvr_pet.nii.gz").get_fdata()
    made = nib.load(tmp_path / "space-MNI152_desc-synthetic_pet.nii.gz").get_fdata()
    inside = (real > 0) & (made > 0)
    assert np.corrcoef(real[inside], made[inside])[0, 1] > 0.5
    assert (tmp_path / "synthetic.png").stat().st_size > 10_000
