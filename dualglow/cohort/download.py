"""Read a download of whatever layout: IDA's folders or zips, a BIDS dataset, or a sample sheet."""

from collections.abc import Callable
from pathlib import Path

from dualglow.cohort import levels
from dualglow.cohort.bids import is_bids, read_bids
from dualglow.cohort.headers import ORIENTATION_ASSUMED
from dualglow.cohort.ida import Options, is_ida, read_ida
from dualglow.cohort.scan import PET, Scan
from dualglow.cohort.sheet import is_sheet, read_sheet
from dualglow.errors import ConfigError, InputError

IDA, BIDS, SHEET, AUTO = "ida", "bids", "sheet", "auto"
Progress = Callable[[int, int], None]
DEFAULTS = Options()


def read_download(
    root: Path,
    source: str = AUTO,
    tables: list[Path] | None = None,
    options: Options = DEFAULTS,
    progress: Progress | None = None,
) -> list[Scan]:
    """Read every scan found or listed, usable or not; headers and tables only.

    Parameters
    ----------
    root
        Folder of an IDA download (zips or unzipped), root of a BIDS dataset, or a sample sheet (.tsv, .csv).
    source
        ida, bids, sheet or auto.
    tables
        Collection CSVs of IDA; by default those below `root`.
    options
        How IDA downloads are read; the levels are asked of every layout.
    progress
        Called with (headers read, headers to read).

    Raises
    ------
    InputError
        If `root` is none of these, or something in it cannot be understood.
    ConfigError
        If an option does not go with the layout.
    """
    levels.check_choices(options.pet_level, options.t1_level)
    found = source
    if source == AUTO:
        found = IDA if tables else layout(root)
    if found == IDA:
        return read_ida(root, tables, options, progress)
    _check_ida_only(found, tables, options)
    scans = read_sheet(root) if found == SHEET else read_bids(root, progress)
    return [_strict(_of_level(scan, options), options.strict) for scan in scans]


def layout(root: Path) -> str:
    """Tell how a download is laid out. Raises InputError if it is of no known kind."""
    if root.is_file():
        if is_sheet(root):
            return SHEET
        raise InputError(f"{root}: is no sample sheet (.tsv or .csv). Give the download's folder, or a sheet.")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the folder of the download or BIDS dataset.")
    if is_bids(root):
        return BIDS
    if is_ida(root):
        return IDA
    raise InputError(
        f"{root}: holds neither a BIDS dataset (dataset_description.json) nor images named as IDA names them "
        "(ADNI_<PTID>_MR_…_I<number>.nii). Give the folder of the download, or --source."
    )


def _check_ida_only(found: str, tables: list[Path] | None, options: Options) -> None:
    given = {
        "--csv": tables,
        "--adnimerge": options.merge,
        "--qc": options.qc,
        "--allow-unlisted": options.allow_unlisted,
    }
    if wrong := [name for name, value in given.items() if value]:
        raise ConfigError(f"{wrong[0]}: goes with an IDA download, not with {found}. Leave {', '.join(wrong)} out.")


def _strict(scan: Scan, strict: bool) -> Scan:
    """Exclude, if `strict`, a scan whose header does not say where left and right are; IDA's reader does the same."""
    if not strict or ORIENTATION_ASSUMED not in scan.warnings.split():
        return scan
    return scan.excluded(ORIENTATION_ASSUMED, "its header says nothing of left and right (--strict)")


def _of_level(scan: Scan, options: Options) -> Scan:
    """Exclude a scan of another level than the one asked for; IDA's reader does the same."""
    asked = options.pet_level if scan.modality == PET else options.t1_level
    if not scan.usable or asked == levels.AUTO:
        return scan
    download = levels.wanted(scan, options.pet_level, options.t1_level)
    return scan.excluded("level_not_wanted", f"'{scan.level}': download {download}") if download else scan
