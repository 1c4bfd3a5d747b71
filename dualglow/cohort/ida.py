"""Read a download from the IDA archive (ADNI): what files, tables and XMLs say of an image, joined by its image ID."""

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from dualglow.cohort import levels
from dualglow.cohort.cache import Cache
from dualglow.cohort.collection import Entry, is_collection, read_collections, read_xml, real_date, rid, subject_id
from dualglow.cohort.disk import DAMAGE, Disk, Found
from dualglow.cohort.header_check import Progress, frames_differ, with_headers
from dualglow.cohort.scan import MRI, OTHER, PET, Scan, parse_date
from dualglow.cohort.study import Person, Quality, completed, read_merge, read_quality
from dualglow.cohort.tree import OTHER as OTHER_FORMAT
from dualglow.cohort.tree import Image, Tree, described, is_ida, ptid, stamps, walk
from dualglow.errors import InputError

__all__ = ["Options", "is_ida", "read_ida"]
log = logging.getLogger(__name__)

MODALITIES = {"MR": MRI, "MRI": MRI, "PT": PET, "PET": PET}
DATES_DIFFER_DAYS, DATE_CONFLICT_DAYS = 1, 30  # between CSV and folder: more is odd, more is a conflict


@dataclass(frozen=True)
class Options:
    """How a download is read."""

    pet_level: str = levels.AUTO  # one of levels.PET_CHOICES
    t1_level: str = levels.AUTO  # one of levels.T1_CHOICES
    strict: bool = False  # exclude images whose header says nothing of left and right
    allow_unlisted: bool = False  # use images that neither a table nor an XML describes; date from the folder's name
    merge: Path | None = None  # ADNIMERGE
    qc: tuple[Path, ...] = ()  # tables of quality control
    cache: Path | None = None  # where to keep the headers that were read


@dataclass(frozen=True)
class Known:
    """What is known of the study beside the images."""

    options: Options
    entries: dict[str, Entry]
    people: dict[int, Person]
    quality: Quality


def read_ida(
    root: Path, tables: list[Path] | None = None, options: Options = Options(), progress: Progress | None = None
) -> list[Scan]:
    """Read an IDA download, unzipped or in its zips: every image found or listed becomes one Scan.

    Only tables, XMLs and headers are read; nothing is written into the download. Sorted by subject and image ID.

    Parameters
    ----------
    root
        Folder that holds `ADNI/<PTID>/…` or the zips, or any folder above them.
    tables
        Collection CSVs or other tables of images; by default those found below `root`.
    progress
        Called with (headers read, headers to read) of images.

    Raises
    ------
    InputError
        If the folder is missing, holds no images of this grammar, or a table is missing or cannot be understood.
    ConfigError
        If a level is chosen that does not exist.
    """
    levels.check_choices(options.pet_level, options.t1_level)
    people = read_merge(options.merge) if options.merge else {}
    quality = read_quality(options.qc)
    cache = Cache(options.cache)
    try:
        with Disk() as disk:
            tree = walk(root, disk, cache)
            known = Known(options, read_collections(tables if tables else _tables(root, tree)), people, quality)
            _require_images(root, tree, known, disk)
            scans = [_scan(name, tree, known, disk, cache) for name in _names(tree, known)]
            scans = with_headers(scans, tree.images, options.strict, disk, cache, progress)
            scans += [_strange(found, root) for found in tree.strange]
            scans += [_damaged(path, why, root) for path, why in disk.damaged.items()]
    finally:
        cache.save()
    return _compared_over_time(sorted(scans, key=lambda scan: scan.subject))


def _names(tree: Tree, known: Known) -> list[str]:
    """Return the image IDs by number: those found, and those listed as downloaded."""
    listed = {name for name, entry in known.entries.items() if not entry.study}
    return sorted(set(tree.images) | listed, key=lambda name: int(name[1:]))


def _require_images(root: Path, tree: Tree, known: Known, disk: Disk) -> None:
    if tree.images or known.entries:
        return
    damaged = "".join(f" {path} cannot be read ({why})." for path, why in disk.damaged.items())
    raise InputError(
        f"{root}: no images named as IDA names them (ADNI_<PTID>_MR_…_I<number>.nii).{damaged} "
        "Give the folder that holds the downloaded zips or the ADNI/<PTID>/… folders."
    )


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


def _scan(name: str, tree: Tree, known: Known, disk: Disk, cache: Cache) -> Scan:
    """Join what the files' names, the tables and the XML say of one image."""
    image, listed = tree.images.get(name), known.entries.get(name)
    described = _xml(tree.xml[name], name, disk, cache) if name in tree.xml else None
    entry = listed or described
    if entry is None:
        assert image is not None  # a name comes from the files or from a table
        scan = _unlisted(image, known.options.allow_unlisted)
    else:
        subject = entry.subject if entry.subject and not entry.subject.startswith("RID") else ""
        subject = subject or (image.subject if image else entry.subject)
        modality = MODALITIES.get(entry.modality.upper(), OTHER) if entry.modality else image.modality if image else ""
        scan = Scan(name, subject, modality or _guess(entry.description), entry.description)
        scan = replace(scan, visit=entry.visit, group=entry.group, sex=entry.sex, age=entry.age)
    scan = _dated(replace(scan, paths=image.paths if image else ()), listed, described)
    precise = described is not None and described.age is not None
    if described and precise:
        scan = replace(scan, age=described.age)  # the XML has decimals, the CSV whole years
    scan = completed(scan, known.people, precise)
    scan = _checked(_recognised(scan, known.options), image, entry, known.quality)
    if image and described and described.frames and frames_differ(image, described.frames):
        scan = scan.warned("frame_count")
    return scan


def _xml(found: Found, name: str, disk: Disk, cache: Cache) -> Entry | None:
    kept = cache.get(found.path, found.signature)
    if kept is None:
        try:
            entry = read_xml(disk.read(found), found.path, name)
        except DAMAGE as error:
            log.warning("%s: ignored, it cannot be read (%s).", found.path, error)
            entry = None
        kept = {"entry": vars(entry) | {"date": entry.date and entry.date.isoformat()} if entry else None}
        cache.put(found.path, found.signature, kept)
    values = kept["entry"]
    return Entry(**values | {"date": parse_date(values["date"] or "")}) if values else None


def _unlisted(image: Image, allowed: bool) -> Scan:
    scan = Scan(image.name, image.subject, image.modality, described(image.volumes[0].path) or image.description)
    if allowed:
        return scan.warned("unlisted")
    return scan.excluded(
        "not_in_csv",
        "no row in the collection CSV and no XML: its date and group are unknown (--allow-unlisted takes the date from "
        "the folder's name)",
    )


def _folder_date(scan: Scan) -> Scan:
    """Return the scan with the date in its folder's name, as a source of its own."""
    found = [stamp for path in scan.paths for stamp in stamps(path)]
    try:
        day = real_date(parse_date(found[-1])) if found else None
    except ValueError:
        day = None
    return replace(scan, date=day, date_source="folder" if day else "")


def _dated(scan: Scan, listed: Entry | None, described: Entry | None) -> Scan:
    """Take the date from the CSV, else the XML, else the folder's name; say where the folder's contradicts it."""
    folder = _folder_date(scan)
    for source, entry in (("csv", listed), ("xml", described)):
        if entry and entry.date:
            scan = replace(scan, date=entry.date, date_source=source)
            apart = abs((folder.date - entry.date).days) if folder.date else 0
            return scan.warned("date_differs") if apart > DATES_DIFFER_DAYS else scan
    return folder


def _recognised(scan: Scan, options: Options) -> Scan:
    """Find the level and, for PET, the tracer; exclude what is neither a T1 nor an FDG-PET of the wanted level."""
    what = f"'{scan.description}'"
    if scan.modality == PET:
        level = levels.pet_level(scan.description)
        if level is None and levels.unused_fdg(scan.description):
            if options.pet_level == levels.AUTO:
                scan = replace(scan, tracer="FDG")
                return scan.excluded("level_not_used", f"{what}: download '{levels.WANTED_PET}'")
            level = levels.UNIFORM_6MM if "6mm" in levels.words(scan.description).replace(" ", "") else "other"
        if level is None:
            tracer = levels.other_tracer(scan.description)
            return replace(scan, tracer=tracer).excluded("wrong_tracer", f"{what} is not an FDG level")
        scan = replace(scan, level=level, tracer="FDG")
    else:
        level = levels.t1_level(scan.description) if scan.modality == MRI else None
        if level is None:
            return scan.excluded("not_t1", f"{what} is not a known T1 description")
        scan = replace(scan, level=level)
    download = levels.wanted(scan, options.pet_level, options.t1_level)
    return scan.excluded("level_not_wanted", f"{what}: download {download}") if download else scan


def _checked(scan: Scan, image: Image | None, entry: Entry | None, quality: Quality) -> Scan:
    """Exclude a scan whose files are missing or contradict the tables, that has no date, or that failed its QC."""
    if image is None:
        return scan.excluded("file_missing", f"'{scan.description}' is in the CSV but not in the download")
    if entry and entry.subject and rid(entry.subject) not in (None, rid(image.subject)):
        scan = scan.excluded("subject_conflict", f"the CSV says {entry.subject}, the file name {image.subject}")
    if image.modality != scan.modality:
        scan = scan.excluded("modality_conflict", f"the CSV says {scan.modality}, the file name {image.modality}")
    if image.kind == OTHER_FORMAT:
        what = f"{image.volumes[0].name} is Interfile or ECAT, which is not read"
        scan = scan.excluded("format_unknown", f"{what}: download '{levels.WANTED_PET}'")
    if scan.date is None:
        scan = scan.excluded("no_date", "neither the CSV, the XML nor the folder has a date (or only a placeholder)")
    folder = _folder_date(scan).date
    if scan.date and folder and abs((folder - scan.date).days) > DATE_CONFLICT_DAYS:
        scan = scan.excluded("date_conflict", f"{scan.date} in the {scan.date_source}, {folder} in the folder's name")
    if failed := quality.verdict(scan, image.series):
        scan = scan.excluded("qc_failed", failed)
    if scan.usable and not scan.group:
        scan = scan.warned("group_unknown")
    return scan


def _strange(found: Found, root: Path) -> Scan:
    """Record an image file in a scan's folder whose name does not follow the grammar."""
    name = found.path.removeprefix(f"{root}/")
    scan = Scan(name, subject_id(ptid(found.path)), OTHER, described(found.path), paths=(found.path,))
    return scan.excluded("name_unknown", f"{found.name} is not named as IDA names images, so its image ID is unknown")


def _damaged(path: str, why: str, root: Path) -> Scan:
    """Record a zip that cannot be read, with whatever images are in it."""
    scan = Scan(path.removeprefix(f"{root}/"), "", OTHER, paths=(path,))
    return scan.excluded("unreadable", f"the zip cannot be read ({why}); download it again")


def _compared_over_time(scans: list[Scan]) -> list[Scan]:
    """Warn where a person's group changes, or where one roster number has several subject labels."""
    groups: dict[str, set[str]] = defaultdict(set)
    labels: dict[int | None, set[str]] = defaultdict(set)
    for scan in scans:
        groups[scan.subject].add(scan.group)
        labels[rid(scan.subject)].add(scan.subject)
    changed = {subject for subject, found in groups.items() if len(found - {""}) > 1}
    shared = {label for number, found in labels.items() if number is not None and len(found) > 1 for label in found}
    scans = [scan.warned("group_changes") if scan.subject in changed else scan for scan in scans]
    return [scan.warned("rid_shared") if scan.subject in shared else scan for scan in scans]


def _guess(description: str) -> str:
    """Tell the modality of a listed image without a file where the table has no modality column."""
    if levels.t1_level(description):
        return MRI
    known = (levels.pet_level, levels.unused_fdg, levels.other_tracer)
    return PET if any(test(description) for test in known) else OTHER
