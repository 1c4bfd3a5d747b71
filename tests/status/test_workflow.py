"""The workflow and `dualglow status` hold against each other, and real runs of Snakemake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from dualglow.status.items import State
from dualglow.status.runs import FOLDER, recorded
from dualglow.status.show import ROOMS
from dualglow.status.survey import survey
from tests.status.conftest import PAIRS, Tree
from tests.workflow.conftest import ROOT, Snakemake, write_cohort

TARGETS = ("all", "likelihood", "surprise", "preprocess", "cohort")


@pytest.mark.parametrize("adopt", [False, True])
def test_every_step_of_the_workflow_is_known_by_its_log(adopt: bool, settings: dict, snakemake: Snakemake) -> None:
    """Items and logs are those that a dry-run prints; of what is made on demand, the rules are known."""
    settings |= {"split": {"folds": 2}, "preprocess": {"derivatives": str(ROOT)} if adopt else {}}
    write_cohort(settings, 3, n_folds=2)
    results = Path(settings["results"])
    assert snakemake(settings, "--cores", "1", "--", f"{results}/config.json").returncode == 0
    (results / "config.json").unlink()
    # with all forced, those before the pairs are known; without, those after
    plans = [snakemake(settings, "--dry-run", *forced, "--", *TARGETS) for forced in (["--forceall"], [])]
    assert [plan.returncode for plan in plans] == [0, 0]
    step = r"^(?:local)?(?:rule|checkpoint) (\w+):\n(?: .*\n)*?    log: (.*)$"
    printed = set(re.findall(step, plans[0].stdout + plans[1].stdout, re.MULTILINE))
    found = survey(results)
    listed = {(item.rule.name, found.path(item.log)) for item in found.items}
    on_demand = {step for step in printed if step[0] in ("measure_likelihood", "map_surprise", "calibrate")}
    assert len(on_demand) == 2 * 2 + 9 * 2 + 6 * 2  # two methods have a density, six noise
    assert listed == printed - on_demand
    assert {rule["name"] for rule in found.run.rules if rule["outputs"]} - {rule for rule, _ in printed} == {
        "to_native",
        "batch",  # a target that makes nothing but a mark
        *(f"ablation_{step}" for step in ("train", "synthesise", "evaluate", "likelihood")),
        "figure17",
        "age_truth",  # of simulated cohorts
        *(["segment"] if adopt else []),
    }


def test_single_items_have_a_row(recorded: Path) -> None:
    rules = json.loads(next((recorded / "results" / FOLDER).glob("*.json")).read_text())["rules"]
    rooms = {rule["room"] for rule in rules if rule["outputs"] and "{" not in rule["outputs"][0]}
    assert rooms == set(ROOMS)


def test_a_dry_run_is_no_run(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 1)
    result = snakemake(settings, "--dry-run", "--", "all")
    assert result.returncode == 0
    assert not (Path(settings["results"]) / "logs").exists()


def convert(settings: dict, pair: str) -> str:
    return f"{settings['results']}/derivatives/{pair.replace('_', '/')}/anat/{pair}_desc-converted_T1w.nii.gz"


def test_a_real_failure_is_summed_up_and_its_command_works(settings: dict, snakemake: Snakemake) -> None:
    """Of two T1s one is truncated: onerror says so and how to run it again, which works once the file is mended."""
    write_cohort(settings, 2)
    root, results = Path(settings["cohort"]["root"]), Path(settings["results"])
    whole = nib.Nifti1Image(np.random.default_rng(1).random((32, 32, 32), np.float32), np.diag([5, 5, 5, 1]))
    t1s = [root / "900S0000_T1w.nii", root / "900S0001_T1w.nii"]
    for path in t1s:
        nib.save(whole, path)
    t1s[0].write_bytes(t1s[0].read_bytes()[:50_000])
    result = snakemake(settings, "--cores", "1", "--keep-going", "--", *(convert(settings, pair) for pair in PAIRS[:2]))
    assert result.returncode != 0
    assert "WorkflowError:\nAt least one job did not complete successfully." in result.stderr
    said = result.stderr.partition("1 failed\n")[2]
    assert f"convert_t1 {PAIRS[0]}" in said, result.stderr
    assert f"why dualglow convert: {t1s[0]}: cannot be read to its end" in said
    table = pd.read_csv(results / "status.tsv", sep="\t").set_index(["stage", "item"])
    assert table.loc[("convert_t1", PAIRS[1]), "state"] == "done"
    failed = table.loc[("convert_t1", PAIRS[0])]
    assert failed["state"] == "failed"
    assert Path(failed["log"]).read_text().strip().endswith(failed["detail"])
    nib.save(whole, t1s[0])
    command = failed["command"].replace("snakemake", f"{sys.executable} -m snakemake --nolock", 1)
    again = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{results}: " in again.stderr.splitlines()[-3]
    assert survey(results).of(State.FAILED) == []
    assert recorded(results)[0].succeeded
    assert len(list((results / FOLDER).iterdir())) == 1  # that of the earlier run is gone


def test_a_status_that_fails_hides_nothing(
    settings: dict, snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here `dualglow status` cannot read the table of pairs; Snakemake's own words and exit status are as ever."""
    write_cohort(settings, 1)
    Path(settings["cohort"]["root"], "900S0000_T1w.nii").write_text("no image")
    pairs = Path(settings["results"]) / "cohort" / "pairs.tsv"
    text = pairs.read_text()
    bin_folder = pairs.parent / "bin"
    bin_folder.mkdir()
    program = bin_folder / "dualglow"
    program.write_text(f'#!/bin/sh\n[ "$1" = status ] && exit 3\nexec {sys.executable} -m dualglow "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    result = snakemake(settings, "--cores", "1", "--", convert(settings, PAIRS[0]))
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("At least one job did not complete successfully.")
    assert "Traceback" not in result.stderr
    assert pairs.read_text() == text


@pytest.fixture
def slow(settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict, subprocess.Popen]]:
    """A run of Snakemake of which the first step takes ten minutes, in the middle of it."""
    write_cohort(settings, 1)
    program = tmp_path / "bin" / "dualglow"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = status ] && exec {sys.executable} -m dualglow "$@"\necho step 1 of 9; sleep 600\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    configfile = tmp_path / "settings.yaml"
    configfile.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--nolock", "--configfile", str(configfile), "--cores", "1", "--"]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            [*command, convert(settings, PAIRS[0])],
            cwd=ROOT,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        log = Path(settings["results"]) / "logs" / "convert_t1" / f"{PAIRS[0]}.log"
        while not (log.exists() and log.stat().st_size):
            assert run.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.1)
        yield settings, run
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()


def the_step(settings: dict) -> tuple[State, str]:
    found = survey(Path(settings["results"]))
    (item,) = [item for item in found.items if item.rule.name == "convert_t1"]
    return item.state, item.detail


def test_a_real_run_is_running_until_it_is_killed(slow: tuple[dict, subprocess.Popen]) -> None:
    settings, run = slow
    assert survey(Path(settings["results"])).alive is True
    assert the_step(settings) == (State.RUNNING, "step 1 of 9")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert survey(Path(settings["results"])).alive is False
    assert the_step(settings) == (State.INTERRUPTED, "step 1 of 9")


def test_a_run_stopped_by_its_user_is_summed_up(slow: tuple[dict, subprocess.Popen], tmp_path: Path) -> None:
    settings, run = slow
    os.killpg(run.pid, signal.SIGINT)
    run.wait(timeout=60)
    assert the_step(settings) == (State.INTERRUPTED, "step 1 of 9")
    assert "1 interrupted" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(columns: int, tree: Tree) -> None:
    """All but what is to be copied: commands, paths and errors are never broken by us."""
    tree.write(f"logs/convert_t1/{PAIRS[0]}.log", "dualglow convert: broken\n")
    training = tree.item("train", "linear_fold-0")
    tree.mark(training)
    tree.write(training.log, "epoch 3/90: bits/voxel 4.1, 2 h left\n")
    command = [sys.executable, "-m", "dualglow", "status"]
    environment = os.environ | {"COLUMNS": str(columns), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tree.directory, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    free = ("  why", "  log", "again", "To go on")
    assert max(len(line) for line in lines if not line.lstrip().startswith(tuple(map(str.strip, free)))) <= columns
    (row,) = [line for line in lines if line.startswith(" convert_t1") or line.startswith("convert_t1  ")]
    assert row.split() == ["convert_t1", "x" * 5 + "─" * 11, "0/3", "1", "2"]
    assert "train linear_fold-0: epoch 3/90: bits/voxel 4.1, 2 h left" in lines
    (again,) = [line for line in lines if "again snakemake" in line]
    assert again.endswith(f"{PAIRS[0]}_desc-converted_T1w.nii.gz")
    assert (tree.results / "status.tsv").is_file()


def test_a_table_that_cannot_be_written(tree: Tree) -> None:
    """The answer is given; then one line."""
    command = [
        sys.executable,
        "-m",
        "dualglow",
        "status",
        "--results",
        str(tree.results),
        "--out",
        f"{tree.results}/config/status.tsv",
    ]
    (tree.results / "config").write_text("a file")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "convert_t1" in done.stdout
    assert re.fullmatch(r"dualglow status: .*/config: cannot be created.*\n", done.stderr)
    assert "Traceback" not in done.stderr


def test_several_runs_at_a_time(tree: Tree) -> None:
    """The latest record counts; whether something runs, all of them say."""
    (path,) = (tree.results / FOLDER).glob("*.json")
    first = json.loads(path.read_text()) | {"pid": os.getpid(), "started": time.time() - 7200}
    (path.parent / "first.json").write_text(json.dumps(first | {"born": psutil.Process().create_time()}))
    assert [run.pid for run in recorded(tree.results)][1] == os.getpid()
    assert tree.look().alive is True
