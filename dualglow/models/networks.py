"""Networks of the rivals, put together from MONAI's blocks; volumes are (B, channels, X, Y, Z).

MONAI takes seconds to import, so that it is imported where a network is built.
"""

from collections.abc import Callable
from itertools import pairwise
from math import log2
from typing import Any

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError

Noise = Callable[[Tensor], Tensor]
"""Gives a hidden image back with noise in it."""

SMALLEST = 16
"""Voxels of the shortest axis: the U-Net halves it three times."""

RESIDUAL_BLOCKS = 8  # of the discriminators (Sun et al. 2019, §4)


def check(method: str, shape: tuple[int, ...], width: int) -> None:
    """Raise ConfigError if volumes of this shape, or networks of this width, are no good for the networks."""
    if len(shape) != 3 or min(shape) < SMALLEST:
        raise ConfigError(f"{method}: volumes of {shape} voxels; it needs three axes of {SMALLEST} or more.")
    if width < 1:
        raise ConfigError(f"{method}: width is {width}; it must be 1 or more.")


def plain_generator(channels: int, convolutions: int) -> nn.Sequential:
    """`convolutions` of 3×3×3 at full resolution, each but the last with instance norm and ReLU (Nie et al. 2018)."""
    from monai.networks.blocks.convolutions import Convolution

    blocks = [Convolution(3, 1, channels, act="RELU")]
    blocks += [Convolution(3, channels, channels, act="RELU") for _ in range(convolutions - 2)]
    return nn.Sequential(*blocks, zero_start(nn.Conv3d(channels, 1, 3, padding=1)))


class UNet(nn.Module):
    """Three times down and up (Ronneberger et al. 2015): 15 convolutions, with the last one.

    Upsampling is trilinear, so that it has no weights. `noise` is laid on the lower half of the way up.
    """

    def __init__(self, channels: int) -> None:
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

        super().__init__()
        how: Any = {"act": ("LEAKYRELU", {"negative_slope": 0.2}), "norm": ("INSTANCE", {"affine": True}), "bias": True}
        widths = [channels * 2**level for level in range(4)]
        self.first = TwoConv(3, 1, channels, **how)
        self.down = nn.ModuleList(Down(3, a, b, **how) for a, b in pairwise(widths))
        self.up = nn.ModuleList(
            UpCat(3, b, a, a, **how, upsample="nontrainable", pre_conv=None, halves=False)
            for a, b in reversed(list(pairwise(widths)))
        )
        self.last = zero_start(nn.Conv3d(channels, 1, 1))

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        kept = [self.first(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        y = kept.pop()
        for level, up in enumerate(self.up):
            y = up(y, kept.pop())
            if noise is not None and level < 2:
                y = noise(y)
        return self.last(y)  # type: ignore[no-any-return]


class ResidualUNet(nn.Module):
    """A U-Net of residual blocks that is told a code at its bottom (Esser et al. 2018): 4 blocks down, 4 up."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.encoder = ResidualEncoder(1, channels)
        widths = self.encoder.widths
        self.bottom = residual_block(widths[-1] + code, widths[-1])
        self.up = nn.ModuleList(residual_block(a + b, a) for a, b in reversed(list(pairwise(widths))))
        self.last = zero_start(nn.Conv3d(channels, 1, 1))

    def decode(self, features: list[Tensor], code: Tensor) -> Tensor:
        """Features as the encoder gives them, finest first, and a code of the size of the last."""
        *skips, y = features
        y = self.bottom(torch.cat([y, code], dim=1))
        for up, skip in zip(self.up, reversed(skips), strict=True):
            y = nn.functional.interpolate(y, size=skip.shape[2:], mode="trilinear")
            y = up(torch.cat([y, skip], dim=1))
        return self.last(y)  # type: ignore[no-any-return]


class ResidualEncoder(nn.Module):
    """Four residual blocks, each but the first at half the resolution of the one before."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.widths = [channels * 2**level for level in range(4)]
        sizes = zip([inputs, *self.widths], self.widths, (1, 2, 2, 2), strict=False)
        self.blocks = nn.ModuleList(residual_block(a, b, stride) for a, b, stride in sizes)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for block in self.blocks:
            features.append(block(features[-1]))
        return features[1:]


def residual_block(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """Two convolutions beside a shortcut."""
    from monai.networks.blocks.convolutions import ResidualUnit

    return ResidualUnit(3, inputs, outputs, strides=stride, subunits=2, act="RELU")


def residual_discriminator(shape: tuple[int, ...], channels: int) -> nn.Module:
    """Eight residual blocks and a linear layer: one logit for MRI and PET together (B, 2, *shape)."""
    from monai.networks.nets.regressor import Regressor

    strides, widths = _shrinking(shape)
    return Regressor((2, *shape), (1,), [channels * width for width in widths], strides, act="RELU")


def _shrinking(shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Strides and relative widths of the blocks: halved while 4 voxels are left, at most 8 times as wide."""
    halvings = int(log2(min(shape))) - 2
    strides = [2 if block < halvings else 1 for block in range(RESIDUAL_BLOCKS)]
    return strides, [min(8, 2**block) for block in range(RESIDUAL_BLOCKS)]


class PatchGan(nn.Module):
    """PatchGAN (Isola et al. 2017) in 3D: a map of logits, each for a patch of MRI and PET together (B, 2, *shape)."""

    def __init__(self, channels: int) -> None:
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        super().__init__()
        self.network = PatchDiscriminator(3, channels, in_channels=2, num_layers_d=2, norm="INSTANCE")

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[-1]  # type: ignore[no-any-return] # after its hidden features


def zero_start(layer: nn.Conv3d) -> nn.Conv3d:
    """A last layer that gives 0 before training."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
