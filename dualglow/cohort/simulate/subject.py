"""Make one person: the scans that the archive would hold, and the truth behind them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualglow.cohort.simulate import scanner
from dualglow.cohort.simulate.anatomy import Array, template, voxel_points
from dualglow.cohort.simulate.head import (
    Body,
    Grid,
    Head,
    amyloid_uptake,
    body,
    factor_map,
    head,
    scanner_points,
    template_points,
    uptake,
)
from dualglow.cohort.simulate.people import Person, person_seed, visit_seeds

MAGNETIC, FDG, AMYLOID = ("T1", "FLAIR"), "FDG", "AV45"
BIAS_ORIGINAL, BIAS_CORRECTED = 0.20, 0.05  # largest absolute log of the bias field
BLUR = (5.0, 8.0)  # mm FWHM, one per scanner
DOSE = (1e3, 4e4)  # Bq/mL at uptake 1


@dataclass(frozen=True)
class Scan:
    """One scan as acquired: kind (T1, FLAIR, FDG, AV45), frames (one for a static scan), their grid, and the form.

    form: `original` or `processed` for T1s, `averaged`, `frames` (one file each) or `4d` for PETs.
    """

    kind: str
    form: str
    frames: list[Array]
    grid: Grid


@dataclass(frozen=True)
class Truth:
    """What the scans were made from. All maps are on the T1's grid; poses are 4×4 in RAS+ mm.

    pet: blurred, noiseless FDG uptake; t1_from_pet: PET world → T1 world; motion: head pose of each PET frame relative
    to the first; landmarks: T1 world coordinates (3, X, Y, Z) of the points of an MNI152 grid.
    """

    head: Head
    pet: Array
    t1_from_pet: NDArray[np.float64]
    motion: list[NDArray[np.float64]]
    landmarks: Array
    landmarks_affine: NDArray[np.float64]
    blur: float
    dose: float


def make_person(person: Person, seed: int, voxel: float) -> tuple[list[Scan], Truth]:
    """Simulate a person's scans of one visit with cubic voxels of `voxel` mm.

    The same seed gives the same bits, alone or not. Over the visits a person only ages; poses and noise are new.
    """
    _, shape_seed, uptake_seed, t1_seed, pet_seed = person_seed(seed, person.number).spawn(5)
    if person.visit:
        _, t1_seed, pet_seed = visit_seeds(seed, person.number, person.visit)
    anatomy = body(person, np.random.default_rng(shape_seed))
    t1_rng, pet_rng = np.random.default_rng(t1_seed), np.random.default_rng(pet_seed)
    t1_pose, pet_pose = scanner.random_pose(t1_rng), scanner.random_pose(pet_rng)
    grid = scanner.field_of_view(scanner.FIELD_T1, voxel)
    points = template_points(anatomy, t1_pose, voxel_points(grid.shape, grid.affine))
    truth_head = head(anatomy, points, grid, scalp=float(t1_rng.uniform(0.85, 1.25)))
    blur = float(pet_rng.uniform(*BLUR))
    clean = uptake(truth_head, factor_map(person, points, np.random.default_rng(uptake_seed)))
    truth = Truth(
        head=truth_head,
        pet=scanner.blurred(clean, blur, voxel),
        t1_from_pet=t1_pose @ np.linalg.inv(pet_pose),
        motion=scanner.motion(pet_rng) if _form(person) != "averaged" else [],
        **_landmarks(anatomy, t1_pose),
        blur=blur,
        dose=float(np.exp(pet_rng.uniform(*np.log(DOSE)))),
    )
    scans = [_magnetic(kind, person, truth_head, t1_rng) for kind in MAGNETIC if kind in person.reasons]
    if FDG in person.reasons:
        scans.append(_emission(FDG, _form(person), truth.pet, truth, pet_rng))
    if AMYLOID in person.reasons:
        plaques = scanner.blurred(amyloid_uptake(truth_head, person.severity), blur, voxel)
        scans.append(_emission(AMYLOID, "averaged", plaques, truth, pet_rng))
    return scans, truth


def _form(person: Person) -> str:
    """Every sixth person's PET is delivered as frame files, another sixth as a 4D file, the rest averaged."""
    return {3: "frames", 0: "4d"}.get(person.number % 6, "averaged")


def _landmarks(anatomy: Body, pose: NDArray[np.float64]) -> dict[str, NDArray]:
    field = anatomy.forward
    points = voxel_points(field.vectors.shape[1:], field.affine)
    return {"landmarks": scanner_points(anatomy, pose, points), "landmarks_affine": field.affine}


def _magnetic(kind: str, person: Person, of: Head, rng: np.random.Generator) -> Scan:
    contrast = scanner.T1_CONTRAST if kind == "T1" else scanner.FLAIR_CONTRAST
    form = "processed" if kind == "T1" and person.number % 2 == 0 else "original"
    bias = BIAS_CORRECTED if form == "processed" else BIAS_ORIGINAL
    return Scan(kind, form, [scanner.magnetic(of, contrast, bias, rng)], of.grid)


def _emission(kind: str, form: str, clean: Array, truth: Truth, rng: np.random.Generator) -> Scan:
    of = truth.head.grid
    grid = scanner.field_of_view(scanner.FIELD_PET, float(of.affine[0, 0]))
    if form == "averaged":
        frames = scanner.averaged(clean, of, grid, truth.t1_from_pet, rng)
    else:
        frames = scanner.dynamic(clean, of, grid, truth.t1_from_pet, truth.motion, rng)
    return Scan(kind, form, [frame * np.float32(truth.dose) for frame in frames], grid)


def volumes(of: Head) -> dict[str, float]:
    """True volumes in ml of tissues and of the regions that atrophy changes."""
    voxel = float(abs(np.linalg.det(of.grid.affine[:3, :3]))) / 1000
    shares: dict[str, NDArray] = {"grey": of.grey, "white": of.white, "csf": of.csf * (of.labels > 0)}
    regions = {"ventricles": ("Lateral_Ventricle", "Inf_Lat_Vent", "3rd_Ventricle"), "hippocampus": ("Hippocampus",)}
    for name, fragments in regions.items():
        labels = [index for index, label in template().names.items() if any(f in label for f in fragments)]
        shares[name] = np.isin(of.labels, labels)
    return {name: round(float(share.sum()) * voxel, 2) for name, share in shares.items()}
