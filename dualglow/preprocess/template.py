"""The MNI152 template's files in a working folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.preprocess.grid import cropped, widened
from dualglow.preprocess.images import scratch

_MARGIN_MM = 16.0  # the template's field of view is twice as large; the warp is zero at its border


@dataclass(frozen=True)
class Template:
    """The MNI152 template's files in a working folder."""

    brain: Path
    brain_mask: Nifti1Image
    folder: Path

    def mask(self, margin_mm: float) -> Path:
        """Write the brain mask widened by a margin."""
        data = widened(np.asarray(self.brain_mask.dataobj) > 0, self.brain_mask.affine, margin_mm)
        return scratch(data, self.brain_mask.affine, self.folder / f"mask_{margin_mm:g}.nii")


def write_template(mm: int, folder: Path) -> Template:
    """Write nilearn's MNI152 T1 (skull-stripped, symmetric 2009a) at whole-mm resolution."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    brain, mask = load_mni152_template(resolution=mm), load_mni152_brain_mask(resolution=mm)
    inside = np.asarray(mask.dataobj) > 0
    brain, mask = (cropped(image, inside, _MARGIN_MM) for image in (brain, mask))
    path = scratch(np.asarray(brain.dataobj, dtype=np.float32), brain.affine, folder / "template.nii")
    return Template(path, mask, folder)
