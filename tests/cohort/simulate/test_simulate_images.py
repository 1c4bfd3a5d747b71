import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from dualglow.cohort.simulate import scanner
from dualglow.cohort.simulate.anatomy import template
from dualglow.cohort.simulate.people import cohort
from dualglow.cohort.simulate.subject import Truth, make_person


def at(image: nib.Nifti1Image, points: NDArray) -> NDArray:
    """Values of a 3D image at world points (n, 3)."""
    data = np.asarray(image.dataobj, dtype=float)
    return ndimage.map_coordinates(data, apply_affine(np.linalg.inv(image.affine), points).T, order=1)


def pet_of(small_cohort: Path, ptid: str) -> nib.Nifti1Image:
    (path,) = (small_cohort / "ADNI" / ptid).rglob("*_PT_*.nii.gz")
    return nib.load(path)


@pytest.mark.parametrize("ptid", ["900_S_9001", "900_S_9002", "900_S_9004", "900_S_9006"])
def test_the_true_pose_lays_the_pet_on_the_t1(small_cohort: Path, ptid: str) -> None:
    truth = nib.load(small_cohort / "truth" / ptid / "pet_noiseless.nii.gz")
    labels = np.asarray(nib.load(small_cohort / "truth" / ptid / "labels.nii.gz").dataobj)
    matrix = np.array(json.loads((small_cohort / "truth" / ptid / "pose.json").read_text())["t1_from_pet"])
    pet = pet_of(small_cohort, ptid)
    if pet.ndim == 4:
        pet = pet.slicer[..., 0]
    voxels = np.argwhere(labels > 0)
    expected = np.asarray(truth.dataobj)[tuple(voxels.T)]
    points = apply_affine(truth.affine, voxels)
    right = np.corrcoef(expected, at(pet, apply_affine(np.linalg.inv(matrix), points)))[0, 1]
    wrong = np.corrcoef(expected, at(pet, points))[0, 1]
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert right > 0.9
    assert right > wrong + 0.1


@pytest.mark.parametrize("ptid", ["900_S_9001", "900_S_9005"])
def test_landmarks_carry_template_regions_onto_the_subjects_labels(small_cohort: Path, ptid: str) -> None:
    landmarks = nib.load(small_cohort / "truth" / ptid / "mni_to_t1.nii.gz")
    labels = nib.load(small_cohort / "truth" / ptid / "labels.nii.gz")
    points = np.asarray(landmarks.dataobj)
    world = apply_affine(landmarks.affine, np.moveaxis(np.indices(landmarks.shape[:3]), 0, -1))
    base = template()
    index = np.rint(apply_affine(np.linalg.inv(base.affine), world)).astype(int)
    here = base.labels[tuple(np.moveaxis(np.minimum(index, np.array(base.shape) - 1), -1, 0))]
    found = np.asarray(labels.dataobj)
    names = {name: number for number, name in base.names.items()}
    for name in ("Left_Putamen", "Right_Thalamus_Proper", "Left_Cerebellum_Exterior", "Right_Hippocampus"):
        expected = apply_affine(labels.affine, np.argwhere(found == names[name])).mean(axis=0)
        assert np.linalg.norm(points[here == names[name]].mean(axis=0) - expected) < 3, name
    left, right = (points[here == names[f"{side}_Putamen"]].mean(axis=0)[0] for side in ("Left", "Right"))
    assert left < right  # RAS+: x grows to the right


def test_a_t1_has_bright_white_grey_cortex_dark_fluid_and_a_dark_skull(small_cohort: Path) -> None:
    for ptid in ("900_S_9001", "900_S_9002"):
        (path,) = (small_cohort / "ADNI" / ptid).rglob("*_MR_*.nii.gz")
        t1 = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, dtype=float)
        shares = np.asarray(nib.load(small_cohort / "truth" / ptid / "tissue_shares.nii.gz").dataobj)
        grey, white, fluid = (t1[shares[..., k] > 0.9].mean() for k in range(3))
        assert white > 1.2 * grey > 1.2 * 1.4 * fluid


def test_tissue_shares_are_shares_and_adult_sized(small_cohort: Path) -> None:
    for path in (small_cohort / "truth").glob("900*/tissue_shares.nii.gz"):
        shares = np.asarray(nib.load(path).dataobj)
        assert shares.min() >= -0.01
        assert shares.sum(axis=-1).max() < 1.01
        grey, white, _ = shares.sum(axis=(0, 1, 2)) * 64 / 1000  # ml at 4 mm
        assert 500 < white < 900
        assert 1.0 < grey / white < 1.5


def _truths(**change: float) -> list[Truth]:
    people = [replace(p, reasons={"T1": "", "FDG": ""}, **change) for p in cohort(4, seed=2)[:4]]
    return [make_person(person, seed=2, voxel=4.0)[1] for person in people]


def _mean(truths: list[Truth], *fragments: str) -> float:
    labels = [i for i, name in template().names.items() if any(f in name for f in fragments)]
    return float(np.mean([truth.pet[np.isin(truth.head.labels, labels)].mean() for truth in truths]))


@pytest.fixture(scope="module")
def healthy() -> list[Truth]:
    return _truths(severity=0.0, age=75.0)


@pytest.fixture(scope="module")
def diseased() -> list[Truth]:
    return _truths(severity=1.0, age=75.0)


@pytest.mark.parametrize(
    ("region", "low", "high"),
    [
        (("PCgG",), -0.27, -0.17),  # Bailly 2015: −21 %
        (("PCu",), -0.27, -0.15),  # −19 %
        (("PrG", "PoG"), -0.06, 0.01),  # spared
        (("Thalamus",), -0.04, 0.02),
    ],
)
def test_alzheimers_lowers_uptake_as_published(
    healthy: list[Truth], diseased: list[Truth], region: tuple[str, ...], low: float, high: float
) -> None:
    ratio = [_mean(group, *region) / _mean(group, "Cerebellum_Exterior") for group in (diseased, healthy)]
    assert low < ratio[0] / ratio[1] - 1 < high


def test_frontal_uptake_falls_with_age(healthy: list[Truth]) -> None:
    old = _truths(severity=0.0, age=85.0)
    ratio = [_mean(group, "MFG", "SFG") / _mean(group, "Cerebellum_Exterior") for group in (old, healthy)]
    assert -0.08 < ratio[0] / ratio[1] - 1 < -0.03  # published: −5 % per decade


def test_the_hippocampus_shrinks_and_the_ventricles_grow(healthy: list[Truth], diseased: list[Truth]) -> None:
    def volume(truths: list[Truth], *fragments: str) -> float:
        labels = [i for i, name in template().names.items() if any(f in name for f in fragments)]
        return float(np.mean([np.isin(truth.head.labels, labels).sum() for truth in truths]))

    assert -0.33 < volume(diseased, "Hippocampus") / volume(healthy, "Hippocampus") - 1 < -0.12
    ventricles = ("Lateral_Ventricle", "3rd_Ventricle")
    assert 0.15 < volume(diseased, *ventricles) / volume(healthy, *ventricles) - 1 < 0.6


def test_grey_takes_up_about_twice_as_much_as_white_after_the_blur(healthy: list[Truth]) -> None:
    for truth in healthy:
        ratio = truth.pet[truth.head.grey > 0.9].mean() / truth.pet[truth.head.white > 0.9].mean()
        assert 1.6 < ratio < 3.0


def test_poses_stay_within_their_limits() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert np.abs(scanner.random_pose(rng)[:3, 3]).max() <= 15


def test_emission_noise_grows_with_the_root_of_uptake() -> None:
    rng = np.random.default_rng(0)
    for level in (1.0, 4.0):
        noise = scanner.emission(np.full((40, 40, 40), level, dtype=np.float32), 2.0, 0.05, rng) - level
        assert noise.std() == pytest.approx(0.05 * np.sqrt(level), rel=0.05)
