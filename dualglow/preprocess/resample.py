"""Source images to T1 space, MNI152 and the model grid: each output in one interpolation from its source."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from dualglow.files import write_json
from dualglow.preprocess.ants import workspace, write_affine
from dualglow.preprocess.frames import mean_frame, poses, read_motion, split, still
from dualglow.preprocess.grid import MNI_GRID, MODEL_GRID, Grid, on_grid, template_mask, with_affine
from dualglow.preprocess.images import load, load_3d, save, scratch
from dualglow.preprocess.intensity import Position, Reference, measure_reference, region_position
from dualglow.preprocess.normalise import to_mni_steps, to_t1_steps
from dualglow.preprocess.provenance import record
from dualglow.preprocess.register import Interpolation, Step, resample

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
    save(MNI_GRID.image(np.maximum(mni_t1, 0) * mni_mask), outputs.mni_t1, may_be_empty=True)
    save(MODEL_GRID.image(np.maximum(model_t1, 0) * model_mask), outputs.model_t1, may_be_empty=True)
    for tissue, path in zip(tissues, (outputs.mni_gm, outputs.mni_wm, outputs.mni_csf), strict=True):
        save(MNI_GRID.image(np.clip(tissue, 0, 1) * mni_mask), path, may_be_empty=True)
    save(MNI_GRID.image(mni_mask), outputs.mni_mask, may_be_empty=True)
    save(MODEL_GRID.image(model_mask), outputs.model_mask, may_be_empty=True)


def resample_pet(
    pet: Path,
    motion: Path | None,
    rigid: Path,
    native: NativeT1,
    carried: T1Outputs,
    outputs: PetOutputs,
    reference: str,
) -> None:
    """Carry a PET to T1 space, MNI152 and the model grid, as SUVR; negative voxels become 0.

    `pet` holds the frames as scanned (4D, or 3D), `motion` their poses: each frame goes from its own voxels to each
    grid through the composed transforms, and the frames are averaged there. `carried` holds the masks that
    `resample_t1` wrote. The reference region is measured in MNI152 space; without signal there the PET keeps its units
    and the JSON says `usable` false.
    """
    steps = to_mni_steps(native.affine, native.warp)
    mni_mask, model_mask = load(carried.mni_mask), load(carried.model_mask)
    head = load_3d(native.t1)
    with workspace() as folder:
        frames = _Frames(pet, motion, rigid, folder)
        t1_pet = frames.carry(Grid.of(head), [])
        mni_pet = frames.carry(MNI_GRID, steps)
        model_pet = frames.carry(MODEL_GRID, steps)
    found = measure_reference(MNI_GRID.image(mni_pet), mni_mask, reference)
    position = _position(reference, carried, mni_mask)
    save(with_affine(_suvr(t1_pet, found), head.affine), outputs.t1_pet, may_be_empty=True)
    save(MNI_GRID.image(_suvr(mni_pet, found) * _binary(mni_mask)), outputs.mni_pet, may_be_empty=True)
    save(MODEL_GRID.image(_suvr(model_pet, found) * _binary(model_mask)), outputs.model_pet, may_be_empty=True)
    numbers = _suvr_numbers(found, position, mni_pet / _divisor(found), _binary(mni_mask))
    write_json({**numbers, "provenance": record("n/a", None)}, outputs.qc)


def _binary(mask: Nifti1Image) -> np.ndarray:
    return np.asarray(mask.dataobj) > 0


def _position(reference: str, carried: T1Outputs, brain: Nifti1Image) -> Position:
    tissue = np.asarray(load(carried.mni_gm).dataobj) + np.asarray(load(carried.mni_wm).dataobj)
    return region_position(reference, load(carried.mni_t1), tissue, brain)


def _divisor(found: Reference) -> np.float32:
    return np.float32(1.0 if found.fault else found.mean)


def _suvr(pet: np.ndarray, found: Reference) -> np.ndarray:
    return np.maximum(pet / _divisor(found), 0).astype(np.float32)


def _suvr_numbers(found: Reference, position: Position, suvr: np.ndarray, brain: np.ndarray) -> dict[str, Any]:
    seen = suvr[brain] > max(0.01 * float(np.median(suvr[brain])), 0.0) if brain.any() else np.zeros(1, dtype=bool)
    numbers = {
        **{f"reference_{name}": value for name, value in (asdict(found) | asdict(position)).items()},
        "brain_mean": float(suvr[brain].mean(dtype=np.float64)) if brain.any() else None,
        "brain_coverage": float(seen.mean()),
    }
    return {
        **{name: round(value, 5) if isinstance(value, float) else value for name, value in numbers.items()},
        "units": "as the source" if found.fault or found.region == "none" else "SUVR",
        "usable": not found.fault,
        "reason": f"SUVR: {found.fault}" if found.fault else "",
    }


class _Frames:
    """The frames of one PET in a working folder; they are only ever resampled from their own voxels."""

    def __init__(self, pet: Path, motion: Path | None, rigid: Path, folder: Path) -> None:
        image = load(pet)
        self._affine, self._frames = image.affine, split(image)
        table = read_motion(motion, len(self._frames)) if motion else still(len(self._frames))
        self._weights = table["weight"]
        found = poses(table, image.affine, image.shape)
        self._to_frame = [
            [Step(rigid), Step(write_affine(pose, folder / f"pose{number}.mat"))] for number, pose in enumerate(found)
        ]
        self._bench = _Bench(folder)

    def carry(self, grid: Grid, steps: list[Step]) -> np.ndarray:
        """Give the mean of all frames on a grid (float32); `steps` lead from the grid's space to the T1's."""
        carried = [
            self._bench.carry(Nifti1Image(frame, self._affine), grid, [*steps, *own], "BSpline")
            for frame, own in zip(self._frames, self._to_frame, strict=True)
        ]
        return mean_frame(carried, self._weights)


class _Bench:
    """A working folder that makes each source ready for a grid once and carries it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def carry(
        self, source: Path | Nifti1Image, grid: Grid, steps: list[Step], interpolation: Interpolation
    ) -> np.ndarray:
        """Resample one 3D source onto a grid, after the smoothing that a coarser grid needs; float32 array."""
        self._count += 1
        image = load(source) if isinstance(source, Path) else source
        ready = scratch(prefiltered(image, grid.voxel_mm), image.affine, self.folder / f"source{self._count}.nii")
        reference = scratch(np.zeros(grid.shape, np.uint8), grid.matrix, self.folder / f"grid{self._count}.nii")
        out = self.folder / f"carried{self._count}.nii"
        return resample(ready, reference, steps, out, interpolation)


def prefiltered(image: Nifti1Image, target_mm: float) -> np.ndarray:
    """Smooth an image (x, y, z) for sampling on a coarser grid, so that nothing finer than it is aliased.

    A Gaussian per axis whose full width at half maximum is sqrt(target² - voxel²); axes already coarser stay.
    """
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    fwhm_mm = np.sqrt(np.maximum(target_mm**2 - spacing**2, 0))
    return ndimage.gaussian_filter(np.asarray(image.dataobj, dtype=np.float32), fwhm_mm / _FWHM / spacing)


def carry_from_mni(image: Path, affine: Path, inverse_warp: Path, grid: Grid, rigid: Path | None = None) -> Nifti1Image:
    """Carry an MNI152 or model-grid image to a grid in the T1's space in one interpolation (cubic B-splines).

    With `rigid` (of `coregister`), to a grid in the PET's space. Outside the image the value is 0; negative values,
    which only the splines make, become 0.
    """
    steps = [*([Step(rigid, inverse=True)] if rigid else []), *to_t1_steps(affine, inverse_warp)]
    with workspace() as folder:
        data = _Bench(folder).carry(image, grid, steps, "BSpline")
    return with_affine(np.maximum(data, 0), grid.matrix)


def to_native(image: Path, like: Path, affine: Path, inverse_warp: Path, out: Path, rigid: Path | None = None) -> None:
    """Write an MNI152 or model-grid image on the voxels of `like`: in the T1's space or, by `rigid`, the PET's."""
    save(carry_from_mni(image, affine, inverse_warp, Grid.of(load(like)), rigid), out, may_be_empty=True)


def to_mni(image_on_model_grid: Path, out: Path) -> None:
    """Sample a model-grid image on MNI_GRID by cubic splines (no transform: both are MNI152); 0 outside the template.

    Negative values, which only the splines make, become 0.
    """
    data = np.maximum(on_grid(load_3d(image_on_model_grid), MNI_GRID, order=3), 0)
    save(MNI_GRID.image(data * template_mask(MNI_GRID)), out)
