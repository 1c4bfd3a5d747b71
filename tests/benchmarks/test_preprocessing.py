"""The benchmark's own pieces: the known map, the moved head, the reading of transforms, overlaps."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from nilearn.datasets import load_mni152_template
from scipy import ndimage

from dualglow.preprocess.ants import read_affine, use_engine
from dualglow.preprocess.grid import with_affine
from dualglow.preprocess.presets import PRESETS
from dualglow.preprocess.register import Step, register_linear, register_syn, resample
from tests.benchmarks.preprocessing_measures import MniToT1, dice, distances, overlaps
from tests.benchmarks.preprocessing_truth import LARGEST_MM, SCALING, KnownMap, moved_head, sampled, world

POINTS = np.random.default_rng(0).uniform(-80, 80, (2000, 3))
CENTRE = np.array([0.0, -18.0, 10.0])


@pytest.fixture(scope="module")
def map_() -> KnownMap:
    return KnownMap.random(5, POINTS, CENTRE)


def test_the_known_map_and_its_inverse_are_the_identity(map_: KnownMap) -> None:
    assert np.allclose(map_(map_.inverse(POINTS)), POINTS, atol=1e-9)
    assert np.allclose(map_.inverse(map_(POINTS)), POINTS, atol=1e-9)


def test_the_known_map_moves_by_at_most_6_mm_besides_its_scaling(map_: KnownMap) -> None:
    unscaled = CENTRE + (map_(POINTS) - CENTRE) / SCALING
    assert np.linalg.norm(unscaled - POINTS, axis=1).max() == pytest.approx(LARGEST_MM)


def test_the_known_map_does_not_fold(map_: KnownMap) -> None:
    steps = 1e-3 * np.eye(3)
    slopes = np.stack([(map_(POINTS + h) - map_(POINTS - h)) / 2e-3 for h in steps], axis=-1)
    assert 0.7 < np.linalg.det(slopes).min() <= np.linalg.det(slopes).max() < 1.7


def test_a_blob_lies_where_the_inverse_says(map_: KnownMap) -> None:
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -90
    place = np.array([30.0, -20, 40])
    empty = Nifti1Image(np.zeros((61, 61, 61), np.float32), affine)
    blob = np.exp(-0.5 * (np.linalg.norm(world(empty) - place, axis=-1) / 8) ** 2)
    moved = moved_head(Nifti1Image(blob.astype(np.float32), affine), map_, seed=1)
    data = np.asarray(moved.dataobj)
    found = nib.affines.apply_affine(moved.affine, ndimage.center_of_mass(np.where(data > 0.5 * data.max(), data, 0)))
    assert np.linalg.norm(found - map_.inverse(place)) < 1.0


def test_points_go_where_ants_samples(tmp_path: Path) -> None:
    """Coordinates resampled by ANTs through affine and warp are those that the benchmark reads from the two files."""
    use_engine("wheel")
    brain = load_mni152_template(resolution=4)
    shifted = with_affine(ndimage.zoom(brain.get_fdata(dtype=np.float32), 1.04), brain.affine)
    paths = [tmp_path / "fixed.nii", tmp_path / "moving.nii"]
    for path, image in zip(paths, (brain, shifted), strict=True):
        nib.save(with_affine(np.asarray(image.dataobj, dtype=np.float32), image.affine), path)
    tiny = PRESETS["tiny"]
    affine = register_linear(*paths, ["Affine"], tiny.affine, 0.5, 1, tmp_path)
    whole = np.ones(brain.shape, np.uint8)
    nib.save(with_affine(whole, brain.affine), tmp_path / "mask.nii")
    warp, _ = register_syn(*paths, affine, tiny.syn, 1, tmp_path, tmp_path / "mask.nii")
    points = world(brain)[15:30, 15:40, 15:30]
    image = nib.load(warp)
    field = np.asarray(image.dataobj, dtype=float)[..., 0, :] * [-1, -1, 1]
    found = MniToT1(field, Nifti1Image(whole, image.affine), read_affine(affine))(points)
    for axis in range(3):
        nib.save(with_affine(world(shifted)[..., axis].astype(np.float32), shifted.affine), tmp_path / "ramp.nii")
        ramp = resample(tmp_path / "ramp.nii", paths[0], [Step(warp), Step(affine)], tmp_path / f"{axis}.nii")
        assert np.allclose(ramp[15:30, 15:40, 15:30], found[..., axis], atol=0.02)
    assert np.abs(found - points).max() > 1


def test_sampling_is_linear_and_zero_outside() -> None:
    ramp = Nifti1Image(np.arange(5.0)[:, None, None] * np.ones((5, 5, 5)), np.diag([2.0, 2, 2, 1]))
    assert sampled(ramp, np.array([[3.0, 4, 4], [20.0, 4, 4]])) == pytest.approx([1.5, 0])


def test_overlaps_and_distances_of_planted_cases() -> None:
    one = np.repeat([1, 2, 3], [100, 100, 10])
    other = np.repeat([1, 2, 1, 3], [100, 50, 50, 10])
    assert overlaps(one, other) == pytest.approx([200 / 250, 100 / 150])  # the third is too small to count
    assert dice(one == 1, one == 1) == 1
    assert distances(np.zeros((4, 3)), np.array([[1.0, 0, 0]] * 3 + [[0, 5, 0]])) == pytest.approx(
        {"mean (mm)": 2, "median (mm)": 1, "p95 (mm)": 4.4, "max (mm)": 5}
    )
