"""SUVR of phantoms whose answer is known; the T1's scaling."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template

from dualglow.atlases import reference_mask
from dualglow.errors import ConfigError, InputError
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask, template_t1
from dualglow.preprocess.intensity import Position, measure_reference, region_mask, region_position, t1_to_unit

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
    found = measure_reference(MNI_GRID.image(_phantom("pons", 0, 7)), BRAIN, "pons")
    assert found.fault == "the PET has no signal in the reference region pons"
    assert (found.mean, found.coverage, found.cv) == (0, 0, None)


def test_a_field_of_view_that_cuts_the_reference() -> None:
    """What is there is measured; of less than half of it nothing is concluded."""
    data = _phantom("cerebellum", 6, 6)
    data[: 121 // 2 - 4] = 0
    found = measure_reference(MNI_GRID.image(data), BRAIN, "cerebellum")
    assert 0.5 < found.coverage < 0.65
    assert found.mean == 6
    assert not found.fault
    data[: 121 // 2 + 4] = 0
    assert "covers only 4" in measure_reference(MNI_GRID.image(data), BRAIN, "cerebellum").fault


def test_pons_and_vermis_by_the_upper_half_of_their_values() -> None:
    """Values 1 to n in any order: the mean of those from the median on."""
    mask = on_grid(reference_mask("pons-vermis"), MNI_GRID, order=0) > 0
    data = np.ones(MNI_GRID.shape, np.float32)
    n = int(mask.sum())
    data[mask] = np.random.default_rng(0).permutation(n) + 1
    found = measure_reference(MNI_GRID.image(data), BRAIN, "pons-vermis")
    assert found.mean == pytest.approx((n + (n + 1) / 2) / 2, rel=1e-3)
    assert found.ml == pytest.approx(n * 1.5**3 / 1000)


@pytest.fixture
def putamen(tmp_path: Path) -> Path:
    """A mask at 2 mm: a ball of 8 mm about (-25, 4, 0)."""
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -90, -126, -72
    points = nib.affines.apply_affine(affine, np.moveaxis(np.indices((91, 109, 91)), 0, -1))
    ball = np.linalg.norm(points - [-25, 4, 0], axis=-1) < 8
    nib.save(nib.Nifti1Image(ball.astype(np.uint8), affine), tmp_path / "mask.nii.gz")
    return tmp_path / "mask.nii.gz"


def test_a_mask_of_ones_own(putamen: Path) -> None:
    mask = region_mask(str(putamen), BRAIN)
    centre = nib.affines.apply_affine(MNI_GRID.matrix, np.argwhere(mask).mean(0))
    assert np.linalg.norm(centre - [-25, 4, 0]) < 0.5
    assert mask.sum() * 1.5**3 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)
    assert measure_reference(MNI_GRID.image(np.where(mask, 3, 5).astype(np.float32)), BRAIN, str(putamen)).mean == 3


@pytest.mark.parametrize(
    ("factor", "shift", "message"),
    [(7, 0, "values run from 0 to 7"), (1, 95, "lies in the MNI152 brain"), (1, 400, "marks 0 voxels")],
)
def test_a_mask_that_is_none_says_why(putamen: Path, factor: int, shift: float, message: str) -> None:
    image = nib.load(putamen)
    affine = image.affine.copy()
    affine[0, 3] -= shift * 0.6
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32) * factor, affine), putamen)
    with pytest.raises(InputError, match=message) as caught:
        region_mask(str(putamen), BRAIN)
    assert str(putamen) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mask_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"nowhere\.nii: no such file"):
        region_mask("nowhere.nii", BRAIN)


@pytest.mark.parametrize("region", ["pons", "cerebellum", "pons-vermis"])
def test_regions_lie_in_the_templates_tissue(region: str) -> None:
    """The atlas was drawn on another MNI152; nilearn's own tissue maps are the judge."""
    tissue = sum(on_grid(load(resolution=1), MNI_GRID) for load in (load_mni152_gm_template, load_mni152_wm_template))
    found = region_position(region, MNI_GRID.image(template_t1(MNI_GRID)), tissue, BRAIN)
    assert found.tissue > 0.98
    assert found.offset_mm == 0


@pytest.mark.parametrize("voxels", [(0, 0, 3), (-2, 3, 0)])
def test_the_offset_is_how_far_the_anatomy_is_away(voxels: tuple[int, int, int]) -> None:
    moved = MNI_GRID.image(np.roll(template_t1(MNI_GRID), voxels, (0, 1, 2)))
    found = region_position("pons", moved, np.ones(MNI_GRID.shape), BRAIN)
    assert found.offset_mm == pytest.approx(1.5 * np.linalg.norm(voxels))


def test_where_there_is_no_anatomy_no_offset_is_claimed() -> None:
    empty = MNI_GRID.image(np.zeros(MNI_GRID.shape, np.float32))
    assert region_position("pons", empty, np.zeros(MNI_GRID.shape), BRAIN) == Position(0.0, None)


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
