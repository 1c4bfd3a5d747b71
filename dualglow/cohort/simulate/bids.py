"""The same scans as a BIDS dataset: names, sidecars and tables."""

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import pandas as pd

from dualglow.cohort.simulate.archive import STORED_AXES, Record, stored, whole
from dualglow.cohort.simulate.dicom import SCAN, WAIT
from dualglow.cohort.simulate.subject import Scan
from dualglow.files import write_json, write_table, written

Json = dict[str, Any]
SESSIONS = ("M000", "M012", "M024")
TRACERS = {"FDG": ("18FFDG", "FDG"), "AV45": ("18FAV45", "AV45")}  # label in file names; TracerName
LEVELS = {"Co-registered Dynamic": "coregdyn", "Co-registered, Averaged": "coregavg"}  # Clinica's rec- labels
DESCRIPTION: Json = {
    "Name": "SIMULATED cohort: no scan is of a real person",
    "BIDSVersion": "1.10.0",
    "DatasetType": "raw",
    "License": "CC0",
    "Authors": ["dualglow simulate"],
    "Acknowledgements": "SYNTHETIC images for tests and demonstrations.",
    "GeneratedBy": [{"Name": "dualglow", "Description": "SYNTHETIC images of dualglow simulate"}],
}
COLUMNS: Json = {
    "group": {
        "Description": "Diagnostic group of the SIMULATED person",
        "Levels": {"CN": "Healthy", "SMC": "Memory concern", "EMCI": "Early MCI", "MCI": "Mild cognitive impairment",
                   "LMCI": "Late MCI", "AD": "Alzheimer's disease"},
    },
    "age": {"Description": "Age at the first PET", "Units": "years"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "provenance": {"Description": "SYNTHETIC: made by dualglow simulate"},
}  # fmt: skip


SESSION_COLUMNS: Json = {
    "age": {"Description": "Age at the session's PET (at its T1 where there is none)", "Units": "years"}
}
SCAN_COLUMNS: Json = {"scan_id": {"Description": "ID of the same scan in the other deliveries of dualglow simulate"}}


def label(subject: str) -> str:
    """`900_S_9001` as BIDS can write it: `900S9001`."""
    return re.sub(r"[^A-Za-z0-9]", "", subject)


def stem(of: Record) -> str:
    """File name of a scan without suffixes."""
    session = f"sub-{label(of.subject)}_ses-{SESSIONS[of.occasion]}"
    if of.modality == "MRI":
        return f"{session}_{'T1w' if of.kind == 'T1' else of.kind}"
    return f"{session}_trc-{TRACERS[of.kind][0]}_rec-{LEVELS.get(of.description, 'coregstd')}_pet"


def place(of: Record) -> Path:
    """Where a scan lies in the dataset, without suffixes."""
    datatype = "anat" if of.modality == "MRI" else "pet"
    return Path(f"sub-{label(of.subject)}", f"ses-{SESSIONS[of.occasion]}", datatype, stem(of))


def write_images(of: Record, scan: Scan, root: Path) -> list[str]:
    """Write a scan and its sidecar below the dataset's root; gives the image's path relative to it. Frames are 4D."""
    path = root / place(of)
    path.parent.mkdir(parents=True)
    image = stored(whole(scan), scan.grid.affine, STORED_AXES[of.code])
    if image.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], SCAN / image.shape[3]))
    nib.save(image, path.with_name(f"{path.name}.nii.gz"))
    write_json(
        _t1_sidecar(of) if of.modality == "MRI" else _pet_sidecar(of, len(scan.frames)),
        path.with_name(f"{path.name}.json"),
    )
    return [f"{place(of)}.nii.gz"]


def write_tables(out: Path, records: list[Record]) -> None:
    """Write what describes the dataset, its participants, their sessions and scans."""
    write_json(DESCRIPTION, out / "dataset_description.json")
    with written(out / ".bidsignore") as part:
        part.write_text("truth\nstudy_data\n")
    people: dict[str, list[Record]] = {}
    for of in records:
        people.setdefault(label(of.subject), []).append(of)
    write_table(pd.DataFrame([_participant(name, own) for name, own in people.items()]), out / "participants.tsv")
    for table, columns in (("participants", COLUMNS), ("sessions", SESSION_COLUMNS), ("scans", SCAN_COLUMNS)):
        write_json(columns, out / f"{table}.json")
    for name, own in people.items():
        folder = out / f"sub-{name}"
        write_table(_sessions(own), folder / f"sub-{name}_sessions.tsv")
        for occasion in {of.occasion for of in own}:
            session = f"ses-{SESSIONS[occasion]}"
            here = [of for of in own if of.occasion == occasion]
            write_table(_scans(here), folder / session / f"sub-{name}_{session}_scans.tsv")


def _participant(name: str, own: list[Record]) -> dict[str, object]:
    last = _latest(own, occasion=0)
    person = {"age": round(last.age, 4), "sex": last.sex, "group": last.group}
    return {"participant_id": f"sub-{name}", **person, "provenance": "SYNTHETIC"}


def _sessions(own: list[Record]) -> pd.DataFrame:
    latest = [_latest(own, occasion) for occasion in sorted({of.occasion for of in own})]
    rows = [(f"ses-{SESSIONS[of.occasion]}", f"{of.acquired}T{of.time}", round(of.age, 4)) for of in latest]
    return pd.DataFrame(rows, columns=["session_id", "acq_time", "age"])


def _latest(own: list[Record], occasion: int) -> Record:
    """Return the scan that the session is dated by: the PET where there is one."""
    here = [of for of in own if of.occasion == occasion]
    return max(here, key=lambda of: (of.modality == "PET", of.acquired))


def _scans(own: list[Record]) -> pd.DataFrame:
    """Name, time and the archive's ID of each scan of a session (Clinica writes such a column)."""
    rows = [(f"{place(of).parent.name}/{stem(of)}.nii.gz", f"{of.acquired}T{of.time}", of.scan_id) for of in own]
    return pd.DataFrame(rows, columns=["filename", "acq_time", "scan_id"])


def _t1_sidecar(of: Record) -> Json:
    return {
        "Manufacturer": "SYNTHETIC",
        "ManufacturersModelName": "dualglow simulate",
        "Modality": "MR",
        "SeriesDescription": of.description,
        "MagneticFieldStrength": 3,
        "NonlinearGradientCorrection": of.type == "Processed",
    }


def _pet_sidecar(of: Record, frames: int) -> Json:
    tracer = {"TracerName": TRACERS[of.kind][1], "TracerRadionuclide": "F18", "ModeOfAdministration": "bolus"}
    unknown = {"InjectedMass": "n/a", "InjectedMassUnits": "n/a"}
    unknown |= {"SpecificRadioactivity": "n/a", "SpecificRadioactivityUnits": "n/a"}
    return {
        "Manufacturer": "SYNTHETIC",
        "ManufacturersModelName": "dualglow simulate",
        "SeriesDescription": of.description,
        "Units": "Bq/mL",
        **tracer,
        "InjectedRadioactivity": 185,
        "InjectedRadioactivityUnits": "MBq",
        **unknown,
        "TimeZero": of.time,
        "ScanStart": 0,
        "InjectionStart": -WAIT,
        "FrameTimesStart": [SCAN // frames * n for n in range(frames)],
        "FrameDuration": [SCAN // frames] * frames,
        "AcquisitionMode": "list mode",
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": 0,
        "ReconMethodName": "SYNTHETIC",
        "ReconMethodParameterLabels": ["none"],
        "ReconFilterType": "none",
        "AttenuationCorrection": "SYNTHETIC",
    }
