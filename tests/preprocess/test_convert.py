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


def test_one_dicom_slice_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    with pytest.raises(InputError, match=r"one DICOM slice.*Give the folder"):
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


@pytest.mark.parametrize("value", [0, 7])
def test_case_33_all_voxels_alike(tmp_path: Path, value: int) -> None:
    with pytest.raises(InputError, match=rf"a\.nii: all voxels have the same value \({value}"):
        convert([_image(tmp_path / "a.nii", np.full((25, 25, 25), value))], "pet", tmp_path / "out.nii.gz")


def test_case_31_negative_voxels_of_a_pet_become_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = _noise(25, 25, 25)
    data[:, :, 0] = -1
    path = _image(tmp_path / "a.nii", data)
    convert([path], "pet", tmp_path / "pet.nii.gz")
    convert([path], "t1", tmp_path / "t1.nii.gz")
    pet, t1 = (nib.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in ("pet", "t1"))
    assert (pet.min(), t1.min()) == (0, -1)
    assert caplog.text == ""
    data[10:13] = -1
    convert([_image(tmp_path / "b.nii", data)], "pet", tmp_path / "pet.nii.gz")
    assert "b.nii" in caplog.text
    assert "negative" in caplog.text


def test_case_32_overflowed_integers(tmp_path: Path) -> None:
    bright = np.linspace(0, 40_000, 25**3).reshape(25, 25, 25)
    wrapped = nib.Nifti1Image(bright.astype(np.int64).astype(np.int16), AFFINE)
    nib.save(wrapped, tmp_path / "wrapped.nii")
    with pytest.raises(InputError, match=r"wrapped\.nii: its values run from -3276. to 3276.*overflowed"):
        convert([tmp_path / "wrapped.nii"], "pet", tmp_path / "out.nii.gz")


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_case_32_any_scale_is_read_as_it_is(tmp_path: Path, scale: float) -> None:
    """Integers with a slope span their whole range, which is no overflow."""
    data = scale * _noise(25, 25, 25)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    convert([tmp_path / "a.nii"], "pet", tmp_path / "out.nii.gz")
    assert np.allclose(nib.load(tmp_path / "out.nii.gz").get_fdata(), data, rtol=1e-3)


def test_case_27_no_orientation_is_las_with_the_origin_in_the_middle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = nib.Nifti1Image(_noise(25, 30, 35).astype(np.float32), None)
    image.header.set_zooms((4, 4, 4))
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    convert([tmp_path / "a.nii"], "t1", tmp_path / "out.nii.gz")
    out = nib.load(tmp_path / "out.nii.gz")
    assert np.array_equal(out.get_fdata()[::-1], np.asarray(image.dataobj))
    assert np.allclose(out.affine @ [12, 14.5, 17, 1], [0, 0, 0, 1])
    assert "nothing of left and right" in caplog.text


def test_case_28_the_sform_is_taken_where_the_forms_differ(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_noise(25, 30, 35).astype(np.float32), AFFINE)
    moved = AFFINE.copy()
    moved[:3, 3] = 10, -20, 30
    image.set_sform(moved, 2)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    convert([tmp_path / "a.nii"], "t1", tmp_path / "out.nii.gz")
    assert np.allclose(nib.load(tmp_path / "out.nii.gz").affine, moved)


@pytest.mark.parametrize("seed", range(8))
def test_case_33_nonsense_in_the_header_is_one_line(tmp_path: Path, seed: int) -> None:
    """Random bytes over the first part of a header: an error for the user or a whole image, never a traceback."""
    content = bytearray(_image(tmp_path / "a.nii", _noise(25, 25, 25)).read_bytes())
    rng = np.random.default_rng(seed)
    content[40:120] = rng.bytes(80)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(InputError) as caught:
        convert([tmp_path / "a.nii"], "pet", tmp_path / "out.nii.gz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("axis", [1, 3])
def test_case_33_an_axis_of_no_length_or_nothing_but_nan_is_one_line(tmp_path: Path, axis: int) -> None:
    content = bytearray(_image(tmp_path / "a.nii", _noise(25, 25, 25)).read_bytes())
    content[40 + 2 * axis : 42 + 2 * axis] = bytes(2)  # dim[axis]
    (tmp_path / "a.nii").write_bytes(content)
    for path in (tmp_path / "a.nii", _image(tmp_path / "nan.nii", np.full((25, 25, 25), np.nan))):
        with pytest.raises(InputError, match=path.name) as caught:
            convert([path], "pet", tmp_path / "out.nii.gz")
        assert "\n" not in str(caught.value)
