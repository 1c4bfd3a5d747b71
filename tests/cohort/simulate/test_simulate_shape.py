import numpy as np
import pytest
from scipy import ndimage
from scipy.linalg import expm

from dualglow.cohort.simulate.anatomy import SPACING, template, voxel_points
from dualglow.cohort.simulate.shape import (
    Field,
    atrophy_velocity,
    exponential,
    individual_velocity,
    jacobian,
)

AFFINE = np.array([[4.0, 0, 0, -62], [0, 4, 0, -62], [0, 0, 4, -62], [0, 0, 0, 1]])


def test_exponential_of_a_linear_velocity_is_the_matrix_exponential() -> None:
    matrix = np.array([[0.05, -0.08, 0.0], [0.08, -0.03, 0.04], [0.0, 0.02, 0.06]])
    points = voxel_points((32, 32, 32), AFFINE)
    velocity = Field(np.einsum("ab,bxyz->axyz", matrix, points).astype(np.float32), AFFINE)
    moved = points + exponential(velocity).vectors
    expected = np.einsum("ab,bxyz->axyz", expm(matrix), points)
    core = (slice(None), *[slice(8, -8)] * 3)
    # Euler's first step leaves v²/2^(n+1): below 0.1 mm here
    assert np.abs(moved[core] - expected[core]).max() < 0.1


def test_jacobian_of_a_scaling_is_the_volume_ratio() -> None:
    points = voxel_points((12, 12, 12), AFFINE)
    displacement = points * np.array([0.1, 0.2, -0.1], dtype=np.float32).reshape(3, 1, 1, 1)
    assert jacobian(Field(displacement, AFFINE)) == pytest.approx(1.1 * 1.2 * 0.9, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_strongest_shapes_do_not_fold_and_can_be_undone(seed: int) -> None:
    velocity = individual_velocity(np.random.default_rng(seed))
    atrophy = atrophy_velocity({"ventricles": 5.0, "hippocampus": -5.0})  # beyond the limits, so clipped to them
    total = Field(velocity.vectors + atrophy.vectors, velocity.affine)
    forward, backward = exponential(total), exponential(Field(-total.vectors, total.affine))
    assert jacobian(forward).min() > 0.05
    assert jacobian(backward).min() > 0.05
    points = voxel_points(forward.vectors.shape[1:], forward.affine)
    there = points + forward.vectors
    error = np.linalg.norm(there + backward.at(there) - points, axis=0)
    assert np.percentile(error[4:-4, 4:-4, 4:-4], 99) < 1.0


@pytest.mark.parametrize(("ventricles", "hippocampus"), [(0.6, -0.3), (0.3, 0.1), (-0.3, 0.0)])
def test_regions_get_the_wanted_volume(ventricles: float, hippocampus: float) -> None:
    """Counted in the deformed label image, not from the Jacobian that calibrates the field."""
    velocity = atrophy_velocity({"ventricles": ventricles, "hippocampus": hippocampus})
    backward = exponential(Field(-velocity.vectors, velocity.affine))
    base = template()
    points = voxel_points(base.shape, base.affine)
    voxels = (points + backward.at(points) - base.affine[:3, 3].reshape(3, 1, 1, 1)) / SPACING
    regions = {
        "ventricles": (base.share("Lateral_Ventricle", "Inf_Lat_Vent", "3rd_Ventricle"), ventricles),
        "hippocampus": (base.share("Hippocampus", "Amygdala"), hippocampus),
    }
    for name, (region, wanted) in regions.items():
        deformed = ndimage.map_coordinates(region, voxels, order=1)
        assert np.log(deformed.sum() / region.sum()) == pytest.approx(wanted, abs=0.06), name
