"""Small downloads made on the fly: an IDA tree and a BIDS dataset of coarse NIfTIs."""

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

HEADER = ["Image Data ID", "Subject", "Group", "Sex", "Age", "Visit", "Modality", "Description", "Type", "Acq Date"]
HEADER += ["Format", "Downloaded"]
SCALED = "MPR; GradWarp; B1 Correction; N3; Scaled"
UNIFORM = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"


def write_image(path: Path, shape: tuple[int, ...] = (42, 50, 44), voxel: float = 2.5) -> None:
    """Write an image as large as a head, in mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), np.diag([voxel, voxel, voxel, 1.0])), path)


@dataclass
class IdaTree:
    """An IDA download; `add` lists an image in the CSV and writes its file(s)."""

    root: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(
        self,
        number: int,
        subject: str,
        day: str,  # month/day/year
        description: str,
        frames: int = 0,
        file: bool = True,
        listed: bool = True,
        leaf: str = "I",
        extension: str = "nii",
        **columns: str,
    ) -> list[Path]:
        modality = columns.get("Modality", "PET" if re.search("FDG|oreg|o-reg|AV45|PET", description) else "MRI")
        row = {"Image Data ID": f"I{number}", "Subject": subject, "Group": "CN", "Sex": "F", "Age": "75", "Visit": "bl"}
        row |= {"Modality": modality, "Description": description, "Type": "Processed", "Acq Date": day}
        row |= {"Format": "NiFTI", "Downloaded": "1/02/2024"} | columns
        if listed:
            self.rows.append(row)
        paths = [
            self.path(number, subject, day, description, modality, leaf, f"_{frame}" if frames else "", extension)
            for frame in range(1, max(frames, 1) + 1)
        ]
        for path in paths if file else []:
            write_image(path)
        return paths

    def path(
        self,
        number: int,
        subject: str,
        day: str,
        description: str,
        modality: str,
        leaf: str,
        frame: str,
        extension: str,
    ) -> Path:
        name = re.sub(r"[ /;*()<>:]", "_", description)
        month, dom, year = re.fullmatch(r"(\d+)/(\d+)/(\d+)", day or "1/1/2000").groups()
        stamp = f"{year}-{int(month):02d}-{int(dom):02d}_10_00_05.0"
        kind = "MR" if modality == "MRI" else "PT"
        file = f"ADNI_{subject}_{kind}_{name}_Br_20070217030439623{frame}_S{number + 7}_I{number}.{extension}"
        return self.root / "ADNI" / subject / name / stamp / (f"I{number}" if leaf == "I" else f"S{number + 7}") / file

    def write_csv(self, name: str = "cohort_1_02_2024.csv", separator: str = ",", encoding: str = "utf-8") -> Path:
        path = self.root / name
        with path.open("w", newline="", encoding=encoding) as stream:
            writer = csv.DictWriter(stream, HEADER, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return path

    def write_xml(self, number: int, subject: str, age: str, description: str, day: str = "") -> Path:
        """Write an XML shaped like IDA's: a namespace at the root that <project> resets."""
        path = self.root / "ADNI" / f"ADNI_{subject}_x_S{number + 7}_I{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            '<?xml version="1.0"?><idaxs xmlns="http://ida.loni.usc.edu"><project xmlns=""><subject>'
            f"<subjectIdentifier>{subject}</subjectIdentifier><researchGroup>LMCI</researchGroup>"
            "<subjectSex>M</subjectSex><visit><visitIdentifier>ADNI Screening</visitIdentifier></visit><study>"
            f"<subjectAge>{age}</subjectAge><series><modality>PET</modality><dateAcquired>{day}</dateAcquired>"
            f"<seriesLevelMeta><derivedProduct><processedDataLabel>{description}</processedDataLabel></derivedProduct>"
            "</seriesLevelMeta></series><imagingProtocol><description>raw</description></imagingProtocol></study>"
            "</subject></project></idaxs>"
        )
        return path


@dataclass
class BidsTree:
    """A BIDS dataset; `add` writes an image and, if given, its sidecar."""

    root: Path

    def add(self, name: str, sidecar: dict | None = None, text: bool = False) -> Path:
        """Add `sub-01_ses-a_T1w` or the like."""
        parts = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
        folder = self.root / f"sub-{parts['sub']}"
        folder = folder / f"ses-{parts['ses']}" if "ses" in parts else folder
        folder = folder / ("pet" if name.endswith("_pet") else "anat")
        path = folder / f"{name}.nii.gz"
        write_image(path)
        if sidecar is not None:
            (folder / f"{name}.json").write_text(json.dumps(sidecar))
        return path

    def table(self, relative: str, *lines: str) -> None:
        """Write a table; columns are separated by blanks here, by tabs in the file."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join("\t".join(line.split(" ")) + "\n" for line in lines))


@pytest.fixture
def ida(tmp_path: Path) -> IdaTree:
    root = tmp_path / "my download, [1]"
    root.mkdir()
    return IdaTree(root)


@pytest.fixture
def bids(tmp_path: Path) -> BidsTree:
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "test", "BIDSVersion": "1.9.0"}')
    return BidsTree(root)
