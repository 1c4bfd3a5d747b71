"""What a training tells the person who waits for it: a bar on a terminal, a line per epoch in a log."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from dualglow.training.resume import Progress

BITS = "pet_bits"  # the term that is bits per voxel ("bits/dim") of PET given MRI


class Bar(TQDMProgressBar):
    """The progress bar of an epoch, counted from 1 and over an interruption, with the time left over all epochs."""

    def __init__(self, done: int, epochs: int) -> None:
        super().__init__()
        self.done, self.epochs = done, epochs
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, *arguments: Any) -> None:  # noqa: ANN401
        super().on_train_epoch_start(trainer, *arguments)
        epoch = self.done + trainer.current_epoch + 1
        self.train_progress_bar.set_description(f"epoch {epoch}/{self.epochs}")

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if BITS in metrics:
            metrics = {"bits/voxel": metrics.pop(BITS), **metrics}
        return metrics | {"left": self._left(trainer)}

    def _left(self, trainer: Trainer) -> str:
        steps = trainer.num_training_batches
        share = trainer.fit_loop.total_batch_idx + 1
        total = (self.epochs - self.done) * steps
        return duration((time.monotonic() - self.started) * (total - share) / max(share, 1))


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
