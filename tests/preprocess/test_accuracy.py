"""Normalisation and segmentation of a 4 mm head moved by a known map, of a stripped one, and of planted tissues."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template
from scipy import ndimage

from dualglow.preprocess.segment import _refined
from dualglow.preprocess.t1 import PreparedT1, prepare_t1
from tests.benchmarks.preprocessing_measures import MniToT1, dice
from tests.benchmarks.preprocessing_truth import KnownMap, moved_head, sampled, world


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    """World points (n, 3) of the template's brain."""
    mask = load_mni152_brain_mask(resolution=4)
    return world(mask)[mask.get_fdata() > 0]


@pytest.fixture(scope="module")
def to_head(brain: np.ndarray) -> KnownMap:
    return KnownMap.random(3, brain, brain.mean(0))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, head: nib.Nifti1Image, to_head: KnownMap) -> PreparedT1:
    folder = tmp_path_factory.mktemp("moved")
    nib.save(moved_head(head, to_head, seed=3), folder / "t1.nii.gz")
    return prepare_t1(folder / "t1.nii.gz", folder / "work", preset="fast", seed=1, engine="wheel")


def test_the_warp_finds_a_known_deformation(moved: PreparedT1, to_head: KnownMap, brain: np.ndarray) -> None:
    """The head is the template, so MNI152 points must come out where the known map's inverse puts them."""
    found = MniToT1.of(moved)
    errors = np.linalg.norm(found(brain) - to_head.inverse(brain), axis=1)
    linear = MniToT1(np.zeros_like(found.displacement), found.grid, found.affine)
    linear_errors = np.linalg.norm(linear(brain) - to_head.inverse(brain), axis=1)
    assert errors.mean() < 1.0  # a quarter of a voxel
    assert np.percentile(errors, 95) < 2.5
    assert errors.mean() < 0.6 * linear_errors.mean()


def test_nothing_folds(moved: PreparedT1) -> None:
    change = MniToT1.of(moved).volume_change()
    assert change["folded (%)"] == 0
    assert 0.4 < change["Jacobian min"] < 1 < change["Jacobian max"] < 2.5


def test_tissues_are_those_of_the_template_moved(moved: PreparedT1, to_head: KnownMap) -> None:
    grey, white = load_mni152_gm_template(resolution=4), load_mni152_wm_template(resolution=4)
    for path, template, least in ((moved.segmented.gm, grey, 0.75), (moved.segmented.wm, white, 0.8)):
        found = nib.load(path)
        assert dice(found.get_fdata() > 0.5, sampled(template, to_head(world(found))) > 0.5) > least


def test_a_t1_without_its_skull_is_segmented(tmp_path: Path, head: nib.Nifti1Image) -> None:
    inside = load_mni152_brain_mask(resolution=4).get_fdata() > 0
    data = head.get_fdata(dtype=np.float32) * inside
    nib.save(nib.Nifti1Image(data, head.affine), tmp_path / "t1.nii.gz")
    prepared = prepare_t1(tmp_path / "t1.nii.gz", tmp_path / "work", preset="tiny", seed=1, engine="wheel")
    mask = nib.load(prepared.segmented.mask)
    assert (
        dice(mask.get_fdata() > 0, sampled(nib.Nifti1Image(inside.astype(float), head.affine), world(mask)) > 0.5) > 0.9
    )


def test_refinement_finds_the_edge_that_coarse_voxels_blur() -> None:
    """Three planted slabs; their blurred maps are sharpened by the image, and what is brain stays as it was."""
    truth = np.stack([np.repeat(np.eye(3)[:, k][:, None], 8, 1).ravel() for k in range(3)])[:, :, None, None]
    truth = np.broadcast_to(truth, (3, 24, 12, 12)).astype(np.float32)
    rng = np.random.default_rng(0)
    t1 = np.tensordot([90.0, 120.0, 40.0], truth, 1) + rng.normal(0, 3, (24, 12, 12))
    coarse = 0.9 * ndimage.gaussian_filter(truth, (0, 2, 2, 2))
    fine = _refined(t1.astype(np.float32), coarse, np.eye(4))
    assert np.allclose(fine.sum(0), coarse.sum(0), atol=1e-5)
    assert np.abs(fine - 0.9 * truth).mean() < 0.5 * np.abs(coarse - 0.9 * truth).mean()
