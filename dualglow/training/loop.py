"""The training loop: its noise and its order depend on seed, epoch and step alone."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dualglow.errors import DualGlowError
from dualglow.models import Synthesiser
from dualglow.training.data import Pairs, PairSource, epoch_steps, to_device
from dualglow.training.display import Display
from dualglow.training.distributed import Processes
from dualglow.training.numerics import autocast, compile_networks, matrix_precision
from dualglow.training.optimisation import Optimisation
from dualglow.training.resident import on_device
from dualglow.training.resume import Progress
from dualglow.training.saving import Saving
from dualglow.training.seeds import derived_seed
from dualglow.training.steps import Training

EpochDone = Callable[[Progress], None]


def fit(
    model: Synthesiser,
    train: Pairs,
    validation: Pairs,
    how: Optimisation,
    processes: Processes,
    progress: Progress,
    saving: Saving,
    epoch_done: EpochDone,
    logs: Path | None = None,
) -> None:
    """Train an iterative method from `progress` to the last epoch; `model` ends with the last epoch's weights.

    Raises DivergenceError, or DualGlowError if the job is stopped, the GPU's memory does not suffice or the networks
    cannot be compiled.
    """
    with _explained(how), warnings.catch_warnings(), matrix_precision(how.precision):
        warnings.filterwarnings("ignore", module="lightning")  # advice on workers and loggers
        warnings.filterwarnings("ignore", message="Grad strides do not match")  # of DDP: slower, not wrong
        training = _prepared(model, train, validation, how, processes, progress, logs)
        saving.told.hold()
        while progress.epoch < how.epochs:
            saving.stop_if_told(progress)
            training.run_epoch(lambda: saving.pause(progress, training.capture))
            training.capture()
            saving.save(progress)
            epoch_done(progress)
        training.display.close()


def _prepared(
    model: Synthesiser,
    train: Pairs,
    validation: Pairs,
    how: Optimisation,
    processes: Processes,
    progress: Progress,
    logs: Path | None,
) -> Training:
    """The model initialised, or as `progress` left it, with all that trains it."""
    device = processes.device
    model.to(device)
    sources = on_device(train, device), on_device(validation, device)
    if progress.begun:
        model.load_state_dict(progress.weights)
    else:
        with autocast(how.precision, device):
            initialise(model, sources[0], how, device)
    display = Display(how.epochs, processes.leads, logs)
    training = Training(model, how, *sources, progress, processes, display)
    if how.compile:
        compile_networks(model)
        compile_networks(training.judged)
    return training


def initialise(model: Synthesiser, train: PairSource, how: Optimisation, device: torch.device) -> None:
    """Let the model set itself from the training pairs, in the order of no epoch; in every process alike."""
    torch.manual_seed(derived_seed(how.seed, "initialise"))
    model.train()
    model.initialise(to_device(train.batches(epoch_steps(len(train), how.batch_size, how.seed, 0)), device))


@contextmanager
def _explained(how: Optimisation) -> Iterator[None]:
    """Errors of PyTorch that a person can do something about, as one line."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DualGlowError(
            "the GPU's memory does not suffice. Train with --memory invert (or checkpoint), --batch-size 1 (or more "
            "--gpus), --precision bf16 (not with invert) or a smaller --hidden."
        ) from error
    except RuntimeError as error:
        if how.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split("Set TORCHDYNAMO")[0].split())[:200]
            raise DualGlowError(f"--compile does not work here ({reason}). Leave it out.") from error
        raise
