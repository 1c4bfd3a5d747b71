"""The state of an unfinished training, on disk, so that the same command goes on where it stopped, to the very step.

It lies beside the model's folder, not in it: Snakemake deletes the declared outputs of a job that failed.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dualglow.files import written
from dualglow.training.average import averaged_weights
from dualglow.training.checkpoint import save_weights


@dataclass
class Progress:
    """What a training has done so far: `epoch` whole epochs, counted from 1, and `step` steps of the one under way.

    `records` are the rows of training.tsv; of the epoch under way, `means` are the running means (sum, weight),
    `losses` those of its steps, `seconds` the time that it took.
    `weights`, `average` (of the weights, see average.py; empty without) and `optimizer` are those after the last step;
    empty before the first. `limit` and `high` are the state of the guard, see guard.Runaway.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_error: float = float("inf")
    records: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    limit: float = float("inf")
    high: int = 0
    step: int = 0
    means: dict[str, tuple[float, int]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def begun(self) -> bool:
        """Whether a step was done."""
        return bool(self.epoch or self.step)

    @property
    def where(self) -> str:
        """The last finished step."""
        return f"step {self.step} of epoch {self.epoch + 1}" if self.step else f"epoch {self.epoch}"

    @property
    def judged(self) -> dict[str, Tensor]:
        """The weights that were validated: the averaged ones where there are any."""
        return averaged_weights(self.average) if self.average else self.weights


class ResumeFolder:
    """`last.ckpt` (Progress and the settings it belongs to) and the weights of the best epoch, for one training."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.folder = out.parent / f".{out.name}.resume"
        self.settings = settings

    def load(self) -> Progress:
        """The progress of a training with the very same settings, or a new one; says on stderr which, and why."""
        last = self.folder / "last.ckpt"
        for part in self.folder.glob(".*.part.*"):
            part.unlink()  # of a save that was killed
        if not last.is_file():
            return Progress()
        try:
            content = torch.load(last, map_location="cpu", weights_only=True)
            changed = _differences(content["settings"], self.settings)
            progress = Progress(**content["progress"])
            if progress.best_epoch:
                self.best_weights(progress)
        except Exception as error:  # whatever is wrong with it, training anew is right
            print(f"{last}: cannot be read ({type(error).__name__}); training starts anew.", file=sys.stderr)
            return Progress()
        if changed:
            print(f"An unfinished training differs in {'; '.join(changed)}; training starts anew.", file=sys.stderr)
            return Progress()
        print(f"Going on after {progress.where} of an unfinished training ({last}).", file=sys.stderr)
        return progress

    def save(self, progress: Progress) -> None:
        """Write the state after the last finished step; a crash at any moment leaves the earlier state in place."""
        best = self._best(progress)
        if progress.best_epoch == progress.epoch and not progress.step:
            save_weights(progress.judged, best)
        with written(self.folder / "last.ckpt") as part, part.open("wb") as file:
            torch.save({"settings": self.settings, "progress": vars(progress)}, file)
            file.flush()
            os.fsync(file.fileno())  # before it is renamed: a lost node must not leave an empty file
        for stale in self.folder.glob("best-*.safetensors"):
            if stale != best:
                stale.unlink()

    def best_weights(self, progress: Progress) -> dict[str, Tensor]:
        """The weights of the best epoch."""
        return load_file(self._best(progress))

    def remove(self) -> None:
        """Forget the training: it is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _best(self, progress: Progress) -> Path:
        return self.folder / f"best-{progress.best_epoch}.safetensors"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    names = sorted(set(old) | set(new))
    return [f"{name} ({old.get(name)}, now {new.get(name)})" for name in names if old.get(name) != new.get(name)]
