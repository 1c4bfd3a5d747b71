"""Start from T1s that fMRIPrep, Clinica (t1-volume) or an earlier run of DualGlow have processed.

Bias correction, tissues and brain mask are taken as they are, in the T1's own space; the warp to MNI152 is ours, for
theirs leads to other templates (fMRIPrep's MNI152NLin2009cAsym, SPM's IXI549).
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.files import read_json, write_json
from dualglow.preprocess.affine import NARROW_MARGIN_MM
from dualglow.preprocess.ants import workspace
from dualglow.preprocess.grid import Grid, cropped, on_grid, widened, with_affine
from dualglow.preprocess.images import load_3d, save
from dualglow.preprocess.normalise import CROP_MARGIN_MM, bias_corrected
from dualglow.preprocess.presets import Preset
from dualglow.preprocess.segment import TISSUES, Segmented

log = logging.getLogger(__name__)

_LABELS = re.compile(r"sub-([A-Za-z0-9]+)(?:_ses-([A-Za-z0-9]+))?")
_CLINICA = dict(zip(TISSUES, ("graymatter", "whitematter", "csf"), strict=True))
_CORRECTED = ("desc-preproc_T1w", "desc-biascorrected_T1w")  # fMRIPrep's and ours
_ALIKE = 0.5  # correlation of the processed with the raw T1, below which they are hardly the same scan
_HIGHEST = 1.05  # of a probability; splines overshoot


@dataclass(frozen=True)
class Found:
    """Files of one processed T1, all in its space; no `t1` or `mask` where the program keeps none (Clinica)."""

    t1: Path | None
    mask: Path | None
    tissues: tuple[Path, Path, Path]  # GM, WM, CSF

    @property
    def files(self) -> dict[str, Path]:
        """All that there is, by what it becomes."""
        named = {"T1w": self.t1, "mask": self.mask, **dict(zip(TISSUES, self.tissues, strict=True))}
        return {name: path for name, path in named.items() if path}


def find(root: Path, pair_id: str, scan: str) -> Found:
    """Find a T1 among derivatives: by the BIDS labels in its file's name, else by those of its pair.

    fMRIPrep's folder (also the one without session that it makes of several T1s), one of DualGlow's, or a Clinica CAPS.

    Raises
    ------
    InputError
        If there is no such folder, nothing is found, or there are several T1s that the scan's name does not tell apart.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Let preprocess.derivatives name the one that holds processed T1s.")
    labels = [(match[1], match[2]) for match in map(_LABELS.search, (Path(scan).name, pair_id)) if match]
    for subject, session in labels:
        if found := _of_clinica(root, subject, session) or _of_bids(root, subject, session, Path(scan).name):
            return found
    looked = " or ".join(f"sub-{subject}{f'/ses-{session}' if session else ''}" for subject, session in labels)
    raise InputError(
        f"{root}: holds no processed T1 of {looked} (fMRIPrep's desc-preproc_T1w, or tissues of Clinica's t1-volume). "
        f"Process it, or write {pair_id} into the table preprocess.exclude."
    )


def _of_clinica(root: Path, subject: str, session: str | None) -> Found | None:
    name = f"sub-{subject}_ses-{session}"
    folder = root / "subjects" / f"sub-{subject}" / f"ses-{session}" / "t1" / "spm" / "segmentation" / "native_space"
    gm, wm, csf = (folder / f"{name}_T1w_segm-{_CLINICA[tissue]}_probability.nii.gz" for tissue in TISSUES)
    return Found(None, None, (gm, wm, csf)) if gm.exists() else None


def _of_bids(root: Path, subject: str, session: str | None, scan: str) -> Found | None:
    places = [root / f"sub-{subject}" / f"ses-{session}" / "anat", root / f"sub-{subject}" / "anat"]
    stems = next((stems for stems in map(_stems, places) if stems), [])
    if len(stems) > 1:  # of several runs or protocols, the one named as the scan
        stems = [stem for stem in stems if scan.startswith(f"{stem.name}_T1w")]
        if len(stems) != 1:
            raise InputError(f"{places[0]}: several processed T1s, and the name of {scan} chooses none. Keep one.")
    for stem in stems:
        t1 = next(path for kind in _CORRECTED if (path := Path(f"{stem}_{kind}.nii.gz")).exists())
        gm, wm, csf = (Path(f"{stem}_label-{tissue}_probseg.nii.gz") for tissue in TISSUES)
        return Found(t1, Path(f"{stem}_desc-brain_mask.nii.gz"), (gm, wm, csf))
    return None


def _stems(folder: Path) -> list[Path]:
    """Beginnings of the names of bias-corrected T1s in their own space: `…/sub-X_ses-Y_run-1`."""
    names = {
        path.name.replace(f"_{kind}.nii.gz", "") for kind in _CORRECTED for path in folder.glob(f"*_{kind}.nii.gz")
    }
    return [folder / name for name in sorted(names) if "_space-" not in name]


def adopt(
    found: Found, root: Path, converted: Path, t1: Path, outputs: Segmented, metrics: Path, preset: Preset
) -> None:
    """Write a processed T1, cropped to the head, its tissues and its brain mask in our form, and where they are from.

    Only if the program kept no bias-corrected T1, `converted` is corrected within the mask. Tissues are resampled only
    if they lie on other voxels than the T1.

    Raises
    ------
    InputError
        If a file is missing or damaged, holds no probabilities, or shows another place than the T1.
    """
    head = nib.as_closest_canonical(load_3d(found.t1 or converted))
    tissues = [_on_voxels_of(head, path) for path in found.tissues]
    mask = _on_voxels_of(head, found.mask) >= 0.5 if found.mask else np.sum(tissues, axis=0) > 0.5
    if not mask.any():
        raise InputError(f"{found.tissues[0]}: lies elsewhere than {found.t1 or converted}; expected the same space.")
    alike = _resemblance(head, load_3d(converted), mask)
    if alike < _ALIKE:
        log.warning("%s: hardly resembles %s (correlation %.2f): is it the same scan?", found.t1, converted, alike)
    near = widened(mask, head.affine, NARROW_MARGIN_MM)
    save(cropped(head, near, CROP_MARGIN_MM) if found.t1 else _unbiased(head, mask, preset), t1)
    for data, path in zip((*tissues, mask), (outputs.gm, outputs.wm, outputs.csf, outputs.mask), strict=True):
        save(cropped(with_affine(data, head.affine), near, CROP_MARGIN_MM), path)
    files = {name: str(path.relative_to(root)) for name, path in found.files.items()}
    content = {"root": root.absolute().as_uri(), "files": files, "program": _program(root)}
    write_json({**content, "raw_t1_r": round(alike, 4)}, metrics)


def _resemblance(head: Nifti1Image, converted: Nifti1Image, mask: np.ndarray) -> float:
    """Correlation within the brain of a processed T1 with the raw one, as both lie in the scanner's space."""
    raw = on_grid(converted, Grid.of(head))[mask]
    return float(np.corrcoef(np.asarray(head.dataobj)[mask], raw)[0, 1]) if np.ptp(raw) > 0 else 0.0


def _unbiased(head: Nifti1Image, mask: np.ndarray, preset: Preset) -> Nifti1Image:
    with workspace() as folder:
        return load_3d(bias_corrected(head, mask, preset, folder))


def _on_voxels_of(head: Nifti1Image, path: Path) -> np.ndarray:
    """Read probabilities on the voxels of a T1; those that lie there already are only turned, if at all."""
    image = nib.as_closest_canonical(load_3d(path))
    data = np.asarray(image.dataobj)
    if data.min() < 1 - _HIGHEST or data.max() > _HIGHEST:
        raise InputError(f"{path}: holds {data.min():.4g} to {data.max():.4g}; expected probabilities, 0 to 1.")
    if image.shape != head.shape or not np.allclose(image.affine, head.affine, atol=1e-3):
        data = on_grid(image, Grid.of(head))
    return np.clip(data, 0, 1)


def _program(root: Path) -> str:
    """Name and version of what made the derivatives, as their dataset_description.json says; "" if it does not."""
    path = root / "dataset_description.json"
    made = read_json(path).get("GeneratedBy") if path.exists() else None
    first = made[0] if isinstance(made, list) and made else {}
    return f"{first.get('Name', '')} {first.get('Version', '')}".strip()
