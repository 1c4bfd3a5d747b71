"""A DUAL-GLOW in words and sizes, read from its layers: what the drawing of the architecture shows."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pandas as pd
import torch
from torch import nn

from dualglow.errors import ConfigError
from dualglow.flow.coupling import Coupling
from dualglow.flow.glow import Glow
from dualglow.flow.invertible import Sequence as Layers
from dualglow.flow.network import EdgeConvolution
from dualglow.models import build
from dualglow.models.dualglow import DualGlow
from dualglow.models.prior import CovariateLink, Relation

LAYER_NAMES = {
    "ActNorm": "ActNorm",
    "InvertibleConvolution": "1×1×1 convolution (LU)",
    "FullConvolution": "1×1×1 convolution",
    "AffineCoupling": "affine coupling",
    "SigmoidCoupling": "affine coupling (sigmoid)",
}


def without_weights(method: str, shape: tuple[int, ...], options: dict[str, Any]) -> DualGlow:
    """The model on PyTorch's meta device: shapes without memory. Raises ConfigError if it is not a DUAL-GLOW."""
    with torch.device("meta"):
        model = build(method, shape, options)
    if not isinstance(model, DualGlow):
        raise ConfigError(f"{method}: only DUAL-GLOW can be drawn. Choose dualglow or dualglow-conditional.")
    return model


def summary(model: DualGlow) -> pd.DataFrame:
    """One row per network (MRI, PET) and level, from 1; shapes are channels × voxels.

    Columns: network, level, image, squeezed, steps, latent, carried (channels that go on), relation (what gives the
    latent's Gaussian), from_mri (whether it does so from the MRI latent), reader (what covariates are read, or empty).
    """
    rows: list[dict[str, object]] = []
    for network, flow in (("MRI", model.mri_flow), ("PET", model.pet_flow)):
        rows += _levels(network, flow)
    table = pd.DataFrame(rows)
    relations = [_relation(level) for level in model.prior.levels]
    table["relation"] = ["N(0, 1)"] * len(relations) + relations
    table["from_mri"] = [False] * len(relations) + [isinstance(level, Relation) for level in model.prior.levels]
    table["reader"] = _readers(model)
    return table


def loss_in_words(model: DualGlow) -> str:
    """The loss and the number of parameters."""
    terms = f"loss = bits(PET | MRI) + {model.prior_weight:g} · bits(MRI)"
    if model.readers is not None:
        terms += f" + {model.covariate_weight:g} · losses of the readers"
        if model.conditioning == "add":
            terms += f" (of {', '.join(model.names)}, from the unsqueezed PET latents)"
    total = sum(parameter.numel() for parameter in model.parameters())
    return f"{terms}\n{total / 1e6:,.1f} million parameters"


def _levels(network: str, flow: Glow) -> Iterable[dict[str, object]]:
    first, *more = flow.latent_shapes
    dims = len(first) - 1
    carried, sizes = first[0] * (2 if more else 1) // 2**dims, [2 * size for size in first[1:]]
    image = _shape([carried, *sizes])
    for number, (level, latent) in enumerate(zip(flow.levels, flow.latent_shapes, strict=True), start=1):
        squeezed = [carried * 2**dims, *latent[1:]]
        carried = squeezed[0] - latent[0]
        yield {
            "network": network,
            "level": number,
            "image": image,
            "squeezed": _shape(squeezed),
            "steps": _steps(cast(Layers, level)),
            "latent": _shape(latent),
            "carried": carried,
        }


def _steps(level: Layers) -> str:
    _, *steps = level.chain()
    layers = list(cast(Layers, steps[0]).chain())
    network = cast(Coupling, layers[-1]).network
    within = f"{network.second.out_channels} channels"
    if network.norms is not None:
        within += ", ActNorm"
    if isinstance(network.first, EdgeConvolution):
        within += ", edges"
    names = "\n".join(LAYER_NAMES[type(layer).__name__] for layer in layers)
    return f"{len(steps)} × flow step:\n{names}\n{within}"


def _relation(relation: nn.Module) -> str:
    if isinstance(relation, CovariateLink):
        return f"{', '.join(relation.names)}\nlinear → {_moments(relation.unit_variance)}\n(eqs 16, 17)"
    assert isinstance(relation, Relation)
    kernel = "×".join(map(str, relation.convolution.kernel_size))
    leaky = "\nleaky ReLU" if relation.how.leaky else ""
    spatial = "\n+ a line per voxel" if relation.spatial is not None else ""
    return f"{kernel} convolution{leaky}{spatial}\n→ {_moments(relation.how.unit_variance)} (eq. 6)"


def _moments(unit_variance: bool) -> str:
    return "mean, sd 1" if unit_variance else "mean, log-sd"


def _readers(model: DualGlow) -> list[str]:
    """For each row of the table."""
    levels = len(model.mri_flow.levels)
    if model.readers is None or model.conditioning == "add":
        return [""] * 2 * levels
    plain = f"reader of {', '.join(model.names)}"
    return [f"gradient reversal,\n{plain}"] * (levels - 1) + [plain] + [""] * (levels - 1) + [plain]


def _shape(shape: Sequence[int]) -> str:
    return f"{shape[0]} × " + "·".join(map(str, shape[1:]))
