"""A head made of the template at 4 mm: brain, dark skull, scalp; and PETs of it at known poses."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_template
from scipy import ndimage
from scipy.spatial.transform import Rotation

from dualglow.preprocess.ants import use_engine


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    use_engine("wheel")


@pytest.fixture(scope="session")
def head() -> nib.Nifti1Image:
    """T1-like head at 4 mm in MNI152 world coordinates: template brain within 6 mm of dark skull and bright scalp."""
    brain, mask = load_mni152_template(resolution=4), load_mni152_brain_mask(resolution=4).get_fdata() > 0
    distance = ndimage.distance_transform_edt(~mask) * 4
    scalp = (distance > 6) & (distance < 14)
    data = 100 * brain.get_fdata() * mask + 90 * scalp
    return nib.Nifti1Image(data.astype(np.float32), brain.affine)


@pytest.fixture(scope="session")
def uptake(head: nib.Nifti1Image) -> nib.Nifti1Image:
    """FDG-like: grey matter 1, a hot blob in the left hemisphere only, little elsewhere; blurred."""
    grey = load_mni152_gm_template(resolution=4).get_fdata()
    data = grey + 0.3 * (head.get_fdata() > 20)
    x, y, z = np.moveaxis(nib.affines.apply_affine(head.affine, np.moveaxis(np.indices(data.shape), 0, -1)), -1, 0)
    data += 2.0 * ((x + 40) ** 2 + (y + 20) ** 2 + (z - 20) ** 2 < 12**2)
    return nib.Nifti1Image(ndimage.gaussian_filter(data, 0.8).astype(np.float32), head.affine)


@pytest.fixture(scope="session")
def pose() -> np.ndarray:
    """T1 world → PET world, RAS+ mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [6, -5, 8], degrees=True).as_matrix()
    matrix[:3, 3] = [9, -14, 11]
    return matrix


@pytest.fixture
def files(tmp_path: Path, head: nib.Nifti1Image, uptake: nib.Nifti1Image, pose: np.ndarray) -> dict[str, Path]:
    """The head, and the PET whose header was moved by `pose`."""
    paths = {"t1": tmp_path / "t1.nii.gz", "pet": tmp_path / "pet.nii.gz"}
    nib.save(head, paths["t1"])
    nib.save(nib.Nifti1Image(uptake.get_fdata(dtype=np.float32), pose @ uptake.affine), paths["pet"])
    return paths
