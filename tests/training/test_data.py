"""What is fitted on training pairs, and the order of the batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dualglow.errors import DualGlowError
from dualglow.preprocess.pack import Dataset
from dualglow.training.data import Pairs, Scaling, epoch_steps, fit_scaling, in_order, pet_percentile, read_fold
from dualglow.training.resident import ResidentPairs, fits, on_device


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
    assert first.covariates.tolist() == missing.covariates.tolist() == [0, 1, 1, 0, 0, 0, 0, 0]  # group CN


def test_age_sex_and_group_have_their_columns() -> None:
    scaling = Scaling(window=1.0, percentile=99.9, age_mean=70, age_sd=5)
    assert scaling.covariates(75, "F").tolist() == [1, -1, 0, 0, 0, 0, 0, 0]
    assert scaling.covariates(65, "M", "LMCI").tolist() == [-1, 1, 0, 0, 0, 0, 1, 0]
    assert scaling.covariates(None, None, "AD").tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    for unknown in (None, "n/a", float("nan"), "patient"):
        assert scaling.covariates(float("nan"), "n/a", unknown).tolist() == [0] * 8
    card = scaling.as_card()
    assert Scaling.from_card(card) == scaling
    names = card["covariates"]["names"]
    assert names == ["age", "sex", *(f"group {name}" for name in ("CN", "SMC", "EMCI", "MCI", "LMCI", "AD"))]
    assert len(card["covariates"]["mean"]) == len(card["covariates"]["sd"]) == 8


def test_a_dataset_without_group_has_no_group(dataset: Path) -> None:
    table = pd.read_csv(dataset / "pairs.tsv", sep="\t").drop(columns="group")
    table.to_csv(dataset / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    pairs = Pairs(Dataset.load(dataset), np.array([0]), Scaling(1.0, 99.9, 70, 5))
    assert pairs[0].covariates[2:].tolist() == [0] * 6


@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_resident_pairs_give_the_batches_that_are_read_step_by_step(dataset: Path, batch_size: int) -> None:
    pairs = Pairs(Dataset.load(dataset), np.array([3, 0, 7, 9, 1, 5]), Scaling(1.5, 99.9, 70, 5))
    held = ResidentPairs(pairs, torch.device("cpu"))
    for epoch in (1, 2):
        steps = epoch_steps(6, batch_size, seed=3, epoch=epoch)
        _same_batches(*(source.batches(steps) for source in (pairs, held)))
    _same_batches(*(in_order(source, batch_size) for source in (pairs, held)))


def test_pairs_are_resident_on_a_gpu_with_room_only(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten pairs of 8×8×8 take 10 · 512 · (4 + 4 + 1) bytes = 46 080, of which the training needs as much again."""
    pairs = Pairs(Dataset.load(dataset), np.arange(10), Scaling(1.5, 99.9, 70, 5))
    assert on_device(pairs, torch.device("cpu")) is pairs
    held = ResidentPairs(pairs, torch.device("cpu"))
    assert sum(part.numel() * part.element_size() for part in (held.mri, held.pet, held.mask)) == 46_080
    assert fits(pairs, 92_160)
    assert not fits(pairs, 92_159)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (92_159, 10**6))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU of the test")
    assert on_device(pairs, torch.device("cuda")) is pairs
    assert "read from disk step by step" in capsys.readouterr().err


def test_the_order_depends_on_seed_and_epoch_not_on_the_interruption() -> None:
    orders = [[pair for step in epoch_steps(20, 3, seed=1, epoch=epoch) for pair in step] for epoch in range(1, 5)]
    assert sorted(orders[0]) == list(range(20))
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_steps(20, 20, seed=1, epoch=4) == [orders[3]]
    assert epoch_steps(20, 20, seed=2, epoch=1) != [orders[0]]
    assert [len(step) for step in epoch_steps(20, 3, seed=1, epoch=1)] == [3] * 6 + [2]


def test_no_such_fold_and_an_empty_part_are_explained(dataset: Path, folds: Path) -> None:
    data = Dataset.load(dataset)
    with pytest.raises(DualGlowError, match=r"--fold 7: .* no such fold. Choose one of 0, 1"):
        read_fold(folds, 7, data)
    folds.write_text(folds.read_text().replace("\tvalidation", "\ttrain"))
    with pytest.raises(DualGlowError, match="validation"):
        read_fold(folds, 0, data)


def _leave_out(dataset: Path, *numbers: int) -> None:
    """What pack does with pairs whose preprocessing failed."""
    pairs = pd.read_csv(dataset / "pairs.tsv", sep="\t")
    for name in ("volumes.npy", "masks.npy"):
        np.save(dataset / name, np.delete(np.load(dataset / name), numbers, axis=0))
    pairs.drop(index=list(numbers)).to_csv(dataset / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    left = pairs.loc[list(numbers), ["pair_id"]].assign(reason="t1_registration", detail="noise")
    left.to_csv(dataset / "exclusions.tsv", sep="\t", index=False)


def test_pairs_that_preprocessing_left_out_are_in_no_part(dataset: Path, folds: Path) -> None:
    whole = read_fold(folds, 0, Dataset.load(dataset))
    _leave_out(dataset, 0, 9)
    fold = read_fold(folds, 0, Dataset.load(dataset))
    assert [len(part) for part in (fold.train, fold.validation, fold.test)] == [5, 2, 1]
    names = Dataset.load(dataset).pairs["pair_id"]
    assert names.iloc[fold.test].tolist() == ["sub-900S9008_ses-20060523"]
    assert fold.split_hash != whole.split_hash  # other people were trained on


def test_a_pair_that_is_missing_for_no_reason_is_an_error(dataset: Path, folds: Path) -> None:
    _leave_out(dataset, 0)
    (dataset / "exclusions.tsv").unlink()
    with pytest.raises(DualGlowError, match="sub-900S9000_ses-20060523 is not in"):
        read_fold(folds, 0, Dataset.load(dataset))


def test_nobody_may_be_left_to_test_but_somebody_to_train(dataset: Path, folds: Path) -> None:
    _leave_out(dataset, 8, 9)
    assert len(read_fold(folds, 0, Dataset.load(dataset)).test) == 0
    _leave_out(dataset, 6, 7)
    text = (dataset / "exclusions.tsv").read_text()
    (dataset / "exclusions.tsv").write_text(text + "".join(f"sub-900S900{n}_ses-20060523\tx\ty\n" for n in (8, 9)))
    with pytest.raises(DualGlowError, match="fold 0 has no validation pairs in the dataset"):
        read_fold(folds, 0, Dataset.load(dataset))


def test_pets_without_signal_are_refused(dataset: Path, folds: Path) -> None:
    volumes = np.load(dataset / "volumes.npy")
    volumes[:, 1] = 0
    np.save(dataset / "volumes.npy", volumes)
    with pytest.raises(DualGlowError, match="percentile is 0"):
        _scaling(dataset, folds)


def _same_batches(first: Any, second: Any) -> None:  # noqa: ANN401
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def _scaling(dataset: Path, folds: Path) -> Scaling:
    data = Dataset.load(dataset)
    return fit_scaling(data, read_fold(folds, 0, data).train, 99.9)
