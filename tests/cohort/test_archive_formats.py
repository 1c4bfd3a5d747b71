"""Odd things in IDA downloads, by their numbers in the list of edge cases: how images are stored, and where."""

import gzip
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dualglow.cohort.ida import Options, is_ida, read_ida
from dualglow.cohort.scan import Scan
from dualglow.preprocess.convert import convert
from tests.cohort.conftest import write_image
from tests.dicom_slices import write_slices

if TYPE_CHECKING:
    from tests.cohort.conftest import IdaTree

SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
UNIFORM = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"
RAW = "ADNI Brain PET: Raw FDG"
DAY, WHO = "1/02/2006", "002_S_0001"
HEAD = 7.0 + np.arange(42 * 50 * 44).reshape(42, 50, 44) % 5


def read(ida: "IdaTree", **options: object) -> dict[str, Scan]:
    ida.write_csv()
    scans = read_ida(ida.root, None, Options(**options))  # type: ignore[arg-type]
    assert len({scan.scan_id for scan in scans}) == len(scans)
    return {scan.scan_id: scan for scan in scans}


def zipped(ida: "IdaTree", name: str = "ADNI.zip") -> Path:
    """Put everything below ADNI/ into a zip, as it is downloaded."""
    archive = ida.root / name
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted((ida.root / "ADNI").rglob("*")):
            opened.write(path, path.relative_to(ida.root))
    shutil.rmtree(ida.root / "ADNI")
    return archive


def test_case_19_geometry_that_is_no_head(ida: "IdaTree") -> None:
    grids = [((200, 200, 3), 1.0), ((60, 60, 60), 3.0), ((200, 200, 99), 1.0), ((60, 60, 60), 2.5)]
    for number, (shape, voxel) in enumerate(grids, start=1):
        write_image(ida.add(number, WHO, DAY, "MPRAGE")[0], shape, voxel)
        write_image(ida.add(number + 10, WHO, DAY, UNIFORM)[0], shape, voxel)
    scans = read(ida)
    assert [scans[f"I{n}"].reason for n in range(1, 5)] == ["geometry", "geometry", "geometry", ""]
    assert [scans[f"I{n}"].reason for n in range(11, 15)] == ["geometry", "", "geometry", ""]
    assert [scans[f"I{n}"].detail.split(";")[0] for n in (1, 2, 3)] == [
        "200 x 200 x 3 voxels",
        "voxels of 3 x 3 x 3 mm",
        "covers 200 x 200 x 99 mm",
    ]


def test_simulated_scans_may_be_coarse(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, DAY, SCALED)
    image = nib.Nifti1Image(np.ones((40, 40, 40), np.uint8), np.diag([4.0, 4, 4, 1]))
    image.header["descrip"] = b"SYNTHETIC"
    nib.save(image, path)
    assert read(ida)["I1"].usable


def test_case_21_frames_in_order_and_counted(ida: "IdaTree") -> None:
    paths = ida.add(1, WHO, DAY, RAW, frames=6)
    ida.add(2, WHO, DAY, RAW, frames=6)[3].unlink()
    ida.write_xml(1, WHO, "75.5", RAW, "2006-01-02")
    write_image(ida.add(3, WHO, DAY, "Co-registered Dynamic")[0], (42, 50, 44, 6))
    write_image(ida.add(4, WHO, DAY, SCALED)[0], (42, 50, 44, 2))
    xml = next((ida.root / "ADNI").glob("*_I1.xml"))
    xml.write_text(xml.read_text().replace("<description>raw", '<protocol term="Number of Frames">7</protocol><x>'))
    xml.write_text(xml.read_text().replace("</description></imagingProtocol>", "</x></imagingProtocol>"))
    scans = read(ida)
    assert scans["I1"].paths == tuple(map(str, paths))
    assert [scans[f"I{n}"].warnings for n in (1, 2, 3)] == ["frame_count", "frames_missing", ""]
    assert [scans[f"I{n}"].reason for n in (1, 2, 3, 4)] == ["", "", "", "geometry"]


def test_case_22_frames_that_do_not_belong_together(ida: "IdaTree") -> None:
    write_image(ida.add(1, WHO, DAY, RAW, frames=3)[2], (42, 50, 45))
    write_image(ida.add(2, WHO, DAY, RAW, frames=3)[1], (42, 50, 44), 2.6)
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["frames_inconsistent"] * 2
    assert scans["I1"].detail == "frame 3 has 42 x 50 x 45 voxels, the first 42 x 50 x 44"


def test_case_23_a_trailing_axis_of_one(ida: "IdaTree") -> None:
    write_image(ida.add(1, WHO, DAY, UNIFORM)[0], (42, 50, 44, 1))
    write_image(ida.add(2, WHO, DAY, SCALED)[0], (42, 50, 44, 1))
    assert [scan.reason for scan in read(ida).values()] == ["", ""]


def dicom(ida: "IdaTree", number: int, folder: Path | None = None, **options: object) -> list[Path]:
    """List an image and write its slices into the folder that the archive would give it."""
    pet = bool(options.get("pet", True))
    (path,) = ida.add(number, WHO, DAY, RAW if pet else "MPRAGE", file=False, Modality="PET" if pet else "MRI")
    return write_slices(folder or path.parent, HEAD, number, **options)  # type: ignore[arg-type]


def test_case_24_dicom_with_a_missing_slice_or_uneven_gaps(ida: "IdaTree") -> None:
    dicom(ida, 1, pet=False)
    dicom(ida, 2, pet=False, skip=(20,))
    dicom(ida, 3, pet=True, skip=(43,))  # the last one: NumberOfSlices tells
    dicom(ida, 4)[7].write_bytes(b"not DICOM")
    dicom(ida, 5)[0].write_bytes(b"")
    cut = dicom(ida, 6)[7]
    cut.write_bytes(cut.read_bytes()[:300])
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", *["dicom_incomplete"] * 2, *["unreadable"] * 3]
    assert scans["I1"].paths[0].endswith("!/I1")
    assert "a gap of 5 mm" in scans["I2"].detail
    assert "43 of 44 slices" in scans["I3"].detail
    assert "_8_S8_I4.dcm" in scans["I4"].detail


def test_case_25_two_images_in_one_folder(ida: "IdaTree", tmp_path: Path) -> None:
    first = dicom(ida, 1, pet=False)
    dicom(ida, 12, folder=first[0].parent, pet=False)
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", ""]
    convert([Path(scans["I1"].paths[0])], "t1", tmp_path / "out.nii.gz")
    assert nib.load(tmp_path / "out.nii.gz").shape == HEAD.shape


def test_one_dicom_file_that_holds_all_slices(ida: "IdaTree") -> None:
    """Enhanced DICOM: the number of frames and the spacing stand in the one header."""
    for number, spacing in ((1, 1.0), (2, 4.0)):
        path, *others = dicom(ida, number, pet=False)
        header = dcmread(path)
        measures, shared = Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = [2.5, 2.5], spacing
        shared.PixelMeasuresSequence = [measures]
        header.NumberOfFrames, header.SharedFunctionalGroupsSequence = 120, [shared]
        header.save_as(path)
        for other in others:
            other.unlink()
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", "geometry"]
    assert "voxels of 2.5 x 2.5 x 4 mm" in scans["I2"].detail


def test_dicom_frames_over_time(ida: "IdaTree") -> None:
    """A dynamic PET has a slice per place and frame; where some are missing the frames are not whole."""
    for number in (1, 2):
        paths = dicom(ida, number)
        for path in paths[: 44 if number == 1 else 20]:
            slice_number = int(path.name.split("_")[-3])
            shutil.copy(path, path.with_name(path.name.replace(f"_{slice_number}_S", f"_{slice_number + 44}_S")))
    write_image(ida.add(3, WHO, DAY, RAW)[0])
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", "dicom_incomplete", ""]
    assert "64 slices at 44 places" in scans["I2"].detail


def analyze(path: Path) -> None:
    header = nib.AnalyzeHeader()
    header.set_data_shape(HEAD.shape)
    header.set_zooms((2.5, 2.5, 2.5))
    path.parent.mkdir(parents=True)
    nib.save(nib.AnalyzeImage(HEAD.astype(np.int16), None, header), path)


def test_case_27_no_orientation(ida: "IdaTree") -> None:
    image = nib.Nifti1Image(np.ones((42, 50, 44), np.uint8), None)
    image.header.set_zooms((2.5, 2.5, 2.5))
    nib.save(image, ida.add(1, WHO, DAY, SCALED)[0])
    analyze(ida.add(2, WHO, DAY, UNIFORM, extension="img", file=False)[0])
    (lone,) = ida.add(3, WHO, DAY, UNIFORM, extension="img", file=False)
    analyze(lone)
    lone.with_suffix(".hdr").unlink()
    (cut,) = ida.add(4, WHO, DAY, UNIFORM, extension="img", file=False)
    analyze(cut)
    cut.write_bytes(cut.read_bytes()[:-1])
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["", "", "unreadable", "unreadable"]
    assert [scans[name].warnings for name in ("I1", "I2")] == ["orientation_assumed"] * 2
    assert "header (.hdr) is not there" in scans["I3"].detail
    assert [scan.reason for scan in read(ida, strict=True).values()][:2] == ["orientation_assumed"] * 2


def test_case_28_forms_that_differ(ida: "IdaTree") -> None:
    image = nib.Nifti1Image(np.ones((42, 50, 44), np.uint8), np.diag([2.5, 2.5, 2.5, 1]))
    image.set_qform(np.diag([-2.5, 2.5, 2.5, 1]), 1)
    nib.save(image, ida.add(1, WHO, DAY, SCALED)[0])
    scan = read(ida)["I1"]
    assert (scan.usable, scan.warnings) == (True, "qform_sform_differ")


def test_case_33_damage_is_a_reason_never_a_traceback(ida: "IdaTree") -> None:
    rng = np.random.default_rng(0)
    whole = ida.add(1, WHO, DAY, SCALED)[0].read_bytes()
    packed = gzip.compress(rng.integers(0, 9, len(whole) - 352, np.uint8).tobytes())
    noise = [whole[:40] + rng.bytes(80) + whole[120:] for _ in range(9)]
    contents = [b"", whole[:-1], whole[:300], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"]
    contents += [bytes(352), b"\xff" * 999, rng.bytes(999), *noise]
    for number, content in enumerate(contents, start=2):
        ida.add(number, WHO, DAY, SCALED)[0].write_bytes(content)
    good = gzip.compress(whole[:352] + rng.integers(0, 9, len(whole) - 352, np.uint8).tobytes())
    damaged = [good[:-9000], good[:30], packed, b"\x1f\x8b\x08broken", whole]
    for number, content in enumerate(damaged, start=50):
        ida.add(number, WHO, DAY, SCALED, extension="nii.gz")[0].write_bytes(content)
    ida.add(60, WHO, DAY, SCALED, extension="nii.gz")[0].write_bytes(good)
    (link,) = ida.add(61, WHO, DAY, SCALED)
    link.unlink()
    link.symlink_to(".git/annex/objects/absent")
    scans = read(ida)
    assert scans["I1"].usable
    assert scans["I60"].usable
    wrong = [scan for name, scan in scans.items() if name not in ("I1", "I60")]
    assert {scan.reason for scan in wrong} <= {"unreadable", "geometry"}
    assert [scans[f"I{n}"].reason for n in (2, 3, 4, 5, 6, 7, 8, 50, 51, 52, 53, 54, 61)] == ["unreadable"] * 13
    assert all(scan.detail and "\n" not in scan.detail for scan in wrong)
    assert "Git LFS" in scans["I5"].detail


def test_zips_are_read_in_place(ida: "IdaTree", tmp_path: Path) -> None:
    for number, name, extension in ((1, SCALED, "nii"), (2, UNIFORM, "nii.gz")):
        image = nib.Nifti1Image(HEAD.astype(np.int16), np.diag([2.5, 2.5, 2.5, 1]))
        nib.save(image, ida.add(number, WHO, DAY, name, extension=extension)[0])
    analyze(ida.add(3, WHO, DAY, UNIFORM, extension="img", file=False)[0])
    dicom(ida, 4, pet=False)
    ida.add(5, WHO, DAY, UNIFORM)[0].write_bytes(b"")
    ida.write_xml(1, WHO, "75.3833", SCALED, "2006-01-02")
    archive = zipped(ida)
    (ida.root / "cut.zip").write_bytes(archive.read_bytes()[:5000])
    before = sorted(ida.root.rglob("*"))
    assert is_ida(ida.root)
    scans = read(ida)
    assert [scans[f"I{n}"].reason for n in range(1, 6)] == ["", "", "", "", "unreadable"]
    assert (scans["cut.zip"].reason, scans["I1"].age) == ("unreadable", 75.3833)
    assert all(path.startswith(f"{archive}!/ADNI/{WHO}/") for n in range(1, 6) for path in scans[f"I{n}"].paths)
    for number in range(1, 5):
        out = tmp_path / f"{number}.nii.gz"
        kind = "t1" if scans[f"I{number}"].modality == "MRI" else "pet"
        convert([Path(path) for path in scans[f"I{number}"].paths], kind, out)
        assert nib.load(out).get_fdata().sum() == pytest.approx(HEAD.sum(), rel=1e-3)
    assert sorted(ida.root.rglob("*")) == sorted([*before, ida.root / "cohort_1_02_2024.csv"])


def test_case_11_one_image_in_two_zips_and_unzipped(ida: "IdaTree") -> None:
    (path,) = ida.add(1, WHO, DAY, SCALED)
    content = path.read_bytes()
    first = zipped(ida)
    shutil.copy(first, ida.root / "again.zip")
    assert read(ida)["I1"].paths[0].startswith(f"{first}!/")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert read(ida)["I1"].paths == (str(path),)
    path.write_bytes(content[:-1] + b"\0")
    assert read(ida)["I1"].reason == "duplicate_differs"


def test_interfile_and_ecat_are_named(ida: "IdaTree") -> None:
    for number, extension in ((1, "i"), (2, "v")):
        (path,) = ida.add(number, WHO, DAY, RAW, extension=extension, file=False)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    scans = read(ida)
    assert [scan.reason for scan in scans.values()] == ["format_unknown"] * 2
    assert UNIFORM in scans["I1"].detail
