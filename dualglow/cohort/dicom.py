"""What the slices of a DICOM image say of its geometry, and whether one is missing; pixels are not read."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar, cast

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from dualglow.cohort.disk import DAMAGE, Disk, Found
from dualglow.cohort.headers import Facts, unreadable

PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
PLACE_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in PLACE]
AFTER_PLACE = 0x00290000  # private tags, some of them large, follow those of PLACE
COUNTS = ("NumberOfFrames", "NumberOfSlices", "NumberOfTimeSlices")
FIRST = [*PLACE, *COUNTS, "ImageComments", "SharedFunctionalGroupsSequence"]
MEMBER_HEAD = 1 << 17  # bytes of a zip's member that hold most headers; the rest is read only if they do not
SAME_PLACE = 1e-2  # mm
UNEVEN = 0.05  # share of the spacing by which a gap may differ
INCOMPLETE = "dicom_incomplete"

Vector = np.ndarray
T = TypeVar("T")


@dataclass(frozen=True)
class Plane:
    """Where a slice lies; values as the file has them, which are the same in all slices of most images."""

    values: tuple[bytes, ...]  # of PLACE

    def vector(self, keyword: str) -> Vector:
        return np.array([float(part) for part in self.values[PLACE.index(keyword)].decode().split("\\")])

    @property
    def size(self) -> tuple[bytes, ...]:
        """Rows and columns."""
        return self.values[3:]

    @property
    def directions(self) -> tuple[Vector, Vector]:
        """Unit vectors of a row and of a column in the patient's LPS+."""
        both = self.vector("ImageOrientationPatient")
        return both[:3], both[3:]


def dicom_facts(slices: list[Found], disk: Disk) -> Facts:
    """Read one header in full and the place of every slice; never raises for damage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that the scanner wrote wrongly and nobody needs
            first = _read(slices[0], disk, _whole)
            if int(first.get("NumberOfFrames") or 1) > 1:
                return _enhanced(first)
            return _stack(first, [_read(found, disk, _plane) for found in slices], slices)
    except Exception as error:  # pydicom raises many kinds on damaged bytes; any of them excludes the scan
        return unreadable(" ".join(str(error).split()) or f"{slices[0].name}: {type(error).__name__}")


def _read(found: Found, disk: Disk, parse: Callable[[BinaryIO], T]) -> T:
    """Parse a header, of a zip's member from its first bytes if they hold it. Raises ValueError naming the file."""
    try:
        if found.size == 0:
            raise ValueError("is empty (0 bytes); download it again")
        if found.member is None:
            with disk.open(found) as stream:
                return parse(cast(BinaryIO, stream))
        try:
            return parse(io.BytesIO(disk.read(found, MEMBER_HEAD)))
        except (EOFError, OSError):
            return parse(io.BytesIO(disk.read(found)))
    except (*DAMAGE, ValueError, AttributeError, InvalidDicomError) as error:
        what = "is not DICOM" if isinstance(error, InvalidDicomError) else str(error) or type(error).__name__
        raise ValueError(f"{found.name}: {what}") from error


def _whole(stream: BinaryIO) -> Dataset:
    return dcmread(stream, stop_before_pixels=True, specific_tags=FIRST)


def _plane(stream: BinaryIO) -> Plane:
    header = read_partial(stream, lambda tag, *_: tag >= AFTER_PLACE, specific_tags=PLACE_TAGS)
    if missing := [name for name, tag in zip(PLACE, PLACE_TAGS, strict=True) if tag not in header]:
        raise ValueError(f"lacks {', '.join(missing)}")
    return Plane(tuple(header.get_item(tag).value for tag in PLACE_TAGS))  # raw: converting them takes longer


def _enhanced(header: Dataset) -> Facts:
    """Facts of a file that holds all slices; dcm2niix checks their places when it converts them."""
    groups = header.get("SharedFunctionalGroupsSequence")
    measures = groups[0].PixelMeasuresSequence[0] if groups and "PixelMeasuresSequence" in groups[0] else Dataset()
    between = measures.get("SpacingBetweenSlices", measures.get("SliceThickness"))
    spacing = measures.get("PixelSpacing")
    voxel = (float(spacing[1]), float(spacing[0]), float(between)) if spacing and between else ()
    shape = (int(header.Columns), int(header.Rows), int(header.NumberOfFrames))
    return Facts(shape, voxel, simulated=_simulated(header))


def _stack(first: Dataset, planes: list[Plane], slices: list[Found]) -> Facts:
    """Check that the slices are parallel, of one size, evenly spaced, and as many at every place."""
    row, column = planes[0].directions
    for found, plane in zip(slices, planes, strict=True):
        if plane.size != planes[0].size:
            return Facts(reason="frames_inconsistent", problem=f"{found.name} is of another size than {slices[0].name}")
        if plane.values[1] != planes[0].values[1] and not np.allclose(plane.directions, (row, column), atol=1e-3):
            return Facts(reason="geometry", problem=f"{found.name} is not parallel to {slices[0].name}")
    normal = np.cross(row, column)
    gaps = np.diff(np.sort([normal @ plane.vector("ImagePositionPatient") for plane in planes]))
    gaps = gaps[gaps > SAME_PLACE]
    levels = 1 + len(gaps)
    spacing = float(np.median(gaps)) if levels > 1 else 0.0
    if problem := _incomplete(first, len(planes), levels, gaps, spacing):
        return Facts(reason=INCOMPLETE, problem=problem)
    frames = len(planes) // levels
    shape = (int(first.Columns), int(first.Rows), levels, *([frames] if frames > 1 else []))
    between_rows, between_columns = planes[0].vector("PixelSpacing")
    voxel = (float(between_columns), float(between_rows), round(spacing, 4))
    return Facts(shape, voxel, simulated=_simulated(first))


def _incomplete(first: Dataset, count: int, levels: int, gaps: Vector, spacing: float) -> str:
    """Say which slices are missing; an empty string if none is."""
    uneven = gaps[np.abs(gaps - spacing) > UNEVEN * spacing]
    if len(uneven):
        return f"its slices are {spacing:.3g} mm apart, but there is a gap of {uneven.max():.3g} mm; download it again"
    if count % levels:
        return f"{count} slices at {levels} places: some frames lack slices; download it again"
    _, announced, frames = (int(first.get(name) or 0) for name in COUNTS)
    if announced > levels:
        return f"{levels} of {announced} slices are there; download it again"
    if frames > count // levels:
        return f"{count // levels} of {frames} frames are there; download it again"
    return ""


def _simulated(header: Dataset) -> bool:
    return "SYNTHETIC" in str(header.get("ImageComments", ""))
