"""Nothing is resampled twice: every command of a pair's resampling is recorded, its input traced to the scanner's."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template
from nipype.interfaces.ants import ApplyTransforms
from scipy import ndimage

from dualglow.files import read_json
from dualglow.preprocess.ants import write_affine
from dualglow.preprocess.frames import still
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, Grid
from dualglow.preprocess.resample import NativeT1, PetOutputs, T1Outputs, resample_pet, resample_t1, to_native

VOXEL = 4.0


@dataclass
class Call:
    """One run of antsApplyTransforms: what went in, what came out, through what."""

    image: nib.Nifti1Image
    carried: np.ndarray
    grid: Grid
    transforms: list[str]
    interpolation: str


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every run of antsApplyTransforms from here on; files are read at once, before they are gone."""
    recorded: list[Call] = []
    run = ApplyTransforms._run_interface

    def recording(self: ApplyTransforms, runtime: object, *arguments: object) -> object:
        result = run(self, runtime, *arguments)
        given, out = self.inputs, nib.load(self.inputs.output_image)
        image = nib.load(given.input_image)
        recorded.append(
            Call(
                nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine),
                out.get_fdata(dtype=np.float32),
                Grid.of(out),
                [Path(name).name for name in given.transforms],
                given.interpolation,
            )
        )
        return result

    monkeypatch.setattr(ApplyTransforms, "_run_interface", recording)
    return recorded


@pytest.fixture
def native(tmp_path: Path, head: nib.Nifti1Image) -> NativeT1:
    """A T1 that lies on the template already: its affine and its warp move nothing."""
    folder = tmp_path / "t1"
    folder.mkdir()
    names = ("t1", "warp", "mask", "gm", "wm", "csf")
    paths = {name: folder / f"{name}.nii.gz" for name in names}
    mask = load_mni152_brain_mask(resolution=4).get_fdata(dtype=np.float32)
    gm, wm = (load(resolution=4).get_fdata() for load in (load_mni152_gm_template, load_mni152_wm_template))
    images = {"t1": head.get_fdata(), "mask": mask, "gm": gm, "wm": wm, "csf": np.clip(mask - gm - wm, 0, 1)}
    for name, data in images.items():
        nib.save(nib.Nifti1Image(data.astype(np.float32), head.affine), paths[name])
    field = nib.Nifti1Image(np.zeros((*head.shape, 1, 3), np.float32), head.affine)
    field.header.set_intent("vector")
    nib.save(field, paths["warp"])
    return NativeT1(affine=write_affine(np.eye(4), folder / "affine.mat"), **paths)


@pytest.fixture
def carried(tmp_path: Path, native: NativeT1) -> T1Outputs:
    outputs = T1Outputs(*(tmp_path / f"{name}.nii.gz" for name in T1Outputs.__dataclass_fields__))
    resample_t1(native, outputs)
    return outputs


def _pet_outputs(folder: Path) -> PetOutputs:
    return PetOutputs(
        folder / "t1_pet.nii.gz", folder / "mni_pet.nii.gz", folder / "model_pet.nii.gz", folder / "s.json"
    )


def _shift(x: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def _moving(tmp_path: Path, shifts: list[float]) -> Path:
    """Motion along x; a frame's pose takes the mean's points to the frame's."""
    path = tmp_path / "motion.tsv"
    still(len(shifts)).assign(trans_x=shifts, weight=1 / len(shifts)).to_csv(path, sep="\t", index=False)
    return path


def _smoothed(frame: nib.Nifti1Image, target_mm: float) -> np.ndarray:
    """What a coarser grid needs: FWHM² = target² - voxel², FWHM = sqrt(8 ln 2) sigma."""
    voxel = float(nib.affines.voxel_sizes(frame.affine)[0])
    sigma = np.sqrt(max(target_mm**2 - voxel**2, 0) / (8 * np.log(2))) / voxel
    return ndimage.gaussian_filter(frame.get_fdata(dtype=np.float32), sigma)


def test_every_output_of_a_dynamic_pet_comes_from_the_scanners_voxels(
    tmp_path: Path, uptake: nib.Nifti1Image, native: NativeT1, carried: T1Outputs, calls: list[Call]
) -> None:
    rng = np.random.default_rng(0)
    frames = [uptake.get_fdata() + 0.1 * rng.random(uptake.shape) for _ in range(3)]
    stack = np.stack(frames, axis=-1).astype(np.float32)
    nib.save(nib.Nifti1Image(stack, uptake.affine), tmp_path / "frames.nii.gz")
    rigid, out = write_affine(_shift(3.0), tmp_path / "rigid.mat"), _pet_outputs(tmp_path)
    motion = _moving(tmp_path, [1, -2, 1.5])
    resample_pet(tmp_path / "frames.nii.gz", motion, rigid, native, carried, out, "none")
    assert len(calls) == 3 * 3
    written = {out.t1_pet: Grid.of(uptake), out.mni_pet: MNI_GRID, out.model_pet: MODEL_GRID}
    for (path, grid), first in zip(written.items(), (0, 3, 6), strict=True):
        of_grid = calls[first : first + 3]
        for number, call in enumerate(of_grid):
            raw = nib.Nifti1Image(stack[..., number], uptake.affine)
            assert Grid.of(call.image) == Grid.of(raw)
            assert np.allclose(call.image.get_fdata(), _smoothed(raw, grid.voxel_mm), atol=1e-5)
            assert call.grid.shape == grid.shape
            chain = [] if path == out.t1_pet else ["warp.nii.gz", "affine.mat"]
            assert call.transforms == [*chain, "rigid.mat", f"pose{number}.mat"]
        mean = np.maximum(np.mean([call.carried for call in of_grid], axis=0), 0)
        final = nib.load(path).get_fdata()
        inside = final > 0
        assert inside.any()
        assert np.allclose(final[inside], mean[inside], atol=1e-5)  # masked at most: nothing else happened to it


def test_every_image_of_the_t1_comes_from_its_own_voxels(native: NativeT1, tmp_path: Path, calls: list[Call]) -> None:
    outputs = T1Outputs(*(tmp_path / f"{name}.nii.gz" for name in T1Outputs.__dataclass_fields__))
    resample_t1(native, outputs)
    sources = {path.name: nib.load(path) for path in (native.t1, native.mask, native.gm, native.wm, native.csf)}
    assert len(calls) == len(T1Outputs.__dataclass_fields__)
    for call in calls:
        assert any(np.allclose(call.image.get_fdata(), source.get_fdata()) for source in sources.values())
        assert call.transforms == ["warp.nii.gz", "affine.mat"]


@pytest.mark.parametrize(("rigid", "expected"), [(0.0, 0.9723), (2.0, 1.0)])
def test_a_fine_pattern_loses_what_one_interpolation_takes(
    rigid: float, expected: float, tmp_path: Path, native: NativeT1, carried: T1Outputs
) -> None:
    """A wave of 4 voxels, moved by half a voxel in each of two frames.

    A cubic B-spline halfway between samples passes (23 cos(w/2) + cos(3w/2)) / 24 over (2 + cos w) / 3 of a wave:
    0.9723 at w = pi/2; a second interpolation would leave 0.9453. With another half voxel to the T1, whole voxels
    remain, and nothing is lost at all.
    """
    head = nib.load(native.t1)
    world = nib.affines.apply_affine(head.affine, np.moveaxis(np.indices(head.shape), 0, -1))[..., 0]
    waves = [100 + 50 * np.cos(2 * np.pi * (world - shift) / (4 * VOXEL)) for shift in (2.0, -2.0)]
    nib.save(nib.Nifti1Image(np.stack(waves, -1).astype(np.float32), head.affine), tmp_path / "frames.nii.gz")
    out, to_pet = _pet_outputs(tmp_path), write_affine(_shift(rigid), tmp_path / "rigid.mat")
    motion = _moving(tmp_path, [2.0, -2.0])
    resample_pet(tmp_path / "frames.nii.gz", motion, to_pet, native, carried, out, "none")
    middle = (slice(12, 36), 24, 24)
    wave = np.exp(-2j * np.pi * (world[middle] + rigid) / (4 * VOXEL))
    amplitude = 2 * np.abs((nib.load(out.t1_pet).get_fdata()[middle] * wave).mean())
    assert amplitude / 50 == pytest.approx(expected, abs=0.003)


def test_motion_is_undone_on_the_way(
    tmp_path: Path, uptake: nib.Nifti1Image, native: NativeT1, carried: T1Outputs
) -> None:
    """Frames of a head that slid by 8 mm: with their motion they agree with the still head, without it they blur."""
    slid = [nib.Nifti1Image(np.roll(uptake.get_fdata(dtype=np.float32), n, 0), uptake.affine) for n in (-1, 1)]
    nib.save(nib.Nifti1Image(np.stack([s.get_fdata() for s in slid], -1), uptake.affine), tmp_path / "f.nii.gz")
    rigid, out = write_affine(np.eye(4), tmp_path / "rigid.mat"), _pet_outputs(tmp_path)
    truth = uptake.get_fdata()[4:-4]
    errors = []
    for motion in (_moving(tmp_path, [-VOXEL, VOXEL]), None):
        resample_pet(tmp_path / "f.nii.gz", motion, rigid, native, carried, out, "none")
        errors.append(np.abs(nib.load(out.t1_pet).get_fdata()[4:-4] - truth).max())
    assert errors[0] < 1e-3
    assert errors[1] > 0.1


def test_a_pet_without_signal_in_its_region_is_written_in_its_units(
    tmp_path: Path, uptake: nib.Nifti1Image, native: NativeT1, carried: T1Outputs
) -> None:
    data = 5000 * uptake.get_fdata(dtype=np.float32)
    data[:, :, : int((10 - uptake.affine[2, 3]) / VOXEL)] = 0  # the field of view ends above the pons
    nib.save(nib.Nifti1Image(data, uptake.affine), tmp_path / "pet.nii.gz")
    rigid, out = write_affine(np.eye(4), tmp_path / "rigid.mat"), _pet_outputs(tmp_path)
    resample_pet(tmp_path / "pet.nii.gz", None, rigid, native, carried, out, "pons")
    said = read_json(out.qc)
    assert said["usable"] is False
    assert said["reason"] == "SUVR: the PET has no signal in the reference region pons"
    assert said["units"] == "as the source"
    assert nib.load(out.t1_pet).get_fdata().max() == pytest.approx(data.max(), rel=0.01)
    assert said["reference_tissue"] > 0.9
    assert said["reference_offset_mm"] is not None


def test_a_pet_that_lies_elsewhere_is_empty_but_written(
    tmp_path: Path, uptake: nib.Nifti1Image, native: NativeT1, carried: T1Outputs
) -> None:
    nib.save(uptake, tmp_path / "pet.nii.gz")
    rigid, out = write_affine(_shift(1000), tmp_path / "rigid.mat"), _pet_outputs(tmp_path)
    resample_pet(tmp_path / "pet.nii.gz", None, rigid, native, carried, out, "pons")
    assert read_json(out.qc)["usable"] is False
    assert not nib.load(out.model_pet).get_fdata().any()


@pytest.mark.parametrize("space", ["T1w", "pet"])
def test_from_mni_to_a_persons_own_voxels(
    space: str, tmp_path: Path, native: NativeT1, pose: np.ndarray, calls: list[Call]
) -> None:
    """A ball at a place in MNI152 lies at the same place of the T1, or where the rigid transform has it in the PET."""
    place = np.array([30.0, -20.0, 25.0])
    points = nib.affines.apply_affine(MODEL_GRID.matrix, np.moveaxis(np.indices(MODEL_GRID.shape), 0, -1))
    ball = np.exp(-((np.linalg.norm(points - place, axis=-1) / 10) ** 2)).astype(np.float32)
    nib.save(MODEL_GRID.image(ball), tmp_path / "synthetic.nii.gz")
    frame = pose if space == "pet" else np.eye(4)
    grid = np.diag([-3.0, 2.0, 2.5, 1.0])
    grid[:3, 3] = frame[:3, :3] @ place + frame[:3, 3] + [90, -80, -90]  # axes turned to LAS, voxels of its own
    nib.save(
        nib.Nifti1Image(np.arange(60 * 80 * 72, dtype=np.float32).reshape(60, 80, 72), grid), tmp_path / "like.nii"
    )
    rigid = write_affine(pose, tmp_path / "rigid.mat") if space == "pet" else None
    out = tmp_path / "native.nii.gz"
    to_native(tmp_path / "synthetic.nii.gz", tmp_path / "like.nii", native.affine, native.warp, out, rigid)
    found = nib.load(out)
    assert found.shape == (60, 80, 72)
    assert np.allclose(found.affine, grid)
    data = found.get_fdata()
    centre = np.array([(np.indices(data.shape)[axis] * data).sum() for axis in range(3)]) / data.sum()
    expected = nib.affines.apply_affine(frame, place)
    assert np.linalg.norm(nib.affines.apply_affine(grid, centre) - expected) < 0.3
    assert data.min() == 0
    assert len(calls) == 1
