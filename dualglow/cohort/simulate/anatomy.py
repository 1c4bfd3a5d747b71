"""The template head: tissue log-odds, region labels, and distances to the surfaces of brain and head (MNI152)."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from nibabel.affines import apply_affine
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage

from dualglow.atlases import atlas

Array = NDArray[np.float32]

SPACING = 2.0  # mm
NECK_VOXELS = 16  # rows added below nilearn's grid, which ends at the brain stem
SCALP_DEPTH = 12.0  # mm between the surfaces of brain and head
WHITE_SHIFT, CSF_SHIFT = 0.35, 0.55  # log-odds added so that GM:WM ≈ 1.3 and sulci are as open as in the old
NOT_GREY = ("White_Matter", "Vent", "CSF", "vessel", "Optic", "Ventral_DC")


@dataclass(frozen=True)
class Template:
    """Maps on one 2 mm RAS+ grid in MNI152 space; all arrays are (X, Y, Z).

    white, csf: log-odds against grey matter inside the brain; depth: mm outside the brain's surface (negative
    inside); skin: mm outside the head's surface; labels: Neuromorphometrics; regions: the nearest grey-matter label of
    every voxel; stem: share of brain stem.
    """

    affine: NDArray[np.float64]
    white: Array
    csf: Array
    depth: Array
    skin: Array
    labels: NDArray[np.int16]
    regions: NDArray[np.int16]
    stem: Array
    names: dict[int, str]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.white.shape  # type: ignore[return-value]

    def share(self, *fragments: str) -> Array:
        """Binary map (X, Y, Z) of the labels whose names contain any of the fragments."""
        wanted = [index for index, name in self.names.items() if any(f in name for f in fragments)]
        return np.isin(self.labels, wanted).astype(np.float32)


@cache
def template() -> Template:
    """Build the template from nilearn's ICBM 2009a tissue maps and the Neuromorphometrics atlas (about 3 s)."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

    mask_image = load_mni152_brain_mask(resolution=int(SPACING))
    affine = mask_image.affine.copy()
    affine[2, 3] -= NECK_VOXELS * SPACING
    mask = _pad(mask_image) > 0.5
    grey = np.clip(_pad(load_mni152_gm_template(resolution=int(SPACING))), 0, 1)
    white = np.clip(_pad(load_mni152_wm_template(resolution=int(SPACING))), 0, 1)
    csf = np.clip(1 - grey - white, 0, 1)
    depth = _signed_distance(mask)
    labels, names = _labels(affine, mask)
    regions = _nearest_grey(labels, names)
    stem = ndimage.gaussian_filter((labels == _code(names, "Brain_Stem")).astype(np.float32), 0.6)
    return Template(
        affine=affine,
        white=_log_odds(white, grey) + np.float32(WHITE_SHIFT),
        csf=_log_odds(csf, grey) + np.float32(CSF_SHIFT),
        depth=depth,
        skin=_skin(depth, affine),
        labels=labels,
        regions=regions,
        stem=stem,
        names=names,
    )


def voxel_points(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Array:
    """World coordinates (3, X, Y, Z) in mm of the voxel centres of a grid."""
    points = apply_affine(affine, np.moveaxis(np.indices(shape, dtype=np.float32), 0, -1))
    return np.moveaxis(points, -1, 0).astype(np.float32)


def _pad(image: Nifti1Image) -> Array:
    data = np.asarray(image.dataobj, dtype=np.float32)
    return np.pad(data, ((0, 0), (0, 0), (NECK_VOXELS, 0)))


def _log_odds(tissue: Array, grey: Array) -> Array:
    return np.log((tissue + 0.02) / (grey + 0.02)).astype(np.float32)


def _signed_distance(inside: NDArray[np.bool_]) -> Array:
    outer = ndimage.distance_transform_edt(~inside)
    inner = ndimage.distance_transform_edt(inside)
    return ndimage.gaussian_filter(((outer - inner) * SPACING).astype(np.float32), 0.7)


def _skin(depth: Array, affine: NDArray[np.float64]) -> Array:
    """Distance outside the head: a shell round the brain, joined with a face and a neck."""
    x, y, z = voxel_points(depth.shape, affine)
    face = _ellipsoid((x, y - 38, z + 62), (62, 52, 62))
    jaw = _ellipsoid((x, y - 45, z + 95), (48, 45, 40))
    neck = np.maximum(np.hypot(x / 58, (y + 28) / 62) - 1, (z + 25) / 60)
    inside = (depth < SCALP_DEPTH) | (face < 0) | (jaw < 0) | (neck < 0)
    closed = ndimage.binary_closing(np.pad(inside, 6, mode="edge"), iterations=6)[6:-6, 6:-6, 6:-6]
    return ndimage.gaussian_filter(_signed_distance(closed), 1.0)


def _ellipsoid(offset: tuple[Array, Array, Array], radii: tuple[float, float, float]) -> Array:
    return sum((o / r) ** 2 for o, r in zip(offset, radii, strict=True)) - 1  # type: ignore[return-value]


def _labels(affine: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[NDArray[np.int16], dict[int, str]]:
    """Neuromorphometrics on the template grid (nearest neighbour), zero outside the brain."""
    source = atlas("neuromorphometrics")
    to_source = np.linalg.inv(source.image.affine) @ affine
    labels = ndimage.affine_transform(
        np.asarray(source.image.dataobj), to_source[:3, :3], to_source[:3, 3], mask.shape, order=0
    )
    return (labels * mask).astype(np.int16), source.labels


def _nearest_grey(labels: NDArray[np.int16], names: dict[int, str]) -> NDArray[np.int16]:
    grey = [index for index, name in names.items() if not any(part in name for part in NOT_GREY)]
    known = np.isin(labels, grey)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return labels[tuple(nearest)]


def _code(names: dict[int, str], wanted: str) -> int:
    return next(index for index, name in names.items() if name == wanted)
