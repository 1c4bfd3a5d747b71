"""What is trained, step by step: a method, its optimiser, the running means of the epoch under way, the guard."""

import time
from collections import defaultdict
from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from dualglow.models import Batch, Synthesiser
from dualglow.models.share import Share, sharing
from dualglow.training.average import Average
from dualglow.training.data import PairSource, cut, epoch_steps, to_device
from dualglow.training.display import Display
from dualglow.training.distributed import Processes, floats
from dualglow.training.guard import DivergenceError, Runaway, advice, gradient_at_fault, layer_at_fault, watched
from dualglow.training.optimisation import Optimisation
from dualglow.training.resume import Progress
from dualglow.training.seeds import derived_seed

FIRST_COLUMNS = ("loss_train", "loss_validation", "mae_validation")


class Training:
    """One method under training, from where `progress` stands; at the end of every epoch it gains a record."""

    def __init__(
        self,
        model: Synthesiser,
        how: Optimisation,
        train: PairSource,
        validation: PairSource,
        progress: Progress,
        processes: Processes,
        display: Display,
    ) -> None:
        self.model, self.how, self.processes, self.display = model, how, processes, display
        self.train, self.validation, self.progress = train, validation, progress
        self.runaway = Runaway(progress.limit, progress.high)
        self.average = Average(model, how.ema_decay) if how.ema_decay else None
        if self.average and progress.average:
            self.average.load_state_dict(progress.average)
        self.loss = processes.loss_of(model)
        self.optimizer = how.optimizer(model.parameters())
        if progress.optimizer:
            self.optimizer.load_state_dict(progress.optimizer)
        self.means = defaultdict(_Mean, {name: _Mean(*sums) for name, sums in progress.means.items()})
        self.started = time.monotonic() - progress.seconds

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return self.progress.epoch + 1

    @property
    def judged(self) -> Synthesiser:
        """What is validated and kept: the model, or the one with the averaged weights."""
        return self.average.model if self.average else self.model

    def run_epoch(self, pause: Callable[[], None]) -> None:
        """What is left of the epoch under way, its validation, its record.

        `pause` is called after every step, also of the validation: there the state may be saved (see `capture`), or
        the training ended.
        """
        steps = epoch_steps(len(self.train), self.how.batch_size, self.how.seed, self.epoch)
        first = self.progress.step
        mine = [step[self.processes.part(step)[0]] for step in steps[first:]]
        batches = to_device(self.train.batches(mine), self.processes.device)
        self.display.start(self.epoch, len(steps), first)
        self.model.train()
        for index, batch in enumerate(batches, start=first):
            self._step(index, steps, batch)
            self.progress.step = index + 1
            pause()
        self._refit()
        self._validate(pause)
        self._end_epoch()

    def capture(self) -> None:
        """Bring `progress` to the state after the last finished step."""
        progress = self.progress
        progress.limit, progress.high = self.runaway.limit, self.runaway.high
        progress.weights = self.model.state_dict()
        progress.average = self.average.state_dict() if self.average else {}
        progress.optimizer = self.optimizer.state_dict()
        progress.means = {name: (mean.total, mean.weight) for name, mean in self.means.items()}
        progress.seconds = time.monotonic() - self.started

    def _step(self, index: int, steps: list[list[int]], batch: Batch) -> None:
        pairs = steps[index]
        chosen, count = self.processes.part(pairs)
        whole = self.train.covariates[pairs].to(batch.covariates)
        share = Share(chosen.start, whole) if self.processes.size > 1 else None
        self.under_way = index, batch, share
        self._prepare(index, len(steps))
        with sharing(share):
            loss, terms = self.loss(batch)
        values = self.processes.mean({**terms, "loss": loss}, count)  # the terms first: the guard names the culprit
        self._check(values)
        self.progress.losses.append(values["loss"])
        for name, value in values.items():
            self.means[f"{name}_train"].add(value, len(pairs))
        self.processes.backward(loss, count, len(pairs))
        self._clip_gradient()
        self.optimizer.step()
        if self.average:
            self.average.update(self.model)
        self.display.step(self.epoch, index, values)

    def _prepare(self, index: int, steps: int) -> None:
        self.optimizer.zero_grad()
        for group in self.optimizer.param_groups:
            group["lr"] = self.how.rate((self.epoch - 1) * steps + index, steps)
            group["betas"] = self.how.betas(steps)
        self._draw_noise(index)

    def _clip_gradient(self) -> None:
        """Clip the norm over all parameters, and stop before a norm that is not finite spoils the weights."""
        clip = torch.nn.utils.clip_grad_norm_
        try:
            norm = clip(self.model.parameters(), self.how.clip_gradient, error_if_nonfinite=True)
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise self._divergence("the gradient's norm is not finite", gradient_at_fault(self.model)) from error
        self.means["gradient_norm"].add(float(norm), 1)

    def _refit(self) -> None:
        """In every process alike, and with the same noise for the model and its average."""
        steps = epoch_steps(len(self.train), self.how.batch_size, self.how.seed, 0)
        for model in [self.model, *([self.judged] if self.average else [])]:
            torch.manual_seed(derived_seed(self.how.seed, "refit", self.epoch))
            model.train()
            with self.processes.fabric.autocast():
                model.refit(to_device(self.train.batches(steps), self.processes.device))
            model.eval()

    @torch.no_grad()
    def _validate(self, pause: Callable[[], None]) -> None:
        """Each process has every so-many-th batch, whole; all count all of them in, in their order."""
        self.model.eval()
        rank, size = self.processes.place.rank, self.processes.size
        steps = cut(list(range(len(self.validation))), self.how.batch_size)
        batches = to_device(self.validation.batches(steps[rank::size]), self.processes.device)
        mine = []
        for round_ in range(0, len(steps), size):
            if round_ + rank < len(steps):
                mine.append((round_ + rank, self._validation_step(round_ + rank, next(batches))))
            pause()
        found = sorted(each for part in self.processes.gathered(mine) for each in part)
        for index, values in found:
            for name, value in values.items():
                self.means[f"{name}_validation"].add(value, len(steps[index]))

    def _validation_step(self, index: int, batch: Batch) -> dict[str, float]:
        torch.manual_seed(derived_seed(self.how.seed, "validation", index))
        with self.processes.fabric.autocast():
            loss, terms = self.judged.loss(batch)
            error = mae(self.judged, batch, self.validation.scaling.window)
        return floats({"loss": loss, **terms, "mae": error})

    def _end_epoch(self) -> None:
        progress = self.progress
        progress.records.append(self._record())
        progress.epoch, progress.step = self.epoch, 0
        error = progress.records[-1]["mae_validation"]
        if error < progress.best_error:
            progress.best_epoch, progress.best_error = progress.epoch, error
        if progress.epoch == 1:
            self.runaway.learn(progress.losses)
        progress.losses.clear()
        self.means.clear()
        self.started = time.monotonic()
        self.display.end(progress)

    def _record(self) -> dict[str, float]:
        """The epoch's row of training.tsv."""
        means = {name: mean.value for name, mean in self.means.items()}
        first = {name: means.pop(name) for name in FIRST_COLUMNS}
        return {"epoch": self.epoch, **first, **means, "seconds": round(time.monotonic() - self.started, 2)}

    def _draw_noise(self, index: int) -> None:
        torch.manual_seed(derived_seed(self.how.seed, "noise", self.epoch, index))

    def _check(self, values: dict[str, float]) -> None:
        """Raise DivergenceError if a term is not finite or the loss runs away."""
        wrong = next((name for name, value in values.items() if not isfinite(value)), None)
        if wrong:
            raise self._divergence(f"{wrong} is {values[wrong]}")
        if self.runaway.runs(values["loss"]):
            raise self._divergence(f"the loss runs away: it is {values['loss']:.4g}", f"{self.runaway}.")

    def _divergence(self, what: str, more: str = "") -> DivergenceError:
        """The error, with what the layers gave in the step under way: it is computed again, with the same noise.

        Every process does so with its part of the batch; one in which something is not finite is heard first.
        """
        index, batch, share = self.under_way
        self._draw_noise(index)
        with self.processes.fabric.autocast(), sharing(share):
            outputs = watched(self.model, lambda: self.model.loss(batch))
        found = self.processes.gathered((not any(output.wrong for output in outputs), layer_at_fault(outputs)))
        layer = min(found, key=lambda each: each[0])[1]
        where = f"{what} in epoch {self.epoch}, step {index + 1}."
        return DivergenceError(" ".join(part for part in (where, more, layer, advice(self.how.precision)) if part))


class _Mean:
    """A running mean in double precision."""

    def __init__(self, total: float = 0.0, weight: int = 0) -> None:
        self.total, self.weight = total, weight

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
