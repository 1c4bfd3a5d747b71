"""The pairs that a flow's ActNorm is set from."""

from collections.abc import Iterable, Iterator

from dualglow.errors import InputError
from dualglow.models.interface import Batch

FIRST_PAIRS = 4
"""ActNorm is set from at least so many training pairs, if there are as many."""


def first_pairs(batches: Iterable[Batch]) -> tuple[list[Batch], Iterator[Batch]]:
    """The first batches, of FIRST_PAIRS or more pairs in all, and what is left; raises InputError if there is none."""
    remaining = iter(batches)
    first: list[Batch] = []
    while sum(len(batch.mri) for batch in first) < FIRST_PAIRS and (batch := next(remaining, None)) is not None:
        first.append(batch)
    if not first:
        raise InputError("the training part of this fold has no pairs: check the column `part` of folds.tsv.")
    return first, remaining
