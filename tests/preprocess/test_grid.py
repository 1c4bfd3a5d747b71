"""The grids' facts, and sampling from one to another."""

import numpy as np
import pytest

from dualglow.errors import InputError
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, Grid, cropped, on_grid, template_mask, widened


def test_model_grid_is_the_crop_of_the_paper_edge_to_edge() -> None:
    low, high = np.array([13, 0, 5]), np.array([109, 144, 101])  # voxels of MNI_GRID, half open
    for corner, model in ((low - 0.5, np.zeros(3) - 0.5), (high - 0.5, np.array(MODEL_GRID.shape) - 0.5)):
        assert np.allclose(MNI_GRID.matrix @ [*corner, 1], MODEL_GRID.matrix @ [*model, 1])
    assert tuple((high - low) / 1.5) == MODEL_GRID.shape


def test_mni_grid_is_spm12s_at_1_5_mm() -> None:
    assert MNI_GRID.shape == (121, 145, 121)
    assert (MNI_GRID.matrix @ [0, 0, 0, 1]).tolist() == [-90, -126, -72, 1]
    assert (MNI_GRID.matrix @ [120, 144, 120, 1]).tolist() == [90, 90, 108, 1]


def test_sampling_keeps_world_coordinates() -> None:
    """A linear ramp in world coordinates stays that ramp on another grid."""
    voxels = np.moveaxis(np.indices(MNI_GRID.shape), 0, -1)
    world = voxels @ MNI_GRID.matrix[:3, :3].T + MNI_GRID.matrix[:3, 3]
    ramp = MNI_GRID.image((world @ [1.0, 2.0, -3.0]).astype(np.float32))
    sampled = on_grid(ramp, MODEL_GRID)
    voxels = np.moveaxis(np.indices(MODEL_GRID.shape), 0, -1)
    expected = (voxels @ MODEL_GRID.matrix[:3, :3].T + MODEL_GRID.matrix[:3, 3]) @ [1.0, 2.0, -3.0]
    assert np.allclose(sampled, expected, atol=1e-2)


def test_the_model_grid_holds_almost_all_of_the_template() -> None:
    ml = [template_mask(grid).sum() * grid.voxel_mm**3 for grid in (MNI_GRID, MODEL_GRID)]
    assert ml[1] / ml[0] == pytest.approx(1, abs=0.01)


def test_crop_moves_the_affine_with_the_array() -> None:
    data = np.zeros((20, 20, 20), np.float32)
    data[8:12, 5:9, 10:15] = 1
    grid = Grid((20, 20, 20), ((2, 0, 0, -7), (0, 2, 0, 3), (0, 0, 2, 5), (0, 0, 0, 1)))
    small = cropped(grid.image(data), data > 0, 2.0)
    assert small.shape == (6, 6, 7)
    assert np.allclose(small.affine @ [1, 1, 1, 1], grid.matrix @ [8, 5, 10, 1])


def test_widened_by_a_distance_in_mm() -> None:
    mask = np.zeros((11, 11, 11), bool)
    mask[5, 5, 5] = True
    wide = widened(mask, np.diag([2.0, 1.0, 1.0, 1.0]), 3.0)
    assert wide[6, 5, 5]
    assert not wide[7, 5, 5]
    assert wide[5, 8, 5]
    assert not wide[5, 9, 5]


def test_an_array_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="does not fit"):
        MODEL_GRID.image(np.zeros((2, 2, 2)))
