"""From the rules of the workflow, as a run recorded them, to the items that they make: pairs, models, tables."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Wildcards = dict[str, str]

# Rooms of the workflow that are made on demand: what nobody asked for is not missing.
ON_DEMAND = ("native", "uncertainty", "ablation")
PER_PAIR = frozenset({"sub", "ses"})
PER_MODEL = frozenset({"method", "fold"})
PER_FOLD = frozenset({"fold"})


@dataclass(frozen=True)
class Rule:
    """A rule: patterns of paths below the results folder, with {wildcards}."""

    name: str
    room: str
    outputs: tuple[str, ...]
    temporary: frozenset[str]
    inputs: frozenset[str]
    log: str | None
    optional: bool
    """Nothing in the workflow needs it as it is configured: what is not there is not missing."""

    @property
    def wildcards(self) -> frozenset[str]:
        return frozenset(re.findall(r"{(\w+)}", self.outputs[0]))


@dataclass(frozen=True)
class Cohort:
    """What the wildcards stand for."""

    pairs: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    excluded: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def of(self, rule: Rule) -> Iterator[tuple[str, Wildcards]]:
        """Yield name and wildcards of every item of a rule; nothing for a rule that has more wildcards than these."""
        if not rule.wildcards:
            yield rule.name, {}
        elif rule.wildcards == PER_PAIR:
            for pair in self.pairs:
                subject, session = pair.removeprefix("sub-").split("_ses-", 1)
                yield pair, {"sub": subject, "ses": session}
        elif rule.wildcards == PER_MODEL:
            for method in self.methods:
                for fold in self.folds:
                    yield f"{method}_fold-{fold}", {"method": method, "fold": fold}
        elif rule.wildcards == PER_FOLD:
            for fold in self.folds:
                yield f"fold-{fold}", {"fold": fold}


def fill(pattern: str, wildcards: Wildcards) -> str:
    """Put values in the place of a pattern's wildcards."""
    return pattern.format_map(wildcards)


def read_rules(recorded: Sequence[dict[str, Any]], results: str) -> list[Rule]:
    """Make the rules that have outputs, without those that another rule stands in for (`adopt` for `segment`)."""
    needed = {path for rule in recorded for path in _below(results, rule["inputs"])}
    rules = [_rule(rule, results, needed) for rule in recorded if rule["outputs"]]
    return [rule for rule in rules if not any(set(rule.outputs) < set(other.outputs) for other in rules)]


def _rule(recorded: dict[str, Any], results: str, needed: set[str]) -> Rule:
    outputs = tuple(_below(results, recorded["outputs"]))
    on_demand = recorded["room"] in ON_DEMAND
    return Rule(
        recorded["name"],
        recorded["room"],
        outputs,
        frozenset(_below(results, recorded["temporary"])),
        frozenset(_below(results, recorded["inputs"])),
        next(_below(results, recorded["logs"]), None),
        optional=on_demand or ("{" not in outputs[0] and needed.isdisjoint(outputs)),
    )


def _below(results: str, patterns: Iterable[str]) -> Iterator[str]:
    """Yield patterns without the results folder and without the constraints in {name,constraint}."""
    for pattern in patterns:
        if pattern.startswith(f"{results}/"):
            yield re.sub(r"{(\w+),[^{}]*}", r"{\1}", pattern.removeprefix(f"{results}/"))
