"""Read a download from the IDA archive (ADNI): images named by its grammar, the collection's CSV, XML per image.

Everything is joined by the image ID I<number>; folder names and time stamps in file names say nothing reliable.
"""

import filecmp
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dualglow.cohort import levels
from dualglow.cohort.collection import (
    Entry,
    image_id,
    is_collection,
    read_collections,
    read_xml,
    real_date,
    subject_id,
)
from dualglow.cohort.scan import MRI, OTHER, PET, Scan, header_problem, parse_date
from dualglow.errors import InputError

FILE_NAME = re.compile(
    r"ADNI_(?P<subject>\d{3}_S_\d{4,5})_(?P<modality>MR|PT)_(?P<description>.+?)_(?:br_raw|Br)_(?P<stamp>\d{17})"
    r"(?:_(?P<number>\d+))?_S(?P<series>\d+)_I(?P<image>\d+)\.(?P<extension>nii(?:\.gz)?|dcm)",
    re.IGNORECASE,
)
XML_NAME = re.compile(r".*_(I\d+)\.xml", re.IGNORECASE)
PTID = re.compile(r"\d{3}_S_\d{4,5}", re.IGNORECASE)
IMAGE_SUFFIXES = (".nii", ".nii.gz", ".dcm", ".img", ".v", ".i")
MODALITIES = {"MR": MRI, "MRI": MRI, "PT": PET, "PET": PET}


@dataclass
class Image:
    """The files of one image ID: one, or one per frame or slice."""

    subject: str
    modality: str
    files: dict[tuple[int, str], Path] = field(default_factory=dict)  # (frame number, time stamp) → path
    differing: str = ""  # a file that is there twice with different content

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths in the order of the frames."""
        return tuple(str(self.files[key]) for key in sorted(self.files))


@dataclass
class Tree:
    """What lies in the download, by image ID."""

    images: dict[str, Image] = field(default_factory=dict)
    xml: dict[str, Path] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    strange: list[Path] = field(default_factory=list)  # image files in a scan's folder whose name is not understood


def read_ida(root: Path, tables: list[Path] | None = None) -> list[Scan]:
    """Read an unzipped IDA download: every image found or listed becomes one Scan, sorted by subject and ID.

    Parameters
    ----------
    root
        Folder that holds `ADNI/<PTID>/…`, or any folder above the images.
    tables
        Collection CSVs; by default those found below `root`.

    Raises
    ------
    InputError
        If the folder is missing, holds no images of this grammar, or a table is missing or cannot be understood.
    """
    tree = walk(root)
    entries = read_collections(tables if tables else _tables(root, tree))
    if not tree.images and not entries:
        raise InputError(
            f"{root}: no images named as IDA names them (ADNI_<PTID>_MR_…_I<number>.nii). "
            "Give the folder that holds the unzipped ADNI/<PTID>/… folders."
        )
    names = sorted(set(tree.images) | set(entries), key=lambda name: int(name[1:]))
    scans = [_scan(name, tree.images.get(name), entries.get(name), tree.xml.get(name)) for name in names]
    scans += [_strange(path, root) for path in tree.strange]
    return sorted(scans, key=lambda scan: scan.subject)


def is_ida(root: Path) -> bool:
    """Whether some file below `root` is named by IDA's grammar."""
    return any(FILE_NAME.fullmatch(path.name) for path in _files(root))


def walk(root: Path) -> Tree:
    """List images, XMLs and CSVs below `root`. Raises InputError if there is no such folder."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the folder of the unzipped download.")
    tree = Tree()
    for path in _files(root):
        name = path.name
        if found := FILE_NAME.fullmatch(name):
            _add(tree.images, found, path)
        elif found := XML_NAME.fullmatch(name):
            tree.xml[str(image_id(found[1]))] = path
        elif name.lower().endswith(".csv"):
            tree.tables.append(path)
        elif name.lower().endswith(IMAGE_SUFFIXES) and _ptid(path) and _stamps(path):
            tree.strange.append(path)
    return tree


def _files(root: Path) -> Iterator[Path]:
    """Yield files in a fixed order, through links (each folder once), but not hidden ones and macOS's copies."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _add(images: dict[str, Image], found: re.Match[str], path: Path) -> None:
    image = images.setdefault(
        str(image_id(found["image"])), Image(found["subject"].upper(), MODALITIES[found["modality"].upper()])
    )
    key = (int(found["number"] or 0), found["stamp"])
    other = image.files.setdefault(key, path)
    if other != path and not filecmp.cmp(other, path, shallow=False):
        image.differing = f"{other} and {path} differ"


def _tables(root: Path, tree: Tree) -> list[Path]:
    found = [path for path in tree.tables if is_collection(path)]
    if not found and tree.tables and not tree.xml:
        return tree.tables[:1]  # the reader says what is wrong with it
    if not found and tree.images and not tree.xml:
        raise InputError(
            f"{root}: no collection CSV (<name>_<month>_<day>_<year>.csv) in it. In IDA open Data Collections, choose "
            "yours and press CSV; put the file into this folder or name it with --csv."
        )
    return found


def _scan(name: str, image: Image | None, listed: Entry | None, xml: Path | None) -> Scan:
    """Join what the files, the table and the XML say of one image."""
    described = read_xml(xml, name) if xml else None
    entry = listed or described
    subject = (entry.subject if entry else "") or (image.subject if image else "")
    paths = image.paths if image else ()
    if entry is None:
        assert image is not None  # a name comes from the files or from the table
        scan = Scan(name, subject, image.modality, _folder(paths[0]), paths=paths)
        return scan.excluded("not_in_csv", "no row in the collection CSV and no XML: its date and group are unknown")
    modality = MODALITIES.get(entry.modality.upper(), OTHER) if entry.modality else image.modality if image else ""
    scan = Scan(name, subject, modality or _guess(entry.description), entry.description, paths=paths)
    scan = _dated(replace(scan, visit=entry.visit, group=entry.group, sex=entry.sex, age=entry.age), listed, described)
    if described and described.age is not None:
        scan = replace(scan, age=described.age)  # the XML has decimals, the CSV whole years
    return _checked(_recognised(scan), image)


def _dated(scan: Scan, listed: Entry | None, described: Entry | None) -> Scan:
    """Take the date from the CSV, else the XML, else the folder's name."""
    for source, entry in (("csv", listed), ("xml", described)):
        if entry and entry.date:
            return replace(scan, date=entry.date, date_source=source)
    stamps = [stamp for path in scan.paths for stamp in _stamps(Path(path))]
    try:
        day = real_date(parse_date(stamps[-1])) if stamps else None
    except ValueError:
        day = None
    return replace(scan, date=day, date_source="folder" if day else "")


def _recognised(scan: Scan) -> Scan:
    """Find the level and, for PET, the tracer; exclude what is neither a T1 nor an FDG-PET."""
    what = f"'{scan.description}'"
    if scan.modality == PET:
        if level := levels.pet_level(scan.description):
            return replace(scan, level=level, tracer="FDG")
        if levels.unused_fdg(scan.description):
            return replace(scan, tracer="FDG").excluded("level_not_used", f"{what}: download '{levels.WANTED_PET}'")
        tracer = levels.other_tracer(scan.description)
        return replace(scan, tracer=tracer).excluded("wrong_tracer", f"{what} is not an FDG level")
    level = levels.t1_level(scan.description) if scan.modality == MRI else None
    if level:
        return replace(scan, level=level)
    return scan.excluded("not_t1", f"{what} is not a known T1 description")


def _checked(scan: Scan, image: Image | None) -> Scan:
    """Exclude a scan whose files are missing or damaged, or that has no date."""
    if scan.reason:
        return scan
    if image is None:
        return scan.excluded("file_missing", f"'{scan.description}' is in the CSV but not in the download")
    if image.modality != scan.modality:
        return scan.excluded("modality_conflict", f"the CSV says {scan.modality}, the file name {image.modality}")
    if image.differing:
        return scan.excluded("duplicate_differs", image.differing)
    if any(path.lower().endswith(".dcm") for path in scan.paths):
        return scan.excluded("dicom", "DICOM is not read; download it as NIfTI or convert it with dcm2niix")
    if problem := next(filter(None, (header_problem(Path(path)) for path in scan.paths)), ""):
        return scan.excluded("unreadable", problem)
    if scan.date is None:
        return scan.excluded("no_date", "neither the CSV, the XML nor the folder has a date (or only a placeholder)")
    return scan


def _strange(path: Path, root: Path) -> Scan:
    """Record an image file in a scan's folder whose name does not follow the grammar."""
    scan = Scan(
        path.relative_to(root).as_posix(), subject_id(_ptid(path)), OTHER, _folder(str(path)), paths=(str(path),)
    )
    return scan.excluded("name_unknown", f"{path.name} is not named as IDA names images, so its image ID is unknown")


def _stamps(path: Path) -> list[str]:
    """Return the dates of folders named as IDA names those of a scan: `2006-11-29_10_00_05.0`."""
    return [part[:10] for part in path.parts if re.match(r"\d{4}-\d\d-\d\d_\d\d_", part)]


def _ptid(path: Path) -> str:
    return next((part for part in path.parts if PTID.fullmatch(part)), "")


def _folder(path: str) -> str:
    """Return the series description that the folder is named after: <PTID>/<description>/<date>/<ID>/<file>."""
    parts = Path(path).parts
    return parts[-4] if len(parts) >= 4 else ""


def _guess(description: str) -> str:
    """Tell the modality of a listed image without a file where the table has no modality column."""
    if levels.t1_level(description):
        return MRI
    known = (levels.pet_level, levels.unused_fdg, levels.other_tracer)
    return PET if any(test(description) for test in known) else OTHER
