"""The trials of the tuning are fair, and every one can be started."""

import pytest

from dualglow.models import METHODS, build
from tests.benchmarks.tuning import CHANGES, START, settings

TRIALS = [(method, change) for method in START for change in ({}, *CHANGES[method])]


def test_every_network_has_as_many_trials() -> None:
    counts = {method: len(changes) for method, changes in CHANGES.items() if METHODS[method].iterative}
    assert set(counts) == {name for name, method in METHODS.items() if method.iterative} - {"dualglow-conditional"}
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize(("method", "change"), TRIALS, ids=str)
def test_every_trial_can_be_started_and_differs_from_the_first(method: str, change: dict[str, object]) -> None:
    network, how = settings(method, change)
    build(method, (16, 16, 16), network)
    assert (change == {}) == ((network, how) == settings(method, {}))
