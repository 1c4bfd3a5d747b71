"""An exponential moving average of the weights: what is validated and kept instead of the last step's weights."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dualglow.models import Synthesiser

PREFIX = "module."


class Average:
    """Average ← decay · average + (1 − decay) · weights after every step, from the weights of the first step on.

    The decay rises to its value as (1 + n)/(10 + n) over the steps n (as in TensorFlow's ExponentialMovingAverage), so
    that a short training is not held at its start. Buffers are the model's own, not averaged.
    """

    def __init__(self, model: Synthesiser, decay: float) -> None:
        self.decay = decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._blend)
        self.model.eval().requires_grad_(False)

    @property
    def model(self) -> Synthesiser:
        """The model with the averaged weights, ready to predict."""
        return cast(Synthesiser, self._averaged.module)

    def update(self, model: Synthesiser) -> None:
        """Count the weights of the step just done in."""
        self._averaged.update_parameters(model)

    def state_dict(self) -> dict[str, Tensor]:
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._averaged.load_state_dict(state)

    @torch.no_grad()
    def _blend(self, averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        get_ema_multi_avg_fn(min(self.decay, (1 + steps) / (10 + steps)))(averages, weights, steps)


def averaged_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights within the state of an Average."""
    return {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
