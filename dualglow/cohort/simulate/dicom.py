"""Scans as DICOM: one file per slice, named as the archive names them, in patient coordinates (LPS+, mm)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from dualglow.cohort.simulate.archive import Record, stored, whole
from dualglow.cohort.simulate.subject import Scan

# Voxel axes: along a row, down a column, from slice to slice. Sagittal for MR, axial for PET.
AXES = {"MR": "PIR", "PT": "LPS"}
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
WAIT, SCAN = 1800, 1800  # seconds: from injection to the scan, and of the scan


@dataclass(frozen=True)
class Plane:
    """Where the slices lie: affine (column, row, slice → LPS+ mm), slices per volume, and volumes."""

    affine: NDArray[np.float64]
    slices: int
    volumes: int

    def place(self, ds: Dataset, index: int) -> None:
        """Write orientation, spacing and the position of a slice."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        directions = self.affine[:3, :3] / spacing
        ds.ImageOrientationPatient = [*map(_decimal, directions[:, 0]), *map(_decimal, directions[:, 1])]
        ds.ImagePositionPatient = [_decimal(x) for x in self.affine[:3, 3] + index * self.affine[:3, 2]]
        ds.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]  # between rows, between columns
        ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[2])


def write_slices(of: Record, scan: Scan, root: Path) -> list[str]:
    """Write a scan below `root` (the `ADNI` folder), one file per slice and frame; gives the paths relative to it."""
    folder = root / of.folder
    folder.mkdir(parents=True)
    image = stored(whole(scan), scan.grid.affine, AXES[of.code])
    data = np.asarray(image.dataobj, dtype=np.float32)
    data = data.reshape(*data.shape[:3], -1)
    plane = Plane(LPS_FROM_RAS @ image.affine, data.shape[2], data.shape[3])
    ds, names = _header(of, plane), []
    for volume in range(plane.volumes):
        for index in range(plane.slices):
            _slice(ds, of, plane, volume, index)
            _pixels(ds, data[:, :, index, volume].T, per_slice=of.code == "PT")
            names.append(of.file_name(ds.InstanceNumber, ".dcm"))
            ds.save_as(folder / names[-1], enforce_file_format=True)
    return [str(of.folder / name) for name in names]


def _slice(ds: Dataset, of: Record, plane: Plane, volume: int, index: int) -> None:
    """Write what one slice has of its own."""
    ds.InstanceNumber = volume * plane.slices + index + 1
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = _uid(of, f"slice {ds.InstanceNumber}")
    plane.place(ds, index)
    if of.code == "PT":
        seconds = SCAN / plane.volumes
        ds.ImageIndex, ds.FrameReferenceTime = ds.InstanceNumber, (volume + 0.5) * seconds * 1000  # ms
        start = datetime.fromisoformat(f"{of.acquired} {of.time}")
        ds.AcquisitionTime = f"{start + timedelta(seconds=volume * seconds):%H%M%S}"


def _header(of: Record, plane: Plane) -> Dataset:
    """Build what all slices of a scan share."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    kind = MRImageStorage if of.code == "MR" else PositronEmissionTomographyImageStorage
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = kind
    ds.ImageType = [of.type.upper().replace("PROCESSED", "DERIVED"), "PRIMARY"]
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = of.code, "SYNTHETIC", "dualglow simulate"
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = "SYNTHETIC", of.subject, of.sex, ""
    ds.PatientAge, ds.PatientPosition, ds.BodyPartExamined = f"{int(of.age):03d}Y", "HFS", "BRAIN"
    ds.StudyDescription, ds.SeriesDescription, ds.ImageComments = "SYNTHETIC", of.description[:64], "SYNTHETIC"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(of, "study"), _uid(of, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(of, "frame of reference"), ""
    ds.StudyID, ds.SeriesNumber, ds.AccessionNumber, ds.ReferringPhysicianName = "1", of.series_id % 1000, "", ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = of.acquired.replace("-", "")
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = of.time.replace(":", "")
    if of.code == "MR":
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "GR", "MP", "", "3D"
        ds.RepetitionTime, ds.EchoTime, ds.InversionTime, ds.FlipAngle, ds.EchoTrainLength = 2300, 3, 900, 9, 1
        ds.MagneticFieldStrength = 3
    else:
        _emission(ds, of, plane)
    return ds


def _emission(ds: Dataset, of: Record, plane: Plane) -> None:
    """Write what PET adds: units, tracer and times."""
    ds.SeriesType = ["DYNAMIC" if plane.volumes > 1 else "STATIC", "IMAGE"]
    ds.Units, ds.CountsSource, ds.DecayCorrection, ds.CorrectedImage = "BQML", "EMISSION", "START", ["DECY", "ATTN"]
    ds.NumberOfSlices, ds.NumberOfTimeSlices = plane.slices, plane.volumes
    ds.ActualFrameDuration = SCAN // plane.volumes * 1000  # ms
    ds.CollimatorType, ds.ReconstructionMethod = "NONE", "SYNTHETIC"
    tracer = Dataset()
    tracer.Radiopharmaceutical = "Fluorodeoxyglucose F^18^" if of.kind == "FDG" else "Florbetapir F^18^"
    injected = datetime.fromisoformat(f"{of.acquired} {of.time}") - timedelta(seconds=WAIT)
    tracer.RadiopharmaceuticalStartTime = f"{injected:%H%M%S}"
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife, tracer.RadionuclidePositronFraction = 185e6, 6586.2, 0.97
    ds.RadiopharmaceuticalInformationSequence = Sequence([tracer])


def _pixels(ds: Dataset, plane: NDArray[np.float32], per_slice: bool) -> None:
    """Write rows × columns as 16-bit integers. PET uses the whole range of each slice, by a slope of its own."""
    slope = float(_decimal(np.abs(plane).max() / 32767 or 1.0)) if per_slice else 1.0
    ds.Rows, ds.Columns = plane.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    if per_slice:
        ds.RescaleSlope, ds.RescaleIntercept = _decimal(slope), 0
    values = np.clip(np.round(plane / np.float32(slope)), -32768, 32767)
    ds.PixelData = values.astype("<i2").tobytes()


def _decimal(value: float) -> str:
    """A number within the 16 characters of DICOM's decimal strings."""
    return f"{float(value):.9g}"


def _uid(of: Record, what: str) -> UID:
    """A UID that depends on the image alone, so that a cohort is the same whenever it is made."""
    return generate_uid(entropy_srcs=["dualglow simulate", of.scan_id, of.subject, of.acquired, what])
