"""Which pairs enter the dataset: what preprocessing itself found unusable and what a person excluded stay out."""

import logging
from pathlib import Path

import pandas as pd

from dualglow.errors import InputError
from dualglow.files import read_json, read_table
from dualglow.preprocess.derivatives import derivative

log = logging.getLogger(__name__)

EXCLUSIONS = "exclusions.tsv"
COLUMNS = ["pair_id", "reason", "detail"]
EXCLUDE_COLUMNS = ["pair_id", "reason"]
BY_HAND = "excluded_by_hand"
FAILED = "quality_control"
# The numbers of the step that failed first name the reason.
STEPS = (
    ("t1_registration", ("anat", "qc"), "normalisation"),
    ("pet_registration", ("pet", "qc"), "coregistration"),
    ("reference_region", ("pet", "qc"), "suvr"),
)


def read_exclude(path: Path | None) -> dict[str, str]:
    """Read a person's table exclude.tsv: pair_id → reason; nothing without a table.

    Raises InputError if a pair is in it twice.
    """
    if path is None:
        return {}
    table = read_table(path, EXCLUDE_COLUMNS).fillna("")
    twice = table.loc[table["pair_id"].duplicated(), "pair_id"]
    if len(twice):
        raise InputError(f"{path}: has {twice.iloc[0]} more than once. Keep one row.")
    return dict(zip(table["pair_id"], table["reason"].astype(str), strict=True))


def usable_pairs(pairs: pd.DataFrame, derivatives: Path, exclude: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the rows of pairs.tsv into those to pack and a table of exclusions (pair_id, reason, detail).

    Raises
    ------
    InputError
        If `exclude` names a pair that is not among them, or no pair is left.
    """
    by_hand = read_exclude(exclude)
    if unknown := sorted(set(by_hand) - set(pairs["pair_id"])):
        raise InputError(f"{exclude}: {unknown[0]} is not in pairs.tsv. Write its pair_id as it is there.")
    rows = [
        (pair, BY_HAND, by_hand[pair]) if pair in by_hand else _verdict(derivatives, pair) for pair in pairs["pair_id"]
    ]
    excluded = pd.DataFrame([row for row in rows if row], columns=COLUMNS)
    usable = pairs[~pairs["pair_id"].isin(excluded["pair_id"])].reset_index(drop=True)
    if usable.empty:
        first = excluded.iloc[0]
        raise InputError(
            f"none of the {len(pairs)} pairs is usable ({first['pair_id']}: {first['reason']}, {first['detail']}). "
            "Look at their quality control."
        )
    if len(excluded):
        log.warning("%d of %d pairs are left out: see %s.", len(excluded), len(pairs), EXCLUSIONS)
    return usable, excluded


def _verdict(derivatives: Path, pair_id: str) -> tuple[str, str, str] | None:
    """Give a pair's row of exclusions.tsv, or None for a usable pair."""
    quality = read_json(derivative(derivatives, pair_id, "pet", "qc", ".json", desc="pair"))
    if quality.get("usable", True):
        return None
    return pair_id, _failed_step(derivatives, pair_id), "; ".join(quality.get("reasons", []))


def _failed_step(derivatives: Path, pair_id: str) -> str:
    for reason, where, description in STEPS:
        path = derivative(derivatives, pair_id, *where, ".json", desc=description)
        if path.exists() and not read_json(path).get("usable", True):
            return reason
    return FAILED
