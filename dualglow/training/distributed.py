"""The processes that share one training: Lightning Fabric joins them, each step's batch is divided among them."""

import logging
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies import DDPStrategy
from torch import Tensor, nn

from dualglow.errors import DualGlowError
from dualglow.models import Batch, Synthesiser
from dualglow.training.numerics import PRECISIONS, device_name
from dualglow.training.processes import Place

Content = TypeVar("Content")
Loss = tuple[Tensor, dict[str, Tensor]]


class _Environment(LightningEnvironment):
    """Tells Fabric where this process stands; to Fabric every process is a node of its own, with one device."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self.place.address

    @property
    def main_port(self) -> int:
        return self.place.port

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return self.place.rank


class _Loss(nn.Module):
    """What Lightning wraps: a module whose forward pass is the model's loss."""

    def __init__(self, model: Synthesiser) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Loss:
        return self.model.loss(batch)


class Processes:
    """All processes of a training, seen from one; alone, every method is what its name says of one process.

    As a context it joins them, and makes one of them, not all, say what went wrong.
    """

    def __init__(self, place: Place, device: torch.device, precision: str) -> None:
        for name in ("lightning.fabric", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.place, self.device, self.size = place, device, place.size
        # A method may leave parameters out of a step, such as a reader's whose covariate nobody of the batch has.
        several = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
        self.fabric = Fabric(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            num_nodes=self.size,
            strategy=several if self.size > 1 else "auto",
            precision=PRECISIONS[precision],
            plugins=[_Environment(place)],  # else Lightning takes over SLURM's variables
        )

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.place.leads

    @property
    def name(self) -> str:
        """Of what they run on, for the model's card."""
        return f"{self.size} × {device_name(self.device)}" if self.size > 1 else device_name(self.device)

    def __enter__(self) -> "Processes":
        try:
            self.fabric.launch()
        except RuntimeError as error:
            raise self._lost(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size == 1:
            return
        if error is None:
            dist.destroy_process_group()
            return
        if not self._first_to_fail():
            raise SystemExit(1) from None
        if _of_the_connection(error):
            raise self._lost(error) from error

    def part(self, indices: list[int]) -> tuple[slice, int]:
        """Which of a batch's pairs this process has, and how many count; where it has none, the first, which counts 0.

        The parts are contiguous and differ by at most one pair.
        """
        start, stop = (len(indices) * rank // self.size for rank in (self.place.rank, self.place.rank + 1))
        return (slice(start, stop), stop - start) if stop > start else (slice(0, 1), 0)

    def loss_of(self, model: Synthesiser) -> Callable[[Batch], Loss]:
        """The model's loss, such that `backward` gives the gradient of the whole batch on every process."""
        return cast(Callable[[Batch], Loss], self.fabric.setup(_Loss(model)))

    def backward(self, loss: Tensor, count: int, of: int) -> None:
        """Gradient of the mean loss over `of` pairs, of which `loss` is the mean over `count` in this process."""
        # Lightning takes the mean of the processes' gradients.
        self.fabric.backward(loss if self.size == 1 else loss * (self.size * count / of))

    def mean(self, values: dict[str, Tensor], count: int) -> dict[str, float]:
        """The mean over all pairs of what is the mean over `count` pairs in each process, fetched at once."""
        if self.size == 1:
            return floats(values)
        found = torch.stack([value.detach().double() for value in values.values()])
        # A process without pairs adds 0, whatever the pair gave that it looked at.
        total = torch.cat([found * count if count else torch.zeros_like(found), torch.full_like(found[:1], count)])
        dist.all_reduce(total)
        return dict(zip(values, (total[:-1] / total[-1]).tolist(), strict=True))

    def highest(self, number: int) -> int:
        """The highest number that a process gives."""
        if self.size == 1:
            return number
        given = torch.tensor(number, device=self.device)
        dist.all_reduce(given, dist.ReduceOp.MAX)
        return int(given)

    def gathered(self, content: Content) -> list[Content]:
        """What every process gives, in their order."""
        if self.size == 1:
            return [content]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, content)
        return found

    def from_leader(self, content: Content) -> Content:
        """What the leading process gives."""
        return self.fabric.broadcast(content)

    def wait(self) -> None:
        """Until all have come so far."""
        self.fabric.barrier()

    def _first_to_fail(self) -> bool:
        """Whether no other process has failed before: it has said why, and this one only misses it."""
        try:
            return dist.distributed_c10d._get_default_store().add("dualglow/failed", 1) == 1
        except (RuntimeError, ValueError):  # no connection to the first process, or none yet
            return self.leads

    def _lost(self, error: BaseException) -> DualGlowError:
        reason = re.sub(r"\[/\S*\] ", "", " ".join(str(error).split())).split(". ")[0][:160]
        return DualGlowError(
            f"another process of this training was ended, or cannot be reached ({reason}); perhaps for want of memory: "
            "the cluster's log may say so. The same command goes on from the last state that was saved."
        )


def _of_the_connection(error: BaseException) -> bool:
    """Whether another process is gone: gloo raises a plain RuntimeError."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def floats(values: dict[str, Tensor]) -> dict[str, float]:
    """The values on the CPU, fetched at once."""
    return dict(zip(values, torch.stack([value.detach().float() for value in values.values()]).tolist(), strict=True))
