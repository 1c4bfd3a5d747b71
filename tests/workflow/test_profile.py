"""What `snakemake --profile slurm` makes of a cluster's site.yaml, read as Snakemake reads it."""

import shutil
from pathlib import Path

import pytest
from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resources

from tests.workflow.conftest import ROOT


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's root, from which the profile is called `slurm`."""
    shutil.copytree(ROOT / "workflow" / "profiles" / "slurm", tmp_path / "slurm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def defaults(clone: Path) -> dict[str, object]:
    """What a job asks for at its first attempt, if its rule says nothing."""
    with (clone / "slurm" / "config.v9+.yaml").open() as stream:
        profile = ProfileConfigFileParser().parse(stream)
    asked = Resources.parse(profile["default-resources"], allow_expressions=True)
    job = {"wildcards": {}, "input": [], "threads": 1, "rulename": "any", "async_run": None}
    return {name: resource.evaluate(attempt=1, **job).value for name, resource in asked.items()}


def test_an_account_and_options_reach_sbatch(clone: Path) -> None:
    """An account that reads like a number or like arithmetic stays a word."""
    for account in ("proj-2024", "0042", "lab"):
        site = f'account: "{account}"\npartitions: {{}}\nsbatch: --constraint=haswell --mail-type=FAIL\n'
        (clone / "slurm" / "site.yaml").write_text(site)
        asked = defaults(clone)
        assert asked["slurm_account"] == account
        assert asked["slurm_extra"] == "--constraint=haswell --mail-type=FAIL"


@pytest.mark.parametrize("site", ["account: null\npartitions: {}\nsbatch: ''\n", "partitions: {}\n", "# nothing\n"])
def test_without_them_nothing_is_asked_for(clone: Path, site: str) -> None:
    (clone / "slurm" / "site.yaml").write_text(site)
    assert set(defaults(clone)) == {"mem_mb", "runtime"}
