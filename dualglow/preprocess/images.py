"""Reading images to their last byte and writing only whole, sound ones: ANTs exits 0 on a truncated file."""

import gzip
import zlib
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError, SpatialImage

from dualglow.errors import InputError
from dualglow.files import written
from dualglow.preprocess.grid import with_affine

_DAMAGE = (EOFError, OSError, ValueError, zlib.error, ImageFileError, HeaderDataError)
_NONSENSE = (KeyError, MemoryError, OverflowError, TypeError)  # what impossible values in a header lead to


def load(path: Path) -> Nifti1Image:
    """Read an image whole into memory as float32, with the affine that its header states (voxel → RAS+ mm).

    Raises
    ------
    InputError
        If the file is missing, is not an image, or is cut short or damaged (the gzip checksum is verified).
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if path.suffix.lower() in (".dcm", ".ima"):
        raise InputError(f"{path}: is one DICOM slice; expected all of them. Give the folder that holds them.")
    try:
        _verify_gzip(path)
        image = cast(SpatialImage, nib.load(path))
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (*_DAMAGE, *_NONSENSE) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read to its end ({reason}). Fetch the file again.") from error
    return Nifti1Image(data, image.affine, image.header)


def _verify_gzip(path: Path) -> None:
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            while stream.read(1 << 24):
                pass


def load_3d(path: Path) -> Nifti1Image:
    """Read an image as `load`, and insist on three axes, finite values and more than one value."""
    image = load(path)
    require_sound(image, path)
    return image


def require_sound(image: Nifti1Image, path: Path) -> None:
    """Raise InputError unless the image is 3D, finite and not constant."""
    require_finite_3d(image, path)
    data = np.asarray(image.dataobj)
    if data.min() == data.max():
        raise InputError(f"{path}: all voxels have the same value ({data.flat[0]}). The image is empty.")


def require_finite_3d(image: Nifti1Image, path: Path) -> None:
    """Raise InputError unless the image is 3D and finite."""
    if image.ndim != 3:
        raise InputError(f"{path}: has the shape {image.shape}; expected a 3D image, as `dualglow convert` writes it.")
    if not np.isfinite(np.asarray(image.dataobj)).all():
        raise InputError(f"{path}: has NaN or infinite voxels. Make it again from its source.")


def save(image: Nifti1Image, path: Path, may_be_empty: bool = False) -> None:
    """Write a sound 3D image, whole or not at all: float32, or uint8 for masks; sform and qform both set.

    What a failed registration moved out of the picture may be empty: constant.
    """
    (require_finite_3d if may_be_empty else require_sound)(image, path)
    data = np.asarray(image.dataobj)
    kind = np.uint8 if data.dtype in (np.bool_, np.uint8) else np.float32
    with written(path) as part:
        nib.save(with_affine(data.astype(kind), image.affine), part)


def scratch(data: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    """Write an uncompressed image into a working folder (ANTs reads it faster) and give its path."""
    kind = np.uint8 if data.dtype == np.bool_ else np.float32
    nib.save(with_affine(data.astype(kind), affine), path)
    return path
