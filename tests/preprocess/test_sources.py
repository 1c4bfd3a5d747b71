"""Images in zips, as Analyze pairs and as DICOM slices; left and right, scale and place against the truth."""

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

from dualglow.errors import InputError
from dualglow.preprocess.convert import convert
from dualglow.preprocess.sources import split
from tests.dicom_slices import AXIAL, slice_affine, write_slices

BLOB = np.array([-24.0, 11.0, 17.0])  # RAS+ mm: left, front, above
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = tuple(Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()[:, :2].T.ravel().round(8).tolist())


def head(affine: np.ndarray, shape: tuple[int, ...] = (50, 52, 46)) -> np.ndarray:
    """A ball around the origin of the world and one bright blob, on any grid."""
    points = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    ball = 100.0 * (np.linalg.norm(points, axis=-1) < 45)
    return 20 + ball + 900.0 * np.exp(-(((points - BLOB) / 5) ** 2).sum(axis=-1))


def centred(axes: np.ndarray, shape: tuple[int, ...] = (50, 52, 46)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.array(shape) - 1) / 2)
    return affine


def where_blob_is(path: Path) -> np.ndarray:
    """World coordinates (RAS+, mm) of the bright voxels' centre, by the array's index order and its affine alone."""
    image = nib.load(path)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    data = image.get_fdata()
    bright = np.argwhere(data > data.max() / 2)
    return apply_affine(image.affine, bright).mean(axis=0)


def reoriented(axes: str) -> nib.Nifti1Image:
    """The head with voxel axes that run as `axes`; its world is the same."""
    affine = centred(np.diag([2.5, 2.5, 2.5]))
    image = nib.Nifti1Image(head(affine).astype(np.float32), affine)
    return image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axes))))


@pytest.mark.parametrize("axes", ["RAS", "LAS", "PIR", "LPS", "ASL"])
def test_case_29_left_stays_left_for_any_axes(axes: str, tmp_path: Path) -> None:
    image = reoriented(axes)
    assert nib.aff2axcodes(image.affine) == tuple(axes)
    nib.save(image, tmp_path / "in.nii")
    convert([tmp_path / "in.nii"], "t1", tmp_path / "out.nii.gz")
    assert np.allclose(where_blob_is(tmp_path / "out.nii.gz"), BLOB, atol=1.0)


def test_case_29_left_stays_left_for_oblique_axes(tmp_path: Path) -> None:
    axes = Rotation.from_euler("xyz", [12, -9, 20], degrees=True).as_matrix() @ np.diag([-2.5, 2.5, 2.5])
    affine = centred(axes)
    nib.save(nib.Nifti1Image(head(affine).astype(np.float32), affine), tmp_path / "in.nii.gz")
    convert([tmp_path / "in.nii.gz"], "pet", tmp_path / "out.nii.gz")
    assert np.allclose(where_blob_is(tmp_path / "out.nii.gz"), BLOB, atol=1.0)


@pytest.mark.parametrize("directions", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
def test_case_26_dicom_keeps_place_and_the_scale_of_every_slice(directions: tuple[float, ...], tmp_path: Path) -> None:
    spacing = (2.5, 2.0, 3.0)
    axes = slice_affine(spacing, directions)[:3, :3]
    corner = np.diag([-1, -1, 1.0]) @ centred(axes)[:3, 3]  # LPS+; the blob then lies inside
    affine = slice_affine(spacing, directions, tuple(corner))
    truth = head(affine) * np.linspace(1, 40, 46)  # so that every slice needs its own slope
    write_slices(tmp_path / "a, b [1]", truth, 5, spacing, directions, tuple(corner))
    convert([Path(f"{tmp_path}/a, b [1]!/I5")], "pet", tmp_path / "out.nii.gz")
    out = nib.load(tmp_path / "out.nii.gz")
    assert nib.aff2axcodes(out.affine) == ("R", "A", "S")
    indices = np.moveaxis(np.indices(truth.shape), 0, -1)
    places = apply_affine(np.linalg.inv(out.affine) @ affine, indices)
    assert np.allclose(places, places.round(), atol=0.01)
    found = out.get_fdata()[tuple(np.moveaxis(places.round().astype(int), -1, 0))]
    half_step = truth.max(axis=(0, 1)) / 20_000 / 2  # of each slice's integers: what writing them loses
    assert np.all(np.abs(found - truth) <= 1.01 * half_step)


def test_case_25_slices_of_another_image_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    truth = head(centred(np.diag([-2.5, -2.5, 2.5])))
    write_slices(tmp_path / "both", truth, 5, pet=False)
    write_slices(tmp_path / "both", 3 * truth[:, :, :40], 15, pet=False)
    convert([tmp_path / "both!/I5"], "t1", tmp_path / "out.nii.gz")
    convert([tmp_path / "both!/I15"], "t1", tmp_path / "other.nii.gz")
    assert nib.load(tmp_path / "out.nii.gz").shape == truth.shape
    assert nib.load(tmp_path / "other.nii.gz").shape[2] == 40
    with pytest.raises(InputError, match=r"both: holds no DICOM slices of I7\."):
        convert([tmp_path / "both!/I7"], "t1", tmp_path / "none.nii.gz")


def test_case_24_a_missing_slice_stops_the_conversion(tmp_path: Path) -> None:
    write_slices(tmp_path / "gap", head(centred(np.diag([-2.5, -2.5, 2.5]))), skip=(20,))
    with pytest.raises(InputError, match=r"gap!/I5: dcm2niix made .* images .* Slices may be missing") as caught:
        convert([tmp_path / "gap!/I5"], "pet", tmp_path / "out.nii.gz")
    assert "\n" not in str(caught.value)


def test_a_plain_folder_of_slices_and_what_is_no_dicom(tmp_path: Path) -> None:
    write_slices(tmp_path / "slices", head(centred(np.diag([-2.5, -2.5, 2.5]))), pet=False)
    convert([tmp_path / "slices"], "t1", tmp_path / "out.nii.gz")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a_I5.dcm").write_text("text")
    with pytest.raises(InputError, match=r"text!/I5: dcm2niix made 0 images of 1 DICOM slices"):
        convert([tmp_path / "text!/I5"], "t1", tmp_path / "none.nii.gz")


def analyze(data: np.ndarray) -> nib.AnalyzeImage:
    header = nib.AnalyzeHeader()
    header.set_data_shape(data.shape)
    header.set_zooms((2.5, 2.5, 2.5))
    return nib.AnalyzeImage(data, None, header)


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive


def test_members_of_a_zip_convert_as_the_files_do(tmp_path: Path) -> None:
    source = tmp_path / "in" / "ADNI, [x]"
    source.mkdir(parents=True)
    image = reoriented("LAS")
    nib.save(image, source / "a.nii")
    nib.save(image, source / "b.nii.gz")
    nib.save(analyze(np.asarray(image.dataobj)), source / "c.img")
    write_slices(source / "leaf", head(centred(np.diag([-2.5, -2.5, 2.5]))), pet=False)
    archive = zipped(tmp_path / "in", tmp_path / "some.zip")
    before = sorted(path for path in tmp_path.rglob("*"))
    for inner in ("a.nii", "b.nii.gz", "c.img", "leaf!/I5"):
        convert([source / inner], "t1", tmp_path / "plain" / "out.nii.gz")
        convert([Path(f"{archive}!/ADNI, [x]/{inner}")], "t1", tmp_path / "zip" / "out.nii.gz")
        plain, member = (nib.load(tmp_path / name / "out.nii.gz") for name in ("plain", "zip"))
        assert np.array_equal(plain.get_fdata(), member.get_fdata())
        assert np.allclose(plain.affine, member.affine)
    after = sorted(path for path in tmp_path.rglob("*") if not {"plain", "zip"} & set(path.relative_to(tmp_path).parts))
    assert before == after  # nothing is left beside the input


def test_case_27_analyze_is_taken_as_las_and_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same array as NIfTI with LAS axes about the centre is the independent statement of what LAS means."""
    affine = centred(np.diag([-2.5, 2.5, 2.5]))
    data = head(affine).astype(np.float32)
    nib.save(analyze(data), tmp_path / "in.img")
    convert([tmp_path / "in.img"], "t1", tmp_path / "out.nii.gz")
    assert np.allclose(where_blob_is(tmp_path / "out.nii.gz"), BLOB, atol=1.0)
    assert "in.img: its header says nothing of left and right" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.zip!/a.nii", "no such zip"),
        ("broken.zip!/a.nii", "cannot be unpacked"),
        ("good.zip!/b.nii", "cannot be unpacked"),
        ("good.zip!/leaf!/I5", "no slices of this image"),
        ("nowhere!/I5", "no such folder"),
    ],
)
def test_what_is_not_there_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 cut short")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as opened:
        opened.writestr("a.nii", b"x")
    with pytest.raises(InputError, match=message) as caught:
        convert([tmp_path / name], "t1", tmp_path / "out.nii.gz")
    assert "\n" not in str(caught.value)


def test_damage_in_a_zip_names_the_member_not_a_temporary_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as opened:
        opened.writestr("x/a.nii", b"not an image")
    with pytest.raises(InputError) as caught:
        convert([tmp_path / "good.zip!/x/a.nii"], "t1", tmp_path / "out.nii.gz")
    assert str(caught.value).startswith(f"{tmp_path}/good.zip!/x/a.nii: cannot be read to its end")


def test_paths_are_split_into_zip_folder_and_image() -> None:
    assert split("a/b.nii") == ("", "a/b.nii", "")
    assert split("a/b!/I5") == ("", "a/b", "I5")
    assert split("a.zip!/b/c.nii") == ("a.zip", "b/c.nii", "")
    assert split("a.zip!/b/c!/I5") == ("a.zip", "b/c", "I5")
