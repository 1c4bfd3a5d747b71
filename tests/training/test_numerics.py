"""Precision, compilation, memory: what they switch, and what a person reads when they do not work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualglow import models
from dualglow.errors import ConfigError, DualGlowError
from dualglow.models import METHODS, Batch
from dualglow.models.dualglow import DualGlow
from dualglow.training.checkpoint import load_model
from dualglow.training.fold import Request, train_fold
from dualglow.training.numerics import autocast, compile_networks, matrix_precision
from dualglow.training.optimisation import OPTIMISERS, Optimisation
from tests.training.conftest import Tiny

CPU = torch.device("cpu")
FLOW = {"levels": 1, "steps": 1, "hidden": 4}  # not 2 levels: oneDNN's bf16 gradients are wrong on 2×2×2 voxels


def train(dataset: Path, folds: Path, out: Path, method: str = "tiny", options: Any = None, **how: Any) -> None:  # noqa: ANN401
    optimisation = Optimisation(**{"epochs": 2, "batch_size": 2, "learning_rate": 0.01} | how)
    train_fold(Request(dataset, folds, 0, method, out, options or {}, optimisation), CPU)


@pytest.mark.parametrize(
    ("precision", "products", "convolutions"),
    [("fp32", "highest", False), ("bf16", "highest", False), ("tf32", "high", True)],
)
def test_tf32_is_allowed_for_tf32_alone(precision: str, products: str, convolutions: bool) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with matrix_precision(precision):
        assert torch.get_float32_matmul_precision() == products
        assert torch.backends.cudnn.allow_tf32 is convolutions
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_every_pass_runs_in_the_chosen_precision(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen: set[tuple[str, bool, str]] = set()

    class Watching(Tiny):
        def __init__(self, shape: tuple[int, int, int]) -> None:
            super().__init__(shape)

        def initialise(self, batches: Any) -> None:  # noqa: ANN401
            self.note("initialise")
            super().initialise(batches)

        def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            self.note("training" if self.training else "validation")
            return super().loss(batch)

        def note(self, when: str) -> None:
            seen.add((when, torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()))

    monkeypatch.setitem(models.METHODS, "watching", Watching)
    train(dataset, folds, tmp_path / "a", "watching", precision=precision)
    expected = precision == "bf16", "high" if precision == "tf32" else "highest"
    assert seen == {(when, *expected) for when in ("initialise", "training", "validation")}
    assert load_model(tmp_path / "a")[1]["precision"] == precision


def test_bf16_rounds_the_networks_and_nothing_else(dataset: Path, folds: Path, tmp_path: Path) -> None:
    """Trained weights stay float32, near those of fp32; the bits per voxel agree to a percent."""
    losses = {}
    for precision in ("fp32", "bf16"):
        train(dataset, folds, tmp_path / precision, "dualglow", FLOW, precision=precision)
        model, _ = load_model(tmp_path / precision)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        table = (tmp_path / precision / "training.tsv").read_text().splitlines()
        losses[precision] = float(table[2].split("\t")[1])
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.01)
    assert losses["bf16"] != losses["fp32"]


def test_the_context_beside_lightning_is_lightnings() -> None:
    """In bf16, coupling networks give bf16 before they are cast back; latents are float32."""
    flow = DualGlow((8, 8, 8), **FLOW).mri_flow
    kinds: set[torch.dtype] = set()
    for network in flow.networks():
        network.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
    with autocast("bf16", CPU):
        latents, _ = flow(torch.rand(1, 1, 8, 8, 8))
    assert kinds == {torch.bfloat16}
    assert {latent.dtype for latent in latents} == {torch.float32}


def test_bad_choices_are_one_line(dataset: Path, folds: Path, tmp_path: Path) -> None:
    for how, message in (
        ({"precision": "fp16"}, "--precision fp16: choose one of fp32, tf32, bf16"),
        ({"ema_decay": 1.0}, "--ema-decay 1.0: must be"),
        ({"beta2": 1.0}, "--beta2 1.0: must be"),
        ({"compile": True}, "--compile: this method has no networks"),
    ):
        with pytest.raises(DualGlowError, match=message):
            train(dataset, folds, tmp_path / "a", **how)
    with pytest.raises(DualGlowError, match="invert cannot be had with bf16"):
        train(dataset, folds, tmp_path / "a", "dualglow", FLOW | {"memory": "invert"}, precision="bf16")


def test_a_full_gpu_is_one_line(dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, batch: Batch) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total …")

    monkeypatch.setattr(METHODS["tiny"], "loss", full)
    with pytest.raises(DualGlowError, match=r"memory does not suffice\. Train with --memory invert") as caught:
        train(dataset, folds, tmp_path / "a")
    assert "\n" not in str(caught.value)


def compile_by(monkeypatch: pytest.MonkeyPatch, backend: Callable[[Any, Any], Any]) -> None:
    """Let nn.Module.compile use `backend`, which is quicker than PyTorch's own."""

    def compile_with_it(self: nn.Module, **how: Any) -> None:  # noqa: ANN401
        self._compiled_call_impl = torch.compile(self._call_impl, backend=backend, **how)

    monkeypatch.setattr(nn.Module, "compile", compile_with_it)
    torch._dynamo.reset()


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_compiled_networks_train_alike_and_keep_their_names(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float
) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:  # noqa: ANN401
        graphs.append(graph)
        return graph.forward

    compile_by(monkeypatch, backend)
    train(dataset, folds, tmp_path / "eager", "dualglow", FLOW, ema_decay=ema_decay)
    assert not graphs
    train(dataset, folds, tmp_path / "compiled", "dualglow", FLOW, ema_decay=ema_decay, compile=True)
    assert len(graphs) >= 2  # with gradients and without
    eager, fast = (load_model(tmp_path / name)[0].state_dict() for name in ("eager", "compiled"))
    assert eager.keys() == fast.keys()
    for name in eager:
        np.testing.assert_allclose(eager[name], fast[name], rtol=1e-4, atol=1e-6)


def test_more_shapes_are_compiled_than_pytorch_would_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three levels, four batch sizes, with gradients and without: 24 graphs, none of them left to the interpreter."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:  # noqa: ANN401
        graphs.append(graph)
        return graph.forward

    compile_by(monkeypatch, backend)
    flow = DualGlow((8, 8, 8), levels=3, steps=2, hidden=2, memory="plain").mri_flow
    model = METHODS["tiny"]((8, 8, 8))
    monkeypatch.setattr(model, "networks", flow.networks)
    compile_networks(model)
    for size in (1, 2, 3, 4):
        flow(torch.rand(size, 1, 8, 8, 8))
        with torch.no_grad():
            flow(torch.rand(size, 1, 8, 8, 8))
    assert len(graphs) == 24


def test_a_compiler_that_fails_is_one_line(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, inputs: Any) -> Any:  # noqa: ANN401
        raise RuntimeError("no C++ compiler\nsecond line")

    compile_by(monkeypatch, backend)
    with pytest.raises(DualGlowError, match=r"--compile does not work here \(.*no C\+\+ compiler") as caught:
        train(dataset, folds, tmp_path / "a", "dualglow", FLOW, compile=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("beta2", "expected"), [(0.9, 0.9), (0.0, 1 - 1 / 3)])
def test_beta2_reaches_the_optimiser(dataset: Path, folds: Path, tmp_path: Path, beta2: float, expected: float) -> None:
    """6 training pairs in batches of 2 are 3 steps an epoch. The decay reaches each of them."""
    seen = []

    class Watched(torch.optim.Adamax):
        def step(self, closure: object = None) -> None:
            seen.append(self.param_groups[0]["betas"])
            super().step(closure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIMISERS, "adamax", Watched)
        train(dataset, folds, tmp_path / "model", "tiny", {}, epochs=1, batch_size=2, beta2=beta2)
    assert seen == [(0.9, expected)] * 3


def test_the_optimiser_is_the_one_asked_for(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Watched(torch.optim.Adam):
        def step(self, closure: object = None) -> None:
            seen.append(self.param_groups[0]["betas"])
            super().step(closure)

    monkeypatch.setitem(OPTIMISERS, "adam", Watched)
    train(dataset, folds, tmp_path / "model", "tiny", {}, epochs=1, batch_size=2, optimiser="adam", beta1=0.5)
    assert seen == [(0.5, 0.999)] * 3
    with pytest.raises(ConfigError, match="--optimiser sgd: choose one of adamax, adam"):
        Optimisation(optimiser="sgd")
    with pytest.raises(ConfigError, match="--beta1 1"):
        Optimisation(beta1=1.0)
