"""What lies in an IDA download, by image ID: its folders and zips listed, names understood, no file opened.

Only the image ID that a file's name ends with says which image it is: not the folder's name, not the time stamp.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dualglow.cohort.cache import Cache
from dualglow.cohort.collection import image_id
from dualglow.cohort.disk import DAMAGE, Disk, Found
from dualglow.cohort.scan import MRI, PET
from dualglow.errors import InputError
from dualglow.files import INSIDE

FILE_NAME = re.compile(
    r"ADNI_(?P<subject>\d{3}_S_\d{4,5})_(?P<modality>MR|PT)_(?P<description>.+?)_(?:br_raw|Br)_(?P<stamp>\d{17})"
    r"(?:_(?P<number>\d+))?_S(?P<series>\d+)_I(?P<image>\d+)\.(?P<extension>nii(?:\.gz)?|dcm|img|hdr|v|i|i\.hdr)",
    re.IGNORECASE,
)
XML_NAME = re.compile(r".*_(I\d+)\.xml", re.IGNORECASE)
PTID = re.compile(r"\d{3}_S_\d{4,5}", re.IGNORECASE)
STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d_")
IMAGE_SUFFIXES = (".nii", ".nii.gz", ".dcm", ".img", ".hdr", ".v", ".i")
SUFFIXES = (*IMAGE_SUFFIXES, ".xml", ".csv")
MODALITIES = {"MR": MRI, "PT": PET}
NIFTI, DICOM, ANALYZE, HEADER, OTHER = "nii", "dcm", "img", "hdr", "other"
KINDS = {"nii": NIFTI, "nii.gz": NIFTI, "dcm": DICOM, "img": ANALYZE, "hdr": HEADER}

Key = tuple[int, str]  # frame or slice number (-1: none), time stamp of the upload


@dataclass
class Image:
    """The files of one image ID: one, or one per frame or slice."""

    name: str
    subject: str
    modality: str
    description: str  # as the file's name has it
    series: str  # S<number>
    files: dict[str, dict[Key, Found]] = field(default_factory=dict)  # by kind
    differing: str = ""  # what is there twice with different content

    @property
    def kind(self) -> str:
        """How the image is stored; where it is there in two ways, the one that needs no conversion."""
        return next(kind for kind in (NIFTI, ANALYZE, DICOM, HEADER, OTHER) if kind in self.files)

    @property
    def volumes(self) -> list[Found]:
        """The files with voxels in the order of their numbers: frames in time, or slices."""
        own = self.files[self.kind]
        return [own[key] for key in sorted(own)]

    @property
    def headers(self) -> list[Found | None]:
        """The separate header of each volume, where there is one."""
        headers = self.files.get(HEADER, {}) if self.kind == ANALYZE else {}
        return [headers.get(key) for key in sorted(self.files[self.kind])]

    @property
    def numbers(self) -> list[int]:
        """Numbers of the frames or slices; -1 for a file without one."""
        return [number for number, _ in sorted(self.files[self.kind])]

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths as in Scan.paths."""
        if self.kind == DICOM:
            return tuple(f"{folder}{INSIDE}{self.name}" for folder in dict.fromkeys(f.folder for f in self.volumes))
        return tuple(found.path for found in self.volumes)


@dataclass
class Tree:
    """What lies in the download."""

    images: dict[str, Image] = field(default_factory=dict)
    xml: dict[str, Found] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    strange: list[Found] = field(default_factory=list)  # image files in a scan's folder whose name is not understood


def is_ida(root: Path) -> bool:
    """Whether some file below `root`, or in a zip below it, is named by IDA's grammar."""
    with Disk() as disk:
        return any(FILE_NAME.fullmatch(found.name) for found in disk.files(root, IMAGE_SUFFIXES))


def walk(root: Path, disk: Disk, cache: Cache) -> Tree:
    """List images, XMLs and CSVs below `root` and in zips. Raises InputError if there is no such folder."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the folder of the unzipped download.")
    tree = Tree()
    for found in disk.files(root, SUFFIXES):
        if match := FILE_NAME.fullmatch(found.name):
            _add(tree.images, match, found, disk, cache)
        else:
            _sort_in(tree, found)
    return tree


def _sort_in(tree: Tree, found: Found) -> None:
    """File what is not an image that the grammar knows."""
    name = found.name.lower()
    if match := XML_NAME.fullmatch(found.name):
        tree.xml.setdefault(str(image_id(match[1])), found)
    elif name.endswith(".csv"):
        if found.member is None:
            tree.tables.append(Path(found.path))
    elif name.endswith(IMAGE_SUFFIXES) and ptid(found.path) and stamps(found.path):
        tree.strange.append(found)


def _add(images: dict[str, Image], match: re.Match[str], found: Found, disk: Disk, cache: Cache) -> None:
    name = str(image_id(match["image"]))
    subject, modality = match["subject"].upper(), MODALITIES[match["modality"].upper()]
    image = images.get(name)
    if image is None:
        image = images[name] = Image(name, subject, modality, match["description"], f"S{int(match['series'])}")
    if (subject, modality) != (image.subject, image.modality):
        image.differing = f"{found.name} and a file of {image.subject} {image.modality} have the same image ID"
        return
    key = (int(match["number"] or -1), match["stamp"])
    other = image.files.setdefault(KINDS.get(match["extension"].lower(), OTHER), {}).setdefault(key, found)
    if other is not found:
        image.differing = image.differing or difference([other, found], disk, cache)


def difference(files: Iterable[Found], disk: Disk, cache: Cache) -> str:
    """Say which two files differ in content; an empty string if all are the same."""
    first, *rest = files
    for other in rest:
        key, signature = f"{first.path}|{other.path}", f"{first.signature}|{other.signature}"
        kept = cache.get(key, signature) or {"difference": _compared(first, other, disk)}
        cache.put(key, signature, kept)
        if kept["difference"]:
            return str(kept["difference"])
    return ""


def _compared(one: Found, other: Found, disk: Disk) -> str:
    try:
        return "" if disk.same(one, other) else f"{one.path} and {other.path} differ"
    except DAMAGE as error:
        return f"{one.path} and {other.path} cannot be compared ({error})"


def stamps(path: str) -> list[str]:
    """Return the dates of folders named as IDA names those of a scan: `2006-11-29_10_00_05.0`."""
    return [part[:10] for part in path.split("/") if STAMP.match(part)]


def ptid(path: str) -> str:
    """Return the first folder that is named as a subject; an empty string if none is."""
    return next((part for part in path.split("/") if PTID.fullmatch(part)), "")


def described(path: str) -> str:
    """Return the folder named after the series description: the one above that of the date; empty if there is none."""
    parts = path.split("/")
    return next((parts[i - 1] for i in range(len(parts) - 1, 0, -1) if STAMP.match(parts[i])), "")
