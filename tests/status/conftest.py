"""Results trees in which something happened: planted files around the record of a real run of the workflow."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from dualglow.status.items import Item, State
from dualglow.status.rules import fill
from dualglow.status.runs import FOLDER
from dualglow.status.survey import Survey, survey
from tests.workflow.conftest import run_snakemake, write_cohort
from tests.workflow.conftest import settings as settings
from tests.workflow.conftest import snakemake as snakemake

PAIRS = tuple(f"sub-900S{number:04d}_ses-20100101" for number in range(3))


@dataclass
class Tree:
    """A results tree beside its `.snakemake`, as if a run had left it."""

    directory: Path

    @property
    def results(self) -> Path:
        return self.directory / "results"

    def look(self) -> Survey:
        return survey(self.results)

    def item(self, rule: str, name: str) -> Item:
        return next(item for item in self.look().items if (item.rule.name, item.name) == (rule, name))

    def make(self, *items: Item, temporary: bool = True) -> None:
        """Write the outputs and the empty logs of items."""
        for item in items:
            for pattern in item.rule.outputs:
                if (temporary or pattern not in item.rule.temporary) and item.state != State.DONE:
                    self.write(fill(pattern, item.wildcards), "pair_id\treason\tdetail\n")
            self.write(item.log, "")

    def write(self, name: str, text: str) -> Path:
        path = self.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def change_run(self, **values: object) -> None:
        """Change what the run's record says; times are seconds from now."""
        (path,) = (self.results / FOLDER).glob("*.json")
        moments = {name: time.time() + values[name] for name in ("started", "ended") if values.get(name)}  # type: ignore[operator]
        path.write_text(json.dumps(json.loads(path.read_text()) | values | moments))

    def change_config(self, block: str, **values: object) -> None:
        (path,) = (self.results / FOLDER).glob("*.json")
        record = json.loads(path.read_text())
        record["config"][block] |= values
        path.write_text(json.dumps(record))

    def mark(self, item: Item, job: str | None = None) -> None:
        """Let Snakemake mark an item's outputs as unfinished."""
        for output in item.outputs:
            self.mark_path(f"results/{output}", job)

    def mark_path(self, path: str, job: str | None = None) -> None:
        snakemake = FilePersistence.__new__(FilePersistence)  # without a workflow
        snakemake._max_len = 255
        snakemake._incomplete_cache = None
        snakemake._incomplete_path = str(self.directory / ".snakemake" / "incomplete")
        snakemake._mark_incomplete(path, job)

    def snakemake_log(self, text: str) -> None:
        folder = self.directory / ".snakemake" / "log"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "2026-01-01T000000.000000.snakemake.log").write_text(text)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of three pairs and two folds, and the record of a run of the workflow that made its settings."""
    folder = tmp_path_factory.mktemp("recorded")
    settings = {"results": str(folder / "results"), "cohort": {"root": str(folder)}, "split": {"folds": 2}}
    write_cohort(settings, len(PAIRS), n_folds=2)
    done = run_snakemake(settings, "--cores", "1", "--", f"{settings['results']}/config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def tree(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A copy of it whose run was started with `snakemake -c 2 --configfile mine.yaml -- all` and killed an hour ago."""
    shutil.copytree(recorded / "results", tmp_path / "results")
    (tmp_path / "results" / "config.json").unlink()
    (path,) = (tmp_path / "results" / FOLDER).glob("*.json")
    path.write_text(path.read_text().replace(f"{recorded}/results", "results"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    tree = Tree(tmp_path)
    command = ["/bin/snakemake", "-c", "2", "--configfile", "mine.yaml", "--", "all"]
    tree.change_run(directory=str(tmp_path), command=command, ended=None, succeeded=None, started=-3600, born=1.0)
    return tree


def states(found: Survey) -> dict[State, int]:
    return {state: len(found.of(state)) for state in State if found.of(state)}
