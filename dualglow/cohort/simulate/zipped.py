"""The archive's zips: images dealt to two of them, the XML in a third, to be merged by whoever reads them."""

import io
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from dualglow.cohort.simulate.archive import Record, write_xml
from dualglow.files import written

IMAGES = ("SYNTHETIC_cohort.zip", "SYNTHETIC_cohort1.zip")
METADATA = "SYNTHETIC_cohort_metadata.zip"
WAITING = Path(".images")  # hidden folder of images that are not yet in a zip
FIRST_T1 = 9_000_011  # lies in both zips, as after two overlapping downloads
STAMP = (2020, 1, 1, 0, 0, 0)  # fixed, so that a cohort is the same whenever it is made


def pack(out: Path, records: list[Record]) -> None:
    """Move the waiting images into the zips, beside what is in them, and write the metadata zip anew.

    T1s are in the first zip and FDG-PETs in the second, so that neither is of use alone.
    """
    for number, name in enumerate(IMAGES):
        images = {path: file for path, file in _files(out / WAITING).items() if number in _zips_of(path)}
        if images or not (out / name).is_file():
            _add(out / name, images)
    shutil.rmtree(out / WAITING, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ADNI").mkdir()
        for of in records:
            write_xml(of, Path(folder) / "ADNI")
        (out / METADATA).unlink(missing_ok=True)
        _add(out / METADATA, _files(Path(folder)))


def _files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}


def _zips_of(path: str) -> tuple[int, ...]:
    """Positions in IMAGES of the zips that an image lies in."""
    image = int(re.findall(r"_I(\d+)\.", path)[-1])
    return (0, 1) if image == FIRST_T1 else ((image + 1) % 2,)


def _add(path: Path, files: dict[str, Path]) -> None:
    """Write a zip of `files` and what it holds already, sorted by name."""
    with written(path) as part, _opened(path) as old, zipfile.ZipFile(part, "w") as new:
        for name in sorted({*files, *old.namelist()}):
            content = files[name].read_bytes() if name in files else old.read(name)
            new.writestr(zipfile.ZipInfo(name, STAMP), content, zipfile.ZIP_DEFLATED, compresslevel=1)


def _opened(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path) if path.is_file() else zipfile.ZipFile(io.BytesIO(), "w")
