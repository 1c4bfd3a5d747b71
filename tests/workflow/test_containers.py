"""The image and the environments: what can be known without them, and, where they are, the same results as without."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dualglow.files import source_digest
from tests.workflow.conftest import ROOT, snakemake_command, write_cohort

ENVS = ROOT / "envs"
IMAGE = ENVS / "dualglow.sif"
PINNED = re.compile(r"[a-z0-9-]+=\d[\w.]*")

# Stands in for apptainer: it shows the labels of a file, and runs a command where it is, saying what it was given.
STAND_IN = """#!/bin/sh
case "$1" in
    --version) echo "apptainer version 1.4.5" ;;
    inspect) cat "$4" ;;
    exec) echo "$APPTAINER_BIND" >> {binds}; for word; do command=$word; done; exec bash -c "$command" ;;
    *) shift; exec "$0" "$@" ;;
esac
"""


@pytest.mark.parametrize("script", sorted(ENVS.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def test_both_ways_to_the_image_start_from_the_same_files() -> None:
    """What the definition copies is what the script copies, and is there."""
    section = (ENVS / "dualglow.def").read_text().split("%files")[1].split("%post")[0]
    copied = {line.split()[0]: line.split()[1] for line in section.strip().splitlines()}
    (listed,) = re.findall(r"^for name in (dualglow .*); do$", (ENVS / "build-image.sh").read_text(), re.MULTILINE)
    assert set(copied) == set(listed.split())
    assert all((ROOT / name).exists() and target == f"/opt/dualglow/{name}" for name, target in copied.items())


@pytest.mark.parametrize("name", ["dualglow.yaml", "fsl.yaml"])
def test_conda_environments_name_exact_versions(name: str) -> None:
    environment = yaml.safe_load((ENVS / name).read_text())
    assert environment["channels"][-1] == "nodefaults"
    assert all(PINNED.fullmatch(package) for package in environment["dependencies"])


def test_condas_python_is_one_that_dualglow_runs_on() -> None:
    """The one of the tests, by its minor version: the pinned packages are known to install there."""
    packages = yaml.safe_load((ENVS / "dualglow.yaml").read_text())["dependencies"]
    (python,) = (package.split("=")[1] for package in packages if package.startswith("python="))
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
    assert python.startswith("3.11.")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone without an image, worked in, and an apptainer that only looks like one."""
    folder, programs = tmp_path / "clone", tmp_path / "bin"
    (folder / "envs").mkdir(parents=True)
    programs.mkdir()
    for name in ("workflow", "config"):
        (folder / name).symlink_to(ROOT / name)
    (programs / "apptainer").write_text(STAND_IN.format(binds=tmp_path / "binds"))
    (programs / "apptainer").chmod(0o755)
    for name in ("APPTAINER_BIND", "APPTAINER_BINDPATH", "DUALGLOW_USER_BIND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return folder


def pretend_image(clone: Path, digest: str) -> None:
    content = {"data": {"attributes": {"labels": {"dualglow-source": digest}}}}
    (clone / "envs" / "dualglow.sif").write_text(json.dumps(content))


def in_container(clone: Path, settings: dict, *arguments: str) -> subprocess.CompletedProcess:
    command = snakemake_command(settings, "--sdm", "apptainer", "--cores", "1", *arguments)
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def test_a_missing_image_says_how_to_build_it(clone: Path, settings: dict) -> None:
    write_cohort(settings, 4)
    run = in_container(clone, settings, "--dry-run", "--", "preprocess")
    assert run.returncode != 0
    assert "there is no image envs/dualglow.sif. Build it: envs/build-image.sh" in run.stdout + run.stderr


def test_an_image_of_other_code_is_not_used(clone: Path, settings: dict) -> None:
    write_cohort(settings, 4)
    pretend_image(clone, "0" * 64)
    run = in_container(clone, settings, "--dry-run", "--", "preprocess")
    assert run.returncode != 0
    assert "holds another state of DualGlow than the one that runs here" in run.stdout + run.stderr


def test_the_image_sees_what_the_configuration_names(
    clone: Path, settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results, the raw data, a file and what a link in the working folder leads to; and what the user binds."""
    linked, overrides = tmp_path / "elsewhere", tmp_path / "overrides.tsv"
    linked.mkdir()
    overrides.touch()
    (clone / "qc").symlink_to(linked)
    write_cohort(settings, 4)
    pretend_image(clone, source_digest())
    settings["cohort"] |= {"overrides": str(overrides), "qc": ["qc"]}
    monkeypatch.setenv("APPTAINER_BINDPATH", "/own:/own:ro")
    run = in_container(
        clone, settings, "--rerun-triggers", "mtime", "--", f"{settings['results']}/cohort/pseudonyms.tsv"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    bound = (tmp_path / "binds").read_text().splitlines()[-1].split(",")
    named = {settings["results"], settings["cohort"]["root"], str(overrides), str(linked)}
    assert {"/own:/own:ro", *named} <= set(bound)
    assert "/" not in bound
    assert str(clone) not in bound


def has_image() -> str | None:
    """None if the real image can be used, else why not."""
    program = shutil.which("apptainer") or shutil.which("singularity")
    if not program:
        return "needs apptainer"
    if not IMAGE.exists():
        return "needs envs/dualglow.sif, which envs/build-image.sh makes"
    shown = subprocess.run([program, "inspect", "--labels", IMAGE], capture_output=True, text=True, check=False)
    return None if source_digest() in shown.stdout else "envs/dualglow.sif holds another state of DualGlow: build again"


def _content(path: Path) -> object:
    """Bytes; of a JSON, all but the engine and its version."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix != ".json":
        return path.read_bytes()
    return json.loads(path.read_text(), object_hook=_without_engine)


def _without_engine(content: dict) -> dict:
    return {key: content[key] for key in content if not key.startswith(("engine", "GeneratedBy"))}


@pytest.mark.slow
def test_the_image_gives_the_wheels_results(tmp_path: Path) -> None:
    """Every derivative of simulated people, made by ANTs' own programs in the image and by the wheel's outside it.

    Transforms and volumes to the byte, headers included: so it was measured, with ANTs 2.6.5 and antspyx 0.6.3.
    """
    if reason := has_image():
        pytest.skip(reason)
    root = tmp_path / "download"
    made = [sys.executable, "-m", "dualglow", "simulate", "--out", str(root), "--subjects", "3", "--voxel", "4"]
    subprocess.run(made, check=True, cwd=ROOT)
    for engine, deployment in (("wheel", []), ("native", ["--sdm", "apptainer"])):
        settings = {
            "results": str(tmp_path / engine),
            "cohort": {"root": str(root), "simulated": True},
            "split": {"folds": 2, "validation": 0.3},
            "preprocess": {"preset": "fast", "engine": engine},
        }
        run = subprocess.run(
            snakemake_command(settings, *deployment, "--", "preprocess"), cwd=ROOT, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    wheel, image = (
        {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in (tmp_path / "wheel" / "derivatives", tmp_path / "native" / "derivatives")
    )
    assert set(wheel) == set(image)
    compared = [name for name in wheel if name.name.endswith((".nii.gz", ".mat", ".tsv", ".json"))]
    assert len(compared) > 100
    assert [str(name) for name in compared if _content(wheel[name]) != _content(image[name])] == []
    arrays = [(tmp_path / engine / "dataset" / "volumes.npy").read_bytes() for engine in ("wheel", "native")]
    assert arrays[0] == arrays[1]
