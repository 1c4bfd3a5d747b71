"""Simulated subjects whose pose, deformation and tissues are known, each with a PET made from its own tissue."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dualglow.atlases import atlas, reference_mask
from dualglow.cohort.simulate import scanner
from dualglow.cohort.simulate.head import uptake
from dualglow.cohort.simulate.people import cohort
from dualglow.cohort.simulate.subject import Truth, make_person
from dualglow.preprocess.ants import read_affine
from dualglow.preprocess.grid import MNI_GRID, on_grid, template_mask
from tests.benchmarks.preprocessing_chain import Prepared, Subject
from tests.benchmarks.preprocessing_measures import MniToT1, dice, distances, mni_brain, read, segmentation
from tests.benchmarks.preprocessing_truth import Points, sampled, world

PET_FWHM_MM, PET_VOXEL_MM = 6.0, 2.0
SHIFT_MM, TURN_DEG = 8.0, 6.0


@dataclass(frozen=True)
class Simulated:
    """A subject on disk and its truth: tissue shares on the T1's grid, noiseless PET there, T1 points → PET points."""

    number: int
    subject: Subject
    truth: Truth
    pet: Nifti1Image
    pet_from_t1: NDArray[np.float64]

    def tissue(self, name: str) -> Nifti1Image:
        of = self.truth.head
        shares = {"GM": of.grey, "WM": of.white, "CSF": of.csf, "brain": of.grey + of.white + of.csf}
        return Nifti1Image(shares[name], of.grid.affine)

    def t1_points(self, mni_points: Points) -> Points:
        """T1 points of MNI152 points (n, 3) by the true deformation, linear between its 4 mm nodes."""
        nodes, affine = self.truth.landmarks, self.truth.landmarks_affine
        return np.stack([sampled(Nifti1Image(part, affine), mni_points) for part in nodes], axis=-1)


def make_simulated(seed: int, number: int, voxel: float, folder: Path) -> Simulated:
    """Simulate a person; write the T1 and a PET of 6 mm FWHM that lies 8 mm and 6 degrees off."""
    person = cohort(max(24, number), seed)[number - 1]
    scans, truth = make_person(person, seed, voxel)
    rng = np.random.default_rng([seed, number])
    here = truth.head.grid
    clean = scanner.blurred(uptake(truth.head, np.float32(1)), PET_FWHM_MM, voxel)
    t1_from_pet = _misaligned(rng)
    there = scanner.field_of_view(scanner.FIELD_PET, PET_VOXEL_MM)
    pet = scanner.emission(scanner.seen_by(clean, here, there, t1_from_pet), PET_VOXEL_MM, scanner.PET_NOISE, rng)
    own = folder / f"simulated-{number}"
    own.mkdir()
    t1 = next(scan for scan in scans if scan.kind == "T1")
    nib.save(Nifti1Image(t1.frames[0], here.affine), own / "t1.nii.gz")
    nib.save(Nifti1Image(1e4 * pet.astype(np.float32), there.affine), own / "pet.nii.gz")
    subject = Subject(own, own / "t1.nii.gz", own / "pet.nii.gz")
    return Simulated(number, subject, truth, Nifti1Image(clean, here.affine), np.linalg.inv(t1_from_pet))


def _misaligned(rng: np.random.Generator) -> NDArray[np.float64]:
    axis, shift = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(TURN_DEG * axis, degrees=True).as_matrix()
    matrix[:3, 3] = SHIFT_MM * shift
    return matrix


def measure_simulated(person: Simulated, chain: Prepared) -> dict[str, float]:
    """All figures of one subject: mm over the brain, Dice, volume change, error of SUVR per AAL region."""
    points, found = mni_brain(), MniToT1.of(chain.t1)
    return {
        "subject": person.number,
        **_named("rigid", _rigid_error(person, chain)),
        **_named("warp", distances(found(points), person.t1_points(points))),
        **_native(person, chain),
        **_after_the_warp(chain, found, person),
        **found.volume_change(),
        **_true_volume_change(person),
        **_suvr_error(person, chain),
    }


def _named(prefix: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{prefix} {name}": value for name, value in figures.items()}


def _rigid_error(person: Simulated, chain: Prepared) -> dict[str, float]:
    """PET points that the brain's T1 points are carried to, against the truth."""
    assert chain.rigid is not None
    brain = person.tissue("brain")
    points = world(brain)[np.asarray(brain.dataobj) > 0.5][::5]
    errors = distances(apply_affine(read_affine(chain.rigid), points), apply_affine(person.pet_from_t1, points))
    return {name: errors[name] for name in ("mean (mm)", "max (mm)")}


def _native(person: Simulated, chain: Prepared) -> dict[str, float]:
    """Dice with the true tissues, where each has the larger part of a voxel."""
    found = segmentation(chain.t1)
    points = world(found["GM"])
    return {
        f"{name} native": dice(np.asarray(image.dataobj) > 0.5, sampled(person.tissue(name), points) > 0.5)
        for name, image in found.items()
    }


def _after_the_warp(chain: Prepared, found: MniToT1, person: Simulated) -> dict[str, float]:
    """Dice in MNI152: found tissues by the found warp, against true tissues by the true deformation."""
    points = np.asarray(apply_affine(MNI_GRID.matrix, np.moveaxis(np.indices(MNI_GRID.shape), 0, -1)))
    brain = template_mask(MNI_GRID)
    inside = points[brain]
    carried = chain.t1.carried
    figures = {}
    for name, path in (("GM", carried.mni_gm), ("WM", carried.mni_wm)):
        true = sampled(person.tissue(name), person.t1_points(inside)) > 0.5
        figures[f"{name} after the warp"] = dice(np.asarray(read(path).dataobj)[brain] > 0.5, true)
        figures[f"{name}, true tissue by both warps"] = dice(sampled(person.tissue(name), found(inside)) > 0.5, true)
    return figures


def _true_volume_change(person: Simulated) -> dict[str, float]:
    """Range of the true deformation's Jacobian determinant over the brain, from its 4 mm nodes."""
    nodes, affine = person.truth.landmarks, person.truth.landmarks_affine
    slopes = [np.stack(np.gradient(part, *nib.affines.voxel_sizes(affine)), axis=-1) for part in nodes]
    nodes_at = world(Nifti1Image(np.zeros(nodes.shape[1:], np.uint8), affine))
    brain = sampled(MNI_GRID.image(template_mask(MNI_GRID).astype(np.float32)), nodes_at) > 0.5
    change = np.linalg.det(np.stack(slopes, axis=-2)[brain])
    return {"true Jacobian min": float(change.min()), "true Jacobian max": float(change.max())}


def _suvr_error(person: Simulated, chain: Prepared) -> dict[str, float]:
    """Absolute error (%) of the mean SUVR of AAL regions: noiseless PET by the true maps against the chain's PET."""
    assert chain.mni_pet is not None
    regions = atlas("aal2")
    labels = np.rint(on_grid(regions.image, MNI_GRID, order=0)).astype(int)
    pons = on_grid(reference_mask("pons"), MNI_GRID, order=0) > 0
    found = np.asarray(read(chain.mni_pet).dataobj)
    points = np.asarray(apply_affine(MNI_GRID.matrix, np.moveaxis(np.indices(MNI_GRID.shape), 0, -1)))
    true = sampled(person.pet, person.t1_points(points))
    true = true / true[pons].mean()
    inside = (found > 0) & template_mask(MNI_GRID)
    errors = {
        name: 100 * abs(found[here].mean() / true[here].mean() - 1)
        for index, name in regions.labels.items()
        if (here := (labels == index) & inside).sum() > 0
    }
    return {
        "SUVR error, mean of regions (%)": float(np.mean(list(errors.values()))),
        "SUVR error, worst (%)": max(errors.values()),
    }
