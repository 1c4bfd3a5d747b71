"""How to train: the settings that every iterative method shares."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from dualglow.errors import ConfigError
from dualglow.training.numerics import PRECISIONS

OPTIMISERS = {"adamax": torch.optim.Adamax, "adam": torch.optim.Adam}


@dataclass(frozen=True)
class Optimisation:
    """Paper §4 and appendix by default: AdaMax, linear warm-up, gradient norm clipped, every number in fp32.

    `optimiser` is adamax or, as the rivals' papers have it, adam; `beta1` its decay of the mean gradient.
    `ema_decay` above 0 keeps an exponential moving average of the weights, see average.py; `compile` compiles the
    parts of the model that do the work. `beta2` is AdaMax's decay of the largest gradient; 0 stands for the released
    code's 1 − 1/(steps per epoch). Raises ConfigError if a value cannot be used.
    """

    epochs: int = 90
    batch_size: int = 1
    learning_rate: float = 0.001
    warmup_epochs: int = 0
    clip_gradient: float = 100.0
    seed: int = 1
    precision: str = "fp32"
    ema_decay: float = 0.0
    compile: bool = False
    beta2: float = 0.999
    optimiser: str = "adamax"
    beta1: float = 0.9

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_gradient"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0.")
        if self.warmup_epochs < 0:
            raise ConfigError(f"--warmup-epochs {self.warmup_epochs}: must not be negative.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"--ema-decay {self.ema_decay}: must be at least 0 (off) and below 1, such as 0.999.")
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"--optimiser {self.optimiser}: choose one of {', '.join(OPTIMISERS)}.")
        if not 0 <= self.beta1 < 1:
            raise ConfigError(f"--beta1 {self.beta1}: must be at least 0 and below 1.")
        if not 0 <= self.beta2 < 1:
            raise ConfigError(f"--beta2 {self.beta2}: must be at least 0 (1 - 1/steps per epoch) and below 1.")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"--precision {self.precision}: choose one of {', '.join(PRECISIONS)}.")

    def check_shared(self, processes: int) -> None:
        """Raise ConfigError if a step has too few pairs for each of the processes to have one."""
        if self.batch_size < processes:
            raise ConfigError(
                f"--batch-size {self.batch_size}: fewer pairs in a step than processes that share it ({processes}). "
                f"Give {processes} or more, or fewer --gpus."
            )

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of `step`, counted from 0 over all epochs."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_epochs * steps_per_epoch))

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser; rate and betas are set anew before every step."""
        return OPTIMISERS[self.optimiser](parameters, lr=self.learning_rate)

    def betas(self, steps_per_epoch: int) -> tuple[float, float]:
        """The optimiser's decay rates."""
        return self.beta1, self.beta2 or 1 - 1 / max(2, steps_per_epoch)
