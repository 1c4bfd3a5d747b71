"""What the archives' descriptions mean: FDG levels, kinds of T1, and which of two is the better one.

Descriptions are compared whole, as words without punctuation and case: `AV45 Coreg, Avg, …` is not `Coreg, Avg, …`.
"""

import re

from dualglow.cohort.scan import PET, Scan
from dualglow.errors import ConfigError

WANTED_PET = "Coreg, Avg, Std Img and Vox Siz, Uniform Resolution"
WANTED_T1 = "MPR; GradWarp; B1 Correction; N3; Scaled"

# ADNI's FDG processing levels (names as Clinica's rec- entity), best first.
FDG = {
    "coregiso": r"coreg avg std img and vox siz uniform resolution",
    "coregavg": r"co registered averaged",
    "coregstd": r"coreg avg standardized image and voxel size",
    "coregdyn": r"co registered dynamic",
    "raw": r"adni brain pet raw( fdg)?|dy\d+ f 18 fdg( .*)?",
}
UNIFORM_6MM = "uniform6"
UNUSED_FDG = r"coreg avg std img and vox siz uniform \d+ ?mm res(olution)?"  # only on request: UNIFORM_6MM
FDG_NAMES = {
    "coregiso": WANTED_PET,
    "coregavg": "Co-registered, Averaged",
    "coregstd": "Coreg, Avg, Standardized Image and Voxel Size",
    "coregdyn": "Co-registered Dynamic",
    "raw": "ADNI Brain PET: Raw FDG",
    UNIFORM_6MM: "Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res",
}
FRAMED = ("coregdyn", "raw")  # levels of which each frame is an image
BIDS_PET = ("acstat", "acdyn", "native", "nacstat", "nacdyn")  # other reconstructions that a BIDS rec- entity names
PET_LEVELS = (*FDG, *BIDS_PET, UNIFORM_6MM)
OTHER_TRACERS = r"av ?45|pib|fbb|av ?1451|tau|nav4694|mk ?6240|flute\w*|florbeta\w*|flortau\w*|amyloid|early"

PROCESSED_T1 = r"(mpr|mpr r|mt1)(?P<steps>( gradwarp)?( b1 correction)?( n3m?)?( scaled( 2)?)?)( mp rage)?"
T1_CORE = r"mprage|mp rage|ir f?spgr|irf?spgr|f?spgr"
ACCELERATED = {"accel", "accelerated", "grappa", "grappa2", "sense", "sense2", "s2", "hs", "msv21", "msv22"}
PLAIN = r"adni[23]?|r11|aso|asaso|sag|sagittal|axial|3d|t1w?|tfe|repeat|nd|no|angle|0|1|2|new|ti|tr|gw|dis3d"
PROCESSED = ("scaled2", "scaled", "n3", "gradwarp")
ORIGINAL = ("original", "accelerated", "repeat", "nd")
T1_LEVELS = (*PROCESSED, *ORIGINAL)
AUTO = "auto"
PET_CHOICES = (AUTO, *FDG_NAMES)
T1_CHOICES = {AUTO: T1_LEVELS, "original": ORIGINAL, "processed": PROCESSED}


def words(description: str) -> str:
    """Lower-case words separated by one blank: the same for a description and for the folder named after it."""
    return re.sub(r"[^a-z0-9]+", " ", description.casefold()).strip()


def pet_level(description: str) -> str | None:
    """FDG level of an ADNI PET description, or None if it is not FDG or of a level that is not used."""
    text = words(description)
    return next((level for level, pattern in FDG.items() if re.fullmatch(pattern, text)), None)


def unused_fdg(description: str) -> bool:
    """Whether this is FDG of a level that is known but not used."""
    return re.fullmatch(UNUSED_FDG, words(description)) is not None


def check_choices(pet: str, t1: str) -> None:
    """Raise ConfigError unless `pet` is one of PET_CHOICES and `t1` one of T1_CHOICES."""
    for name, value, choices in (("pet_level", pet, PET_CHOICES), ("t1_level", t1, tuple(T1_CHOICES))):
        if value not in choices:
            raise ConfigError(f"{name} {value}: expected {', '.join(choices)}.")


def wanted(scan: Scan, pet: str, t1: str) -> str:
    """What to download where the scan's level is not the chosen one; an empty string where it is."""
    if scan.modality == PET:
        fits = scan.level == pet or (pet == AUTO and scan.level in FDG)
        return "" if fits else f"'{FDG_NAMES.get(pet, WANTED_PET)}'"
    if scan.level in T1_CHOICES[t1]:
        return ""
    return "the original 'MPRAGE' or the like" if t1 == "original" else f"'{WANTED_T1}'"


def other_tracer(description: str) -> str:
    """Tracer that the description of a PET that is not FDG begins with, in capitals; empty if it names none."""
    found = re.search(rf"\b({OTHER_TRACERS})\b", words(description))
    return found[1].replace(" ", "").upper() if found else ""


def t1_level(description: str) -> str | None:
    """Kind of an ADNI T1 description (T1_LEVELS), or None if it is not a known T1."""
    text = words(description)
    processed = re.fullmatch(PROCESSED_T1, text)
    if processed and processed["steps"]:
        steps = processed["steps"]
        marks = (("scaled2", "scaled 2"), ("scaled", "scaled"), ("n3", "n3"), ("gradwarp", ""))
        return next(level for level, mark in marks if mark in steps)
    core = re.search(rf"\b({T1_CORE})\b", text)
    rest = set(re.sub(rf"\b({T1_CORE})\b", " ", text).split())
    known = all(word in ACCELERATED or re.fullmatch(PLAIN, word) for word in rest)
    return _original(rest) if core and known else None


def _original(extra: set[str]) -> str:
    if "nd" in extra:
        return "nd"
    if "repeat" in extra:
        return "repeat"
    return "accelerated" if extra & ACCELERATED else "original"


def rank(scan: Scan) -> tuple[int, int, int, int]:
    """Order of preference among the scans of one person, day and modality; lower is better.

    The level, then the processing steps that are missing, then whether it is a repeat, then the number in the ID
    (as a number: I9999 comes before I10000).
    """
    levels = PET_LEVELS if scan.modality == PET else T1_LEVELS
    level = levels.index(scan.level) if scan.level in levels else len(levels)
    text = words(scan.description)
    missing = sum(step not in text for step in ("gradwarp", "b1 correction", "n3"))
    repeat = text.startswith("mpr r ")
    number = re.search(r"(\d+)(?!.*\d)", scan.scan_id)
    return level, 0 if scan.modality == PET else missing, int(repeat), int(number[1]) if number else 0
