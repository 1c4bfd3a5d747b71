"""Read T1w and FDG-PET images of a BIDS dataset; derivatives/ and sourcedata/ are not looked into.

docs/bids.md says what is read from where, in which order.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from dualglow.cohort.bids_metadata import (
    Row,
    Sidecars,
    by_label,
    entities,
    first,
    first_date,
    label,
    read_ignored,
    read_rows,
    stem,
    text,
)
from dualglow.cohort.disk import Disk, found_at
from dualglow.cohort.geometry import judged
from dualglow.cohort.headers import image_facts
from dualglow.cohort.levels import other_tracer
from dualglow.cohort.scan import GROUPS, MRI, PET, Scan, parse_age, parse_group, parse_sex
from dualglow.errors import InputError

Progress = Callable[[int, int], None]
DATATYPES = {"anat": MRI, "pet": PET}
FDG = re.compile(r"fdg(?!al)|deoxy-?glucose|fluoro-d-glucose", re.IGNORECASE)  # not fluorodeoxygalactose
TRACER_KEYS = ("TracerName", "Radiopharmaceutical")  # PET-BIDS; dcm2niix
DATE_KEYS = ("AcquisitionDateTime", "AcquisitionDate", "ScanDate")  # ScanDate: PET-BIDS before 1.6
FRAME_KEYS = ("FrameTimesStart", "FrameDuration")
DATE_COLUMNS = ("acq_time", "examination_date", "examdate", "date")
SEX_COLUMNS = ("sex", "gender", "ptgender")
GROUP_COLUMNS = ("group", "diagnosis_sc", "diagnosis_bl", "diagnosis", "dx_bl", "dx")
FINER = {"CN": ("SMC",), "MCI": ("EMCI", "LMCI")}  # what a visit's coarser diagnosis does not overrule


@dataclass(frozen=True)
class Dataset:
    """What holds for all images of one dataset."""

    root: Path
    participants: dict[tuple[str, ...], Row]  # by subject and session label; the session is empty where none is given
    sidecars: Sidecars
    ignored: GitIgnoreSpec
    disk: Disk
    strict: bool


@dataclass(frozen=True)
class Session:
    """One session folder (the subject's folder where there are no sessions) and what the tables say of it."""

    subject: str  # label without sub-
    label: str  # label without ses-; empty without sessions
    folder: Path
    scans: dict[str, Row]  # scans.tsv by the file's stem
    row: Row  # this session's row of sessions.tsv
    person: Row  # this person's row of participants.tsv


def is_bids(root: Path) -> bool:
    """Whether the folder is a BIDS dataset, or holds one as rawdata/."""
    root = _raw(root)
    datatypes = (path for depth in ("*", "ses-*/*") for path in root.glob(f"sub-*/{depth}") if path.name in DATATYPES)
    return (root / "dataset_description.json").is_file() or any(path.is_dir() for path in datatypes)


def read_bids(root: Path, progress: Progress | None = None, strict: bool = False) -> list[Scan]:
    """Read a BIDS dataset: every image in anat/ and pet/ becomes one Scan, sorted by subject and session.

    So does a T1w or PET that scans.tsv lists in vain. A scan's date comes from scans.tsv (acq_time), its sidecar,
    sessions.tsv, the month in `ses-M012`, or is unknown: then `date_source` is `months` or `session`, and the scan can
    only be paired by its session label.

    Parameters
    ----------
    root
        The dataset, or a folder that holds it as rawdata/.
    progress
        Called with the number of images read and their total.
    strict
        Exclude images whose header says nothing of left and right, instead of taking them as LAS.

    Raises
    ------
    InputError
        If the folder is missing or holds no sub-*/ folders, or if a table has a date that is none.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the root of a BIDS dataset.")
    root = _raw(root)
    subjects = sorted(path for path in root.glob("sub-*") if path.is_dir())
    if not subjects:
        raise InputError(f"{root}: has no sub-*/ folders. Give the root of a BIDS dataset.")
    participants = by_label(root / "participants.tsv", "participant_id", "session_id")
    scans = []
    with Disk() as disk:
        dataset = Dataset(root, participants, Sidecars(root), read_ignored(root), disk, strict)
        sessions = [session for subject in subjects for session in _sessions(dataset, subject)]
        images = [(session, path) for session in sessions for path in _images(session.folder)]
        for done, (session, path) in enumerate(images, start=1):
            scans.append(_scan(dataset, session, path))
            if progress:
                progress(done, len(images))
    scans += [scan for session in sessions for scan in _absent(session)]
    return sorted(scans, key=lambda scan: (scan.subject, scan.visit, scan.modality, scan.scan_id))


def _raw(root: Path) -> Path:
    """Return the dataset itself where `root` has rawdata/ beside sourcedata/ and derivatives/."""
    raw = root / "rawdata"
    return raw if raw.is_dir() and not any(root.glob("sub-*")) else root


def _sessions(dataset: Dataset, subject: Path) -> Iterator[Session]:
    """List sessions from the folders: a sessions.tsv may name others, or not all."""
    person = label(subject.name)
    rows = by_label(subject / f"{subject.name}_sessions.tsv", "session_id")
    folders = sorted(path for path in subject.glob("ses-*") if path.is_dir())
    listed = _listed(subject / f"{subject.name}_scans.tsv")
    known = dataset.participants
    for folder in [subject, *folders]:
        session = "" if folder == subject else label(folder.name)
        scans = listed | _listed(folder / f"{subject.name}_{folder.name}_scans.tsv")
        about = known.get((person, session)) or known.get((person, ""), {})
        yield Session(person, session, folder, scans, rows.get((session,), {}), about)


def _listed(path: Path) -> dict[str, Row]:
    """Rows of a scans.tsv by the image's name: some list .nii for .nii.gz, or name another folder."""
    return {stem(row.get("filename", "")): row for row in read_rows(path, "filename")}


def _images(folder: Path) -> list[Path]:
    """List images; links whose target is not here, as git-annex makes them, are among them."""
    return sorted(
        path
        for datatype in DATATYPES
        if (folder / datatype).is_dir()
        for path in (folder / datatype).iterdir()
        if path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")
    )


def _absent(session: Session) -> Iterator[Scan]:
    """Record the T1w and PET images that scans.tsv lists but that are not there."""
    found = {stem(path.name) for path in _images(session.folder)}
    for name in session.scans.keys() - found:
        modality = {"T1w": MRI, "pet": PET}.get(name.rsplit("_", 1)[-1])
        said = entities(name)
        if modality and said.get("sub") == session.subject and said.get("ses", "") == session.label:
            scan = Scan(name, session.subject, modality, _description(name), visit=session.label)
            yield scan.excluded("file_missing", "it is in scans.tsv but not in the dataset")


def _scan(dataset: Dataset, session: Session, path: Path) -> Scan:
    """Join what the name, the sidecars, the tables and the header say of one image."""
    name = stem(path.name)
    scan = Scan(
        name,
        session.subject,
        DATATYPES[path.parent.name],
        _description(name),
        visit=session.label,
        group=_group(session),
        sex=parse_sex(first(SEX_COLUMNS, session.row, session.person)),
        age=_age(session, name),
        paths=(str(path),),
    )
    scan = scan if scan.group else scan.warned("group_unknown")
    sidecar: dict[str, Any] = {}
    try:
        sidecar = dataset.sidecars.of(path)
    except InputError as error:  # a T1 needs none, and the tracer may be in the name
        scan = replace(scan.warned("sidecar_unreadable"), detail=str(error))
    scan = _named(scan, dataset, session, path)
    scan = _dated(scan, session, sidecar, path)
    scan = _pet(scan, sidecar) if scan.modality == PET else _t1(scan)
    return _read(scan, dataset, sidecar, path) if scan.usable else scan


def _named(scan: Scan, dataset: Dataset, session: Session, path: Path) -> Scan:
    """Exclude an image that .bidsignore lists, that says to be another's, or that is there twice."""
    place = path.relative_to(dataset.root).as_posix()
    said = entities(stem(path.name))
    if said.get("sub") != session.subject or said.get("ses", session.label) != session.label:
        other = replace(scan, scan_id=place)
        return other.excluded("name_conflict", f"{path.name} lies in the folder of another person or session")
    if "ses" not in said and session.label:
        scan = replace(scan, scan_id=place)  # its name alone may be in several sessions
    if path.suffix == ".nii" and path.with_name(f"{path.name}.gz").exists():
        return replace(scan, scan_id=place).excluded("duplicate_file", f"{path.name}.gz beside it was taken")
    return scan.excluded("bidsignored", ".bidsignore lists it") if dataset.ignored.match_file(place) else scan


def _dated(scan: Scan, session: Session, sidecar: dict[str, Any], path: Path) -> Scan:
    """Find the date; those shifted before 1925 are as good as any, for their gaps are true.

    Raises InputError for a value that is no date.
    """
    sources = [
        ("scans.tsv", session.scans.get(stem(path.name), {}).get("acq_time")),
        *(("sidecar", sidecar.get(key)) for key in DATE_KEYS),
        *(("sessions.tsv", session.row.get(column)) for column in DATE_COLUMNS),
    ]
    try:
        day, source = first_date(sources)
    except ValueError as error:
        raise InputError(f"{path}: {error}. Correct it or write n/a.") from error
    source = source or ("session" if months(session.label) is None else "months")
    return replace(scan, date=day, date_source=source)


def months(visit: str) -> int | None:
    """Read the month in a session label such as M012, m06 or bl; None if it has none."""
    if visit.casefold() == "bl":
        return 0
    found = re.fullmatch(r"[Mm](\d{1,3})", visit)
    return int(found[1]) if found else None


def _pet(scan: Scan, sidecar: dict[str, Any]) -> Scan:
    """Find the tracer (the name, else the sidecar) and the level (rec- entity)."""
    said = entities(scan.description)
    if scan.description.rsplit("_", 1)[-1] != "pet" or "desc" in said or "space" in said:
        return scan.excluded("not_pet", f"{scan.description} is not a raw PET image")
    written = next(filter(None, (text(sidecar.get(key)) for key in TRACER_KEYS)), "")
    acquired = said.get("acq", "")  # Clinica before 0.6 wrote acq-fdg, acq-av45
    tracer = said.get("trc") or written or (acquired if FDG.search(acquired) or other_tracer(acquired) else "")
    if not tracer:
        problem = f" ({scan.detail})" if scan.detail else ""
        return scan.excluded("tracer_unknown", f"no trc- entity, and no TracerName in a sidecar{problem}")
    if not FDG.search(tracer):
        return replace(scan, tracer=tracer).excluded("wrong_tracer", f"{tracer} is not FDG")
    if other_tracer(written):
        return replace(scan, tracer=written).excluded(
            "wrong_tracer", f"named {tracer}, but its TracerName is {written}"
        )
    return replace(scan, tracer="FDG", level=said.get("rec", "native"))


def _t1(scan: Scan) -> Scan:
    said = entities(scan.description)
    raw = said.get("part", "mag") == "mag" and "desc" not in said and "space" not in said
    if scan.description.rsplit("_", 1)[-1] != "T1w" or not raw:
        return scan.excluded("not_t1", f"{scan.description} is not a raw T1w magnitude image")
    return replace(scan, level="original")


def _read(scan: Scan, dataset: Dataset, sidecar: dict[str, Any], path: Path) -> Scan:
    """Read the header: exclude what is not here, damaged or no head, and compare the frames with the sidecar's."""
    if not path.exists():
        return scan.excluded("file_missing", f"{path.name} is a link to content that is not here (try datalad get)")
    facts = image_facts(found_at(path), dataset.disk)
    scan = judged(scan, [facts], dataset.strict)
    lists = [value for key in FRAME_KEYS if isinstance(value := sidecar.get(key), list)]
    differ = scan.modality == PET and any(len(value) != facts.frames for value in lists)
    return scan.warned("frame_count") if differ and scan.usable else scan


def _group(session: Session) -> str:
    """Return the session's diagnosis, or the participant's where that says the same more finely or alone."""
    own, now = _diagnosis(session.person), _diagnosis(session.row)
    return own if not now or own in FINER.get(now, ()) else now


def _diagnosis(row: Row) -> str:
    """Return the first diagnosis column with one of the six groups."""
    found = (parse_group(row.get(name, "")) for name in GROUP_COLUMNS)
    return next((group for group in found if group in GROUPS), "")


def _age(session: Session, name: str) -> float | None:
    """Age at the scan in years: the session's, the participant's, or that at baseline and the months since."""
    known = parse_age(first(("age",), session.scans.get(name, {}), session.row, session.person))
    at_baseline = parse_age(first(("age_bl",), session.row, session.person))
    if known is None and at_baseline is not None:
        return round(at_baseline + (months(session.label) or 0) / 12, 2)
    return known


def _description(name: str) -> str:
    """Return what the file name says beyond subject and session."""
    return "_".join(part for part in name.split("_") if not part.startswith(("sub-", "ses-")))
