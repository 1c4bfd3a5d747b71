"""A table like ADNIMERGE: one row per person and visit, with the age at baseline and true volumes."""

import csv
from datetime import date
from pathlib import Path

from dualglow.cohort.simulate.archive import Record
from dualglow.files import read_json, written

PATH = Path("study_data", "ADNIMERGE_SYNTHETIC.csv")
COLUMNS = (
    "RID", "COLPROT", "ORIGPROT", "PTID", "SITE", "VISCODE", "EXAMDATE", "DX_bl", "AGE", "PTGENDER", "PTEDUCAT",
    "PTETHCAT", "PTRACCAT", "PTMARRY", "APOE4", "FDG", "PIB", "AV45", "MMSE", "IMAGEUID", "Ventricles", "Hippocampus",
    "WholeBrain", "ICV", "DX", "EXAMDATE_bl",
)  # fmt: skip
BASELINE_DIAGNOSIS = {"MCI": "LMCI"}  # ADNI1's MCI is coded LMCI
DIAGNOSIS = {"CN": "CN", "SMC": "CN", "EMCI": "MCI", "MCI": "MCI", "LMCI": "MCI", "AD": "Dementia"}


def write_adnimerge(out: Path, records: list[Record]) -> None:
    """Write the table into a subfolder of its own. What is not simulated (education, genotype, …) stays empty.

    As in ADNIMERGE, AGE is the age at the first visit on every row; EXAMDATE is the last scan's date of the visit.
    """
    visits: dict[tuple[str, int], list[Record]] = {}
    for of in records:
        visits.setdefault((of.subject, of.occasion), []).append(of)
    latest = {visit: max(own, key=lambda of: of.acquired) for visit, own in visits.items()}
    with written(out / PATH) as part, part.open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, restval="", quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writeheader()
        for visit, own in visits.items():
            table.writerow(_row(out, own, latest[visit], latest[visit[0], 0]))


def _row(out: Path, own: list[Record], here: Record, baseline: Record) -> dict[str, str | int]:
    volumes = _volumes(out, here)
    t1 = [of.image_id for of in own if of.kind == "T1"]
    return {
        "RID": int(here.subject[-4:]),
        "COLPROT": "SYNTHETIC",
        "ORIGPROT": "SYNTHETIC",
        "PTID": here.subject,
        "SITE": here.subject[:3],
        "VISCODE": "bl" if here.visit == "sc" else here.visit,
        "EXAMDATE": here.acquired,
        "DX_bl": BASELINE_DIAGNOSIS.get(here.group, here.group),
        "AGE": f"{baseline.age:.1f}",
        "PTGENDER": {"F": "Female", "M": "Male"}[here.sex],
        "IMAGEUID": t1[0] if t1 else "",
        "DX": DIAGNOSIS[here.group],
        "EXAMDATE_bl": date.fromisoformat(baseline.acquired).isoformat(),
        **volumes,
    }


def _volumes(out: Path, of: Record) -> dict[str, int]:
    """True volumes at the visit in mm³."""
    facts = read_json(out / "truth" / of.subject / "subject.json")
    if of.occasion:
        facts = facts["follow_ups"][of.visit]
    ml = facts["volumes_ml"]
    parts = {"Ventricles": ml["ventricles"], "Hippocampus": ml["hippocampus"], "WholeBrain": ml["grey"] + ml["white"]}
    parts["ICV"] = parts["WholeBrain"] + ml["csf"]
    return {name: round(1000 * volume) for name, volume in parts.items()}
