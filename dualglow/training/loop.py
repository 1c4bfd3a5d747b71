"""The training loop: Lightning drives it, the noise and the order depend on seed, epoch and step alone."""

import logging
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.optim import Optimizer

from dualglow.errors import ConfigError, DualGlowError
from dualglow.models import Batch, Synthesiser
from dualglow.training.data import Pairs, in_order, shuffled, to_device
from dualglow.training.resume import Progress
from dualglow.training.seeds import derived_seed

LOG_EVERY = 20  # steps, in TensorBoard
FIRST_COLUMNS = ("loss_train", "loss_validation", "mae_validation")
EpochDone = Callable[[Progress], None]


class DivergenceError(DualGlowError):
    """The training has left the numbers: it says at which step, and in which term."""


@dataclass(frozen=True)
class Optimisation:
    """How to train an iterative method (paper §4 and appendix): AdaMax, linear warm-up, gradient norm clipped."""

    epochs: int = 90
    batch_size: int = 1
    learning_rate: float = 0.001
    warmup_epochs: int = 0
    clip_gradient: float = 100.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_gradient"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0.")
        if self.warmup_epochs < 0:
            raise ConfigError(f"--warmup-epochs {self.warmup_epochs}: must not be negative.")

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of `step`, counted from 0 over all epochs."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_epochs * steps_per_epoch))


class Training(LightningModule):
    """One method under training. `progress` gains a record per epoch and is handed to `epoch_done`."""

    def __init__(
        self, model: Synthesiser, how: Optimisation, window: float, progress: Progress, epoch_done: EpochDone
    ) -> None:
        super().__init__()
        self.model, self.how, self.window = model, how, window
        self.progress, self.epoch_done = progress, epoch_done
        self.done = progress.epoch
        self.means: dict[str, _Mean] = defaultdict(_Mean)
        self.started = 0.0

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1, also counting those before an interruption."""
        return self.done + self.current_epoch + 1

    def configure_optimizers(self) -> Optimizer:
        optimizer = torch.optim.Adamax(self.model.parameters(), lr=self.how.learning_rate)
        if self.progress.optimizer:
            optimizer.load_state_dict(self.progress.optimizer)
        return optimizer

    def on_train_epoch_start(self) -> None:
        self.means.clear()
        self.started = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(derived_seed(self.how.seed, "noise", self.epoch, batch_idx))
        steps = int(self.trainer.num_training_batches)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.how.rate((self.epoch - 1) * steps + batch_idx, steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, terms = self.model.loss(batch)
        values = {**terms, "loss": loss.detach()}  # the terms first, so that the guard names the culprit
        for name, value in values.items():
            self._check(name, value, batch_idx)
            self.means[f"{name}_train"].add(float(value), len(batch.mri))
        self.log_dict({name: float(value) for name, value in values.items()}, prog_bar=True, logger=False)
        if self.logger is not None and batch_idx % LOG_EVERY == 0:
            step = (self.epoch - 1) * int(self.trainer.num_training_batches) + batch_idx
            self.logger.log_metrics({f"step/{name}": float(value) for name, value in values.items()}, step)
        return loss

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm over all parameters, and stop before a norm that is not finite spoils the weights."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.how.clip_gradient)
        self._check("gradient norm", norm, self.trainer.fit_loop.batch_idx)
        self.means["gradient_norm"].add(float(norm), 1)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(derived_seed(self.how.seed, "validation", batch_idx))
        loss, terms = self.model.loss(batch)
        for name, value in {"loss": loss, **terms, "mae": mae(self.model, batch, self.window)}.items():
            self.means[f"{name}_validation"].add(float(value), len(batch.mri))

    def on_train_epoch_end(self) -> None:
        """After validation: record the epoch, keep its weights, tell the person."""
        means = {name: mean.value for name, mean in self.means.items()}
        record = {"epoch": self.epoch, **{name: means.pop(name) for name in FIRST_COLUMNS}, **means}
        progress = self.progress
        progress.epoch = self.epoch
        progress.records.append({**record, "seconds": round(time.monotonic() - self.started, 2)})
        if record["mae_validation"] < progress.best_error:
            progress.best_epoch, progress.best_error = self.epoch, record["mae_validation"]
        progress.weights = self.model.state_dict()
        progress.optimizer = self.trainer.optimizers[0].state_dict()
        if self.logger is not None:
            self.logger.log_metrics(progress.records[-1], self.epoch)
        self.epoch_done(progress)

    def _check(self, name: str, value: Tensor, batch_idx: int) -> None:
        if not torch.isfinite(value):
            raise DivergenceError(
                f"{name} is {float(value)} in epoch {self.epoch}, step {batch_idx + 1}. "
                "Train with a lower --learning-rate or --clip-gradient, or with --warmup-epochs."
            )


class _Bar(TQDMProgressBar):
    """The progress bar of an epoch, counted from 1 and over an interruption."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer)
        if isinstance(pl_module, Training):
            self.train_progress_bar.set_description(f"epoch {pl_module.epoch}/{pl_module.how.epochs}")

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class _Mean:
    """A running mean in double precision."""

    def __init__(self) -> None:
        self.total, self.weight = 0.0, 0

    def add(self, value: float, weight: int) -> None:
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / self.weight


def mae(model: Synthesiser, batch: Batch, window: float) -> Tensor:
    """Mean absolute error (SUVR, brain mask, temperature 0), mean over the batch; PET is cut off at the window."""
    error = (model.predict(batch.mri, batch.covariates, batch.mask) - batch.pet).abs() * batch.mask
    return window * (error.flatten(1).sum(1) / batch.mask.flatten(1).sum(1).clamp(min=1)).mean()


def fit(
    model: Synthesiser,
    train: Pairs,
    validation: Pairs,
    how: Optimisation,
    device: torch.device,
    progress: Progress,
    epoch_done: EpochDone,
    logs: Path | None = None,
) -> None:
    """Train an iterative method from `progress` to the last epoch; `model` ends with the last epoch's weights.

    Raises DivergenceError, or DualGlowError if the job is stopped or the GPU's memory does not suffice.
    """
    model.to(device)
    if progress.epoch:
        model.load_state_dict(progress.weights)
    else:
        initialise(model, train, how, device)
    training = Training(model, how, train.scaling.window, progress, epoch_done)
    batches = shuffled(train, how.batch_size, how.seed, progress.epoch)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")  # advice on workers and loggers
            trainer = _trainer(how.epochs - progress.epoch, device, logs)
            trainer.fit(training, batches, in_order(validation, how.batch_size))
    except SIGTERMException as error:
        raise DualGlowError(f"stopped by SIGTERM after epoch {progress.epoch}; the same command goes on.") from error
    except torch.cuda.OutOfMemoryError as error:
        raise DualGlowError(
            "the GPU's memory does not suffice. Train with --checkpoint, --batch-size 1, or a smaller --hidden."
        ) from error


def initialise(model: Synthesiser, train: Pairs, how: Optimisation, device: torch.device) -> None:
    """Let the model set itself from the training pairs, in the order of no epoch."""
    torch.manual_seed(derived_seed(how.seed, "initialise"))
    model.train()
    model.initialise(to_device(shuffled(train, how.batch_size, how.seed, -1), device))


def _trainer(epochs: int, device: torch.device, logs: Path | None) -> Trainer:
    """A Trainer of one device, without the parts of Lightning that are done otherwise here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    on_screen = sys.stderr.isatty()  # in a log file the line per epoch is enough
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        plugins=[LightningEnvironment()],  # else Lightning takes over SLURM's variables and signals
        max_epochs=epochs,
        logger=TensorBoardLogger(logs.parent, name=logs.name, version="") if logs else False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=on_screen,
        callbacks=[_Bar()] if on_screen else None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY,
    )


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU. Raises ConfigError if a GPU is asked for in vain."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch sees no GPU. Ask for one from the cluster, or use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def epoch_line(progress: Progress, epochs: int) -> str:
    """What a log says of the epoch just done."""
    last = progress.records[-1]
    return (
        f"epoch {last['epoch']}/{epochs}: loss {last['loss_train']:.4f}, validation {last['loss_validation']:.4f}, "
        f"MAE {last['mae_validation']:.4f} SUVR, best epoch {progress.best_epoch or 'none'}, {last['seconds']:.0f} s"
    )
