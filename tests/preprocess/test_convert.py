"""Reading scans: damage, frames, orientation, geometry."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualglow.errors import InputError
from dualglow.preprocess.convert import convert

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def _image(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, shape)


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    whole = _image(tmp_path / "whole.nii.gz", _noise(30, 30, 30))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cut\.nii\.gz: cannot be read to its end") as caught:
        convert([cut], "t1", tmp_path / "out.nii.gz")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.nii.gz").exists()


def test_damage_after_the_last_voxel_is_found_by_the_checksum(tmp_path: Path) -> None:
    whole = _image(tmp_path / "whole.nii.gz", _noise(30, 30, 30)).read_bytes()
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    with pytest.raises(InputError, match="cannot be read to its end"):
        convert([damaged], "t1", tmp_path / "out.nii.gz")


def test_a_plain_nii_cut_short(tmp_path: Path) -> None:
    whole = _image(tmp_path / "whole.nii", _noise(30, 30, 30)).read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="cannot be read to its end"):
        convert([tmp_path / "cut.nii"], "pet", tmp_path / "out.nii.gz")


def test_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "text.nii.gz"
    path.write_bytes(gzip.compress(b"hello"))
    with pytest.raises(InputError, match="cannot be read"):
        convert([path], "t1", tmp_path / "out.nii.gz")


def test_dicom_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    with pytest.raises(InputError, match="dcm2niix"):
        convert([tmp_path / "a.dcm"], "t1", tmp_path / "out.nii.gz")


def test_frames_are_averaged_alike_from_4d_and_from_files(tmp_path: Path) -> None:
    frames = _noise(25, 25, 25, 3)
    series = _image(tmp_path / "series.nii.gz", frames)
    files = [_image(tmp_path / f"f{i}.nii.gz", frames[..., i]) for i in range(3)]
    convert([series], "pet", tmp_path / "a.nii.gz")
    convert(files, "pet", tmp_path / "b.nii.gz")
    a, b = (nib.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in "ab")
    assert np.array_equal(a, b)
    assert np.allclose(a, frames.mean(-1), atol=1e-6)


def test_frames_of_different_shapes(tmp_path: Path) -> None:
    files = [_image(tmp_path / "a.nii.gz", _noise(25, 25, 25)), _image(tmp_path / "b.nii.gz", _noise(25, 25, 26))]
    with pytest.raises(InputError, match=r"b\.nii\.gz.*same shape"):
        convert(files, "pet", tmp_path / "out.nii.gz")


def test_a_t1_of_several_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 frames or files for a T1"):
        convert([_image(tmp_path / "a.nii.gz", _noise(25, 25, 25, 2))], "t1", tmp_path / "out.nii.gz")


def test_trailing_axis_is_dropped_and_orientation_becomes_ras(tmp_path: Path) -> None:
    data = _noise(25, 30, 35, 1)
    las = np.array([[0, 0, -4.0, 60], [-4.0, 0, 0, 50], [0, 4.0, 0, -40], [0, 0, 0, 1]])
    convert([_image(tmp_path / "a.nii.gz", data, las)], "t1", tmp_path / "out.nii.gz")
    out = nib.load(tmp_path / "out.nii.gz")
    assert nib.aff2axcodes(out.affine) == ("R", "A", "S")
    assert np.allclose(out.get_qform(), out.affine)
    voxel = np.array([3, 7, 11])
    back = np.linalg.inv(out.affine) @ las @ [*voxel, 1]
    assert out.get_fdata()[tuple(back[:3].round().astype(int))] == pytest.approx(data[3, 7, 11, 0], abs=1e-6)


def test_a_few_nan_become_zero_and_many_are_refused(tmp_path: Path) -> None:
    data = _noise(25, 25, 25)
    data[0, 0, 0] = np.nan
    convert([_image(tmp_path / "few.nii.gz", data)], "pet", tmp_path / "out.nii.gz")
    assert nib.load(tmp_path / "out.nii.gz").get_fdata()[0, 0, 0] == 0
    data[:2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        convert([_image(tmp_path / "many.nii.gz", data)], "pet", tmp_path / "out2.nii.gz")


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([40.0, 4, 4, 1]), "voxels of"),
        (np.diag([1.0, 4, 4, 1]), "covers"),
        (np.array([[4, 2.0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]]), "sheared"),
    ],
)
def test_geometry_that_is_no_head(tmp_path: Path, affine: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert([_image(tmp_path / "a.nii.gz", _noise(25, 25, 25), affine)], "t1", tmp_path / "out.nii.gz")
