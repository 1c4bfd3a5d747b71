"""In which layouts a cohort can be delivered, and what each calls its scans."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dualglow.cohort.simulate import archive, bids, dicom, zipped
from dualglow.cohort.simulate.archive import COLLECTION, Record
from dualglow.cohort.simulate.subject import Scan


def _scan_id(of: Record) -> str:
    return of.scan_id


def _subject(of: Record) -> str:
    return of.subject


@dataclass(frozen=True)
class Layout:
    """How a cohort lies on disk, relative to its root.

    folder: a person's images, from the PTID; write: write one scan below a root, giving its paths; finish: write the
    tables once the images are there; contents: what README says of it; scan_name, subject_name: what its reader calls
    them.
    """

    folder: Callable[[str], Path]
    write: Callable[[Record, Scan, Path], list[str]]
    finish: Callable[[Path, list[Record]], None]
    contents: str
    scan_name: Callable[[Record], str] = _scan_id
    subject_name: Callable[[Record], str] = _subject


def _ida(ptid: str) -> Path:
    return Path("ADNI", ptid)


def _list(out: Path, records: list[Record], form: str) -> None:
    for of in records:
        archive.write_xml(of, out / "ADNI")
    archive.write_collection(records, out / COLLECTION, form)


def _pack(out: Path, records: list[Record]) -> None:
    zipped.pack(out, records)
    archive.write_collection(records, out / COLLECTION)


TABLE = f"`{COLLECTION}`: the collection's table."
LAYOUTS = {
    "ida": Layout(
        _ida,
        lambda of, scan, root: archive.write_images(of, scan, root / "ADNI"),
        lambda out, records: _list(out, records, "NiFTI"),
        f"`ADNI/`: images and XML as the IDA delivers them; {TABLE}",
    ),
    "ida-dicom": Layout(
        _ida,
        lambda of, scan, root: dicom.write_slices(of, scan, root / "ADNI"),
        lambda out, records: _list(out, records, "DCM"),
        f"`ADNI/`: images (DICOM, a file per slice) and XML as the IDA delivers them; {TABLE}",
    ),
    "ida-zip": Layout(
        lambda ptid: zipped.WAITING / "ADNI" / ptid,
        lambda of, scan, root: archive.write_images(of, scan, root / zipped.WAITING / "ADNI", ".nii"),
        _pack,
        f"`{'`, `'.join(zipped.IMAGES)}`, `{zipped.METADATA}`: images and XML as the IDA delivers them; {TABLE}",
    ),
    "bids": Layout(
        lambda ptid: Path(f"sub-{bids.label(ptid)}"),
        bids.write_images,
        bids.write_tables,
        "a BIDS dataset: `sub-*/`, `participants.tsv`, `dataset_description.json`; `scan_id` in `*_scans.tsv` is the\n"
        "  ID that the same scan has in the other deliveries of `dualglow simulate`.",
        bids.stem,
        lambda of: bids.label(of.subject),
    ),
}
