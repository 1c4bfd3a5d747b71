"""A training that goes wrong stops, and says where."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dualglow import models
from dualglow.flow.glow import Glow, StepOptions
from dualglow.flow.invertible import Invertible
from dualglow.models import Batch, Synthesiser
from dualglow.models.dualglow import DualGlow
from dualglow.training.fold import Request, train_fold
from dualglow.training.guard import DivergenceError, LayerOutput, Runaway, layer_at_fault, layers, watched
from dualglow.training.optimisation import Optimisation

CPU = torch.device("cpu")
FLOW = {"levels": 2, "steps": 1, "hidden": 4}


class Double(Invertible):
    """A flow layer that a test can spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x * self.scale, self.scale.log().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        return z / 2


class Chain(Synthesiser):
    """Three flow layers and a loss that does what the test wants at the training step that it wants."""

    spoil: Callable[["Chain", int], None] = staticmethod(lambda model, step: None)

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.flow = nn.ModuleList(Double() for _ in range(3))
        self.factor, self.step = 1.0, 0

    def initialise(self, batches: Iterable[Batch]) -> None:
        pass

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if torch.is_grad_enabled():
            self.step += 1
            type(self).spoil(self, self.step)
        z, ladj = batch.mri, torch.zeros(len(batch.mri))
        for layer in self.flow:
            z, change = layer(z)
            ladj = ladj + change
        value = self.factor * (z.square().mean() + ladj.mean())
        return value, {"square": value.detach()}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return mri * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        return mri * mask


def train(dataset: Path, folds: Path, out: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable) -> None:
    """Four epochs of three steps each."""
    monkeypatch.setitem(models.METHODS, "chain", Chain)
    monkeypatch.setattr(Chain, "spoil", staticmethod(spoil))
    how = Optimisation(epochs=4, batch_size=2, learning_rate=1e-6)
    train_fold(Request(dataset, folds, 0, "chain", out, optimisation=how), CPU)


def test_the_first_layer_that_is_not_finite_is_named(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second layer overflows, so the third does too; the log-determinant stays finite."""

    def spoil(model: Chain, step: int) -> None:
        if step == 5:
            model.flow[1].scale.data.fill_(1e38)
            model.flow[0].scale.data.fill_(10)

    with pytest.raises(DivergenceError) as caught:
        train(dataset, folds, tmp_path / "a", monkeypatch, spoil)
    message = str(caught.value)
    assert message.startswith(
        "square is inf in epoch 2, step 2. The first layer that is not finite is flow.1 (Double): "
    )
    assert "values not finite" in message
    assert "\n" not in message
    assert (tmp_path / ".a.resume" / "last.ckpt").is_file()


def test_a_gradient_at_fault_names_its_parameter(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: Chain, step: int) -> None:
        if step == 4:
            model.flow[2].scale.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(DivergenceError, match=r"^the gradient's norm is not finite in epoch 2, step 1\.") as caught:
        train(dataset, folds, tmp_path / "a", monkeypatch, spoil)
    assert "not finite in 1 of 3 parameters, first in flow.2.scale" in str(caught.value)
    assert "All layers are finite; the largest value is in flow.2 (Double): min 0, max " in str(caught.value)
    saved = torch.load(tmp_path / ".a.resume" / "last.ckpt", weights_only=True)["progress"]
    assert all(torch.isfinite(value).all() for value in saved["weights"].values())


def test_a_loss_that_runs_away_stops_after_five_steps_in_a_row(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spike at step 5 is forgiven; from step 7 on every loss is a thousand times the first epoch's."""

    def spoil(model: Chain, step: int) -> None:
        model.factor = 1000.0 if step == 5 or step >= 7 else 1.0

    with pytest.raises(DivergenceError, match=r"^the loss runs away: it is .* in epoch 4, step 2\.") as caught:
        train(dataset, folds, tmp_path / "a", monkeypatch, spoil)
    assert "for 5 steps in a row. All layers are finite" in str(caught.value)


def test_the_rule_of_running_away() -> None:
    """Median 5, quartiles 4 and 6: the limit is 5 + 10 · max(5, 2) = 55."""
    rule = Runaway()
    assert not any(rule.runs(1e30) for _ in range(9))  # in the first epoch there is nothing to compare with
    rule.learn([3.0, 4.0, 5.0, 6.0, 100.0])
    assert rule.limit == 55
    assert [rule.runs(loss) for loss in (56, 56, 56, 56, 54, 56, 56, 56, 56, 56)] == [False] * 9 + [True]
    rule.learn([-1.0, 0.0, 1.0])
    assert rule.limit == 10


def test_every_layer_of_the_flow_is_watched_once() -> None:
    """For each level a squeeze and, for each step, three layers; the containers are not layers."""
    glow = Glow(1, (8, 8, 8), 2, 3, StepOptions(hidden=4))
    names = [name for name, _ in layers(glow)]
    assert len(names) == len(set(names)) == 2 * (1 + 3 * 3)
    assert set(names) < set(dict(glow.named_modules()))
    seen = watched(glow, lambda: glow(torch.rand(1, 1, 8, 8, 8)))
    assert [output.name for output in seen] == names
    assert not any(module._forward_hooks for module in glow.modules())


@pytest.mark.parametrize("memory", ["plain", "checkpoint", "invert"])
def test_a_spoilt_layer_of_dualglow_is_found(memory: str) -> None:
    torch.manual_seed(0)
    model = DualGlow((8, 8, 8), **FLOW, memory=memory)
    spoilt = model.pet_flow.levels[1].layers[1].layers[0]
    with torch.no_grad():
        spoilt.log_scale[0] = 200  # exp(200) is beyond float32
    volumes = torch.rand(1, 1, 8, 8, 8)
    batch = Batch(volumes, volumes, torch.ones_like(volumes), torch.zeros(1, 8))
    sentence = layer_at_fault(watched(model, lambda: model.loss(batch)))
    assert sentence.startswith("The first layer that is not finite is pet_flow.levels.1.layers.1.layers.0 (ActNorm)")


def test_a_prior_at_fault_is_found_outside_the_flow() -> None:
    model = DualGlow((8, 8, 8), **FLOW)
    with torch.no_grad():
        model.prior.levels[0].convolution.bias[0] = float("nan")
    volumes = torch.rand(1, 1, 8, 8, 8)
    batch = Batch(volumes, volumes, torch.ones_like(volumes), torch.zeros(1, 8))
    assert "prior.levels.0.convolution (Conv3d)" in layer_at_fault(watched(model, lambda: model.loss(batch)))


def test_statistics_are_those_of_the_finite_values() -> None:
    output = LayerOutput.of("layer", "Kind", torch.tensor([1.0, 3.0, float("inf"), float("nan")]))
    assert (output.low, output.high, output.mean, output.wrong, output.size) == (1, 3, 2, 2, 4)
    assert str(output) == "layer (Kind): min 1, max 3, mean 2, 2 of 4 values not finite"
    assert str(LayerOutput.of("all", "Kind", torch.full((2,), float("nan")))).endswith("2 of 2 values not finite")
