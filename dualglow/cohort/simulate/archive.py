"""The archive's side: image identifiers, folder and file names, XML and collection CSV, as the IDA delivers them."""

import csv
import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from dualglow.cohort.simulate.people import VISITS, Person
from dualglow.cohort.simulate.subject import Scan
from dualglow.files import written

COLUMNS = (
    "Image Data ID", "Subject", "Group", "Sex", "Age", "Visit",
    "Modality", "Description", "Type", "Acq Date", "Format", "Downloaded",
)  # fmt: skip
COLLECTION_DATE = date(2020, 1, 1)  # fixed, so that a cohort is the same whenever it is made
COLLECTION = "SYNTHETIC_cohort_1_01_2020.csv"
XML_NAMESPACE = "http://ida.loni.usc.edu"

DESCRIPTIONS = {
    ("T1", "original"): "MPRAGE",
    ("T1", "processed"): "MPR; GradWarp; B1 Correction; N3; Scaled",
    ("FLAIR", "original"): "Axial T2 FLAIR",
    ("FDG", "averaged"): "Co-registered, Averaged",
    ("FDG", "frames"): "Co-registered Dynamic",
    ("FDG", "4d"): "Co-registered Dynamic",
    ("AV45", "averaged"): "AV45 Coreg, Avg, Standardized Image and Voxel Size",
}
KIND_CODES = {"T1": 1, "FDG": 2, "AV45": 3, "FLAIR": 4}
STORED_AXES = {"MR": "PSR", "PT": "LAS"}  # voxel axes on disk: sagittal slices; axial slices with left first


@dataclass(frozen=True)
class Record:
    """One image as the archive lists it. Dates are ISO; `reason` is why it must be excluded, empty in a valid pair."""

    image_id: int
    series_id: int
    subject: str
    group: str
    sex: str
    age: float  # years, at this scan
    visit: str
    modality: str  # MRI or PET
    description: str
    type: str  # Original or Processed
    acquired: str  # YYYY-MM-DD
    time: str  # HH:MM:SS
    kind: str
    reason: str

    @property
    def scan_id(self) -> str:
        return f"I{self.image_id}"

    @property
    def code(self) -> str:
        return "MR" if self.modality == "MRI" else "PT"

    @property
    def folder(self) -> Path:
        """Folder of the image below `ADNI/`."""
        stamp = f"{self.acquired}_{self.time.replace(':', '_')}.0"
        return Path(self.subject, sanitised(self.description), stamp, self.scan_id)

    @property
    def occasion(self) -> int:
        """Position of the visit in VISITS; a screening belongs to the baseline."""
        return VISITS.index(self.visit) if self.visit in VISITS else 0

    def file_name(self, number: int | None = None, suffix: str = ".nii.gz") -> str:
        """File name of the image or, from 1, of a frame or slice. The stamp is that of the upload, not of the scan."""
        uploaded = date.fromisoformat(self.acquired) + timedelta(days=self.image_id % 300)
        stamp = f"{uploaded:%Y%m%d}{self.time.replace(':', '')}{self.image_id % 1000:03d}"
        middle = "" if number is None else f"_{number}"
        name = f"ADNI_{self.subject}_{self.code}_{sanitised(self.description)}_Br_{stamp}{middle}"
        return f"{name}_S{self.series_id}_{self.scan_id}{suffix}"


def sanitised(description: str) -> str:
    """A description as the archive writes it into names: each of space / ; * ( ) < > : becomes one underscore."""
    return re.sub(r"[ /;*()<>:]", "_", description)


def record(person: Person, scan: Scan) -> Record:
    """List a scan in the archive."""
    magnetic = scan.kind in ("T1", "FLAIR")
    acquired = person.t1_date if magnetic else person.pet_date
    code = person.visit * 10_000 + person.number * 10 + KIND_CODES[scan.kind]
    description = DESCRIPTIONS[scan.kind, scan.form]
    raw = description in ("MPRAGE", "Axial T2 FLAIR")
    return Record(
        image_id=9_000_000 + code,
        series_id=900_000 + code,
        subject=person.ptid,
        group=person.group,
        sex=person.sex,
        age=round(person.age - (person.pet_date - acquired).days / 365.25, 4),
        visit="sc" if magnetic and not person.visit else VISITS[person.visit],
        modality="MRI" if magnetic else "PET",
        description=description,
        type="Original" if raw else "Processed",
        acquired=acquired.isoformat(),
        time=f"{8 + code % 9:02d}:{code * 7 % 60:02d}:{code * 13 % 60:02d}",
        kind=scan.kind,
        reason=person.reasons[scan.kind],
    )


def write_images(of: Record, scan: Scan, root: Path, suffix: str = ".nii.gz") -> list[str]:
    """Write a scan below `root` (the `ADNI` folder); gives the paths relative to it."""
    folder = root / of.folder
    folder.mkdir(parents=True)
    if scan.form == "frames":
        images = {of.file_name(n, suffix): frame for n, frame in enumerate(scan.frames, start=1)}
    else:
        images = {of.file_name(suffix=suffix): whole(scan)}
    for name, data in images.items():
        nib.save(stored(data, scan.grid.affine, STORED_AXES[of.code]), folder / name)
    return [str(of.folder / name) for name in images]


def whole(scan: Scan) -> NDArray:
    """All frames in one array (X, Y, Z, frames); (X, Y, Z) if there is one."""
    return np.stack(scan.frames, axis=-1) if len(scan.frames) > 1 else scan.frames[0]


def stored(data: NDArray, affine: NDArray[np.float64], axes: str) -> Nifti1Image:
    """NIfTI (int16 with slope, mm and s) whose voxel axes run as `axes`, from RAS+ data; world coordinates stay."""
    image = Nifti1Image(data, affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axes))))
    image.header.set_data_dtype(np.int16)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"SYNTHETIC"
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    return image


def write_xml(of: Record, root: Path) -> None:
    """Write the image's metadata as the archive's XML, in the `ADNI` folder itself, as its second zip unpacks."""
    ElementTree.register_namespace("idaxs", XML_NAMESPACE)
    top = ElementTree.Element(f"{{{XML_NAMESPACE}}}idaxs")
    project = ElementTree.SubElement(top, "project")
    _texts(project, {"projectIdentifier": "ADNI", "projectDescription": "SYNTHETIC", "siteKey": of.subject[:3]})
    subject = ElementTree.SubElement(project, "subject")
    _texts(subject, {"subjectIdentifier": of.subject, "researchGroup": of.group, "subjectSex": of.sex})
    _texts(ElementTree.SubElement(subject, "visit"), {"visitIdentifier": of.visit})
    study = ElementTree.SubElement(subject, "study")
    _texts(study, {"studyIdentifier": str(of.series_id // 10), "subjectAge": f"{of.age:.4f}"})
    series = ElementTree.SubElement(study, "series")
    acquired = f"{of.acquired} {of.time}.0"
    _texts(series, {"seriesIdentifier": str(of.series_id), "modality": of.modality, "dateAcquired": acquired})
    if of.type == "Original":
        protocol = ElementTree.SubElement(series, "imagingProtocol")
        _texts(protocol, {"imageUID": str(of.image_id), "description": of.description})
    else:
        derived = ElementTree.SubElement(ElementTree.SubElement(series, "seriesLevelMeta"), "derivedProduct")
        _texts(derived, {"imageUID": str(of.image_id), "processedDataLabel": of.description})
    ElementTree.indent(top)
    name = f"ADNI_{of.subject}_{sanitised(of.description)}_S{of.series_id}_{of.scan_id}.xml"
    with written(root / name) as part:
        ElementTree.ElementTree(top).write(part, encoding="UTF-8", xml_declaration=True)


def _texts(parent: ElementTree.Element, texts: dict[str, str]) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = text


def write_collection(records: list[Record], path: Path, form: str = "NiFTI") -> None:
    """Write the collection CSV with the archive's exact header: all fields quoted, ages whole, dates m/dd/yyyy.

    `form`: what the column Format says, `NiFTI` (sic) or `DCM`.
    """
    with written(path) as part, part.open("w", newline="") as stream:
        rows = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(_row(of, form) for of in records)


def _row(of: Record, form: str) -> list[str]:
    acquired = _us_date(date.fromisoformat(of.acquired))
    person = [of.scan_id, of.subject, of.group, of.sex, str(int(of.age)), of.visit]
    return [*person, of.modality, of.description, of.type, acquired, form, _us_date(COLLECTION_DATE)]


def _us_date(day: date) -> str:
    return f"{day.month}/{day.day:02d}/{day.year}"
