from pathlib import Path

import pytest

from dualglow.cohort.simulate import Recipe, simulate


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(subjects=6, seed=3, voxel=4.0)


@pytest.fixture(scope="session")
def small_cohort(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six subjects with a pair and the four planted ones, 4 mm voxels."""
    out = tmp_path_factory.mktemp("simulated")
    simulate(out, recipe, None, 1, lambda done, n: None)
    return out
