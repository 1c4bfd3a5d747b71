"""One T1 from the scanner to the model grid and back: what applying a trained model to a new person needs."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from dualglow.errors import InputError
from dualglow.files import read_json
from dualglow.preprocess.ants import use_engine
from dualglow.preprocess.convert import convert
from dualglow.preprocess.grid import Grid, with_affine
from dualglow.preprocess.images import load, save
from dualglow.preprocess.normalise import Normalised, normalise
from dualglow.preprocess.presets import preset_named
from dualglow.preprocess.resample import NativeT1, T1Outputs, carry_from_mni, resample_t1
from dualglow.preprocess.segment import Segmented, segment


@dataclass(frozen=True)
class PreparedT1:
    """All files of one prepared T1, in its working folder; `source` is the file that was given."""

    source: Path
    converted: Path
    normalised: Normalised
    segmented: Segmented
    carried: T1Outputs


def prepare_t1(t1: Path, workdir: Path, preset: str = "default", seed: int = 1, engine: str = "auto") -> PreparedT1:
    """Convert, normalise, segment and resample one T1 (scanner space, with skull).

    Raises
    ------
    InputError
        If the T1 cannot be read, or cannot be registered to the template: it is not a whole head.
    ConfigError
        If the preset or the engine is unknown or not installed.
    """
    use_engine(engine)
    chosen = preset_named(preset)
    prepared = _layout(t1, workdir)
    normalised, segmented = prepared.normalised, prepared.segmented
    convert([t1], "t1", prepared.converted)
    normalise(prepared.converted, normalised, chosen, seed)
    if reason := read_json(normalised.metrics)["reason"]:
        raise InputError(f"{t1}: {reason}. Look at it: is it a T1 of a whole head, and is its header sound?")
    segment(normalised.biascorrected, normalised.affine, normalised.inverse_warp, segmented, chosen)
    native = NativeT1(
        normalised.biascorrected,
        normalised.affine,
        normalised.warp,
        segmented.mask,
        segmented.gm,
        segmented.wm,
        segmented.csf,
    )
    resample_t1(native, prepared.carried)
    return prepared


def _layout(t1: Path, workdir: Path) -> PreparedT1:
    def named(stem: str) -> Path:
        return workdir / f"{stem}.nii.gz"

    return PreparedT1(
        source=t1,
        converted=named("desc-converted_T1w"),
        normalised=Normalised(
            affine=workdir / "from-T1w_to-MNI152_mode-image_desc-affine_xfm.mat",
            warp=named("from-T1w_to-MNI152_mode-image_desc-warp_xfm"),
            inverse_warp=named("from-MNI152_to-T1w_mode-image_desc-warp_xfm"),
            biascorrected=named("desc-biascorrected_T1w"),
            metrics=workdir / "desc-normalisation_qc.json",
        ),
        segmented=Segmented(
            gm=named("label-GM_probseg"),
            wm=named("label-WM_probseg"),
            csf=named("label-CSF_probseg"),
            mask=named("desc-brain_mask"),
        ),
        carried=T1Outputs(
            mni_t1=named("space-MNI152_desc-brain_T1w"),
            mni_mask=named("space-MNI152_desc-brain_mask"),
            mni_gm=named("space-MNI152_label-GM_probseg"),
            mni_wm=named("space-MNI152_label-WM_probseg"),
            mni_csf=named("space-MNI152_label-CSF_probseg"),
            model_t1=named("space-MNI152_res-model_desc-brain_T1w"),
            model_mask=named("space-MNI152_res-model_desc-brain_mask"),
        ),
    )


def to_native(image_on_mni_or_model_grid: Path, prepared: PreparedT1, out: Path) -> None:
    """Carry an MNI152 image in one interpolation to the voxels of the T1 file that was given: its shape, its affine."""
    normalised = prepared.normalised
    grid = Grid.of(load(prepared.converted))
    native = carry_from_mni(image_on_mni_or_model_grid, normalised.affine, normalised.inverse_warp, grid)
    wanted = load(prepared.source).affine
    turn = nib.orientations.ornt_transform(nib.io_orientation(native.affine), nib.io_orientation(wanted))
    turned = native.as_reoriented(turn)
    save(with_affine(np.asarray(turned.dataobj), wanted), out)
