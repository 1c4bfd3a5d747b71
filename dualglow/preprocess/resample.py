"""Source images to T1 space, MNI152 and the model grid: each output in one interpolation from its source."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from dualglow.errors import InputError
from dualglow.files import write_json
from dualglow.preprocess.ants import workspace
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, Grid, on_grid, template_mask, with_affine
from dualglow.preprocess.images import load_3d, save, scratch
from dualglow.preprocess.intensity import Reference, measure_reference
from dualglow.preprocess.normalise import to_mni_steps, to_t1_steps
from dualglow.preprocess.register import Step, resample

_FWHM = 2.3548


@dataclass(frozen=True)
class NativeT1:
    """What describes a T1 in its own space: `normalise`'s and `segment`'s outputs."""

    t1: Path
    affine: Path
    warp: Path
    mask: Path
    gm: Path
    wm: Path
    csf: Path


@dataclass(frozen=True)
class T1Outputs:
    """The T1's images in MNI152 (1.5 mm) and on the model grid (2.25 mm), skull removed."""

    mni_t1: Path
    mni_mask: Path
    mni_gm: Path
    mni_wm: Path
    mni_csf: Path
    model_t1: Path
    model_mask: Path


@dataclass(frozen=True)
class PetOutputs:
    """The PET as SUVR in T1 space (whole head) and, skull removed, in MNI152 and on the model grid."""

    t1_pet: Path
    mni_pet: Path
    model_pet: Path
    qc: Path


def resample_t1(native: NativeT1, outputs: T1Outputs) -> None:
    """Carry a bias-corrected T1, its tissues and its brain mask to MNI152 and to the model grid."""
    steps = to_mni_steps(native.affine, native.warp)
    with workspace() as folder:
        bench = _Bench(folder)
        mni_mask = bench.carry(native.mask, MNI_GRID, steps, "Linear") >= 0.5
        model_mask = bench.carry(native.mask, MODEL_GRID, steps, "Linear") >= 0.5
        mni_t1 = bench.carry(native.t1, MNI_GRID, steps, "BSpline")
        model_t1 = bench.carry(native.t1, MODEL_GRID, steps, "BSpline")
        tissues = [bench.carry(path, MNI_GRID, steps, "Linear") for path in (native.gm, native.wm, native.csf)]
    save(MNI_GRID.image(np.maximum(mni_t1, 0) * mni_mask), outputs.mni_t1)
    save(MODEL_GRID.image(np.maximum(model_t1, 0) * model_mask), outputs.model_t1)
    for tissue, path in zip(tissues, (outputs.mni_gm, outputs.mni_wm, outputs.mni_csf), strict=True):
        save(MNI_GRID.image(np.clip(tissue, 0, 1) * mni_mask), path)
    save(MNI_GRID.image(mni_mask), outputs.mni_mask)
    save(MODEL_GRID.image(model_mask), outputs.model_mask)


def resample_pet(
    pet: Path, rigid: Path, native: NativeT1, carried: T1Outputs, outputs: PetOutputs, reference: str
) -> None:
    """Carry a PET to T1 space, MNI152 and the model grid, as SUVR; negative voxels become 0.

    `carried` holds the masks that `resample_t1` wrote. The reference region is measured in MNI152 space.

    Raises
    ------
    InputError
        If the PET has no signal in the reference region.
    """
    steps = [*to_mni_steps(native.affine, native.warp), Step(rigid)]
    mni_mask, model_mask = load_3d(carried.mni_mask), load_3d(carried.model_mask)
    with workspace() as folder:
        bench = _Bench(folder)
        head = load_3d(native.t1)
        t1_pet = bench.carry(pet, Grid.of(head), [Step(rigid)], "BSpline")
        mni_pet = bench.carry(pet, MNI_GRID, steps, "BSpline")
        model_pet = bench.carry(pet, MODEL_GRID, steps, "BSpline")
    try:
        found = measure_reference(MNI_GRID.image(mni_pet), mni_mask, reference)
    except InputError as error:
        raise InputError(f"{pet}: {error}") from error
    save(with_affine(_suvr(t1_pet, found), head.affine), outputs.t1_pet)
    save(MNI_GRID.image(_suvr(mni_pet, found) * _binary(mni_mask)), outputs.mni_pet)
    save(MODEL_GRID.image(_suvr(model_pet, found) * _binary(model_mask)), outputs.model_pet)
    write_json(_suvr_numbers(found, mni_pet / found.mean, _binary(mni_mask)), outputs.qc)


def _binary(mask: Nifti1Image) -> np.ndarray:
    return np.asarray(mask.dataobj) > 0


def _suvr(pet: np.ndarray, found: Reference) -> np.ndarray:
    return np.maximum(pet / np.float32(found.mean), 0).astype(np.float32)


def _suvr_numbers(found: Reference, suvr: np.ndarray, brain: np.ndarray) -> dict[str, float | str]:
    numbers = {f"reference_{name}": value for name, value in asdict(found).items()}
    seen = suvr[brain] > 0.01 * np.median(suvr[brain])
    return {
        **{name: round(value, 5) if isinstance(value, float) else value for name, value in numbers.items()},
        "brain_mean": round(float(suvr[brain].mean(dtype=np.float64)), 5),
        "brain_coverage": round(float(seen.mean()), 5),
        "units": "SUVR" if found.region != "none" else "as the source",
    }


class _Bench:
    """A working folder that makes each source ready for a grid once and carries it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def carry(self, source: Path, grid: Grid, steps: list[Step], interpolation: str) -> np.ndarray:
        """Resample one source file onto a grid, after the smoothing that a coarser grid needs; float32 array."""
        self._count += 1
        image = load_3d(source)
        ready = scratch(prefiltered(image, grid.voxel_mm), image.affine, self.folder / f"source{self._count}.nii")
        reference = scratch(np.zeros(grid.shape, np.uint8), grid.matrix, self.folder / f"grid{self._count}.nii")
        out = self.folder / f"carried{self._count}.nii"
        return resample(ready, reference, steps, out, "BSpline" if interpolation == "BSpline" else "Linear")


def prefiltered(image: Nifti1Image, target_mm: float) -> np.ndarray:
    """Smooth an image (x, y, z) for sampling on a coarser grid, so that nothing finer than it is aliased.

    A Gaussian per axis whose full width at half maximum is sqrt(target² - voxel²); axes already coarser stay.
    """
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    fwhm_mm = np.sqrt(np.maximum(target_mm**2 - spacing**2, 0))
    return ndimage.gaussian_filter(np.asarray(image.dataobj, dtype=np.float32), fwhm_mm / _FWHM / spacing)


def carry_to_t1(image: Path, affine: Path, inverse_warp: Path, t1_grid: Grid) -> Nifti1Image:
    """Carry an MNI152 or model-grid image to the T1's space in one linear interpolation; 0 beyond the image."""
    with workspace() as folder:
        source = load_3d(image)
        plain = scratch(np.asarray(source.dataobj), source.affine, folder / "source.nii")
        reference = scratch(np.zeros(t1_grid.shape, np.uint8), t1_grid.matrix, folder / "grid.nii")
        data = resample(plain, reference, to_t1_steps(affine, inverse_warp), folder / "native.nii")
    return with_affine(data, t1_grid.matrix)


def to_mni(image_on_model_grid: Path, out: Path) -> None:
    """Sample a model-grid image on MNI_GRID by cubic splines (no transform: both are MNI152); 0 outside the template.

    Negative values, which only the splines make, become 0.
    """
    data = np.maximum(on_grid(load_3d(image_on_model_grid), MNI_GRID, order=3), 0)
    save(MNI_GRID.image(data * template_mask(MNI_GRID)), out)
