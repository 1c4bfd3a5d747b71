"""A real full disk (a tmpfs of eight megabytes; only for root): one line, and what was written before stays whole."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from dualglow.errors import DualGlowError
from dualglow.files import reserve, write_json, write_table, written, written_folder
from dualglow.training.checkpoint import save_weights
from dualglow.training.resume import Progress, ResumeFolder
from tests.training.commands import DUALGLOW, complaints, finish, same_bytes, saved, start, words
from tests.training.conftest import write_dataset, write_folds

SIZE = 8_000_000
NUMBERS = np.random.default_rng(0).random(SIZE // 4).astype(np.float32).reshape(-1, 10, 10)  # as many bytes as the disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """A file that takes all space but `leave` bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler = disk / "filler"
    filler.write_bytes(bytes(max(free - leave, 0)))
    return filler


def _pytorch(path: Path) -> None:
    with written(path) as part, part.open("wb") as file:
        torch.save({"a": torch.from_numpy(NUMBERS)}, file)


def _numpy(path: Path) -> None:
    with written(path) as part, part.open("wb") as file:
        np.save(file, NUMBERS)


def _memory_map(path: Path) -> None:
    with written(path) as part:
        shown = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(SIZE,))
        reserve(part)
        shown[:] = 1  # would kill the program


def _image(path: Path) -> None:
    with written(path) as part:
        nib.save(nib.Nifti1Image(NUMBERS, np.eye(4)), part)


def _picture(path: Path) -> None:
    figure = Figure(figsize=(20, 20))
    figure.subplots().imshow(np.random.default_rng(0).random((1000, 1000)))
    with written(path) as part:
        figure.savefig(part, dpi=200)


def _folder(path: Path) -> None:
    with written_folder(path, (".bin",)) as part:
        (part / "a.bin").write_bytes(NUMBERS.tobytes())


WRITERS: dict[str, Callable[[Path], Any]] = {
    "out.ckpt": _pytorch,
    "out.safetensors": lambda path: save_weights({"a": torch.from_numpy(NUMBERS)}, path),
    "out.npy": _numpy,
    "volumes.npy": _memory_map,
    "out.nii": _image,
    "out.nii.gz": _image,
    "out.png": _picture,
    "out.tsv": lambda path: write_table(pd.DataFrame({"a": NUMBERS.ravel()}), path),
    "out.json": lambda path: write_json({"a": NUMBERS.ravel().tolist()}, path),
    "out": _folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_whatever_is_written_the_file_is_named_and_nothing_half_written_stays(disk: Path, name: str) -> None:
    fill(disk, leave=200_000)
    with pytest.raises(
        DualGlowError, match=rf"{name}: cannot be written, for the disk is full.* Free some space"
    ) as caught:
        WRITERS[name](disk / name)
    assert "\n" not in str(caught.value)
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_the_state_saved_before_stays_whole(disk: Path) -> None:
    resume = ResumeFolder(disk / "model", {"seed": 1})
    resume.save(Progress(epoch=1, weights={"a": torch.ones(1000)}))
    fill(disk, leave=8000)
    with pytest.raises(DualGlowError, match=r"last\.ckpt: cannot be written, for the disk is full"):
        resume.save(Progress(epoch=2, weights={"a": torch.from_numpy(NUMBERS)}))
    found = resume.load()
    assert found.epoch == 1
    assert torch.equal(found.weights["a"], torch.ones(1000))


@pytest.mark.parametrize("leave", [0, 500_000, 1_450_000])
def test_a_training_says_so_and_goes_on_when_there_is_space(
    disk: Path, tmp_path: Path, leave: int, undisturbed: Callable[..., Path]
) -> None:
    """Space for nothing, for less than the state of the first epoch, or for no more than that."""
    dataset = write_dataset(tmp_path / "dataset")
    arguments = words(dataset, write_folds(tmp_path / "folds.tsv", dataset), disk / "model", "--ema-decay", 0)
    filler = fill(disk, leave)
    status, error = finish(start(DUALGLOW, arguments))
    assert status == 1
    assert len(complaints(error)) == 1, error
    assert "for the disk is full or your quota is used up" in complaints(error)[0]
    assert not (disk / "model" / "model.safetensors").exists()
    assert (disk / ".model.resume" / "last.ckpt").exists() == (leave > 1e6)
    if leave > 1e6:
        assert saved(disk / "model")["epoch"] == 1
    filler.unlink()
    assert finish(start(DUALGLOW, arguments))[0] == 0
    assert same_bytes(undisturbed("--ema-decay", 0), disk / "model")
