"""What the slices of a DICOM image say of its geometry, and whether one is missing; pixels are not read."""

import io
import warnings
from collections.abc import Iterable
from typing import BinaryIO, cast

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from dualglow.cohort.disk import DAMAGE, Disk, Found
from dualglow.cohort.headers import Facts, unreadable

PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "PixelSpacing")
FIRST = (
    *PLACE, "NumberOfFrames", "NumberOfSlices", "NumberOfTimeSlices", "ImageComments", "SharedFunctionalGroupsSequence"
)  # fmt: skip
MEMBER_HEAD = 1 << 17  # bytes of a zip's member that hold most headers; the rest is read only if they do not
AFTER_PLACE = 0x00290000  # private tags, some of them large, follow those of PLACE
UNEVEN = 0.05  # share of the spacing by which a gap may differ
INCOMPLETE = "dicom_incomplete"

Vector = np.ndarray


def dicom_facts(slices: list[Found], disk: Disk) -> Facts:
    """Read one header in full and the place of every slice; never raises for damage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that the scanner wrote wrongly and nobody needs
            first = _header(slices[0], disk, whole=True)
            if int(first.get("NumberOfFrames") or 1) > 1:
                return _enhanced(first)
            places = [first, *(_header(found, disk) for found in slices[1:])]
        return _stack(first, places, slices)
    except Exception as error:  # pydicom raises many kinds on damaged bytes; any of them excludes the scan
        return unreadable(f"{slices[0].name}: {' '.join(str(error).split()) or type(error).__name__}")


def _header(found: Found, disk: Disk, whole: bool = False) -> Dataset:
    """Read a header: up to the pixels, or up to the end of its image plane. Raises ValueError naming the file."""
    try:
        if found.size == 0:
            raise ValueError("is empty (0 bytes); download it again")
        if found.member is None:
            with disk.open(found) as stream:
                return _parsed(cast(BinaryIO, stream), whole)
        try:
            return _parsed(io.BytesIO(disk.read(found, MEMBER_HEAD)), whole)
        except (EOFError, OSError):
            return _parsed(io.BytesIO(disk.read(found)), whole)
    except (*DAMAGE, ValueError, InvalidDicomError) as error:
        what = "is not DICOM" if isinstance(error, InvalidDicomError) else str(error) or type(error).__name__
        raise ValueError(f"{found.name}: {what}") from error


def _parsed(stream: BinaryIO, whole: bool) -> Dataset:
    if whole:
        return dcmread(stream, stop_before_pixels=True, specific_tags=list(FIRST))
    return read_partial(stream, _after_place, specific_tags=[Tag(keyword) for keyword in PLACE])


def _after_place(tag: BaseTag, representation: str | None, length: int) -> bool:
    return tag >= AFTER_PLACE


def _enhanced(header: Dataset) -> Facts:
    """Facts of a file that holds all slices; dcm2niix checks their places when it converts them."""
    groups = header.get("SharedFunctionalGroupsSequence")
    measures = groups[0].PixelMeasuresSequence[0] if groups and "PixelMeasuresSequence" in groups[0] else Dataset()
    spacing, between = (
        measures.get("PixelSpacing"),
        measures.get("SpacingBetweenSlices", measures.get("SliceThickness")),
    )
    voxel = (float(spacing[1]), float(spacing[0]), float(between)) if spacing and between else ()
    return Facts(
        (int(header.Columns), int(header.Rows), int(header.NumberOfFrames)), voxel, simulated=_simulated(header)
    )


def _stack(first: Dataset, places: list[Dataset], slices: list[Found]) -> Facts:
    """Check that the slices are parallel, of one size, evenly spaced, and as many at every place."""
    for found, place in zip(slices, places, strict=True):
        if missing := [tag for tag in PLACE if place.get(tag) is None]:
            return unreadable(f"{found.name} lacks {', '.join(missing)}")
        if (place.Rows, place.Columns) != (first.Rows, first.Columns):
            return Facts(reason="frames_inconsistent", problem=f"{found.name} is of another size than {slices[0].name}")
    row, column = _directions(first)
    if any(not np.allclose(_directions(place), (row, column), atol=1e-3) for place in places):
        return Facts(reason="geometry", problem="its slices are not parallel")
    heights = np.sort([np.dot(np.cross(row, column), _vector(place.ImagePositionPatient)) for place in places])
    gaps = np.diff(heights)
    levels = 1 + int((gaps > 1e-2).sum())
    spacing = float(np.median(gaps[gaps > 1e-2])) if levels > 1 else 0.0
    if problem := _incomplete(first, len(places), levels, gaps[gaps > 1e-2], spacing):
        return Facts(reason=INCOMPLETE, problem=problem)
    frames = len(places) // levels
    shape = (int(first.Columns), int(first.Rows), levels, *([frames] if frames > 1 else []))
    voxel = (float(first.PixelSpacing[1]), float(first.PixelSpacing[0]), round(spacing, 4))
    return Facts(shape, voxel, simulated=_simulated(first))


def _incomplete(first: Dataset, count: int, levels: int, gaps: Vector, spacing: float) -> str:
    """Say which slices are missing; an empty string if none is."""
    uneven = gaps[np.abs(gaps - spacing) > UNEVEN * spacing]
    if len(uneven):
        return f"its slices are {spacing:.3g} mm apart, but there is a gap of {uneven.max():.3g} mm; download it again"
    if count % levels:
        return f"{count} slices at {levels} places: some frames lack slices; download it again"
    announced = int(first.get("NumberOfSlices") or 0)
    if announced > levels:
        return f"{levels} of {announced} slices are there; download it again"
    frames = int(first.get("NumberOfTimeSlices") or 0)
    if frames > count // levels:
        return f"{count // levels} of {frames} frames are there; download it again"
    return ""


def _directions(place: Dataset) -> tuple[Vector, Vector]:
    directions = _vector(place.ImageOrientationPatient)
    return directions[:3], directions[3:]


def _vector(values: Iterable[float]) -> Vector:
    return np.array([float(value) for value in values])


def _simulated(header: Dataset) -> bool:
    return "SYNTHETIC" in str(header.get("ImageComments", ""))
