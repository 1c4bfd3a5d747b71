"""Registration (by ANTs, or FSL where it is the engine) and resampling (by ANTs) of files: one thread, seeded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dualglow.preprocess import fsl
from dualglow.preprocess.ants import engine_in_use, run_node
from dualglow.preprocess.images import load, require_finite_3d
from dualglow.preprocess.presets import Levels

Interpolation = Literal["Linear", "BSpline", "NearestNeighbor"]
Linear = Literal["Rigid", "Similarity", "Affine"]
# SyN: step, then the smoothing (variance, voxels²) of every step and of the whole field: docs/preprocessing.md.
_STEP = {"Rigid": (0.1,), "Similarity": (0.1,), "Affine": (0.1,), "SyN": (0.25, 6.0, 0.5)}


@dataclass(frozen=True)
class Step:
    """One transform of a chain: a file, and whether its inverse is meant (affine .mat only)."""

    path: Path
    inverse: bool = False


def register_linear(
    fixed: Path,
    moving: Path,
    kinds: Sequence[Linear],
    levels: Levels,
    sampling: float,
    seed: int,
    folder: Path,
    fixed_masks: Sequence[Path | None] = (),
    initial: Path | None = None,
) -> Path:
    """Linear registration by Mattes mutual information (32 bins), started at `initial` or at the centres of mass.

    `kinds` follow one another, each with all `levels` and with its own mask in the fixed image (or none at all).
    Gives the .mat, fixed point → moving point: the transform that resamples `moving` onto `fixed`.
    """
    if engine_in_use() == "fsl":
        return fsl.linear(fixed, moving, kinds[-1] == "Rigid", folder, initial)
    n = len(kinds)
    start: dict[str, Any] = (
        {"initial_moving_transform": [str(initial)]} if initial else {"initial_moving_transform_com": 1}
    )
    outputs = run_node(
        f"register_{kinds[-1].lower()}",
        _registration(
            fixed, moving, kinds, levels, seed, fixed_masks,
            **start,
            metric=["Mattes"] * n,
            radius_or_number_of_bins=[32] * n,
            sampling_strategy=["Regular"] * n,
            sampling_percentage=[sampling] * n,
        ),
        folder,
    )  # fmt: skip
    return Path(outputs.forward_transforms[-1])


def register_syn(
    fixed: Path, moving: Path, initial: Path, levels: Levels, seed: int, folder: Path, fixed_mask: Path
) -> tuple[Path, Path]:
    """Diffeomorphic SyN by cross-correlation (radius 2) after `initial`; gives the warp and the inverse warp.

    Avants et al. 2008. The warps do not contain `initial`.
    """
    if engine_in_use() == "fsl":
        return fsl.deformable(fixed, moving, initial, folder, fixed_mask)
    outputs = run_node(
        "register_syn",
        _registration(
            fixed, moving, ["SyN"], levels, seed, [fixed_mask],
            initial_moving_transform=[str(initial)],
            metric=["CC"],
            radius_or_number_of_bins=[2],
        ),
        folder,
    )  # fmt: skip
    return Path(outputs.forward_transforms[-1]), Path(outputs.reverse_transforms[-1])


def _registration(
    fixed: Path,
    moving: Path,
    kinds: Sequence[str],
    levels: Levels,
    seed: int,
    fixed_masks: Sequence[Path | None],
    **stages: Any,  # noqa: ANN401 - nipype's traits
) -> Any:  # noqa: ANN401
    from nipype.interfaces.ants import Registration

    n = len(kinds)
    if fixed_masks:
        stages["fixed_image_masks"] = [str(mask or "NULL") for mask in fixed_masks]
    return Registration(
        dimension=3,
        float=True,
        fixed_image=[str(fixed)],
        moving_image=[str(moving)],
        transforms=list(kinds),
        transform_parameters=[_STEP[kind] for kind in kinds],
        metric_weight=[1.0] * n,
        number_of_iterations=[list(levels.iterations)] * n,
        shrink_factors=[list(levels.shrink)] * n,
        smoothing_sigmas=[list(levels.smoothing)] * n,
        sigma_units=["vox"] * n,
        convergence_threshold=[1e-6] * n,
        convergence_window_size=[10] * n,
        use_histogram_matching=[False] * n,
        winsorize_lower_quantile=0.005,
        winsorize_upper_quantile=0.995,
        collapse_output_transforms=True,
        write_composite_transform=False,
        output_transform_prefix="to_",
        random_seed=seed,
        **stages,
    )


def resample(
    image: Path, reference: Path, steps: Sequence[Step], out: Path, interpolation: Interpolation = "Linear"
) -> np.ndarray:
    """Carry an image onto the grid of `reference` through all `steps` in one interpolation; writes `out`.

    `steps` run from the reference's space to the image's, first step first. Outside the image the value is 0.
    Gives the array (float32), checked to be finite; it is all 0 if the steps lead past the image.
    """
    from nipype.interfaces.ants import ApplyTransforms

    interface = ApplyTransforms(
        dimension=3,
        float=True,
        input_image=str(image),
        reference_image=str(reference),
        # nipype, as ANTs, applies the last of the list to the image first.
        transforms=[str(step.path.absolute()) for step in steps] or "identity",
        invert_transform_flags=[step.inverse for step in steps] or [False],
        interpolation=interpolation,
        default_value=0.0,
        output_image=str(out),
    )
    run_node(f"resample_{out.name.partition('.')[0]}", interface, out.parent)
    carried = load(out)
    require_finite_3d(carried, out)
    return np.asarray(carried.dataobj)
