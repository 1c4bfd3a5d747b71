"""The records, their tables and the parsing of single values."""

import gzip
from datetime import date
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualglow.cohort.levels import other_tracer, pet_level, rank, t1_level
from dualglow.cohort.scan import (
    MRI,
    SCAN_COLUMNS,
    Scan,
    header_problem,
    parse_age,
    parse_date,
    parse_group,
    parse_sex,
    read_scans,
    scans_to_table,
)
from dualglow.errors import InputError
from dualglow.files import write_table


def test_tables_keep_every_field(tmp_path: Path) -> None:
    scans = [
        Scan(
            "I1",
            "002_S_0001",
            "MRI",
            "MPRAGE",
            "original",
            "",
            date(2006, 1, 2),
            "csv",
            "2",
            "CN",
            "F",
            75.3833,
            ("a",),
        ),
        Scan("2", "12", "PET", "x; [y], z", "raw", "FDG", None, "", "", "", "", None, ("a b", "c,d"), "no_date", "why"),
    ]
    write_table(scans_to_table(scans), tmp_path / "scans.tsv")
    assert read_scans(tmp_path / "scans.tsv") == scans
    header, *_, last = (tmp_path / "scans.tsv").read_text().splitlines()
    assert header.split("\t") == SCAN_COLUMNS
    assert last.split("\t")[6] == "n/a"


def test_a_table_of_one_scan_with_numbers_for_names(tmp_path: Path) -> None:
    scan = Scan("7", "007", "MRI", visit="02", paths=("x",))
    write_table(scans_to_table([scan]), tmp_path / "scans.tsv")
    assert read_scans(tmp_path / "scans.tsv") == [scan]


def test_a_wrong_value_in_scans_tsv_is_named(tmp_path: Path) -> None:
    text = scans_to_table([Scan("I1", "s", "MRI")]).assign(date="yesterday")
    write_table(text, tmp_path / "scans.tsv")
    with pytest.raises(InputError, match=r"scans\.tsv: row of I1: .*yesterday"):
        read_scans(tmp_path / "scans.tsv")


def test_a_path_with_the_separator_is_refused() -> None:
    with pytest.raises(InputError, match="';'"):
        scans_to_table([Scan("I1", "s", "MRI", paths=("a;b",))])


@pytest.mark.parametrize(
    "text", ["8/10/2021", "08/10/2021", "8/10/21", "2021-08-10", "2021-08-10T09:30:00", "20210810"]
)
def test_dates(text: str) -> None:
    assert parse_date(text) == date(2021, 8, 10)


@pytest.mark.parametrize("text", ["13/05/2010", "2010-13-05", "May 2010", "1"])
def test_not_dates(text: str) -> None:
    with pytest.raises(ValueError, match="not a date"):
        parse_date(text)


def test_missing_values() -> None:
    assert parse_date(" n/a ") is None
    assert [parse_age(text) for text in ("75.38", "89+", "0", "150", "", "n/a")] == [
        75.38,
        89.0,
        None,
        None,
        None,
        None,
    ]
    assert [parse_sex(text) for text in ("F", "male", "X", "Female ")] == ["F", "M", "", "F"]
    assert [parse_group(text) for text in ("emci", "Dementia", "Patient", "")] == ["EMCI", "AD", "", ""]


@pytest.mark.parametrize(
    ("description", "level"),
    [
        ("ADNI Brain PET: Raw FDG", "raw"),
        ("ADNI Brain PET: Raw", "raw"),
        ("Dy1_[F-18]FDG_4i_16s", "raw"),
        ("Co-registered Dynamic", "coregdyn"),
        ("Co-registered, Averaged", "coregavg"),
        ("Coreg, Avg, Standardized Image and Voxel Size", "coregstd"),
        ("Coreg, Avg, Std Img and Vox Siz, Uniform Resolution", "coregiso"),
        ("Coreg,_Avg,_Std_Img_and_Vox_Siz,_Uniform_Resolution", "coregiso"),
        ("Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res", None),
        ("AV45 Coreg, Avg, Std Img and Vox Siz, Uniform Resolution", None),
        ("PIB Co-registered, Averaged", None),
        ("AV45 Co-registered Dynamic", None),
        ("ADNI Brain PET: Raw AV45", None),
        ("early Co-registered Dynamic", None),
    ],
)
def test_fdg_levels(description: str, level: str | None) -> None:
    assert pet_level(description) == level


def test_other_tracers_are_named() -> None:
    names = [
        "AV45 Co-registered, Averaged",
        "ADNI Brain PET: Raw AV-1451",
        "Florbetapir PET",
        "Co-registered, Averaged",
    ]
    assert [other_tracer(name) for name in names] == ["AV45", "AV1451", "FLORBETAPIR", ""]


@pytest.mark.parametrize(
    ("description", "level"),
    [
        ("MPR; GradWarp; B1 Correction; N3; Scaled", "scaled"),
        ("MPR; GradWarp; B1 Correction; N3; Scaled_2", "scaled2"),
        ("MPR-R; GradWarp; B1 Correction; N3; Scaled", "scaled"),
        ("MPR; GradWarp; N3; Scaled", "scaled"),
        ("MPR; ; N3; Scaled", "scaled"),
        ("MPR; GradWarp; B1 Correction; N3", "n3"),
        ("MT1; GradWarp; N3m <- MP-RAGE", "n3"),
        ("MT1; N3m", "n3"),
        ("MPR; GradWarp; B1 Correction", "gradwarp"),
        ("MPRAGE", "original"),
        ("MP-RAGE", "original"),
        ("MP RAGE", "original"),
        ("MPRAGE_ Sag  - NO ANGLE=", "original"),
        ("ADNI-R11-ASASO-MPRAGE(2", "original"),
        ("ASO-MPRAGE", "original"),
        ("SAG IR-SPGR", "original"),
        ("IR-FSPGR", "original"),
        ("Sag Accel IR-FSPGR", "accelerated"),
        ("Accelerated Sagittal MPRAGE", "accelerated"),
        ("MPRAGE GRAPPA2", "accelerated"),
        ("MPRAGE SENSE2", "accelerated"),
        ("MP-RAGE REPEAT", "repeat"),
        ("Accelerated Sagittal MPRAGE_ND", "nd"),
        ("MPRAGE localizer", None),
        ("3-plane localizer", None),
        ("Axial T2 STAR", None),
        ("Sagittal 3D FLAIR", None),
        ("B1-calibration PA", None),
        ("Field Mapping", None),
        ("MPRAGE Mask", None),
        ("MPRAGE Phantom", None),
        ("FreeSurfer Cross-Sectional Processing brainmask", None),
        ("Spatially Normalized, Masked and N3 corrected T1 image", None),
        ("MT1", None),
    ],
)
def test_t1_descriptions(description: str, level: str | None) -> None:
    assert t1_level(description) == level


def test_t1_ranking() -> None:
    best_first = [
        "MPR; GradWarp; B1 Correction; N3; Scaled_2",
        "MPR; GradWarp; B1 Correction; N3; Scaled",
        "MPR-R; GradWarp; B1 Correction; N3; Scaled",
        "MPR; GradWarp; N3; Scaled",
        "MT1; N3m",
        "MPR; GradWarp; B1 Correction",
        "MPR; GradWarp",
        "MPRAGE",
        "MPRAGE SENSE2",
        "MPRAGE REPEAT",
        "MPRAGE_ND",
    ]
    scans = [Scan("I1", "s", MRI, name, t1_level(name) or "") for name in best_first]
    worst_first = scans[::-1]
    assert sorted(worst_first, key=rank) == scans


def damaged(folder: Path) -> dict[str, Path]:
    whole = nib.Nifti1Image(np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.int16), np.eye(4) * 2)
    nib.save(whole, folder / "whole.nii")
    content = (folder / "whole.nii").read_bytes()
    (folder / "cut.nii").write_bytes(content[:-1])
    (folder / "empty.nii").touch()
    (folder / "header.nii.gz").write_bytes(gzip.compress(content[:300]))
    (folder / "cut.nii.gz").write_bytes(gzip.compress(content)[:40])
    (folder / "corrupt.nii.gz").write_bytes(gzip.compress(content)[:20] + b"\xff" * 60)
    (folder / "plain.nii.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 9)
    (folder / "text.nii").write_text("not an image" * 99)
    nib.save(nib.Nifti1Image(np.zeros((3, 3), np.uint8), np.eye(4)), folder / "flat.nii")
    return {path.name: path for path in folder.iterdir() if path.name != "whole.nii"}


def test_damaged_files_are_found_by_header_and_size(tmp_path: Path) -> None:
    problems = {name: header_problem(path) for name, path in damaged(tmp_path).items()}
    assert len(problems) == 8
    assert all(name in problem for name, problem in problems.items())
    assert "cut short" in problems["cut.nii"]
    assert header_problem(tmp_path / "whole.nii") == ""
    assert header_problem(tmp_path / "absent.nii")
