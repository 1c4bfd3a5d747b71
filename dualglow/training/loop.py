"""The training loop: Lightning drives it, the noise and the order depend on seed, epoch and step alone."""

import logging
import sys
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dualglow.errors import DualGlowError
from dualglow.models import Synthesiser
from dualglow.training.data import Pairs, PairSource, in_order, shuffled, to_device
from dualglow.training.display import Bar
from dualglow.training.numerics import PRECISIONS, autocast, compile_networks, matrix_precision
from dualglow.training.optimisation import Optimisation
from dualglow.training.resident import on_device
from dualglow.training.resume import Progress
from dualglow.training.seeds import derived_seed
from dualglow.training.steps import LOG_EVERY, EpochDone, Training


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

    Raises DivergenceError, or DualGlowError if the job is stopped, the GPU's memory does not suffice or the networks
    cannot be compiled.
    """
    try:
        with warnings.catch_warnings(), matrix_precision(how.precision):
            warnings.filterwarnings("ignore", module="lightning")  # advice on workers and loggers
            _fit(model, train, validation, how, device, progress, epoch_done, logs)
    except SIGTERMException as error:
        raise DualGlowError(
            f"stopped by SIGTERM after epoch {progress.epoch}; the same command goes on from there, "
            "so that nothing but the epoch under way is lost."
        ) from error
    except torch.cuda.OutOfMemoryError as error:
        raise DualGlowError(
            "the GPU's memory does not suffice. Train with --memory invert (or checkpoint), --batch-size 1, "
            "--precision bf16 (not with invert) or a smaller --hidden."
        ) from error
    except RuntimeError as error:
        if how.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split("Set TORCHDYNAMO")[0].split())[:200]
            raise DualGlowError(f"--compile does not work here ({reason}). Leave it out.") from error
        raise


def _fit(
    model: Synthesiser,
    train: Pairs,
    validation: Pairs,
    how: Optimisation,
    device: torch.device,
    progress: Progress,
    epoch_done: EpochDone,
    logs: Path | None,
) -> None:
    model.to(device)
    sources = on_device(train, device), on_device(validation, device)
    if progress.epoch:
        model.load_state_dict(progress.weights)
    else:
        with autocast(how.precision, device):
            initialise(model, sources[0], how, device)
    training = Training(model, how, train.scaling.window, progress, epoch_done)
    if how.compile:
        compile_networks(model)
        compile_networks(training.judged)
    batches = shuffled(sources[0], how.batch_size, how.seed, progress.epoch)
    _trainer(how, progress.epoch, device, logs).fit(training, batches, in_order(sources[1], how.batch_size))


def initialise(model: Synthesiser, train: PairSource, how: Optimisation, device: torch.device) -> None:
    """Let the model set itself from the training pairs, in the order of no epoch."""
    torch.manual_seed(derived_seed(how.seed, "initialise"))
    model.train()
    model.initialise(to_device(shuffled(train, how.batch_size, how.seed, -1), device))


def _trainer(how: Optimisation, done: int, device: torch.device, logs: Path | None) -> Trainer:
    """A Trainer of one device, without the parts of Lightning that are done otherwise here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    on_screen = sys.stderr.isatty()  # in a log file the line per epoch is enough
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=PRECISIONS[how.precision],
        plugins=[LightningEnvironment()],  # else Lightning takes over SLURM's variables and signals
        max_epochs=how.epochs - done,
        logger=TensorBoardLogger(logs.parent, name=logs.name, version="") if logs else False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=on_screen,
        callbacks=[Bar(done, how.epochs)] if on_screen else None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY,
    )
