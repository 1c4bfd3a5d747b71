import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dualglow.cli.app import app
from dualglow.cohort.simulate import Recipe, simulate
from dualglow.errors import ConfigError, InputError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def silent(done: int, n: int) -> None:
    del done, n


@pytest.mark.parametrize("ptid", ["900_S_9003", "900_S_9902"])
def test_a_subject_alone_is_bit_identical_to_the_one_in_the_cohort(
    small_cohort: Path, recipe: Recipe, tmp_path: Path, ptid: str
) -> None:
    records = simulate(tmp_path, replace(recipe, subjects=20), ptid, 1, silent)
    assert {of.subject for of in records} == {ptid}
    for tree in ("ADNI", "truth"):
        alone = contents(tmp_path / tree / ptid)
        assert alone
        assert alone == contents(small_cohort / tree / ptid)


def test_processes_change_nothing(small_cohort: Path, recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(small_cohort, tmp_path / "copy")
    for ptid in ("900_S_9001", "900_S_9002"):
        shutil.rmtree(tmp_path / "copy" / "truth" / ptid)
    calls: list[tuple[int, int]] = []
    simulate(tmp_path / "copy", recipe, None, 2, lambda done, n: calls.append((done, n)))
    assert contents(tmp_path / "copy") == contents(small_cohort)
    assert calls == [(8, 10), (9, 10), (10, 10)]


def test_a_run_goes_on_where_it_broke(small_cohort: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "broken"
    shutil.copytree(small_cohort, out)
    kept = next((out / "ADNI" / "900_S_9002").rglob("*.nii.gz"))
    before = kept.stat().st_mtime_ns
    shutil.rmtree(out / "truth" / "900_S_9001")  # its scans stay: the last step of a subject is its truth
    next((out / "ADNI" / "900_S_9001").rglob("*.nii.gz")).write_bytes(b"torn")
    (out / ".900_S_9001.part" / "ADNI").mkdir(parents=True)
    (out / "truth" / "expected_pairs.tsv").unlink()
    simulate(out, recipe, None, 1, silent)
    assert contents(out) == contents(small_cohort)
    assert kept.stat().st_mtime_ns == before
    assert not list(out.glob(".*"))


def test_tables_list_only_who_is_there(recipe: Recipe, small_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(small_cohort, tmp_path / "few")
    for folder in (tmp_path / "few").glob("*/900_S_9*"):
        if folder.name not in ("900_S_9001", "900_S_9002"):
            shutil.rmtree(folder)
    records = simulate(tmp_path / "few", recipe, "900_S_9002", 1, silent)
    pairs = pd.read_csv(tmp_path / "few" / "truth" / "expected_pairs.tsv", sep="\t")
    assert list(pairs["subject"]) == ["900_S_9001", "900_S_9002"]
    assert len(records) == 4


@pytest.mark.parametrize("change", [{"seed": 4}, {"voxel": 3.0}, {"visits": 2}, {"delivery": "bids"}])
def test_another_recipe_does_not_mix_in(small_cohort: Path, recipe: Recipe, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="another --out"):
        simulate(small_cohort, replace(recipe, **change), None, 1, silent)


@pytest.mark.parametrize(
    ("change", "only", "message"),
    [
        ({"voxel": 0.1}, None, "--voxel"),
        ({"subjects": 0}, None, "--subjects"),
        ({"visits": 4}, None, "--visits"),
        ({"delivery": "xnat"}, None, "--delivery"),
        ({}, "900_S_9500", "--only"),
    ],
)
def test_impossible_options_are_named(
    recipe: Recipe, tmp_path: Path, change: dict[str, Any], only: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path, replace(recipe, **change), only, 1, silent)
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file_is_said_so(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be created"):
        simulate(tmp_path / "file", recipe, None, 1, silent)


def test_the_command_makes_the_subject(tmp_path: Path) -> None:
    command = ["simulate", "--out", str(tmp_path), "--voxel", "6", "--seed", "5", "--only", "900_S_9904"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "SYNTHETIC" in result.output
    assert len(list((tmp_path / "ADNI").rglob("*.nii.gz"))) == 1


def test_a_follow_up_is_of_the_same_aged_head_in_another_pose(
    small_cohort: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """A person with MCI: the baseline is what it is without a follow-up; hippocampi shrink, ventricles grow."""
    facts = [json.loads(path.read_text()) for path in (small_cohort / "truth").glob("*/subject.json")]
    (ill,) = (fact["ptid"] for fact in facts if fact["group"] == "MCI" and fact["number"] < 900)
    simulate(tmp_path, replace(recipe, visits=2), ill, 1, silent)
    truth, before = tmp_path / "truth" / ill, small_cohort / "truth" / ill
    for name in ("labels.nii.gz", "pose.json", "pet_noiseless.nii.gz"):
        assert (truth / name).read_bytes() == (before / name).read_bytes()
    assert len(list((tmp_path / "ADNI").rglob("*.nii.gz"))) == 4
    told = json.loads((truth / "subject.json").read_text())
    now, later = told["volumes_ml"], told["follow_ups"]["m12"]["volumes_ml"]
    assert later["hippocampus"] < now["hippocampus"]
    assert later["ventricles"] > now["ventricles"]
    poses = [json.loads((folder / "pose.json").read_text())["t1_from_pet"] for folder in (truth, truth / "m12")]
    assert not np.allclose(*poses, atol=0.1)
    points = [
        np.asarray(nib.load(folder / "mni_to_t1.nii.gz").dataobj).reshape(-1, 3) for folder in (truth, truth / "m12")
    ]
    apart = [np.linalg.norm(cloud[1000:2000] - cloud[-1000:], axis=1) for cloud in points]  # whatever the pose
    assert np.abs(apart[0] - apart[1]).max() < 1.5
    assert "m12" in (tmp_path / "README.md").read_text()


def test_the_command_makes_a_bids_dataset(tmp_path: Path) -> None:
    command = ["simulate", "--out", str(tmp_path), "--voxel", "6", "--only", "900_S_9904", "--delivery", "bids"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (image,) = tmp_path.glob("sub-*/ses-*/*/*.nii.gz")
    assert image.name == "sub-900S9904_ses-M000_T1w.nii.gz"
    assert "SIMULATED" in (tmp_path / "dataset_description.json").read_text()
