"""Is the released-code preset the authors' TensorFlow graph? Run: python -m tests.parity FILE.npz

FILE holds inputs, weights (w:…), loss terms, gradients (g:…) and a synthesis made by running the authors' graph in
float32. The model is built from the weights' shapes alone, given these weights, and every number is compared.
Exit status 0 if all differences are within the limits below, 1 if one is not, 2 if the file cannot be read.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualglow.models import COVARIATES, Batch
from dualglow.models.dualglow import DualGlow
from dualglow.models.likelihood import NOISE

LOSS_LIMIT = 1e-4  # bits per voxel
GRADIENT_LIMIT = 1e-3  # norm of the difference over the norm, for each weight
VOXEL_LIMIT = 1e-3  # share of voxels that may differ, by one grey value at most
RELEASED_CODE = {
    "mixing": "full",
    "coupling": "sigmoid",
    "log_scale_factor": 3.0,
    "network_actnorm": True,
    "edge_channel": True,
    "relation_bias": False,
    "relation_leaky": True,
    "unit_variance": True,
    "prior_weight": 0.001,
}
STEP = re.compile(r"model/m_(?P<network>[ou])/(?P<level>\d+)/(?P<step>\d+)/(?P<part>.+)")
SPLIT = re.compile(r"model/m_u/pool(?P<level>\d+)1/filter0")
NAMES = {
    "actnorm_center/b": "layers.0.bias",
    "actnorm_scale/logs": "layers.0.log_scale",
    "invconv/W": "layers.1.weight",
    "f1/l_1/W": "layers.2.network.first.convolution.weight",
    "f1/l_1/actnorm_center/b": "layers.2.network.norms.0.bias",
    "f1/l_1/actnorm_scale/logs": "layers.2.network.norms.0.log_scale",
    "f1/l_2/W": "layers.2.network.second.weight",
    "f1/l_2/actnorm_center/b": "layers.2.network.norms.1.bias",
    "f1/l_2/actnorm_scale/logs": "layers.2.network.norms.1.log_scale",
    "f1/l_last/W": "layers.2.network.last.convolution.weight",
    "f1/l_last/b": "layers.2.network.last.convolution.bias",
    "f1/l_last/logs": "layers.2.network.log_scale",
}


@dataclass
class Differences:
    """What was found: loss terms, gradients by the weight's name, grey values of the synthesis."""

    losses: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    differing_voxels: float = 0.0
    largest_step: float = 0.0

    def within_limits(self) -> bool:
        return (
            all(value <= LOSS_LIMIT for value in self.losses.values())
            and all(value <= GRADIENT_LIMIT for value in self.gradients.values())
            and self.differing_voxels < VOXEL_LIMIT
            and self.largest_step <= 1
        )

    def lines(self) -> Iterator[str]:
        for name, value in self.losses.items():
            yield f"{name:24s} {value:.2e}   (limit {LOSS_LIMIT:.0e})"
        worst = max(self.gradients, key=self.gradients.__getitem__)
        yield f"{'gradients, median':24s} {np.median(list(self.gradients.values())):.2e}"
        yield f"{'gradients, largest':24s} {self.gradients[worst]:.2e}   (limit {GRADIENT_LIMIT:.0e}; {worst})"
        yield f"{'voxels that differ':24s} {self.differing_voxels:.2e}   (limit {VOXEL_LIMIT:.0e})"
        yield f"{'largest grey step':24s} {self.largest_step:g}          (limit 1)"


def our_name(theirs: str, levels: int) -> str:
    """The parameter of DualGlow that is the TensorFlow variable `theirs`. Raises KeyError if there is none."""
    if split := SPLIT.fullmatch(theirs):
        return f"prior.levels.{split['level']}.convolution.weight"
    if theirs == "model/prior_u/filter0":
        return f"prior.levels.{levels - 1}.convolution.weight"
    if (step := STEP.fullmatch(theirs)) is None:
        raise KeyError(theirs)
    flow = {"o": "mri_flow", "u": "pet_flow"}[step["network"]]
    return f"{flow}.levels.{step['level']}.layers.{int(step['step']) + 1}.{NAMES[step['part']]}"


def our_layout(theirs: str, values: np.ndarray) -> Tensor:
    """From (kx, ky, kz, in, out) to (out, in, kx, ky, kz), from z·W to W·z, from interleaved to halved channels."""
    array = torch.from_numpy(values)
    if theirs.endswith("invconv/W"):
        return array.T.contiguous()
    if array.ndim == 5 and not theirs.endswith(("/b", "/logs")):
        array = array.permute(4, 3, 0, 1, 2)
    else:
        array = array.flatten()
    if "l_last" in theirs:  # theirs: shift, scale, shift, scale …; ours: all scales, then all shifts
        array = torch.cat([array[1::2], array[0::2]])
    return array.contiguous()


def read_weights(content: dict[str, np.ndarray], prefix: str) -> dict[str, tuple[str, Tensor]]:
    """Their name, and the values in our layout, by our name."""
    names = [name.removeprefix(prefix) for name in content if name.startswith(prefix)]
    levels = 1 + max(int(match["level"]) for name in names if (match := STEP.fullmatch(name)))
    return {our_name(name, levels): (name, our_layout(name, content[prefix + name])) for name in names}


def build_from(content: dict[str, np.ndarray]) -> DualGlow:
    """The model that the weights' shapes describe, with these weights."""
    weights = {name: values for name, (_, values) in read_weights(content, "w:").items()}
    steps = [match for name in content if (match := STEP.fullmatch(name.removeprefix("w:")))]
    model = DualGlow(
        content["x_mri"].shape[1:-1],
        levels=1 + max(int(match["level"]) for match in steps),
        steps=1 + max(int(match["step"]) for match in steps),
        hidden=weights["mri_flow.levels.0.layers.1.layers.2.network.second.weight"].shape[0],
        relation_kernel=weights["prior.levels.0.convolution.weight"].shape[-1],
        memory="plain",
        **RELEASED_CODE,
    )
    missing = [name for name, _ in model.named_parameters() if name not in weights]
    if missing:
        raise KeyError(missing[0])
    model.load_state_dict(weights, strict=False)  # the only other entries are ActNorm's `initialised`
    return model.eval()


def volume(array: np.ndarray) -> Tensor:
    """(B, x, y, z, 1) in [0, 1] to (B, 1, x, y, z), so that the model's grey-value centring leaves x − 0.5."""
    return torch.from_numpy(array).permute(0, 4, 1, 2, 3).contiguous() - NOISE / 2


def compare(content: dict[str, np.ndarray]) -> Differences:
    """Run our model on the file's inputs and compare every number with the file's."""
    model = build_from(content)
    mri, pet = volume(content["x_mri"]), volume(content["x_pet"])
    covariates, mask = torch.zeros(len(mri), COVARIATES), torch.ones_like(mri)
    loss, terms = model.loss(Batch(mri, pet, mask, covariates))
    loss.backward()
    found = Differences()
    named = {"loss": loss.detach(), "PET bits per voxel": terms["pet_bits"], "MRI bits per voxel": terms["mri_bits"]}
    for (name, value), expected in zip(named.items(), content["stats"], strict=False):
        found.losses[name] = abs(float(value) - float(expected))
    parameters = dict(model.named_parameters())
    for name, (theirs, expected_gradient) in read_weights(content, "g:").items():
        ours = parameters[name].grad
        assert ours is not None
        found.gradients[theirs] = float((ours - expected_gradient).norm() / expected_gradient.norm().clamp(min=1e-12))
    synthetic = model.predict(mri, covariates, mask) + NOISE / 2
    grey = (synthetic * 255).floor().clamp(0, 255).permute(0, 2, 3, 4, 1).numpy()
    steps = np.abs(grey - content["sample_T0"])
    found.differing_voxels, found.largest_step = float((steps > 0).mean()), float(steps.max())
    return found


def main(path: Path) -> int:
    try:
        with np.load(path) as file:
            content = {name: file[name] for name in file.files}
        found = compare(content)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"{path}: is not a parity file of the released code's graph ({type(error).__name__}: {error}).")
        return 2
    print("\n".join(found.lines()))
    agrees = found.within_limits()
    print("The released-code preset agrees with the file." if agrees else "DIFFERS beyond the limits.")
    return 0 if agrees else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.parity FILE.npz")
    sys.exit(main(Path(sys.argv[1])))
