"""DICOM slices as the archive names them, written from a known volume."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, PositronEmissionTomographyImageStorage, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORNER = (-60.0, -70.0, -50.0)  # mm in DICOM's LPS+, the centre of the first voxel


def slice_affine(
    spacing: tuple[float, float, float], directions: tuple[float, ...] = AXIAL, corner: tuple[float, ...] = CORNER
) -> np.ndarray:
    """Voxel (column, row, slice) → RAS+ mm, from DICOM's definition (PS3.3 C.7.6.2.1.1)."""
    row, column = np.array(directions[:3]), np.array(directions[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row, column, np.cross(row, column)]) * spacing
    affine[:3, 3] = corner
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def write_slices(
    folder: Path,
    volume: np.ndarray,  # (columns, rows, slices)
    image: int = 5,
    spacing: tuple[float, float, float] = (2.5, 2.5, 2.5),  # mm between columns, rows, slices
    directions: tuple[float, ...] = AXIAL,
    corner: tuple[float, ...] = CORNER,
    pet: bool = True,
    skip: tuple[int, ...] = (),
    subject: str = "002_S_0001",
) -> list[Path]:
    """Write one file per slice, each with its own rescale slope if it is a PET; slices in `skip` are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slice_affine(spacing, directions, corner)
    series, kind, name = generate_uid(), "PT" if pet else "MR", "ADNI_Brain_PET__Raw_FDG" if pet else "MPRAGE"
    paths = []
    for number in range(volume.shape[2]):
        if number in skip:
            continue
        header = _header(number, series, kind, affine, spacing, directions)
        slope = float(volume[:, :, number].max()) / (20_000 + 100 * number) if pet else 1.0
        header.RescaleSlope, header.RescaleIntercept = f"{slope:.8g}", "0"
        if pet:
            header.Units, header.NumberOfSlices = "BQML", volume.shape[2]
        stored = np.round(volume[:, :, number].T / float(header.RescaleSlope)).astype("<i2")
        header.Rows, header.Columns = stored.shape
        header.PixelData = stored.tobytes()
        paths.append(folder / f"ADNI_{subject}_{kind}_{name}_br_raw_20070217030439623_{number + 1}_S8_I{image}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    return paths


def _header(
    number: int,
    series: str,
    kind: str,
    affine: np.ndarray,  # voxel → LPS+ mm
    spacing: tuple[float, float, float],
    directions: tuple[float, ...],
) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    storage = PositronEmissionTomographyImageStorage if kind == "PT" else MRImageStorage
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = storage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.Modality, header.Manufacturer, header.PatientID, header.PatientName = kind, "SYNTHETIC", "x", "x"
    header.StudyInstanceUID = header.FrameOfReferenceUID = series
    header.SeriesInstanceUID, header.SeriesNumber, header.InstanceNumber = series, 1, number + 1
    header.StudyDate = header.AcquisitionDate = "20060102"
    header.StudyTime = header.AcquisitionTime = "100000"
    header.ImagePositionPatient = [round(float(value), 6) for value in (affine @ [0, 0, number, 1])[:3]]
    header.ImageOrientationPatient = list(directions)
    header.PixelSpacing = [spacing[1], spacing[0]]
    header.SliceThickness = spacing[2]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    return header
