"""Images of which nothing can be made: every step writes its files all the same, says why, and the run goes on."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import InputError
from dualglow.files import read_json
from dualglow.preprocess.convert import convert
from dualglow.preprocess.coregister import coregister
from dualglow.preprocess.normalise import Normalised, normalise
from dualglow.preprocess.presets import PRESETS
from dualglow.preprocess.t1 import prepare_t1
from tests.preprocess.heads import ball, noise, organ, person, pet

HOPELESS_PETS = {
    "noise": lambda: noise(pet(person())),
    "another organ": lambda: organ(pet(person())),
    "a ball": lambda: ball(pet(person())),
    "another person's T1": lambda: person(2).t1,
    "no signal but in a corner": lambda: _corner(pet(person())),
}
HOPELESS_T1S = {
    "noise": lambda: noise(person().t1),
    "a ball": lambda: ball(person().t1),
    "another organ": lambda: organ(person().t1),
    "another person's PET": lambda: pet(person(2), 4, 8),
    "a negative": lambda: _negative(person().t1),
}


def _corner(like: Nifti1Image) -> Nifti1Image:
    data = np.zeros(like.shape, np.float32)
    data[:3, :3, :3] = 1
    return Nifti1Image(data, like.affine)


def _negative(image: Nifti1Image) -> Nifti1Image:
    data = np.asarray(image.dataobj)
    return Nifti1Image(np.where(data > 0.1 * data.max(), data.max() - data, 0).astype(np.float32), image.affine)


def failed_pet(image: Nifti1Image, folder: Path) -> dict:
    nib.save(person().t1, folder / "t1.nii")
    nib.save(image, folder / "pet.nii")
    coregister(folder / "t1.nii", folder / "pet.nii", folder / "r.mat", folder / "r.json", PRESETS["fast"], seed=1)
    assert (folder / "r.mat").stat().st_size > 0
    return read_json(folder / "r.json")


def failed_t1(image: Nifti1Image, folder: Path) -> dict:
    nib.save(image, folder / "raw.nii")
    convert([folder / "raw.nii"], "t1", folder / "t1.nii.gz")
    names = ("affine.mat", "warp.nii.gz", "inverse.nii.gz", "corrected.nii.gz", "metrics.json")
    outputs = Normalised(*(folder / name for name in names))
    normalise(folder / "t1.nii.gz", outputs, PRESETS["fast"], 1)
    assert all((folder / name).stat().st_size > 0 for name in names)
    return read_json(outputs.metrics)


def check(metrics: dict, start: str) -> None:
    assert not metrics["usable"]
    assert metrics["reason"].startswith(start)
    assert "\n" not in metrics["reason"]


def test_a_pet_of_noise_is_unusable_after_all_starts(tmp_path: Path) -> None:
    metrics = failed_pet(HOPELESS_PETS["noise"](), tmp_path)
    check(metrics, "PET to T1: no pose makes them alike")
    assert len(metrics["attempts"]) == 3


@pytest.mark.slow
def test_a_t1_of_noise_is_unusable_after_all_starts(tmp_path: Path) -> None:
    metrics = failed_t1(HOPELESS_T1S["noise"](), tmp_path)
    check(metrics, "T1 to MNI152: the T1 does not resemble the template")
    assert len(metrics["attempts"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in HOPELESS_PETS if name != "noise"])
def test_hopeless_pets_are_unusable(name: str, tmp_path: Path) -> None:
    check(failed_pet(HOPELESS_PETS[name](), tmp_path), "PET to T1: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in HOPELESS_T1S if name != "noise"])
def test_hopeless_t1s_are_unusable(name: str, tmp_path: Path) -> None:
    check(failed_t1(HOPELESS_T1S[name](), tmp_path), "T1 to MNI152: ")


def test_a_model_is_not_applied_to_a_t1_that_could_not_be_registered(tmp_path: Path) -> None:
    """`dualglow apply` prepares the T1 by this."""
    nib.save(noise(person().t1), tmp_path / "T1.nii.gz")
    with pytest.raises(InputError, match=r"T1\.nii\.gz: T1 to MNI152: the T1 does not resemble the template") as caught:
        prepare_t1(tmp_path / "T1.nii.gz", tmp_path / "work", preset="fast", engine="wheel")
    assert "\n" not in str(caught.value)
