"""An item is what one job of the workflow makes: one stage of one pair, one model, one table."""

from dataclasses import dataclass
from enum import StrEnum

from dualglow.status.rules import Rule, Wildcards, fill


class State(StrEnum):
    """What can be said of an item; in the order in which they are counted."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    MISSING = "missing"
    LEFT_OUT = "left out"


@dataclass
class Item:
    """`name` is the pair_id, method_fold-number or the rule's own name; paths are below the results folder."""

    rule: Rule
    name: str
    wildcards: Wildcards
    state: State = State.MISSING
    detail: str = ""

    @property
    def log(self) -> str:
        return fill(self.rule.log, self.wildcards) if self.rule.log else ""

    @property
    def outputs(self) -> list[str]:
        return [fill(output, self.wildcards) for output in self.rule.outputs]

    @property
    def target(self) -> str:
        """A file that makes Snakemake make this item; rather one that stays."""
        kept = [output for output in self.rule.outputs if output not in self.rule.temporary]
        return fill((kept or self.rule.outputs)[0], self.wildcards)
