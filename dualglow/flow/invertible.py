"""The base of every flow layer, and their composition.

A layer maps x to z and back, and says how it changes volume: `ladj` is the log of the absolute determinant of dz/dx.
Shapes: x and z are (batch, channels, *spatial) with one to three spatial axes; ladj is (batch,), in nats.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn


class Invertible(nn.Module, ABC):
    """A bijection with a known log-determinant."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and ladj."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """The x of which z is the image."""

    def initialise(self, x: Tensor) -> Tensor:
        """Set what this layer sets from a first batch, and return its z."""
        return self(x)[0]

    def replay(self, z: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The x of z as leaves of a new graph (in parts, along the channels), and this graph's z and ladj.

        A layer whose inverse shares work with its forward overrides this. Needs gradients to be enabled.
        """
        x = self.inverse(z.detach()).detach().requires_grad_()
        return (x,), *self(x)


class Sequence(Invertible):
    """Layers one after another."""

    def __init__(self, *layers: Invertible) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def chain(self) -> Iterable[Invertible]:
        """The layers, first one first."""
        return cast(Iterable[Invertible], self.layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        ladj = x.new_zeros(len(x))
        for layer in self.chain():
            x, change = layer(x)
            ladj = ladj + change
        return x, ladj

    def inverse(self, z: Tensor) -> Tensor:
        for layer in reversed(list(self.chain())):
            z = layer.inverse(z)
        return z

    def initialise(self, x: Tensor) -> Tensor:
        for layer in self.chain():
            x = layer.initialise(x)
        return x
