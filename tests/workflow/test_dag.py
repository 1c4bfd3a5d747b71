"""The DAG: what a target needs, what a change of configuration makes again, what bad input says."""

import re
import subprocess

import pytest

from tests.workflow.conftest import Snakemake, write_cohort


def jobs(result: subprocess.CompletedProcess) -> dict[str, int]:
    """The job counts that a dry-run prints."""
    assert result.returncode == 0, result.stdout + result.stderr
    table = re.findall(r"^(\w+) +(\d+) *$", result.stdout, flags=re.MULTILINE)
    return {name: int(count) for name, count in table}


def test_the_papers_configuration_plans_806_pairs(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 806)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "all"))
    assert planned["convert_t1"] == planned["coregister"] == planned["qc"] == 806
    assert planned["train"] == planned["evaluate"] == 3 * 10
    assert planned["table1"] == planned["figure4"] == planned["packed_report"] == 1


def test_a_fold_needs_only_its_own_models(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 20)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "fold_3"))
    assert planned["train"] == planned["synthesise"] == planned["evaluate"] == 3
    assert "table1" not in planned


@pytest.mark.parametrize("target", ["cohort", "preprocess", "tables", "figures", "report", "fold_0"])
def test_targets_exist(target: str, settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 10)
    assert snakemake(settings, "--dry-run", "--quiet", "rules", "--", target).returncode == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"epoch": 5}}, "epoch"),
        ({"training": {"epochs": "five"}}, "five"),
        ({"models": {"dualglow": {"levels": 2.5}}}, "levels"),
        ({"trainning": {}}, "trainning"),
    ],
    ids=["typo", "wrong type", "not an integer", "unknown block"],
)
def test_a_bad_configuration_is_named(change: dict, named: str, settings: dict, snakemake: Snakemake) -> None:
    result = snakemake(settings | change, "--dry-run", "--", "all")
    assert result.returncode != 0
    assert named in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_missing_download_is_named(settings: dict, snakemake: Snakemake) -> None:
    settings["cohort"]["root"] = "/no/such/folder"
    result = snakemake(settings, "--dry-run", "--", "cohort")
    assert result.returncode != 0
    assert "/no/such/folder" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
