"""Verbs from scanner space to the model grid and back: convert, normalise, segment, coregister, resample, pack, …"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app
from dualglow.errors import ConfigError

Seed = Annotated[int, typer.Option(help="Seed of the registration's sampling; same seed, same bytes.")]
EngineOption = Annotated[
    str,
    typer.Option(help="ANTs programs: auto (native if on PATH, else wheel), native, wheel; or fsl instead of them."),
]
PresetOption = Annotated[str, typer.Option(help="default; fast: coarser, for looking around; precise: finer, slower.")]
ReferenceOption = Annotated[
    str,
    typer.Option(
        help="SUVR reference region: pons, cerebellum, pons-vermis (mean of the upper half), global, none, or the path "
        "of a mask in MNI152."
    ),
]


class Modality(StrEnum):
    """What an image shows."""

    t1 = "t1"
    pet = "pet"


@app.command()
def convert(
    images: Annotated[list[Path], typer.Argument(help="One image, or all files of one PET series.", metavar="IMAGE…")],
    modality: Annotated[Modality, typer.Option(help="t1 or pet.")],
    out: Annotated[Path, typer.Option(help="3D NIfTI to write; of a PET, the mean of its frames in one pose.")],
    frames: Annotated[
        Path | None, typer.Option(help="Output: all frames of a PET as scanned (4D; 3D for one). With --motion.")
    ] = None,
    motion: Annotated[
        Path | None, typer.Option(help="Output: TSV with the pose of every frame (mm, degrees). With --frames.")
    ] = None,
    seed: Seed = 1,
    engine: EngineOption = "auto",
) -> None:
    """Read a scan to its last byte and write one 3D float32 image in RAS+ orientation.

    A PET may be 4D or several files: its frames are registered rigidly to their mean and averaged. The mean serves
    coregistration; `resample` takes the frames and their motion, so that each is interpolated once.

    Inputs: NIfTI, Analyze, MGH or ECAT; a folder of DICOM slices, `folder!/I123` for those of one image ID; or
    `download.zip!/folder/file.nii`, a member of a zip. Outputs: NIfTI (mm, RAS+); intensities as they were, but NaN in
    less than 1 % of the voxels and what is negative in a mean PET become 0.
    Example: `dualglow convert I40817_0.nii I40817_1.nii --modality pet --out pet.nii.gz --frames frames.nii.gz
    --motion motion.tsv`
    """
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.convert import Series
    from dualglow.preprocess.convert import convert as run

    if (frames is None) != (motion is None):
        raise ConfigError("--frames and --motion belong together: give both, or neither.")
    if frames and modality is Modality.t1:
        raise ConfigError("--frames and --motion are for a PET; a T1 has neither.")
    use_engine(engine)
    run(images, modality.value, out, Series(frames, motion) if frames and motion else None, seed)


@app.command()
def normalise(
    t1: Annotated[Path, typer.Option(help="Converted T1, with skull.")],
    affine: Annotated[Path, typer.Option(help="Output: affine (.mat, ITK).")],
    warp: Annotated[Path, typer.Option(help="Output: warp that carries the T1 to MNI152 (.nii.gz, mm).")],
    inverse_warp: Annotated[Path, typer.Option(help="Output: warp that carries MNI152 to the T1 (.nii.gz, mm).")],
    biascorrected: Annotated[Path, typer.Option(help="Output: bias-corrected T1, cropped to the head.")],
    metrics: Annotated[
        Path, typer.Option(help="Output: JSON with all attempts, whether the result is usable, why not.")
    ],
    corrected: Annotated[
        bool, typer.Option("--corrected", help="The T1 is bias-corrected and cropped: adopted.")
    ] = False,
    preset: PresetOption = "default",
    seed: Seed = 1,
    engine: EngineOption = "auto",
) -> None:
    """Register a T1 to MNI152: affine, N4 bias correction, SyN warp.

    A registration that fails by its own numbers is tried again from other starts; if all fail, the metrics say so.

    Inputs: converted T1. Outputs: affine, warp, inverse warp (ANTs), bias-corrected T1, metrics. Units: mm.
    Example: `dualglow normalise --t1 t1.nii.gz --affine a.mat --warp w.nii.gz --inverse-warp i.nii.gz
    --biascorrected n4.nii.gz --metrics normalisation.json`
    """
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.normalise import Normalised
    from dualglow.preprocess.normalise import normalise as run
    from dualglow.preprocess.presets import preset_named

    use_engine(engine)
    run(t1, Normalised(affine, warp, inverse_warp, biascorrected, metrics), preset_named(preset), seed, corrected)


@app.command()
def segment(
    t1: Annotated[Path, typer.Option(help="Bias-corrected T1, with skull.")],
    affine: Annotated[Path, typer.Option(help="Affine of normalise (.mat).")],
    inverse_warp: Annotated[Path, typer.Option(help="Inverse warp of normalise.")],
    gm: Annotated[Path, typer.Option(help="Output: grey matter probability.")],
    wm: Annotated[Path, typer.Option(help="Output: white matter probability.")],
    csf: Annotated[Path, typer.Option(help="Output: cerebrospinal fluid probability.")],
    mask: Annotated[Path, typer.Option(help="Output: brain mask (GM + WM + CSF).")],
    preset: PresetOption = "default",
    engine: EngineOption = "auto",
) -> None:
    """Segment a T1 into grey matter, white matter and CSF, and remove the skull.

    Inputs: bias-corrected T1, affine and inverse warp. Outputs: probabilities in [0, 1] and a mask, in T1 space.
    Example: `dualglow segment --t1 n4.nii.gz --affine a.mat --inverse-warp i.nii.gz --gm gm.nii.gz --wm wm.nii.gz
    --csf csf.nii.gz --mask mask.nii.gz`
    """
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.presets import preset_named
    from dualglow.preprocess.segment import Segmented
    from dualglow.preprocess.segment import segment as run

    use_engine(engine)
    run(t1, affine, inverse_warp, Segmented(gm, wm, csf, mask), preset_named(preset))


@app.command()
def coregister(
    t1: Annotated[Path, typer.Option(help="Bias-corrected T1.")],
    pet: Annotated[Path, typer.Option(help="Converted PET of the same person.")],
    transform: Annotated[Path, typer.Option(help="Output: rigid transform (.mat, ITK).")],
    metrics: Annotated[Path, typer.Option(help="Output: JSON with MI (nats), NCC, rotation (deg), translation (mm).")],
    preset: PresetOption = "default",
    seed: Seed = 1,
    engine: EngineOption = "auto",
) -> None:
    """Register a PET rigidly to a T1 by mutual information, as SPM12's Coregister: Estimate.

    Inputs: bias-corrected T1, converted PET. Outputs: rigid transform, metrics. Units: mm, degrees.
    Example: `dualglow coregister --t1 n4.nii.gz --pet pet.nii.gz --transform rigid.mat --metrics rigid.json`
    """
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.coregister import coregister as run
    from dualglow.preprocess.presets import preset_named

    use_engine(engine)
    run(t1, pet, transform, metrics, preset_named(preset), seed)


@app.command()
def resample(
    t1: Annotated[Path, typer.Option(help="Bias-corrected T1.")],
    mask: Annotated[Path, typer.Option(help="Brain mask in T1 space.")],
    gm: Annotated[Path, typer.Option(help="Grey matter in T1 space.")],
    wm: Annotated[Path, typer.Option(help="White matter in T1 space.")],
    csf: Annotated[Path, typer.Option(help="CSF in T1 space.")],
    affine: Annotated[Path, typer.Option(help="Affine of normalise (.mat).")],
    warp: Annotated[Path, typer.Option(help="Warp of normalise.")],
    pet: Annotated[Path, typer.Option(help="Frames of the PET as convert writes them (4D, or 3D).")],
    rigid: Annotated[Path, typer.Option(help="Transform of coregister (.mat).")],
    mni_t1: Annotated[Path, typer.Option(help="Output: T1, MNI152 1.5 mm.")],
    mni_mask: Annotated[Path, typer.Option(help="Output: brain mask, MNI152 1.5 mm.")],
    mni_gm: Annotated[Path, typer.Option(help="Output: grey matter, MNI152 1.5 mm.")],
    mni_wm: Annotated[Path, typer.Option(help="Output: white matter, MNI152 1.5 mm.")],
    mni_csf: Annotated[Path, typer.Option(help="Output: CSF, MNI152 1.5 mm.")],
    model_t1: Annotated[Path, typer.Option(help="Output: T1, model grid 2.25 mm.")],
    model_mask: Annotated[Path, typer.Option(help="Output: brain mask, model grid.")],
    t1_pet: Annotated[Path, typer.Option(help="Output: PET in T1 space, SUVR.")],
    mni_pet: Annotated[Path, typer.Option(help="Output: PET, MNI152 1.5 mm, SUVR.")],
    model_pet: Annotated[Path, typer.Option(help="Output: PET, model grid, SUVR.")],
    suvr_qc: Annotated[Path, typer.Option(help="Output: JSON about the reference region.")],
    motion: Annotated[
        Path | None, typer.Option(help="Motion of the frames as convert writes it; without it they lie still.")
    ] = None,
    reference: ReferenceOption = "pons",
    engine: EngineOption = "auto",
) -> None:
    """Carry T1, tissues and PET to MNI152 and the model grid, each in one interpolation; PET becomes SUVR.

    Each frame of a dynamic PET goes from its own voxels to each grid; the frames are averaged there.

    Inputs: images in their own spaces and the transforms. Outputs: 121x145x121 at 1.5 mm, 64x96x64 at 2.25 mm, skull
    removed; PET in T1 space with the head. Units: SUVR (1 = mean of the reference region).
    Example: see `workflow/rules/preprocess.smk`.
    """
    from dualglow.preprocess import resample as steps
    from dualglow.preprocess.ants import use_engine

    use_engine(engine)
    native = steps.NativeT1(t1, affine, warp, mask, gm, wm, csf)
    carried = steps.T1Outputs(mni_t1, mni_mask, mni_gm, mni_wm, mni_csf, model_t1, model_mask)
    steps.resample_t1(native, carried)
    outputs = steps.PetOutputs(t1_pet, mni_pet, model_pet, suvr_qc)
    steps.resample_pet(pet, motion, rigid, native, carried, outputs, reference)


@app.command()
def native(
    image: Annotated[Path, typer.Argument(help="Image in MNI152 or on the model grid, such as a synthetic PET.")],
    like: Annotated[Path, typer.Option(help="Image whose voxels are wanted: the converted T1, or the PET.")],
    affine: Annotated[Path, typer.Option(help="Affine of normalise (.mat).")],
    inverse_warp: Annotated[Path, typer.Option(help="Inverse warp of normalise.")],
    out: Annotated[Path, typer.Option(help="NIfTI to write.")],
    rigid: Annotated[
        Path | None, typer.Option(help="Transform of coregister (.mat), if --like lies in the PET's space.")
    ] = None,
    engine: EngineOption = "auto",
) -> None:
    """Carry an image from MNI152 or the model grid to the T1's own voxels, or the PET's, in one interpolation.

    Inputs: the image and the person's transforms. Outputs: NIfTI with the shape and affine of --like. Units: the
    image's; 0 outside it.
    Example: `dualglow native sub-X_desc-synthetic_pet.nii.gz --like t1.nii.gz --affine a.mat --inverse-warp i.nii.gz
    --out sub-X_space-T1w_desc-synthetic_pet.nii.gz`
    """
    from dualglow.preprocess.ants import use_engine
    from dualglow.preprocess.resample import to_native

    use_engine(engine)
    to_native(image, like, affine, inverse_warp, out, rigid)


@app.command()
def pack(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv.")],
    derivatives: Annotated[Path, typer.Option(help="Folder of the derivatives.")],
    out: Annotated[Path, typer.Option(help="Output: folder of the dataset.")],
    reference: ReferenceOption = "pons",
    simulated: Annotated[bool, typer.Option("--simulated", help="Mark the dataset as a simulated cohort.")] = False,
    exclude: Annotated[
        Path | None, typer.Option(help="Table of pairs to leave out, made by hand: pair_id, reason.")
    ] = None,
) -> None:
    """Put all usable pairs on the model grid into one array.

    Left out are pairs whose quality control says that preprocessing failed, and those of --exclude, whose derivatives
    need not be there.

    Inputs: pairs.tsv and the derivatives of every pair. Outputs: volumes.npy (n, 2, 64, 96, 64) float32, masks.npy,
    pairs.tsv, exclusions.tsv (pair_id, reason, detail), grid.json. Units: T1 in [0, 1] (0.1 to 99.9 % in the brain
    mask), PET in SUVR.
    Example: `dualglow pack --pairs pairs.tsv --derivatives derivatives --out dataset`
    """
    from dualglow.preprocess.pack import pack as run

    run(pairs, derivatives, out, reference, simulated, exclude)
