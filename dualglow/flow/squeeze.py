"""Space into channels."""

from torch import Tensor

from dualglow.errors import ConfigError
from dualglow.flow.invertible import Invertible


class Squeeze(Invertible):
    """Each block of 2 voxels along every spatial axis becomes one voxel with 2^dims times the channels.

    Channel c at offset (dx, dy, dz) goes to ((c·2 + dx)·2 + dy)·2 + dz. Raises ConfigError if a size is odd.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, *sizes = x.shape
        if any(size % 2 for size in sizes):
            raise ConfigError(
                f"a volume of {'×'.join(map(str, sizes))} cannot be squeezed by 2: every size must be even."
            )
        dims = len(sizes)
        blocks = x.reshape(batch, channels, *(n for size in sizes for n in (size // 2, 2)))
        positions, offsets = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
        z = blocks.permute(0, 1, *offsets, *positions)
        return z.reshape(batch, channels * 2**dims, *(size // 2 for size in sizes)), x.new_zeros(batch)

    def inverse(self, z: Tensor) -> Tensor:
        batch, channels, *sizes = z.shape
        dims = len(sizes)
        blocks = z.reshape(batch, channels // 2**dims, *[2] * dims, *sizes)
        order = [axis for d in range(dims) for axis in (2 + dims + d, 2 + d)]
        return blocks.permute(0, 1, *order).reshape(batch, channels // 2**dims, *(2 * size for size in sizes))
