"""How much arithmetic a network is."""

from tests.benchmarks.networks import Size


def forward_flops(size: Size) -> int:
    """Of one network, one volume, forward: multiplications and additions of all convolutions."""
    total = 0
    for channels, voxels in zip(size.channels(), size.voxels(), strict=True):
        half = channels // 2
        coupling = 27 * half * size.hidden + size.hidden**2 + 27 * size.hidden * channels
        total += 2 * voxels * size.steps * (channels**2 + coupling)
    return total
