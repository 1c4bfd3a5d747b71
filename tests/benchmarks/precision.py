"""How far rounding carries: DUAL-GLOW at random weights in float32, TF32 (GPU) and bf16, against more exact arithmetic.

A model is initialised from random smooth pairs and its zero-started weights are then moved at random, so that every
coupling does something. Images are in [0, 1]; all is computed at the middle of the grey values, without noise.
"""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from dualglow.models import Batch
from dualglow.models.dualglow import DualGlow
from dualglow.training.numerics import matrix_precision
from tests.benchmarks.models import keep, new_model, random_pairs
from tests.benchmarks.networks import Size
from tests.benchmarks.report import Row, arguments, machine, table

SIZES = {"full": Size((64, 96, 64), levels=3, steps=4, hidden=32), "small": Size((16, 16, 16), 2, 2, 8)}
Mode = Callable[[], AbstractContextManager[None]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--perturbed", type=float, default=0.3, help="how far the weights are moved")
    options = parser.parse_args()
    size, device = SIZES[options.size], torch.device(options.device)
    print(f"Precision on {device.type}: {size}, batch 2, weights moved by {options.perturbed}/√inputs\n{machine()}\n")
    model = new_model(size, device, options.perturbed).eval()
    batch = random_pairs(2, size.shape, device, seed=1)
    with matrix_precision("fp32"):
        print(table([*against_float64(model, batch), *against_float32(model, batch), *memory_options(model, batch)]))


def against_float64(model: DualGlow, batch: Batch) -> list[Row]:
    """What float32 loses, and what float64 loses on the same way."""
    exact, exact_batch = copy.deepcopy(model).double(), Batch(*(tensor.double() for tensor in batch))
    bits = _bits(model, batch).double() - _bits(exact, exact_batch)
    return [
        _row("float32", "there and back, PET network, max error", round_trip(model, batch)),
        _row("float64", "there and back, PET network, max error", round_trip(exact, exact_batch)),
        _row("float32", "likelihood against float64 (bits per voxel)", float(bits.abs().max())),
        _row(
            "float32", "gradient against float64, relative", _far(gradient(model, batch), gradient(exact, exact_batch))
        ),
        _row(
            "float32",
            "synthesis against float64, max difference",
            _difference(_synthesis(model, batch), exact, exact_batch),
        ),
    ]


def against_float32(model: DualGlow, batch: Batch) -> list[Row]:
    """What networks in bf16 (and TF32 where there is a GPU) change."""
    rows = []
    modes: dict[str, Mode] = {"bf16": lambda: bf16(batch)} | (
        {"tf32": lambda: matrix_precision("tf32")} if batch.mri.is_cuda else {}
    )
    reference = gradient(model, batch)
    for name, mode in modes.items():
        with mode():
            bits, found, synthesis = _bits(model, batch), gradient(model, batch), _synthesis(model, batch)
        rows += [
            _row(name, "likelihood against float32 (bits per voxel)", float((bits - _bits(model, batch)).abs().max())),
            _row(name, "gradient against float32, relative", _far(found, reference)),
            _row(name, "gradient has nan or inf", "no" if all(part.isfinite().all() for part in found) else "YES"),
            _row(name, "synthesis against float32, max difference", _difference(synthesis, model, batch)),
        ]
    return rows


def memory_options(model: DualGlow, batch: Batch) -> list[Row]:
    """Whether the gradients of checkpoint and invert are those of plain autograd."""
    keep(model, "plain")
    reference, rows = gradient(model, batch), []
    for memory in ("checkpoint", "invert"):
        keep(model, memory)
        rows.append(
            _row("float32", f"gradient of {memory} against plain, relative", _far(gradient(model, batch), reference))
        )
    keep(model, "plain")
    return rows


@torch.no_grad()
def round_trip(model: DualGlow, batch: Batch) -> float:
    """Largest difference of a PET to itself after the PET network and its inverse."""
    x = batch.pet - 0.5
    return float((model.pet_flow.inverse(model.pet_flow(x)[0]) - x).abs().max())


def gradient(model: DualGlow, batch: Batch) -> list[Tensor]:
    """Of the loss, for each parameter in turn."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(model.loss(batch)[0], wanted))


def bf16(batch: Batch) -> AbstractContextManager[None]:
    return torch.autocast(batch.mri.device.type, dtype=torch.bfloat16)


@torch.no_grad()
def _bits(model: DualGlow, batch: Batch) -> Tensor:
    return model.bits(batch)


def _synthesis(model: DualGlow, batch: Batch) -> Tensor:
    return model.predict(batch.mri, batch.covariates, batch.mask)


def _difference(synthesis: Tensor, model: DualGlow, batch: Batch) -> float:
    return float((synthesis - _synthesis(model, batch)).abs().max())


def _far(found: list[Tensor], expected: list[Tensor]) -> float:
    """Norm of the difference over the norm of what was expected, all parameters as one vector."""
    difference = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(found, expected, strict=True))
    return (difference / sum(float(b.double().square().sum()) for b in expected)) ** 0.5


def _row(precision: str, what: str, value: object) -> Row:
    return {"precision": precision, "what": what, "value": value}


if __name__ == "__main__":
    main()
