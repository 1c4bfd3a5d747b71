"""Whether an item is done, begun, or not there; why the last failed is the matter of failures.py."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from dualglow.status import slurm, words
from dualglow.status.disk import Mark, Tree, marks
from dualglow.status.items import Item, State
from dualglow.status.rules import ON_DEMAND, Rule, Wildcards, fill
from dualglow.status.runs import Run

_CLOCKS = 5  # seconds by which the clocks of two machines may differ


class Judge:
    """Looks at files, at Snakemake's marks and at SLURM's queue; reads every folder and the queue once."""

    def __init__(self, root: Path, runs: list[Run], rules: list[Rule]) -> None:
        self.run = runs[0]
        self.tree = Tree(root)
        self.marks = marks(Path(self.run.directory), self.run.results)
        lives = [run.alive(self.queue) for run in runs]
        self.alive = True if True in lives else None if None in lives else False
        self._users = _users(rules)
        self._known: dict[tuple[str, str], bool] = {}

    @cached_property
    def queue(self) -> dict[str, str] | None:
        wanted = self.run.slurm_logs or self.run.slurm_job
        return slurm.queue() if wanted else None

    def look(self, item: Item) -> None:
        """Set the state of an item, MISSING where nothing is known of it; and the last words of one that runs."""
        if mark := self._mark(item):
            item.state = self._begun(item, mark)
            if item.state in (State.RUNNING, State.INTERRUPTED):
                item.detail = words.last_line(words.tail(self.tree.root / item.log))
        elif self._made(item.rule, item.name, item.wildcards):
            item.state = State.DONE

    def _mark(self, item: Item) -> Mark | None:
        return next((self.marks[path] for path in item.outputs if path in self.marks), None) if self.marks else None

    def _made(self, rule: Rule, name: str, wildcards: Wildcards) -> bool:
        """Whether its outputs are there; a temporary one may be gone once all that is made of it is there."""
        key = (rule.name, name)
        if key not in self._known:
            self._known[key] = all(self._there(rule, output, name, wildcards) for output in rule.outputs)
        return self._known[key]

    def _there(self, rule: Rule, output: str, name: str, wildcards: Wildcards) -> bool:
        path = fill(output, wildcards)
        if self.tree.has(path):
            return path not in self.marks
        users = [user for user in self._users.get(output, []) if user.wildcards <= wildcards.keys()]
        return output in rule.temporary and bool(users) and all(self._made(user, name, wildcards) for user in users)

    def _begun(self, item: Item, mark: Mark) -> State:
        """An unfinished output: its job runs, waits, or is gone."""
        started = self.tree.changed(item.log) > mark.since - _CLOCKS
        known = (self.queue or {}).get(mark.job or "")
        if known in slurm.WAITING:
            return State.QUEUED
        if self.alive is False and known not in slurm.LIVE and not (started and item.log in self._worked_at):
            return State.INTERRUPTED if started else State.MISSING  # it never left the queue
        return State.RUNNING if started or not self.run.slurm_logs else State.QUEUED

    @cached_property
    def _worked_at(self) -> set[str]:
        """The logs of the steps of jobs that go on although their Snakemake is gone, out of SLURM's logs."""
        live = {job for job, state in (self.queue or {}).items() if state in slurm.LIVE}
        if not live or not self.run.slurm_logs:
            return set()
        files = (path for path in Path(self.run.directory, self.run.slurm_logs).rglob("*.log") if path.stem in live)
        return set(words.steps_in(map(words.tail, files), self.run.results))


def _users(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    """Which rules read an output ; those made on demand aside."""
    found = defaultdict(list)
    for rule in rules:
        for path in rule.inputs if rule.room not in ON_DEMAND else ():
            found[path].append(rule)
    return found
