"""SUVR of phantoms whose answer is known; the T1's scaling."""

import numpy as np
import pytest

from dualglow.atlases import reference_mask
from dualglow.errors import ConfigError, InputError
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask
from dualglow.preprocess.intensity import measure_reference, t1_to_unit

BRAIN = MNI_GRID.image(template_mask(MNI_GRID))


def _phantom(region: str, inside: float, outside: float) -> np.ndarray:
    mask = on_grid(reference_mask(region), MNI_GRID, order=0) > 0
    return np.where(mask, inside, outside).astype(np.float32)


@pytest.mark.parametrize("region", ["pons", "cerebellum"])
def test_the_reference_is_the_mean_of_its_region(region: str) -> None:
    found = measure_reference(MNI_GRID.image(_phantom(region, 5120.0, 9000.0)), BRAIN, region)
    assert found.mean == 5120.0
    assert found.cv == 0
    assert found.coverage == 1


def test_global_is_the_brains_mean() -> None:
    data = np.random.default_rng(0).uniform(1, 2, MNI_GRID.shape).astype(np.float32)
    found = measure_reference(MNI_GRID.image(data), BRAIN, "global")
    assert found.mean == pytest.approx(data[template_mask(MNI_GRID)].mean(dtype=np.float64), rel=1e-6)


def test_none_leaves_the_units() -> None:
    assert measure_reference(MNI_GRID.image(_phantom("pons", 3, 7)), BRAIN, "none").mean == 1


def test_no_signal_in_the_reference() -> None:
    with pytest.raises(InputError, match="no signal in the reference region pons"):
        measure_reference(MNI_GRID.image(_phantom("pons", 0, 7)), BRAIN, "pons")


def test_half_a_reference_is_half_covered() -> None:
    data = _phantom("cerebellum", 6, 6)
    data[: 121 // 2] = 0
    found = measure_reference(MNI_GRID.image(data), BRAIN, "cerebellum")
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_unknown_region() -> None:
    with pytest.raises(ConfigError, match="expected one of pons"):
        measure_reference(MNI_GRID.image(_phantom("pons", 1, 1)), BRAIN, "thalamus")


def test_t1_percentiles_become_0_and_1() -> None:
    t1 = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    mask = np.ones_like(t1, bool)
    mask[0] = False  # 0 … 99 lie outside
    unit = t1_to_unit(t1, mask)
    low, high = np.percentile(np.arange(100, 1000), [0.1, 99.9])
    assert unit.dtype == np.float32
    assert (unit[0] == 0).all()
    assert unit[5, 5, 5] == pytest.approx((555 - low) / (high - low), abs=1e-6)
    assert unit.min() == 0
    assert unit.max() == 1
