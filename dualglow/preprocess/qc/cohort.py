"""All pairs of a cohort beside each other: how unusual is each, and in which number?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dualglow.errors import InputError
from dualglow.files import read_json
from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.qc.limits import MEASURES, NAMES, Measure, Worse

UNUSUAL = 3.5
"""A robust z-score beyond which a number is called unusual (Iglewicz and Hoaglin 1993)."""
_TO_SD = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


@dataclass(frozen=True)
class Pair:
    """One pair as the pages show it."""

    pair_id: str
    label: str  # what it is called on the pages: the pair_id, or a pseudonym
    numbers: dict[str, Any]  # of `qc`; empty for an excluded pair of which there are none
    scores: dict[str, float]  # robust z-scores by measure, 0 where the direction is harmless
    excluded: bool
    reason: str  # why a person excluded it

    @property
    def known(self) -> bool:
        """Whether its preprocessing was measured."""
        return bool(self.numbers)

    @property
    def usable(self) -> bool:
        return bool(self.numbers.get("usable", False))

    @property
    def flags(self) -> list[str]:
        return list(self.numbers.get("flags", []))

    @property
    def score(self) -> float:
        """The largest of the scores."""
        return max(self.scores.values(), default=0.0)

    @property
    def most_unusual(self) -> Measure | None:
        """The number with the largest score; None if all are at the cohort's median."""
        return max(MEASURES, key=lambda measure: self.scores[measure.name]) if self.score > 0 else None


def read_cohort(
    pair_ids: list[str], derivatives: Path, excluded: dict[str, str], labels: dict[str, str] | None = None
) -> list[Pair]:
    """Read the numbers of all pairs and put first whom a person should look at first.

    The order: unusable pairs, then by the largest score; last the excluded pairs that were never measured.
    `labels` gives pseudonyms by pair_id; with them a person's own words about a pair stay here.

    Raises
    ------
    InputError
        If a pair was not measured and is not excluded either.
    """
    found = {pair: numbers for pair in pair_ids if (numbers := _numbers(derivatives, pair, pair in excluded))}
    table = robust_scores(values_of(found), [bool(numbers["usable"]) for numbers in found.values()])
    scores = {name: dict(zip(NAMES, map(float, table.loc[name]), strict=True)) for name in found}
    pairs = [
        Pair(
            pair_id=pair,
            label=labels[pair] if labels else pair,
            numbers=found.get(pair, {}),
            scores=scores.get(pair, {}),
            excluded=pair in excluded,
            reason="" if labels else excluded.get(pair, ""),
        )
        for pair in pair_ids
    ]
    return sorted(pairs, key=lambda pair: (not pair.known, pair.usable, -pair.score, pair.label))


def values_of(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The numbers of all pairs: one row per pair, one column per measure; NaN is not measured."""
    rows = {pair: [numbers[name] for name in NAMES] for pair, numbers in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(NAMES)).astype(float)


def robust_scores(values: pd.DataFrame, usable: list[bool]) -> pd.DataFrame:
    """How far each number lies from the usable pairs' median towards its worse side, in robust standard deviations.

    The standard deviation comes from the median absolute deviation and is at least the measure's grain, so that a
    cohort of equals has no outliers. Infinite for what could not be measured. Shapes: as `values`.
    """
    normal = values[usable] if any(usable) else values
    middle = normal.median()
    spread = (_TO_SD * (normal - middle).abs().median()).clip(lower=pd.Series({m.name: m.grain for m in MEASURES}))
    away = (values - middle) / spread
    for measure in MEASURES:
        away[measure.name] = _towards_worse(away[measure.name], measure.worse)
    away.loc[:, values.isna().all()] = 0.0  # a number that does not exist in this cohort
    return away.fillna(np.inf).assign(**{m.name: 0.0 for m in MEASURES if m.worse is Worse.neither})


def _towards_worse(away: pd.Series, worse: Worse) -> pd.Series:
    if worse is Worse.both:
        return away.abs()
    return (away if worse is Worse.high else -away).clip(lower=0.0)


def group_table(pairs: list[Pair]) -> pd.DataFrame:
    """One row per pair in the order of the page: verdict, most unusual number, all numbers (units as in `limits`)."""
    rows = []
    for pair in pairs:
        most = pair.most_unusual
        verdict = {
            "pair_id": pair.label,
            "usable": pair.usable if pair.known else None,
            "excluded": pair.excluded,
            "flags": len(pair.flags),
            "score": round(pair.score, 2),
            "most_unusual": most.name if most else None,
        }
        numbers = {name: pair.numbers.get(name) for name in NAMES}
        rows.append({**verdict, **numbers, "reasons": "; ".join(pair.numbers.get("reasons", []))})
    return pd.DataFrame(rows)


def _numbers(derivatives: Path, pair_id: str, may_be_absent: bool) -> dict[str, Any]:
    path = derivative(derivatives, pair_id, "pet", "qc", ".json", desc="pair")
    if may_be_absent and not path.exists():
        return {}
    numbers = read_json(path)
    if missing := [name for name in (*NAMES, "usable", "flags", "reasons", "units") if name not in numbers]:
        raise InputError(f"{path}: lacks {', '.join(missing)}. Run dualglow qc again for {pair_id}.")
    return numbers
