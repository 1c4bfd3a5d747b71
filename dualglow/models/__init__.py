"""The synthesis methods of Table 1 behind one interface."""

import inspect
from typing import Any

from dualglow.errors import ConfigError
from dualglow.models.cgan import ConditionalGan, UNetGan
from dualglow.models.cvae import VariationalUNet
from dualglow.models.dualglow import ConditionalDualGlow, DualGlow
from dualglow.models.iglow import IterativeGlow
from dualglow.models.interface import COVARIATES, Batch, Density, Synthesiser
from dualglow.models.naive import LinearSynthesiser, MeanSynthesiser
from dualglow.models.pix2pix import Pix2Pix

METHODS: dict[str, type[Synthesiser]] = {
    "dualglow": DualGlow,
    "dualglow-conditional": ConditionalDualGlow,
    "cgan": ConditionalGan,
    "ucgan": UNetGan,
    "cvae": VariationalUNet,
    "pix2pix": Pix2Pix,
    "iglow": IterativeGlow,
    "mean": MeanSynthesiser,
    "linear": LinearSynthesiser,
}

__all__ = ["COVARIATES", "METHODS", "Batch", "Density", "Synthesiser", "build"]


def build(method: str, shape: tuple[int, ...], options: dict[str, Any]) -> Synthesiser:
    """Make an untrained model of `method` for volumes of `shape` (voxels), with the method's own `options`.

    Raises ConfigError if the method or an option is unknown, or an option or the shape cannot be used.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r}: unknown. Choose one of {', '.join(METHODS)}.")
    known = [name for name in inspect.signature(METHODS[method]).parameters if name != "shape"]
    unknown = ", ".join(sorted(set(options) - set(known)))
    if unknown:
        raise ConfigError(f"method {method}: has no option {unknown}. Its options are: {', '.join(known) or 'none'}.")
    return METHODS[method](shape, **options)
