"""Make a whole cohort on disk: resumable, in parallel, tables last."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import DTypeLike, NDArray

from dualglow.cohort.simulate.adnimerge import write_adnimerge
from dualglow.cohort.simulate.archive import Record, record
from dualglow.cohort.simulate.expected import write_expected
from dualglow.cohort.simulate.layouts import LAYOUTS, Layout
from dualglow.cohort.simulate.people import VISITS, Person, at_visits, cohort
from dualglow.cohort.simulate.subject import Scan, Truth, make_person, volumes
from dualglow.errors import ConfigError, InputError
from dualglow.files import read_json, written

README = """# SYNTHETIC cohort

No scan in this folder is of a real person. `dualglow simulate` made them (seed {seed}, {voxel} mm voxels) for tests and
demonstrations; results on them say nothing about Alzheimer's disease. Site 900 does not exist in ADNI.

- {images}
- `truth/<PTID>/`: what the images were made from, on the T1's grid unless said otherwise (RAS+, mm):
  - `labels.nii.gz`: Neuromorphometrics labels; `tissue_shares.nii.gz`: shares of GM, WM, CSF (fourth axis)
  - `pet_noiseless.nii.gz`: FDG uptake after the scanner's blur, without noise; healthy grey matter is about 1 before it
  - `pose.json`: `t1_from_pet`, 4×4, takes PET world coordinates (first frame) to T1 world coordinates (RAS+, mm);
    `motion`: the head's pose in each PET frame relative to the first
  - `mni_to_t1.nii.gz`: on a 4 mm MNI152 grid, each voxel centre's T1 world coordinates (x, y, z on the fourth axis)
  - `subject.json`: group, sex, age, severity (0 healthy, 1 typical AD), volumes in ml, the scans
- `truth/expected_pairs.tsv`, `truth/expected_exclusions.tsv`: what scanning and pairing must find.
"""
README_VISITS = """- `truth/<PTID>/m12/`, `…/m24/`: the same of the follow-up visits
- `truth/expected_pairs_all.tsv`, `truth/expected_exclusions_all.tsv`: what must be found when all pairs are asked for.
"""


@dataclass(frozen=True)
class Recipe:
    """What a cohort depends on. A person depends on seed, voxel size (mm) and number, not on the number of subjects.

    delivery: one of LAYOUTS; visits: 1 to 3, a year apart; adnimerge: whether to write a table like ADNIMERGE.
    """

    subjects: int = 24
    seed: int = 1
    voxel: float = 2.0
    delivery: str = "ida"
    visits: int = 1
    adnimerge: bool = False

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.delivery]

    def people(self) -> list[Person]:
        return cohort(self.subjects, self.seed)

    def fingerprint(self) -> dict[str, float | str]:
        """What a person who is there must have been made with; what is as by default is left out."""
        made: dict[str, float | str] = {"seed": self.seed, "voxel_mm": self.voxel}
        made |= {"delivery": self.delivery} if self.delivery != "ida" else {}
        return made | ({"visits": self.visits} if self.visits != 1 else {})

    def check(self) -> None:
        """Raise ConfigError if an option is impossible."""
        if not 0.5 <= self.voxel <= 6:
            raise ConfigError(f"--voxel {self.voxel}: expected 0.5 to 6 mm.")
        if self.delivery not in LAYOUTS:
            raise ConfigError(f"--delivery {self.delivery}: expected one of {', '.join(LAYOUTS)}.")
        if not 1 <= self.visits <= len(VISITS):
            raise ConfigError(f"--visits {self.visits}: expected 1 to {len(VISITS)}.")


def simulate(
    out: Path, recipe: Recipe, only: str | None, jobs: int, progress: Callable[[int, int], None]
) -> list[Record]:
    """Make the people who are not there yet, then write the tables over all who are.

    `only`: PTID of the one person to make; `jobs`: processes; `progress` is called with (people done, people in all).

    Raises
    ------
    ConfigError
        If the options are impossible, or the folder holds people made with other ones.
    """
    recipe.check()
    people = recipe.people()
    wanted = people if only is None else [p for p in people if p.ptid == only]
    if not wanted:
        raise ConfigError(f"--only {only}: not in this cohort of {people[0].ptid} to {people[-1].ptid}.")
    _prepare(out)
    missing = [person for person in wanted if not _is_complete(out, person, recipe)]
    for done, _ in enumerate(_made(out, missing, recipe, jobs), start=len(wanted) - len(missing)):
        progress(done, len(wanted))
    return _tables(out, [person for person in people if _is_complete(out, person, recipe)], recipe)


def _prepare(out: Path) -> None:
    folder = out / "truth"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}). Choose a writable --out.") from error


def _is_complete(out: Path, person: Person, recipe: Recipe) -> bool:
    marker = out / "truth" / person.ptid / "subject.json"
    if not marker.is_file():
        return False
    made = read_json(marker)["recipe"]
    if made != recipe.fingerprint():
        raise ConfigError(
            f"{marker.parent}: was made with {made}, this run asks for {recipe.fingerprint()}. "
            "Give another --out or remove the folder."
        )
    return True


def _made(out: Path, people: list[Person], recipe: Recipe, jobs: int) -> Iterator[None]:
    """Make people one by one or in parallel; yields once before the first and after each."""
    yield
    if jobs == 1 or len(people) < 2:
        for person in people:
            deliver(out, person, recipe)
            yield
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited: one thread per process
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(deliver, out, person, recipe) for person in people]):
            future.result()
            yield


def deliver(out: Path, person: Person, recipe: Recipe) -> None:
    """Make one person below a temporary folder, then move scans and truth in place, the truth last."""
    part = out / f".{person.ptid}.part"
    shutil.rmtree(part, ignore_errors=True)
    images, truth_folder = part / "images", part / "truth"
    facts: dict[str, Any] = {"recipe": recipe.fingerprint()}
    listed: list[dict[str, Any]] = []
    for seen in at_visits(person, recipe.visits, recipe.seed):
        scans, truth = make_person(seen, recipe.seed, recipe.voxel)
        listed += [_delivered(record(seen, scan), scan, recipe.layout, images) for scan in scans]
        if seen.visit:
            facts.setdefault("follow_ups", {})[VISITS[seen.visit]] = _facts(seen, truth)
        else:
            facts |= _facts(seen, truth)
        _write_truth(truth_folder / VISITS[seen.visit] if seen.visit else truth_folder, truth)
    facts["scans"] = listed
    (truth_folder / "subject.json").write_text(json.dumps(facts, indent=2) + "\n")
    folder = recipe.layout.folder(person.ptid)
    shutil.rmtree(out / folder, ignore_errors=True)  # left by an interrupted run: its truth is missing
    (out / folder).parent.mkdir(parents=True, exist_ok=True)
    os.replace(images / folder, out / folder)
    os.replace(truth_folder, out / "truth" / person.ptid)
    shutil.rmtree(part)


def _delivered(of: Record, scan: Scan, layout: Layout, images: Path) -> dict[str, Any]:
    """Write a scan; gives its record with its paths."""
    return asdict(of) | {"paths": layout.write(of, scan, images)}


def _facts(person: Person, truth: Truth) -> dict[str, Any]:
    facts = asdict(person) | {"ptid": person.ptid, "pet_blur_mm": truth.blur, "dose_bq_per_ml": truth.dose}
    del facts["visit"]
    facts |= {"t1_date": person.t1_date.isoformat(), "pet_date": person.pet_date.isoformat()}
    return facts | {"volumes_ml": volumes(truth.head)}


def _write_truth(folder: Path, truth: Truth) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    of, affine = truth.head, truth.head.grid.affine
    _save(of.labels, affine, folder / "labels.nii.gz")
    shares = np.stack([of.grey, of.white, of.csf], axis=-1)
    _save(shares, affine, folder / "tissue_shares.nii.gz", np.uint8)
    _save(truth.pet, affine, folder / "pet_noiseless.nii.gz")
    _save(np.moveaxis(truth.landmarks, 0, -1), truth.landmarks_affine, folder / "mni_to_t1.nii.gz")
    pose = {"t1_from_pet": truth.t1_from_pet.tolist(), "motion": [frame.tolist() for frame in truth.motion]}
    (folder / "pose.json").write_text(json.dumps(pose, indent=2) + "\n")


def _save(data: NDArray, affine: NDArray[np.float64], path: Path, stored: DTypeLike = None) -> None:
    """Write a NIfTI; with `stored`, its integers carry a slope."""
    image = Nifti1Image(data, affine)
    image.set_data_dtype(data.dtype if stored is None else stored)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"SYNTHETIC"
    nib.save(image, path)


def _tables(out: Path, people: list[Person], recipe: Recipe) -> list[Record]:
    """Write the delivery's tables, README and, last, the oracles of what pairing must find."""
    records = []
    for person in people:
        for scan in read_json(out / "truth" / person.ptid / "subject.json")["scans"]:
            del scan["paths"]
            records.append(Record(**scan))
    recipe.layout.finish(out, records)
    if recipe.adnimerge:
        write_adnimerge(out, records)
    with written(out / "README.md") as part:
        text = README.format(seed=recipe.seed, voxel=recipe.voxel, images=recipe.layout.contents)
        part.write_text(text + (README_VISITS if recipe.visits > 1 else ""))
    write_expected(out / "truth", records, recipe.layout.scan_name, recipe.layout.subject_name)
    return records
