"""What Lightning runs: the steps of one method under training, the record of each epoch, the guard."""

import time
from collections import defaultdict
from collections.abc import Callable
from math import isfinite

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from dualglow.models import Batch, Synthesiser
from dualglow.training.average import Average
from dualglow.training.guard import DivergenceError, Runaway, advice, gradient_at_fault, layer_at_fault, watched
from dualglow.training.numerics import autocast
from dualglow.training.optimisation import Optimisation
from dualglow.training.resume import Progress
from dualglow.training.seeds import derived_seed

LOG_EVERY = 20  # steps, in TensorBoard
FIRST_COLUMNS = ("loss_train", "loss_validation", "mae_validation")
EpochDone = Callable[[Progress], None]


class Training(LightningModule):
    """One method under training. `progress` gains a record per epoch and is handed to `epoch_done`."""

    def __init__(
        self, model: Synthesiser, how: Optimisation, window: float, progress: Progress, epoch_done: EpochDone
    ) -> None:
        super().__init__()
        self.model, self.how, self.window = model, how, window
        self.progress, self.epoch_done = progress, epoch_done
        self.done = progress.epoch
        self.runaway = Runaway(progress.limit, progress.high)
        self.average = Average(model, how.ema_decay) if how.ema_decay else None
        if self.average and progress.average:
            self.average.load_state_dict(progress.average)
        self.means: dict[str, _Mean] = defaultdict(_Mean)
        self.losses: list[float] = []
        self.started = 0.0

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1, also counting those before an interruption."""
        return self.done + self.current_epoch + 1

    @property
    def judged(self) -> Synthesiser:
        """What is validated and kept: the model, or the one with the averaged weights."""
        return self.average.model if self.average else self.model

    def configure_optimizers(self) -> Optimizer:
        optimizer = torch.optim.Adamax(self.model.parameters(), lr=self.how.learning_rate)
        if self.progress.optimizer:
            optimizer.load_state_dict(self.progress.optimizer)
        return optimizer

    def on_train_epoch_start(self) -> None:
        self.means.clear()
        self.losses.clear()
        self.started = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._draw_noise(batch_idx)
        steps = int(self.trainer.num_training_batches)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.how.rate((self.epoch - 1) * steps + batch_idx, steps)
            group["betas"] = self.how.betas(steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.under_way = batch, batch_idx
        loss, terms = self.model.loss(batch)
        values = _floats({**terms, "loss": loss})  # the terms first, so that the guard names the culprit
        self._check(values)
        self.losses.append(values["loss"])
        for name, value in values.items():
            self.means[f"{name}_train"].add(value, len(batch.mri))
        self.log_dict(values, prog_bar=True, logger=False)
        if self.logger is not None and batch_idx % LOG_EVERY == 0:
            step = (self.epoch - 1) * int(self.trainer.num_training_batches) + batch_idx
            self.logger.log_metrics({f"step/{name}": value for name, value in values.items()}, step)
        return loss

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm over all parameters, and stop before a norm that is not finite spoils the weights."""
        clip = torch.nn.utils.clip_grad_norm_
        try:
            norm = clip(self.model.parameters(), self.how.clip_gradient, error_if_nonfinite=True)
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise self._divergence("the gradient's norm is not finite", gradient_at_fault(self.model)) from error
        self.means["gradient_norm"].add(float(norm), 1)

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        if self.average:
            self.average.update(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(derived_seed(self.how.seed, "validation", batch_idx))
        loss, terms = self.judged.loss(batch)
        for name, value in _floats({"loss": loss, **terms, "mae": mae(self.judged, batch, self.window)}).items():
            self.means[f"{name}_validation"].add(value, len(batch.mri))

    def on_train_epoch_end(self) -> None:
        """After validation: record the epoch, keep its weights, tell the person."""
        progress = self.progress
        progress.epoch = self.epoch
        progress.records.append(self._record())
        error = progress.records[-1]["mae_validation"]
        if error < progress.best_error:
            progress.best_epoch, progress.best_error = self.epoch, error
        if self.epoch == 1:
            self.runaway.learn(self.losses)
        progress.limit, progress.high = self.runaway.limit, self.runaway.high
        progress.weights = self.model.state_dict()
        progress.average = self.average.state_dict() if self.average else {}
        progress.optimizer = self.trainer.optimizers[0].state_dict()
        if self.logger is not None:
            self.logger.log_metrics(progress.records[-1], self.epoch)
        self.epoch_done(progress)

    def _record(self) -> dict[str, float]:
        """The epoch's row of training.tsv."""
        means = {name: mean.value for name, mean in self.means.items()}
        first = {name: means.pop(name) for name in FIRST_COLUMNS}
        return {"epoch": self.epoch, **first, **means, "seconds": round(time.monotonic() - self.started, 2)}

    def _draw_noise(self, batch_idx: int) -> None:
        torch.manual_seed(derived_seed(self.how.seed, "noise", self.epoch, batch_idx))

    def _check(self, values: dict[str, float]) -> None:
        """Raise DivergenceError if a term is not finite or the loss runs away."""
        wrong = next((name for name, value in values.items() if not isfinite(value)), None)
        if wrong:
            raise self._divergence(f"{wrong} is {values[wrong]}")
        if self.runaway.runs(values["loss"]):
            raise self._divergence(f"the loss runs away: it is {values['loss']:.4g}", f"{self.runaway}.")

    def _divergence(self, what: str, more: str = "") -> DivergenceError:
        """The error, with what the layers gave in the step under way: it is computed again, with the same noise."""
        batch, batch_idx = self.under_way
        self._draw_noise(batch_idx)
        with autocast(self.how.precision, batch.mri.device):
            layer = layer_at_fault(watched(self.model, lambda: self.model.loss(batch)))
        where = f"{what} in epoch {self.epoch}, step {batch_idx + 1}."
        return DivergenceError(" ".join(part for part in (where, more, layer, advice(self.how.precision)) if part))


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


def _floats(values: dict[str, Tensor]) -> dict[str, float]:
    """The values on the CPU, fetched at once."""
    return dict(zip(values, torch.stack([value.detach().float() for value in values.values()]).tolist(), strict=True))


def mae(model: Synthesiser, batch: Batch, window: float) -> Tensor:
    """Mean absolute error (SUVR, brain mask, temperature 0), mean over the batch; PET is cut off at the window."""
    error = (model.predict(batch.mri, batch.covariates, batch.mask) - batch.pet).abs() * batch.mask
    return window * (error.flatten(1).sum(1) / batch.mask.flatten(1).sum(1).clamp(min=1)).mean()
