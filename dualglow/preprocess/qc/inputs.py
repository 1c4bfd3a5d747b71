"""The files of a pair that quality control reads, and the images in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.files import read_json, read_table
from dualglow.preprocess.frames import COLUMNS
from dualglow.preprocess.images import load

VERDICT = ("usable", "reason", "provenance")


@dataclass(frozen=True)
class QcInputs:
    """The derivatives that quality control reads."""

    t1: Path  # bias-corrected, T1 space, as are the next five
    gm: Path
    wm: Path
    csf: Path
    mask: Path
    t1_pet: Path
    mni_t1: Path  # MNI152 at 1.5 mm, as are the next two
    mni_mask: Path
    mni_pet: Path
    warp: Path
    motion: Path  # TSV of `convert`
    normalisation: Path  # JSON of `normalise`
    coregistration: Path  # JSON of `coregister`
    suvr: Path  # JSON of `resample`


@dataclass(frozen=True)
class PairImages:
    """What lies in the files. Arrays (x, y, z): masks are bool, tissues probabilities, the PET SUVR."""

    head: Nifti1Image  # the T1, for its affine
    t1: np.ndarray
    gm: np.ndarray
    wm: np.ndarray
    csf: np.ndarray
    brain: np.ndarray
    t1_pet: np.ndarray
    mni_t1: np.ndarray
    mni_mask: Nifti1Image
    mni_brain: np.ndarray
    mni_pet: np.ndarray

    @classmethod
    def read(cls, inputs: QcInputs) -> "PairImages":
        """Read all images; an empty one, as a failed step may leave, is no error.

        Raises InputError if an image cannot be read or those in T1 space are not on one grid.
        """
        head, mni_mask = load(inputs.t1), load(inputs.mni_mask)
        native = {name: _array(getattr(inputs, name)) for name in ("gm", "wm", "csf", "mask", "t1_pet")}
        for name, data in native.items():
            if data.shape != head.shape:
                shapes = f"has {data.shape} voxels, but {inputs.t1} {head.shape}"
                raise InputError(f"{getattr(inputs, name)}: {shapes}. Make it again.")
        return cls(
            head=head,
            t1=np.asarray(head.dataobj),
            brain=native.pop("mask") > 0,
            mni_t1=_array(inputs.mni_t1),
            mni_mask=mni_mask,
            mni_brain=np.asarray(mni_mask.dataobj) > 0,
            mni_pet=_array(inputs.mni_pet),
            **native,
        )


def read_motion(path: Path) -> pd.DataFrame:
    """Read the motion trace of a PET: one row per frame, mm and degrees; one row of zeros for a static PET."""
    return read_table(path, list(COLUMNS))


def read_verdict(path: Path) -> dict[str, Any]:
    """Read a step's JSON. Raises InputError if it does not say whether the step's result is usable."""
    content = read_json(path)
    missing = [name for name in VERDICT if name not in content]
    if missing:
        raise InputError(
            f"{path}: does not say {', '.join(missing)}. Run the step again with this version of dualglow."
        )
    return content


def _array(path: Path) -> np.ndarray:
    return np.asarray(load(path).dataobj)
