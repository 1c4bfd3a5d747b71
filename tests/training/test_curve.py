"""The training curve shows the table's numbers."""

import numpy as np
import pandas as pd

from dualglow.training.curve import training_curve


def table(losses: list[float]) -> pd.DataFrame:
    columns = {
        "epoch": range(1, len(losses) + 1),
        "loss_train": losses,
        "loss_validation": losses,
        "pet_bits_train": losses,
    }
    return pd.DataFrame(columns | {"mae_validation": [0.1] * len(losses)})


def test_lines_units_and_best_epoch() -> None:
    loss, error = training_curve(table([3.0, 2.0, 2.5]), "dualglow · fold 0", best_epoch=2).axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 2.5]])
    assert (loss.get_ylabel(), error.get_ylabel()) == ("loss (bits per voxel)", "MAE in the brain mask (SUVR)")
    assert "best epoch: 2" in [text.get_text() for text in loss.get_legend().get_texts()]


def test_a_first_plunge_does_not_flatten_the_rest() -> None:
    loss, _ = training_curve(table([90.0, 40.0, *np.linspace(5, 4, 18)]), "dualglow", best_epoch=20).axes
    assert 5 < loss.get_ylim()[1] < 7
    assert any("off the scale" in text.get_text() for text in loss.texts)


def test_missing_values_leave_gaps() -> None:
    gaps = table([3.0, float("nan"), 2.0] * 4)
    training_curve(gaps.assign(mae_validation=float("nan"), loss_validation=float("inf")), "dualglow", best_epoch=3)


def test_a_closed_form_has_bars() -> None:
    row = pd.DataFrame({"epoch": [0], "mae_train": [0.1], "mae_validation": [0.12]})
    (axes,) = training_curve(row, "mean", best_epoch=0).axes
    assert [bar.get_height() for bar in axes.patches] == [0.1, 0.12]
    assert "closed form" in axes.figure.get_suptitle()
