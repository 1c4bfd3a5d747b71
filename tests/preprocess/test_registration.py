"""Registration and resampling on a 4 mm head: known displacements, sides, seeds, one interpolation."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from dualglow.files import read_json
from dualglow.preprocess.ants import read_affine
from dualglow.preprocess.coregister import coregister
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, template_mask, with_affine
from dualglow.preprocess.normalise import to_mni_steps
from dualglow.preprocess.presets import PRESETS
from dualglow.preprocess.qc.pair import jacobian_range
from dualglow.preprocess.register import Step, resample
from dualglow.preprocess.resample import prefiltered, to_mni
from dualglow.preprocess.resample import to_native as carry_there
from dualglow.preprocess.t1 import PreparedT1, prepare_t1, to_native

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, head: nib.Nifti1Image) -> PreparedT1:
    """The head, its axes turned to LAS and its place shifted, through the whole T1 chain."""
    folder = tmp_path_factory.mktemp("t1")
    moved = nib.Nifti1Image(head.get_fdata(dtype=np.float32), _shift(head.affine, [6, -8, 10]))
    turned = moved.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    nib.save(turned, folder / "t1.nii.gz")
    return prepare_t1(folder / "t1.nii.gz", folder / "work", preset="tiny", seed=1, engine="wheel")


def _shift(affine: np.ndarray, mm: list[float]) -> np.ndarray:
    moved = affine.copy()
    moved[:3, 3] += mm
    return moved


def test_rigid_recovers_a_known_pose(files: dict[str, Path], pose: np.ndarray, tmp_path: Path) -> None:
    coregister(files["t1"], files["pet"], tmp_path / "r.mat", tmp_path / "r.json", TINY, seed=1)
    brain = np.argwhere(template_mask(MNI_GRID))[::200]
    world = nib.affines.apply_affine(MNI_GRID.matrix, brain)
    found, true = (nib.affines.apply_affine(m, world) for m in (read_affine(tmp_path / "r.mat"), pose))
    assert np.linalg.norm(found - true, axis=1).mean() < 1.0  # a quarter of a voxel
    assert read_json(tmp_path / "r.json")["rotation_deg"] == pytest.approx(11.2, abs=1.0)


def test_the_same_seed_gives_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    for name in "ab":
        coregister(files["t1"], files["pet"], tmp_path / f"{name}.mat", tmp_path / f"{name}.json", TINY, seed=3)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


def test_the_hot_blob_stays_on_its_side(files: dict[str, Path], uptake: nib.Nifti1Image, tmp_path: Path) -> None:
    coregister(files["t1"], files["pet"], tmp_path / "r.mat", tmp_path / "r.json", TINY, seed=1)
    moved = resample(files["pet"], files["t1"], [Step(tmp_path / "r.mat")], tmp_path / "moved.nii")
    hottest = uptake.affine @ [*np.unravel_index(moved.argmax(), moved.shape), 1]
    assert np.linalg.norm(hottest[:3] - [-40, -20, 20]) < 10


def test_composed_steps_are_one_interpolation(files: dict[str, Path], tmp_path: Path) -> None:
    """A shift there and back, composed, gives the image itself; two interpolations would blur it."""
    from scipy.io import savemat

    for name, sign in (("there", 1.0), ("back", -1.0)):
        parameters = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1, sign * 1.9, sign * 2.1, sign * 1.7])[:, None]
        content = {"AffineTransform_float_3_3": parameters.astype(np.float32), "fixed": np.zeros((3, 1), np.float32)}
        savemat(tmp_path / f"{name}.mat", content, format="4")
    steps = [Step(tmp_path / "there.mat"), Step(tmp_path / "back.mat")]
    original = nib.load(files["t1"]).get_fdata()
    once = resample(files["t1"], files["t1"], steps, tmp_path / "once.nii")
    assert np.abs(once - original)[1:-1, 1:-1, 1:-1].max() < 0.01 * original.max()
    half = resample(files["t1"], files["t1"], steps[:1], tmp_path / "half.nii")
    assert np.abs(half - original).max() > 0.2 * original.max()
    assert np.allclose(resample(files["t1"], files["t1"], [Step(steps[0].path, inverse=True)], tmp_path / "i.nii"),
                       resample(files["t1"], files["t1"], steps[1:], tmp_path / "b.nii"), atol=1e-2)  # fmt: skip


def test_the_t1_chain_meets_the_template(prepared: PreparedT1) -> None:
    mask = nib.load(prepared.carried.mni_mask).get_fdata() > 0
    template = template_mask(MNI_GRID)
    assert 2 * (mask & template).sum() / (mask.sum() + template.sum()) > 0.93
    for path, grid in ((prepared.carried.mni_t1, MNI_GRID), (prepared.carried.model_t1, MODEL_GRID)):
        assert grid.holds(nib.load(path))
    assert (nib.load(prepared.carried.mni_t1).get_fdata()[~mask] == 0).all()
    low, high = jacobian_range(prepared.normalised.warp)
    assert 0 < low < 1 < high


def test_the_scalp_is_removed_and_the_tissues_fill_the_brain(prepared: PreparedT1) -> None:
    mask = nib.load(prepared.segmented.mask)
    millilitres = (mask.get_fdata() > 0).sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    template = template_mask(MNI_GRID).sum() * 1.5**3 / 1000
    assert millilitres == pytest.approx(template, rel=0.1)
    shares = sum(
        nib.load(p).get_fdata() for p in (prepared.segmented.gm, prepared.segmented.wm, prepared.segmented.csf)
    )
    assert shares[mask.get_fdata() > 0].mean() > 0.9
    assert (shares[mask.get_fdata() == 0] == 0).all()


def test_back_to_the_file_that_was_given(prepared: PreparedT1, tmp_path: Path) -> None:
    """A ramp over MNI152 x comes back with the file's own affine, and each person's x is what it was."""
    voxels = np.indices(MNI_GRID.shape)[0]
    ramp = MNI_GRID.image((100 + MNI_GRID.matrix[0, 0] * voxels + MNI_GRID.matrix[0, 3]).astype(np.float32))
    nib.save(ramp, tmp_path / "ramp.nii.gz")
    to_native(tmp_path / "ramp.nii.gz", prepared, tmp_path / "native.nii.gz")
    given, native = nib.load(prepared.source), nib.load(tmp_path / "native.nii.gz")
    assert native.shape == given.shape
    assert np.allclose(native.affine, given.affine)
    middle = np.argwhere(native.get_fdata() > 60)[::50]
    world_x = nib.affines.apply_affine(native.affine, middle)[:, 0]
    values = native.get_fdata()[tuple(middle.T)]
    inside = np.abs(world_x) < 50
    assert np.abs(values[inside] - (100 + world_x[inside] - 6)).mean() < 4  # the head was shifted by 6 mm


def test_from_mni_to_the_t1_and_back(prepared: PreparedT1, tmp_path: Path) -> None:
    """A smooth PET-like image through the inverse warp and again through the warp: what is lost is small.

    The warp and its inverse are inverses of each other, and either way is one interpolation, of 4 mm voxels here.
    """
    points = nib.affines.apply_affine(MNI_GRID.matrix, np.moveaxis(np.indices(MNI_GRID.shape), 0, -1))
    smooth = (1 + 0.3 * np.cos(points / 12).sum(-1)) * template_mask(MNI_GRID)
    nib.save(MNI_GRID.image(smooth.astype(np.float32)), tmp_path / "mni.nii.gz")
    chain = prepared.normalised
    there = tmp_path / "native.nii.gz"
    carry_there(tmp_path / "mni.nii.gz", prepared.converted, chain.affine, chain.inverse_warp, there)
    steps = to_mni_steps(chain.affine, chain.warp)
    back = resample(there, tmp_path / "mni.nii.gz", steps, tmp_path / "back.nii", "BSpline")
    inside = ndimage.binary_erosion(template_mask(MNI_GRID), iterations=6)
    assert np.abs(back - smooth)[inside].mean() < 0.02
    assert np.corrcoef(back[inside], smooth[inside])[0, 1] > 0.99


def test_model_grid_to_mni(tmp_path: Path) -> None:
    model = np.full(MODEL_GRID.shape, 1.5, np.float32)
    model[:, :10] = 0
    nib.save(MODEL_GRID.image(model), tmp_path / "model.nii.gz")
    to_mni(tmp_path / "model.nii.gz", tmp_path / "mni.nii.gz")
    mni = nib.load(tmp_path / "mni.nii.gz")
    assert MNI_GRID.holds(mni)
    assert mni.get_fdata()[60, 80, 60] == pytest.approx(1.5, abs=1e-4)
    assert mni.get_fdata()[0, 0, 0] == 0


def test_the_prefilter_removes_what_the_coarser_grid_cannot_hold() -> None:
    checks = (np.indices((24, 24, 24)).sum(0) % 2).astype(np.float32)
    fine = with_affine(checks, np.eye(4))
    assert prefiltered(fine, 2.25)[6:18, 6:18, 6:18].std() < 0.05 * checks.std()
    assert np.array_equal(prefiltered(fine, 1.0), checks)
