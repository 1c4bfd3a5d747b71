"""What a training tells the person who waits for it: a bar on a terminal, a line per epoch in a log, TensorBoard."""

import sys
import time
from pathlib import Path

from lightning.fabric.loggers import TensorBoardLogger
from tqdm import tqdm

from dualglow.training.resume import Progress

BITS = "pet_bits"  # the term that is bits per voxel ("bits/dim") of PET given MRI
LOG_EVERY = 20  # steps, in TensorBoard


class Display:
    """Shows the steps of a training of `epochs` epochs; only where it `speaks`, and as a bar only on a terminal."""

    def __init__(self, epochs: int, speaks: bool, logs: Path | None = None) -> None:
        self.epochs, self.speaks = epochs, speaks
        self.bar: tqdm | None = None
        self.logger = TensorBoardLogger(logs.parent, name=logs.name, version="") if logs and speaks else None
        self.steps, self.done, self.started = 0, 0, time.monotonic()

    def start(self, epoch: int, steps: int, first: int) -> None:
        """Epochs count from 1, also over an interruption; of the epoch's `steps`, `first` were done before it."""
        self.steps = steps
        on_screen = self.speaks and sys.stderr.isatty()  # in a log file the line per epoch is enough
        name = f"epoch {epoch}/{self.epochs}"
        self.bar = tqdm(total=steps, initial=first, desc=name, leave=False) if on_screen else None

    def step(self, epoch: int, index: int, values: dict[str, float]) -> None:
        """Step `index`, from 0, of the epoch gave these values."""
        self.done += 1
        if self.logger is not None and index % LOG_EVERY == 0:
            step = (epoch - 1) * self.steps + index
            self.logger.log_metrics({f"step/{name}": value for name, value in values.items()}, step)
        if self.bar is not None:
            self.bar.set_postfix(self._beside_the_bar(epoch, index, values), refresh=False)
            self.bar.update()

    def end(self, progress: Progress) -> None:
        """The epoch is over."""
        if self.bar is not None:
            self.bar.refresh()  # the last step's numbers, however short ago the bar was drawn
            self.bar.close()
        if self.logger is not None:
            self.logger.log_metrics(progress.records[-1], progress.epoch)

    def close(self) -> None:
        """Write what TensorBoard has not written yet."""
        if self.logger is not None:
            self.logger.finalize("success")

    def _beside_the_bar(self, epoch: int, index: int, values: dict[str, float]) -> dict[str, str]:
        left = (self.epochs - epoch) * self.steps + self.steps - index - 1
        shown = {"bits/voxel" if name == BITS else name: f"{value:.4g}" for name, value in values.items()}
        return shown | {"left": duration((time.monotonic() - self.started) * left / self.done)}


def duration(seconds: float) -> str:
    """A time as a person says it, in at most two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def epoch_line(progress: Progress, epochs: int, done_before: int = 0) -> str:
    """What a log says of the epoch just done; `done_before` epochs were run before an interruption, maybe elsewhere."""
    last = progress.records[-1]
    mine = [record["seconds"] for record in progress.records[done_before:]]
    left = (epochs - progress.epoch) * sum(mine) / len(mine)
    return (
        f"epoch {last['epoch']}/{epochs}: {_losses(last)}, MAE {last['mae_validation']:.4f} SUVR, "
        f"best epoch {progress.best_epoch or 'none'}, {duration(last['seconds'])}"
        + (f", {duration(left)} left" if progress.epoch < epochs else "")
    )


def _losses(record: dict[str, float]) -> str:
    unit, name = ("bits/voxel", BITS) if f"{BITS}_train" in record else ("loss", "loss")
    return f"{unit} {record[f'{name}_train']:.4f}, validation {record[f'{name}_validation']:.4f}"
