"""ANTs registration and resampling of files: the few settings that the pipeline uses, one thread, seeded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dualglow.preprocess.ants import run_node
from dualglow.preprocess.images import load_3d
from dualglow.preprocess.presets import Levels

Interpolation = Literal["Linear", "BSpline", "NearestNeighbor"]
_STEP = {"Rigid": (0.1,), "Affine": (0.1,), "SyN": (0.25, 3.0, 0.0)}


@dataclass(frozen=True)
class Step:
    """One transform of a chain: a file, and whether its inverse is meant (affine .mat only)."""

    path: Path
    inverse: bool = False


def register_linear(
    fixed: Path,
    moving: Path,
    kind: Literal["Rigid", "Affine"],
    levels: Levels,
    sampling: float,
    seed: int,
    folder: Path,
    fixed_mask: Path | None = None,
) -> Path:
    """Rigid or affine registration by Mattes mutual information (32 bins), started at the centres of mass.

    Gives the .mat, fixed point → moving point: the transform that resamples `moving` onto `fixed`.
    """
    outputs = run_node(
        f"register_{kind.lower()}",
        _registration(
            fixed, moving, kind, levels, seed, fixed_mask,
            initial_moving_transform_com=1,
            metric=["Mattes"],
            radius_or_number_of_bins=[32],
            sampling_strategy=["Regular"],
            sampling_percentage=[sampling],
        ),
        folder,
    )  # fmt: skip
    return Path(outputs.forward_transforms[0])


def register_syn(
    fixed: Path, moving: Path, initial: Path, levels: Levels, seed: int, folder: Path, fixed_mask: Path
) -> tuple[Path, Path]:
    """Diffeomorphic SyN by cross-correlation (radius 2) after `initial`; gives the warp and the inverse warp.

    Avants et al. 2008. The warps do not contain `initial`.
    """
    outputs = run_node(
        "register_syn",
        _registration(
            fixed, moving, "SyN", levels, seed, fixed_mask,
            initial_moving_transform=[str(initial)],
            metric=["CC"],
            radius_or_number_of_bins=[2],
        ),
        folder,
    )  # fmt: skip
    warp, inverse = Path(outputs.forward_transforms[-1]), Path(outputs.reverse_transforms[-1])
    return warp, inverse


def _registration(
    fixed: Path,
    moving: Path,
    kind: str,
    levels: Levels,
    seed: int,
    fixed_mask: Path | None,
    **stage: Any,  # noqa: ANN401 - nipype's traits
) -> Any:  # noqa: ANN401
    from nipype.interfaces.ants import Registration

    if fixed_mask is not None:
        stage["fixed_image_masks"] = [str(fixed_mask)]
    return Registration(
        dimension=3,
        float=True,
        fixed_image=[str(fixed)],
        moving_image=[str(moving)],
        transforms=[kind],
        transform_parameters=[_STEP[kind]],
        metric_weight=[1.0],
        number_of_iterations=[list(levels.iterations)],
        shrink_factors=[list(levels.shrink)],
        smoothing_sigmas=[list(levels.smoothing)],
        sigma_units=["vox"],
        convergence_threshold=[1e-6],
        convergence_window_size=[10],
        use_histogram_matching=[False],
        winsorize_lower_quantile=0.005,
        winsorize_upper_quantile=0.995,
        collapse_output_transforms=True,
        write_composite_transform=False,
        output_transform_prefix="to_",
        random_seed=seed,
        **stage,
    )


def resample(
    image: Path, reference: Path, steps: Sequence[Step], out: Path, interpolation: Interpolation = "Linear"
) -> np.ndarray:
    """Carry an image onto the grid of `reference` through all `steps` in one interpolation; writes `out`.

    `steps` run from the reference's space to the image's, first step first. Outside the image the value is 0.
    Gives the array (float32), checked to be finite and not constant.
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
    return np.asarray(load_3d(out).dataobj)
