"""The engines beside each other: the wheel's ANTs and ANTs' own programs, and one engine with itself."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualglow.errors import ConfigError
from dualglow.preprocess.ants import read_affine, use_engine
from dualglow.preprocess.t1 import PreparedT1, prepare_t1

# What docs/preprocessing.md promises between versions of ANTs.
WARP_MM = 0.1
TISSUE_DICE = 0.995
PROBABILITY = 0.01


def _chain(head: nib.Nifti1Image, folder: Path, engine: str) -> PreparedT1:
    folder.mkdir()
    nib.save(head, folder / "t1.nii.gz")
    return prepare_t1(folder / "t1.nii.gz", folder / "work", preset="tiny", seed=1, engine=engine)


@pytest.fixture(scope="module")
def wheel(head: nib.Nifti1Image, tmp_path_factory: pytest.TempPathFactory) -> PreparedT1:
    return _chain(head, tmp_path_factory.mktemp("engines") / "wheel", "wheel")


def _files(prepared: PreparedT1) -> list[Path]:
    """All that the T1 chain makes, transforms first."""
    folder = prepared.converted.parent
    return sorted(folder.glob("*.mat")) + sorted(folder.glob("*.nii.gz"))


def test_the_same_seed_gives_the_same_bytes(wheel: PreparedT1, head: nib.Nifti1Image, tmp_path: Path) -> None:
    """Every file of the T1 chain, made twice with one thread."""
    again = _chain(head, tmp_path / "again", "wheel")
    assert len(_files(wheel)) > 12
    for one, other in zip(_files(wheel), _files(again), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_native_ants_agrees_with_the_wheel(wheel: PreparedT1, head: nib.Nifti1Image, tmp_path: Path) -> None:
    """Warp in mm, tissues by Dice, T1 and tissues per voxel in MNI152."""
    try:
        use_engine("native")
    except ConfigError as error:
        pytest.skip(f"needs ANTs' own programs: {error}")
    finally:
        use_engine("wheel")
    native = _chain(head, tmp_path / "native", "native")
    use_engine("wheel")
    warps = [np.asarray(nib.load(made.normalised.warp).dataobj)[:, :, :, 0] for made in (wheel, native)]
    assert np.linalg.norm(warps[0] - warps[1], axis=-1).mean() < WARP_MM
    corners = np.array([[-60.0, -90, -40], [60, 60, 70], [0, 0, 0]])
    ends = [nib.affines.apply_affine(read_affine(made.normalised.affine), corners) for made in (wheel, native)]
    assert np.linalg.norm(ends[0] - ends[1], axis=1).max() < WARP_MM
    for name in ("mni_gm", "mni_wm", "mni_csf"):
        one, other = (nib.load(getattr(made.carried, name)).get_fdata() for made in (wheel, native))
        assert 2 * ((one > 0.5) & (other > 0.5)).sum() / ((one > 0.5).sum() + (other > 0.5).sum()) > TISSUE_DICE
        assert np.abs(one - other).mean() < PROBABILITY
