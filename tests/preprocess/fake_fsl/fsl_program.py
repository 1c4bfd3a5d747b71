"""Stands in for FSL's programs in tests: records the command line and writes what the real program would, from a truth.

Run as `python fsl_program.py NAME ARGUMENT...`, with FAKE_FSL a folder that holds truth.json: `pose` (4x4, template or
T1 world → T1 or PET world, RAS+ mm, by the moving file's name) and `swing` (mm, of the deformation). FSL's coordinates
are worked out here by hand, from FSL's documentation: mm from the first voxel's centre, x mirrored if the voxel axes
are right-handed.
"""

import json
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

FOLDER = Path(os.environ["FAKE_FSL"])
TRUTH = json.loads((FOLDER / "truth.json").read_text())
OUT = ".nii.gz"


def to_world(image: nib.Nifti1Image) -> np.ndarray:
    """FSL's coordinates of an image → world (RAS+ mm)."""
    sizes = np.asarray(image.header.get_zooms()[:3], float)
    voxels = np.diag([*(1 / sizes), 1.0])
    if np.linalg.det(image.affine) > 0:
        voxels[0] = [-1 / sizes[0], 0, 0, image.shape[0] - 1]
    return image.affine @ voxels


def way(points: np.ndarray) -> np.ndarray:
    """The true deformation, template world → T1 world: a smooth swing, then the pose."""
    swing = TRUTH["swing"] * np.sin(points[..., [1, 2, 0]] / 25)
    return nib.affines.apply_affine(np.array(TRUTH["pose"]["t1"]), points + swing)


def centres(image: nib.Nifti1Image) -> np.ndarray:
    """World coordinates of all voxels."""
    return nib.affines.apply_affine(image.affine, np.moveaxis(np.indices(image.shape[:3]), 0, -1))


def write(data: np.ndarray, like: nib.Nifti1Image, name: str) -> None:
    """Write an image, as FSL does with FSLOUTPUTTYPE=NIFTI_GZ."""
    path = name if name.endswith((".nii", OUT)) else name + OUT
    nib.save(nib.Nifti1Image(data.astype(np.float32), like.affine), path)


def flirt(words: dict[str, str]) -> None:
    moving, fixed = nib.load(words["-in"]), nib.load(words["-ref"])
    kind = "pet" if words["-cost"] == "mutualinfo" else "t1"
    world = np.linalg.inv(np.array(TRUTH["pose"][kind]))  # moving → fixed
    np.savetxt(words["-omat"], np.linalg.inv(to_world(fixed)) @ world @ to_world(moving))
    write(np.zeros(fixed.shape), fixed, words["-out"])


def bet(source: str, target: str) -> None:
    image = nib.load(source)
    from nilearn.datasets import load_mni152_brain_mask
    from scipy import ndimage

    mask = load_mni152_brain_mask(resolution=2)
    points = nib.affines.apply_affine(np.linalg.inv(np.array(TRUTH["pose"]["t1"])), centres(image))
    voxels = nib.affines.apply_affine(np.linalg.inv(mask.affine), points)
    inside = ndimage.map_coordinates(mask.get_fdata(), np.moveaxis(voxels, -1, 0), order=0) > 0.5
    write(image.get_fdata() * inside, image, target)
    write(inside, image, target.replace(OUT, "_mask" + OUT))


def fast(base: str, source: str) -> None:
    image = nib.load(source)
    data = image.get_fdata()
    inside = data > 0
    levels = np.quantile(data[inside], [0.25, 0.6])
    for number in range(3):
        write(inside & (np.digitize(data, levels) == number), image, f"{base}_pve_{number}")
    write(np.where(inside, 1.0, 0), image, base + "_bias")
    for suffix in ("_seg", "_pveseg", "_mixeltype"):
        write(inside, image, base + suffix)


def fnirt(words: dict[str, str]) -> None:
    moving, fixed = nib.load(words["--in"]), nib.load(words["--ref"])
    points = centres(fixed)
    source = nib.affines.apply_affine(np.linalg.inv(to_world(moving)), way(points))
    write(source - nib.affines.apply_affine(np.linalg.inv(to_world(fixed)), points), fixed, words["--fout"])
    for name in ("--iout", "--cout"):
        if name in words:
            write(np.zeros(fixed.shape), fixed, words[name])
    if "--logout" in words:
        Path(words["--logout"]).touch()


def invwarp(words: dict[str, str]) -> None:
    """Invert a field on its own grid by iteration: v(y) = -w(y + v(y))."""
    from scipy import ndimage

    field, grid = nib.load(words["--warp"]), nib.load(words["--ref"])
    # FSL's coordinates of a voxel are its place in mm, x from the other side.
    sizes = np.asarray(grid.header.get_zooms()[:3], float) * [-1 if np.linalg.det(grid.affine) > 0 else 1, 1, 1]
    data, index = field.get_fdata(), np.indices(grid.shape).astype(float)
    back = np.zeros_like(data)
    for _ in range(20):
        at = index + np.moveaxis(back / sizes, -1, 0)
        back = -np.stack([ndimage.map_coordinates(data[..., k], at, order=1, mode="nearest") for k in range(3)], -1)
    write(back, grid, words["--out"])


def main(name: str, arguments: list[str]) -> None:
    """Record the call, and do what the program does."""
    with (FOLDER / "calls.txt").open("a") as stream:
        stream.write(" ".join([name, *arguments]) + "\n")
    if name == "flirt":
        flirt(dict(zip(arguments, [*arguments[1:], ""], strict=True)))
    elif name == "bet":
        bet(*arguments[:2])
    elif name == "fast":
        fast(arguments[arguments.index("-o") + 1], arguments[-1])
    else:
        words = dict(word.split("=", 1) for word in arguments if "=" in word)
        {"fnirt": fnirt, "invwarp": invwarp}[name](words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
