"""The moving average of the weights: its values, its buffers, and what is validated and saved."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dualglow.models import Synthesiser
from dualglow.models.dualglow import DualGlow
from dualglow.models.likelihood import centred
from dualglow.training import fold as fold_module
from dualglow.training.average import Average, averaged_weights
from dualglow.training.checkpoint import load_model
from dualglow.training.fold import Request, train_fold
from dualglow.training.optimisation import Optimisation

CPU = torch.device("cpu")


def expected(weights: list[np.ndarray], decay: float) -> np.ndarray:
    """The recurrence in double precision: from the first weights on, the decay rising as (1 + n)/(10 + n)."""
    average = weights[0].astype(float)
    for steps, new in enumerate(weights[1:], start=1):
        share = min(decay, (1 + steps) / (10 + steps))
        average = share * average + (1 - share) * new
    return average


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_the_recurrence(decay: float) -> None:
    model = DualGlow((4, 4, 4), levels=1, steps=1, hidden=2)
    average = Average(model, decay)
    history: list[np.ndarray] = []
    torch.manual_seed(0)
    for _ in range(8):
        for parameter in model.parameters():
            parameter.data.normal_()
        average.update(model)
        history.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().copy())
    found = torch.nn.utils.parameters_to_vector(average.model.parameters()).numpy()
    np.testing.assert_allclose(found, expected(history, decay), rtol=1e-5, atol=1e-6)


def test_buffers_are_the_models_own_not_averaged() -> None:
    """ActNorm's flag, permutations and signs are states, not weights."""
    model = DualGlow((4, 4, 4), levels=1, steps=1, hidden=2)
    average = Average(model, 0.9)
    volumes = torch.rand(4, 1, 4, 4, 4)
    model.mri_flow.initialise(volumes)
    for _ in range(3):
        average.update(model)
    own, copied = dict(model.named_buffers()), dict(average.model.named_buffers())
    assert own.keys() == copied.keys()
    assert all(torch.equal(own[name], copied[name]) for name in own)
    assert own["mri_flow.levels.0.layers.1.layers.0.initialised"].all()
    assert {value.dtype for value in own.values()} != {torch.float32}
    assert averaged_weights(average.state_dict()).keys() == model.state_dict().keys()


def test_what_is_validated_and_saved_is_the_average(
    dataset: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[dict[str, np.ndarray]] = []
    update = Average.update

    def noted(self: Average, model: Synthesiser) -> None:
        history.append({name: value.detach().numpy().copy() for name, value in model.named_parameters()})
        update(self, model)

    monkeypatch.setattr(Average, "update", noted)
    how = Optimisation(epochs=3, batch_size=2, learning_rate=0.05, ema_decay=0.8)
    wanted = Request(dataset, folds, 0, "tiny", tmp_path / "a", {"width": 3}, how)
    train_fold(wanted, CPU)
    assert len(history) == 9
    last = load_file(tmp_path / "a" / "last.safetensors")
    for name in history[0]:
        by_hand = expected([weights[name] for weights in history], 0.8)
        np.testing.assert_allclose(last[name].numpy(), by_hand, rtol=1e-4, atol=1e-6)
        assert not np.allclose(last[name].numpy(), history[-1][name], rtol=1e-3)
    model, card = load_model(tmp_path / "a")
    table = pd.read_csv(tmp_path / "a" / "training.tsv", sep="\t")
    assert card["optimisation"]["ema_decay"] == 0.8
    assert _validation_error(model, wanted) == pytest.approx(table["mae_validation"].min(), rel=1e-5)


def _validation_error(model: Synthesiser, wanted: Request) -> float:
    pairs = fold_module._read(wanted).validation
    with torch.no_grad():
        errors: list[Tensor] = [
            fold_module.mae(model, batch, pairs.scaling.window) for batch in fold_module.in_order(pairs, 1)
        ]
    return float(torch.stack(errors).mean())


@pytest.mark.parametrize("ema_decay", [0.0, 0.8])
def test_what_is_validated_and_saved_is_fitted_anew_to_the_training_people(
    dataset: Path, folds: Path, tmp_path: Path, ema_decay: float
) -> None:
    """After steps that threw the latents about, the saved model's lines still go through their means."""
    how = Optimisation(epochs=1, batch_size=2, learning_rate=0.05, ema_decay=ema_decay)
    options = {"levels": 1, "steps": 1, "hidden": 4, "spatial_prior": True}
    wanted = Request(dataset, folds, 0, "dualglow", tmp_path / "a", options, how)
    train_fold(wanted, CPU)
    model, _ = load_model(tmp_path / "a")
    assert isinstance(model, DualGlow)
    pairs = fold_module._read(wanted).train
    found, expected_ = [], []
    with torch.no_grad():
        for batch in fold_module.in_order(pairs, 1):
            priors = model._conditionals(batch.mri, batch.covariates)
            found.append(priors[0][0])
            expected_.append(model.pet_flow(centred(batch.pet))[0][0])
    left = (torch.cat(found) - torch.cat(expected_)).mean(0)
    assert float(left.abs().mean()) < 0.02 * float(torch.cat(expected_).std())  # the noise within grey values is left
