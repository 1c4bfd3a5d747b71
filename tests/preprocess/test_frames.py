"""Motion between the frames of a dynamic PET, against the poses that a simulated person was given."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from dualglow.cohort.simulate import scanner
from dualglow.cohort.simulate.people import cohort
from dualglow.cohort.simulate.subject import Truth, make_person
from dualglow.errors import InputError
from dualglow.files import read_table
from dualglow.preprocess.convert import Series, convert
from dualglow.preprocess.frames import COLUMNS, _table, find_motion, poses, read_motion, still
from dualglow.preprocess.motion_plot import motion_plot

VOXEL = 4.0
GRID = scanner.field_of_view(scanner.FIELD_PET, VOXEL)


def _pose(angles: list[float], shift: list[float]) -> np.ndarray:
    return scanner.rigid(np.array(angles), np.array(shift))


# First frame → frame: still, a nod, a slide, both ways back.
PLANTED = [np.eye(4), _pose([4, 0, 1], [0, 2, -1]), _pose([1, -3, 0], [3, 0, 4]), _pose([-2, 1, 3], [-1, -3, 0])]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return make_person(cohort(3, 1)[2], seed=1, voxel=VOXEL)[1]


@pytest.fixture(scope="module")
def frames(truth: Truth) -> list[np.ndarray]:
    """Four noisy frames of a simulated person who moved as `PLANTED` says (SIMULATED)."""
    rng = np.random.default_rng(7)
    return scanner.dynamic(truth.pet, truth.head.grid, GRID, truth.t1_from_pet, PLANTED, rng)


@pytest.fixture(scope="module")
def found(frames: list[np.ndarray]) -> pd.DataFrame:
    return find_motion(frames, GRID.affine, np.ones(4), seed=1)


@pytest.fixture(scope="module")
def brain(truth: Truth) -> np.ndarray:
    """Points of the brain in the first frame's world (n, 3), mm."""
    voxels = np.argwhere(np.asarray(truth.head.labels) > 0)[::200]
    world = nib.affines.apply_affine(truth.head.grid.affine, voxels)
    return nib.affines.apply_affine(np.linalg.inv(truth.t1_from_pet), world)


def _apart(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> float:
    moved = (nib.affines.apply_affine(matrix, points) for matrix in (one, other))
    return float(np.linalg.norm(next(moved) - next(moved), axis=1).mean())


def test_the_planted_motion_is_found(found: pd.DataFrame, brain: np.ndarray) -> None:
    """Mean over the brain; whatever pose the mean has, the frames lie to each other as planted."""
    got = poses(found, GRID.affine, GRID.shape)
    from_first = [pose @ np.linalg.inv(got[0]) for pose in got]
    moved = [_apart(pose, np.eye(4), brain) for pose in PLANTED[1:]]
    errors = [_apart(*pair, brain) for pair in zip(from_first[1:], PLANTED[1:], strict=True)]
    assert min(moved) > 3
    assert max(errors) < 0.3
    assert found["registered"].all()


def test_two_frames_meet_halfway() -> None:
    """A shift moves every point of the sphere alike."""
    table = find_motion([_ball(0), _ball(8)], np.diag([4.0, 4, 4, 1]), np.ones(2), seed=1)
    assert np.allclose(table["displacement"], 4, atol=0.3)
    assert np.allclose(table["trans_x"], [-4, 4], atol=0.3)


def _ball(shift: float) -> np.ndarray:
    x, y, z = np.indices((30, 30, 30)) * 4.0 - 58
    return (1 / (1 + np.exp((np.sqrt((x - shift) ** 2 + (y / 0.8) ** 2 + z**2) - 35) / 3))).astype(np.float32)


def test_the_corrected_mean_is_sharper_than_the_plain_one(
    truth: Truth, frames: list[np.ndarray], found: pd.DataFrame, tmp_path: Path
) -> None:
    """Both against the noiseless uptake in their own pose, within the brain."""
    for number, frame in enumerate(frames):
        nib.save(nib.Nifti1Image(frame, GRID.affine), tmp_path / f"{number}.nii")
    paths = [tmp_path / f"{number}.nii" for number in range(4)]
    convert(paths, "pet", tmp_path / "mean.nii", Series(tmp_path / "frames.nii", tmp_path / "motion.tsv"), seed=1)
    pd.testing.assert_frame_equal(read_motion(tmp_path / "motion.tsv", 4), found, check_dtype=False)
    first = poses(found, GRID.affine, GRID.shape)[0]
    still_there = scanner.seen_by(truth.pet, truth.head.grid, GRID, truth.t1_from_pet @ first)
    middle = np.eye(4)
    middle[:3, :3] = Rotation.from_matrix([pose[:3, :3] for pose in PLANTED]).mean().as_matrix()
    middle[:3, 3] = np.mean([pose[:3, 3] for pose in PLANTED], axis=0)
    in_between = scanner.seen_by(truth.pet, truth.head.grid, GRID, truth.t1_from_pet @ np.linalg.inv(middle))
    corrected, plain = nib.load(tmp_path / "mean.nii").get_fdata(), np.mean(frames, axis=0)
    assert _error(corrected, still_there) < 0.75 * _error(plain, in_between)


def _error(image: np.ndarray, clean: np.ndarray) -> float:
    inside = clean > 0.4 * clean.max()
    scale = image[inside].sum() / clean[inside].sum()
    return float(np.sqrt(np.mean((image[inside] / scale - clean[inside]) ** 2)))


def test_a_frame_without_signal_takes_the_pose_of_its_neighbour(
    frames: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(frames[0].shape).astype(np.float32)
    series = np.stack([np.zeros_like(noise), noise, *frames[1:3]], axis=-1)
    nib.save(nib.Nifti1Image(series, GRID.affine), tmp_path / "pet.nii.gz")
    kept = Series(tmp_path / "frames.nii.gz", tmp_path / "motion.tsv")
    convert([tmp_path / "pet.nii.gz"], "pet", tmp_path / "mean.nii.gz", kept, seed=1)
    table = read_motion(kept.motion, 4)
    assert table["registered"].tolist() == [False, False, True, True]
    assert table.loc[0, list(COLUMNS[1:7])].tolist() == table.loc[2, list(COLUMNS[1:7])].tolist()
    assert "frame(s) 1, 2 show no head" in caplog.text
    assert np.array_equal(nib.load(kept.frames).get_fdata(dtype=np.float32), series)


def test_a_static_pet_does_not_move(frames: list[np.ndarray], tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(frames[0], GRID.affine), tmp_path / "pet.nii.gz")
    kept = Series(tmp_path / "frames.nii.gz", tmp_path / "motion.tsv")
    convert([tmp_path / "pet.nii.gz"], "pet", tmp_path / "mean.nii.gz", kept)
    table = read_table(kept.motion, list(COLUMNS))
    assert len(table) == 1
    assert (table[list(COLUMNS[1:8])] == 0).all(axis=None)
    assert np.array_equal(*(nib.load(path).get_fdata() for path in (kept.frames, tmp_path / "mean.nii.gz")))


@pytest.mark.parametrize(("stated", "share"), [([300, 100], 0.75), ([300], 0.5), ("long", 0.5), ([300, 0], 0.5)])
def test_frames_weigh_as_long_as_their_sidecar_says(stated: object, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (25, 25, 25, 2)).astype(np.float32)  # shows no head: nothing moves
    nib.save(nib.Nifti1Image(noise, np.diag([4.0, 4, 4, 1])), tmp_path / "pet.nii.gz")
    (tmp_path / "pet.json").write_text(json.dumps({"FrameDuration": stated}))
    convert([tmp_path / "pet.nii.gz"], "pet", tmp_path / "mean.nii.gz")
    expected = share * noise[..., 0] + (1 - share) * noise[..., 1]
    assert np.allclose(nib.load(tmp_path / "mean.nii.gz").get_fdata(), expected, atol=1e-5)


def test_a_row_is_the_pose_that_the_columns_name() -> None:
    """90 degrees about z and 1, 2, 3 mm: a point 10 mm from the centre along x lies 10 mm along y of it."""
    table = still().assign(rot_z=90.0, trans_x=1.0, trans_y=2.0, trans_z=3.0)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 5, 6, 7
    (pose,) = poses(table, affine, (11, 21, 31))
    assert np.allclose(pose @ [15 + 10, 26, 37, 1], [15 + 1, 26 + 12, 37 + 3, 1])


def test_the_displacement_of_a_turn() -> None:
    """Turned by a small angle, the points of a sphere move by pi/4 of what those on its equator do, on average."""
    turned = _table([_pose([0, 0, 2], [0, 0, 0])], np.zeros(3), np.zeros(3), np.ones(1), np.ones(1, bool))
    assert turned.loc[0, "displacement"] == pytest.approx(np.pi / 4 * np.deg2rad(2) * 65, rel=0.01)


def test_motion_of_another_pet_is_refused(tmp_path: Path) -> None:
    still(3).to_csv(tmp_path / "motion.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=r"motion\.tsv: has 3 rows for 6 frames"):
        read_motion(tmp_path / "motion.tsv", 6)


def test_the_plot_says_units_and_shows_every_frame(found: pd.DataFrame) -> None:
    figure = motion_plot(found)
    assert [axes.get_ylabel() for axes in figure.axes] == ["translation (mm)", "rotation (°)", "displacement (mm)"]
    drawn = figure.axes[2].lines[0].get_xydata()
    assert np.allclose(drawn, found[["frame", "displacement"]])
    assert np.allclose(figure.axes[1].lines[0].get_ydata(), found["rot_x"])
