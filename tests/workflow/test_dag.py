"""The DAG: what a target needs, what a change of configuration makes again, what bad input says."""

import re
import subprocess

import pytest

from dualglow.models import METHODS, Density
from tests.workflow.conftest import ROOT, Snakemake, write_cohort


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


def test_uncertainty_is_measured_on_demand(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 20)
    settings["models"] = {"dualglow-conditional": {"covariates": ["age"]}}
    settings["synthesis"] = {"samples": 19, "quantiles": [0.05, 0.95]}
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "likelihood"))
    assert planned["measure_likelihood"] == 2 * 10  # dualglow and dualglow-conditional; mean and linear have no density
    assert planned["figure_likelihood"] == 1
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "surprise", "fold_0")
    assert jobs(result)["map_surprise"] == 4 * 10
    assert "--samples 32 --temperature 1.0 --floor 0.02 --atlas aal --seed 1" in result.stdout
    assert "--quantiles 0.05,0.95 --samples 19 --temperature 0.7 --seed 1" in result.stdout


def test_methods_with_a_likelihood_are_those_with_a_density() -> None:
    exact = re.search(r"EXACT = .*", (ROOT / "workflow" / "rules" / "uncertainty.smk").read_text())
    assert exact
    named = set(re.findall(r'"(.+?)"', exact[0]))
    assert named == {name for name, method in METHODS.items() if issubclass(method, Density)}


@pytest.mark.parametrize(
    "target", ["cohort", "preprocess", "tables", "figures", "report", "fold_0", "likelihood", "surprise"]
)
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
