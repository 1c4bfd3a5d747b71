"""What is fitted on training pairs, and the order of the batches."""

from pathlib import Path

import numpy as np
import pytest

from dualglow.errors import DualGlowError
from dualglow.preprocess.pack import Dataset
from dualglow.training.data import EpochOrder, Pairs, Scaling, fit_scaling, pet_percentile, read_fold


@pytest.mark.parametrize("percentile", [3, 50, 99, 99.9, 100])
def test_the_streamed_percentile_is_numpys(dataset: Path, percentile: float) -> None:
    data = Dataset.load(dataset)
    rows = np.array([4, 0, 2])
    expected = np.percentile(np.asarray(data.volumes[rows, 1])[data.masks[rows]].astype(float), percentile)
    assert pet_percentile(data, rows, percentile) == pytest.approx(expected, rel=1e-6)


def test_window_and_ages_come_from_training_rows_only(dataset: Path, folds: Path) -> None:
    before = _scaling(dataset, folds)
    volumes = np.load(dataset / "volumes.npy")
    volumes[6:, 1] = 1000
    np.save(dataset / "volumes.npy", volumes)
    assert _scaling(dataset, folds) == before
    assert before.age_mean == pytest.approx(70)  # 60 70 80 65 75, the sixth is missing
    assert before.age_sd == pytest.approx(np.std([60, 70, 80, 65, 75]))


def test_values_outside_the_mask_do_not_move_the_window(dataset: Path, folds: Path) -> None:
    before = _scaling(dataset, folds)
    volumes = np.load(dataset / "volumes.npy")
    volumes[:, 1, 0] = 1000
    np.save(dataset / "volumes.npy", volumes)
    assert _scaling(dataset, folds).window == before.window


def test_units_of_a_batch(dataset: Path) -> None:
    data = Dataset.load(dataset)
    scaling = Scaling(window=1.0, percentile=99.9, age_mean=70, age_sd=5)
    first, missing = Pairs(data, np.array([1, 5]), scaling)
    assert first.mri.shape == first.pet.shape == first.mask.shape == (1, 8, 8, 8)
    assert float(first.pet.max()) == 1
    np.testing.assert_allclose(first.pet[0], np.clip(data.volumes[1, 1], 0, 1))
    np.testing.assert_allclose(first.mri[0], data.volumes[1, 0])
    assert first.covariates.tolist() == [0, 1]
    assert missing.covariates.tolist() == [0, 1]
    assert scaling.covariates(75, "F").tolist() == [1, -1]
    assert scaling.covariates(None, None).tolist() == [0, 0]
    assert scaling.covariates(float("nan"), "n/a").tolist() == [0, 0]


def test_the_order_depends_on_seed_and_epoch_not_on_the_interruption() -> None:
    whole = EpochOrder(20, seed=1, done=0)
    orders = []
    for epoch in range(4):
        whole.set_epoch(epoch)
        orders.append(list(whole))
    resumed = EpochOrder(20, seed=1, done=2)
    resumed.set_epoch(1)
    assert list(resumed) == orders[3]
    assert sorted(orders[0]) == list(range(20))
    assert len({tuple(order) for order in orders}) == 4
    assert list(EpochOrder(20, seed=2, done=0)) != orders[0]


def test_no_such_fold_and_an_empty_part_are_explained(dataset: Path, folds: Path) -> None:
    data = Dataset.load(dataset)
    with pytest.raises(DualGlowError, match=r"--fold 7: .* no such fold. Choose one of 0, 1"):
        read_fold(folds, 7, data)
    folds.write_text(folds.read_text().replace("\tvalidation", "\ttrain"))
    with pytest.raises(DualGlowError, match="validation"):
        read_fold(folds, 0, data)


def test_pets_without_signal_are_refused(dataset: Path, folds: Path) -> None:
    volumes = np.load(dataset / "volumes.npy")
    volumes[:, 1] = 0
    np.save(dataset / "volumes.npy", volumes)
    with pytest.raises(DualGlowError, match="percentile is 0"):
        _scaling(dataset, folds)


def _scaling(dataset: Path, folds: Path) -> Scaling:
    data = Dataset.load(dataset)
    return fit_scaling(data, read_fold(folds, 0, data).train, 99.9)
