"""The state of every item of a results tree."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pandas as pd

from dualglow.errors import InputError
from dualglow.files import read_table
from dualglow.preprocess.exclusions import COLUMNS, EXCLUSIONS, read_exclude
from dualglow.status.disk import Tree
from dualglow.status.failures import explain
from dualglow.status.items import Item, State
from dualglow.status.judge import Judge
from dualglow.status.rules import PER_MODEL, PER_PAIR, Cohort, Rule, Wildcards, fill, read_rules
from dualglow.status.runs import Run, recorded


@dataclass
class Survey:
    """A results tree at this moment. `alive` is None where it cannot be seen whether the run still goes on."""

    root: Path
    run: Run
    alive: bool | None
    cohort: Cohort
    items: list[Item]
    leftovers: list[Path] = field(default_factory=list)

    def of(self, *states: State) -> list[Item]:
        return [item for item in self.items if item.state in states]

    @property
    def there(self) -> bool:
        """Whether this is the folder in which the run was started."""
        return Path(self.run.directory) == Path.cwd()

    def target(self, item: Item) -> str:
        """A file that makes Snakemake make the item, as the workflow names it."""
        return f"{self.run.results}/{item.target}"

    def path(self, below: str) -> str:
        """A path that leads there from where one is now."""
        return f"{self.run.results}/{below}" if self.there else str(self.root / below)

    def command(self, *items: Item) -> str:
        """A line for the terminal that makes these, or what the run was to make, from the folder where one is now."""
        prefix = "" if self.there else f"cd {shlex.quote(self.run.directory)} && "
        return prefix + shlex.join(self.run.again([self.target(item) for item in items]))

    def table(self) -> pd.DataFrame:
        """One row per item: stage, item, state, detail, log, command (of what failed or was interrupted)."""
        broken = (State.FAILED, State.INTERRUPTED)
        rows = [
            {
                "stage": item.rule.name,
                "item": item.name,
                "state": str(item.state),
                "detail": item.detail or None,
                "log": self.path(item.log) if item.log else None,
                "command": self.command(item) if item.state in broken else None,
            }
            for item in self.items
        ]
        return pd.DataFrame(rows, columns=["stage", "item", "state", "detail", "log", "command"])


def survey(results: Path) -> Survey:
    """Look at a results tree.

    Raises InputError if no run is recorded in it, another version made it, or one of its tables cannot be read.
    """
    runs = recorded(results)
    run = runs[0]
    if "methods" not in run.config:
        raise InputError(f"{results}: its last run was made by another version of DualGlow. Start the run again first.")
    rules = read_rules(run.rules, run.results)
    cohort = _cohort(results, run)
    judge = Judge(results, runs, rules)
    items = [item for rule in rules for item in _of_rule(rule, cohort, judge)]
    since = max((one.started for one in runs if one.alive(judge.queue)), default=0.0)
    explain([item for item in items if item.state is State.MISSING], judge.tree, run, since)
    return Survey(results, run, judge.alive, cohort, _asked_for(items), judge.tree.leftovers)


def _cohort(results: Path, run: Run) -> Cohort:
    """Read which pairs and folds there are; those that the configuration promises where no table says it yet."""
    pairs, folds = results / "cohort" / "pairs.tsv", results / "cohort" / "folds.tsv"
    left = results / "dataset" / EXCLUSIONS
    exclude = Path(run.directory, run.config["preprocess"]["exclude"] or "")
    numbers = read_table(folds, ["fold"])["fold"].unique() if folds.is_file() else range(run.config["split"]["folds"])
    unusable = read_table(left, COLUMNS).fillna("") if left.is_file() else pd.DataFrame(columns=COLUMNS)
    return Cohort(
        tuple(read_table(pairs, ["pair_id"])["pair_id"]) if pairs.is_file() else (),
        tuple(run.config["methods"]),
        tuple(str(number) for number in sorted(numbers)),
        read_exclude(exclude) if exclude.is_file() else {},
        dict(zip(unusable["pair_id"], unusable["reason"], strict=True)),
    )


def _asked_for(items: list[Item]) -> list[Item]:
    """Leave out what is missing and optional: of a method for which nobody asked for any."""
    asked = {(item.rule.name, item.wildcards.get("method")) for item in items if item.state is not State.MISSING}
    return [item for item in items if not item.rule.optional or (item.rule.name, item.wildcards.get("method")) in asked]


def _of_rule(rule: Rule, cohort: Cohort, judge: Judge) -> Iterator[Item]:
    of_model = rule.wildcards > PER_MODEL
    for name, wildcards in _begun(rule, cohort, judge.tree) if of_model else cohort.of(rule):
        item = Item(rule, name, wildcards)
        if rule.wildcards == PER_PAIR and name in cohort.excluded:
            item.state, item.detail = State.LEFT_OUT, cohort.excluded[name]
        else:
            judge.look(item)
        yield item


def _begun(rule: Rule, cohort: Cohort, tree: Tree) -> Iterator[tuple[str, Wildcards]]:
    """Yield name and wildcards of what was ever begun of a rule that has more wildcards than a model, by the logs."""
    folder, _, name = (rule.log or "").rpartition("/")
    pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[A-Za-z0-9]+)", re.escape(name)))
    for method, fold in product(cohort.methods, cohort.folds):
        model = {"method": method, "fold": fold}
        for log in sorted(tree.names(fill(folder, model))):
            if match := pattern.fullmatch(log):
                yield f"{method}_fold-{fold}/{log.removesuffix('.log')}", model | match.groupdict()
