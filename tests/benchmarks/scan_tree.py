"""`dualglow scan` on a download of 20,000 files: 806 people, T1s, FDG-PETs of several levels, frames, XML, a table.

The voxels are zeros that take no room on disk (sparse, or compressed), the headers and sizes are real. Each run is a
process of its own; files opened are counted by an audit hook of the interpreter, not by dualglow. The first run reads
a tree that was written just before, so that the disk itself is hardly measured.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualglow.cohort.simulate.archive import Record

PEOPLE, VISITS, TOUCHED = 806, ("bl", "m12", "m24"), 10
GROUPS = ("CN", "SMC", "EMCI", "MCI", "LMCI", "AD")
RAW, NATIVE, STANDARD = (166, 256, 256), (128, 128, 63), (160, 160, 96)  # voxels
SPACINGS = {RAW: (1.2, 0.94, 0.94), NATIVE: (2.06, 2.06, 2.43), STANDARD: (1.5, 1.5, 1.5)}  # mm
# Description, type, shape, files per image, suffix.
T1S = [
    ("MPRAGE", "Original", RAW, 1, ".nii"),
    ("MPR; GradWarp; B1 Correction; N3; Scaled", "Processed", RAW, 1, ".nii"),
    ("MPR-R; GradWarp; B1 Correction; N3; Scaled", "Processed", RAW, 1, ".nii"),
]
PETS = [
    ("Co-registered Dynamic", "Processed", NATIVE, 6, ".nii"),
    ("Co-registered, Averaged", "Processed", NATIVE, 1, ".nii.gz"),
    ("Coreg, Avg, Standardized Image and Voxel Size", "Processed", STANDARD, 1, ".nii.gz"),
    ("Coreg, Avg, Std Img and Vox Siz, Uniform Resolution", "Processed", STANDARD, 1, ".nii.gz"),
]
PER_VISIT = sum(kind[3] + 1 for kind in (*T1S, *PETS))  # with one XML per image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="files of the tree, about")
    parser.add_argument("--scan", nargs=2, metavar=("ROOT", "OUT"), help="scan this tree, here and now, and print JSON")
    options = parser.parse_args()
    if options.scan:
        print(json.dumps(measured(*options.scan)))
        return
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), options.files)


def report(folder: Path, wanted: int) -> None:
    from tests.benchmarks.report import load, machine, table

    root = folder / "download"
    images = grow(root, wanted)
    files = [path for path in root.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e9
    print(f"dualglow scan: {len(files)} files, {images} images, {size:.0f} GB if they were not empty")
    print(f"{machine()} · {load()}\n")
    rows = [in_its_own_process("first", root, folder), in_its_own_process("second", root, folder)]
    voxels = sorted(path for path in files if path.name.endswith((".nii", ".nii.gz")))
    touched = voxels[:: len(voxels) // TOUCHED][:TOUCHED]
    for path in touched:
        os.utime(path, (time.time() + 60, time.time() + 60))
    rows.append(in_its_own_process(f"after touching {len(touched)} images", root, folder))
    print(table(rows))


def in_its_own_process(name: str, root: Path, folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.benchmarks.scan_tree", "--scan", str(root), str(folder / "scans.tsv")]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall = time.perf_counter() - start
    return {"run": name, "wall (s)": wall, **json.loads(done.stdout.splitlines()[-1])}


def measured(root: str, out: str) -> dict[str, object]:
    """Scan and give CPU time, peak memory, and how many images and XMLs were opened."""
    opened: set[str] = set()

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and str(arguments[0]).startswith(root):
            opened.add(str(arguments[0]))

    sys.addaudithook(note)
    from dualglow.cli.app import app

    app(["scan", root, "--out", out], standalone_mode=False)
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    images = sum(path.endswith((".nii", ".nii.gz")) for path in opened)
    return {
        "CPU (s)": time.process_time(),
        "peak memory (MB)": int(peak[1]) * 1024 / 1e6 if peak else float("nan"),
        "images opened": images,
        "XMLs opened": sum(path.endswith(".xml") for path in opened),
    }


def grow(root: Path, wanted: int) -> int:
    """Write the tree; gives the number of images."""
    from dualglow.cohort.simulate.archive import COLLECTION, write_collection, write_xml

    contents = {shape: header(shape) for shape in SPACINGS}
    (root / "ADNI").mkdir(parents=True)
    (root / "README.md").write_text("# SYNTHETIC\n\nEmpty images; no scan here is of a real person.\n")
    records = []
    for of, shape, count, suffix in listed(wanted):
        folder = root / "ADNI" / of.folder
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            write_empty(folder / of.file_name(number if count > 1 else None, suffix), contents[shape], shape)
        write_xml(of, root / "ADNI")
        records.append(of)
    write_collection(records, root / COLLECTION)
    return len(records)


def listed(wanted: int) -> Iterator[tuple["Record", tuple[int, int, int], int, str]]:
    """Yield the images of as many visits as fit: everyone's first, then second visits, then third ones."""
    visits = [(person, visit) for visit in range(len(VISITS)) for person in range(PEOPLE)]
    number = 9_000_000
    for person, visit in visits[: max(1, wanted // PER_VISIT)]:
        for magnetic, kinds in ((True, T1S), (False, PETS)):
            for description, type_, shape, count, suffix in kinds:
                number += 1
                yield record(person, visit, magnetic, description, type_, number), shape, count, suffix


def record(person: int, visit: int, magnetic: bool, description: str, type_: str, number: int) -> "Record":
    from dualglow.cohort.simulate.archive import Record

    day = date(2006, 1, 1) + timedelta(days=person + 365 * visit + (0 if magnetic else 20))
    return Record(
        image_id=number,
        series_id=900_000 + 2 * (person * len(VISITS) + visit) + magnetic,
        subject=f"900_S_{9000 + person}",
        group=GROUPS[person % len(GROUPS)],
        sex="FM"[person % 2],
        age=60 + person % 30 + visit + 0.25,
        visit=VISITS[visit],
        modality="MRI" if magnetic else "PET",
        description=description,
        type=type_,
        acquired=day.isoformat(),
        time="10:00:00",
        kind="T1" if magnetic else "FDG",
        reason="",
    )


def header(shape: tuple[int, int, int]) -> bytes:
    """The first 352 bytes of a NIfTI image."""
    import numpy as np
    from nibabel.nifti1 import Nifti1Header

    of = Nifti1Header()
    of.set_data_dtype(np.int16)
    of.set_data_shape(shape)
    of.set_xyzt_units("mm", "sec")
    affine = np.diag([*SPACINGS[shape], 1.0])
    of.set_sform(affine, code=1)
    of.set_qform(affine, code=1)
    of["descrip"], of["magic"], of["vox_offset"] = b"SYNTHETIC", b"n+1", 352
    return of.binaryblock + bytes(4)


def write_empty(path: Path, start: bytes, shape: tuple[int, int, int]) -> None:
    size = len(start) + 2 * shape[0] * shape[1] * shape[2]
    if path.suffix == ".gz":
        path.write_bytes(compressed(start, size))
    else:
        path.write_bytes(start)
        os.truncate(path, size)


@cache
def compressed(start: bytes, size: int) -> bytes:
    return gzip.compress(start + bytes(size - len(start)), mtime=0)


if __name__ == "__main__":
    main()
