"""Pairs that lie on the device as tensors, so that no step waits for the disk or the bus."""

import sys
from collections.abc import Iterator, Sequence
from math import prod

import torch

from dualglow.models.interface import Batch
from dualglow.training.data import Pairs, PairSource
from dualglow.training.numerics import device_name

FREE_SHARE = 0.5
"""Of the device's free memory, at most so much is for the pairs; the rest is for gradients and activations."""


class ResidentPairs:
    """All of `pairs` on `device`, in the models' units: what `Pairs` gives, computed once; a byte per voxel of mask."""

    def __init__(self, pairs: Pairs, device: torch.device) -> None:
        shape = (len(pairs), 1, *pairs.dataset.grid.shape)
        self.scaling = pairs.scaling
        self.mri, self.pet = (torch.empty(shape, device=device) for _ in range(2))
        self.mask = torch.empty(shape, dtype=torch.bool, device=device)
        self.covariates = pairs.covariates.to(device)
        for index in range(len(pairs)):
            mri, pet, mask, _ = pairs[index]
            self.mri[index], self.pet[index], self.mask[index] = mri, pet, mask > 0

    def __len__(self) -> int:
        return len(self.mri)

    def batches(self, chosen: Sequence[list[int]]) -> Iterator[Batch]:
        """The chosen pairs, batch by batch."""
        return map(self.take, chosen)

    def take(self, indices: list[int]) -> Batch:
        """The pairs with these indices, gathered on the device."""
        chosen = torch.tensor(indices, device=self.mri.device)
        mri, pet, mask, covariates = (part[chosen] for part in (self.mri, self.pet, self.mask, self.covariates))
        return Batch(mri, pet, mask.to(mri.dtype), covariates)


def on_device(pairs: Pairs, device: torch.device) -> PairSource:
    """The pairs, loaded once if `device` is a GPU and its memory suffices; else as they are, read step by step."""
    if device.type != "cuda":
        return pairs
    free, _ = torch.cuda.mem_get_info(device)
    if not fits(pairs, free):
        print(
            f"The {len(pairs)} pairs need {resident_bytes(pairs) / 1e9:.1f} GB, but of the {free / 1e9:.1f} GB free on "
            f"the {device_name(device)} half is for the training itself; they are read from disk step by step instead.",
            file=sys.stderr,
        )
        return pairs
    return ResidentPairs(pairs, device)


def resident_bytes(pairs: Pairs) -> int:
    """Memory that ResidentPairs takes: two float32 images and a mask of bytes."""
    return len(pairs) * prod(pairs.dataset.grid.shape) * 9


def fits(pairs: Pairs, free: int) -> bool:
    """Whether the pairs leave enough of `free` bytes to the training."""
    return resident_bytes(pairs) <= FREE_SHARE * free
