"""Whether results hang on the SUVR reference region: PETs relative to other regions that lie on the model grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dualglow.atlases import reference_mask
from dualglow.evaluation.classification import TASKS, classify, feature_matrix
from dualglow.evaluation.heldout import read_on_grid
from dualglow.evaluation.image_metrics import correlation, mean_absolute_error
from dualglow.evaluation.rois import REAL, Regions, join, roi_means
from dualglow.preprocess.grid import Grid, on_grid
from dualglow.preprocess.pack import Dataset

PACKED = "packed"
"""As the dataset has it: no change."""

REFERENCES = ("pons", "cerebellum", "pons-vermis", "global")
_FITS = 0.99  # of a region's volume


@dataclass(frozen=True)
class References:
    """Masks (X, Y, Z) of the regions that lie on the grid, and the share of each region that does not."""

    masks: dict[str, np.ndarray]
    lost: dict[str, float]


def references_on(grid: Grid) -> References:
    """The reference regions of `dualglow normalise` on a grid; one that lies outside by over 1 % has no mask."""
    masks, lost = {}, {}
    for name in REFERENCES:
        if name == "global":
            continue
        source = reference_mask(name)
        points = np.argwhere(np.asarray(source.dataobj) > 0)
        there = np.linalg.inv(grid.matrix) @ source.affine @ np.column_stack([points, np.ones(len(points))]).T
        inside = np.all((there[:3].T > -0.5) & (np.array(grid.shape) - 0.5 > there[:3].T), axis=1).mean()
        lost[name] = 1 - float(inside)
        if inside >= _FITS:
            masks[name] = on_grid(source, grid, order=0) > 0
    return References(masks, lost)


def reference_value(pet: np.ndarray, brain: np.ndarray, name: str, references: References) -> float:
    """Mean uptake (X, Y, Z) in a reference region within the brain; of the upper half of its values for pons-vermis."""
    if name == PACKED:
        return 1.0
    values = pet[brain] if name == "global" else pet[references.masks[name] & brain]
    if name == "pons-vermis" and len(values):
        values = values[values >= np.median(values)]
    return float(values.mean()) if len(values) else float("nan")


def sensitivity(
    dataset: Dataset, folds: pd.DataFrame, files: dict[str, dict[int, dict[str, Path]]], regions: Regions, seed: int
) -> tuple[pd.DataFrame, References]:
    """Image metrics and accuracy of table 2 with real and synthetic PET both relative to each reference region.

    Parameters
    ----------
    files
        Method → fold → pair_id → synthetic PET.

    Returns
    -------
    One row per reference and method (`real` too): n; mae (in units of that reference) and mae_percent of the real mean
    in the brain, cor, each a mean over pairs; accuracy of each task, in the columns accuracy_1, accuracy_2 and so on.
    """
    references = _seen_by_all(references_on(dataset.grid), dataset, files)
    names = [PACKED, *references.masks, "global"]
    errors, means = [], []
    for method, fold, pair_id, real, pet, brain in _images(dataset, files):
        own = roi_means(pet, brain, regions).assign(pair_id=pair_id, method=method, fold=fold)
        for name in names:
            here, there = (reference_value(image, brain, name, references) for image in (real, pet))
            means.append(own.assign(value=own["value"] / there, reference=name))
            a, b = real[brain] / here, pet[brain] / there
            row = {"reference": name, "method": method, "cor": correlation(a, b), "mae": mean_absolute_error(a, b)}
            errors.append(row | {"mae_percent": 100 * mean_absolute_error(a, b) / a.mean()})
    table = pd.DataFrame(errors).groupby(["reference", "method"], sort=False)
    result = table.mean().assign(n=table.size()).reset_index()
    used = sorted({fold for own in files.values() for fold in own})
    for name in names:
        parts = [own.drop(columns="reference") for own in means if own["reference"].iloc[0] == name]
        tidy = join(parts)
        features = {method: feature_matrix(tidy[tidy["method"] == method]) for method in (REAL, *files)}
        diagnosed, _ = classify(features, dataset.pairs, folds, used, seed)
        for i, task in enumerate(TASKS, start=1):
            accuracy = diagnosed[diagnosed["task"] == task.name].set_index("method")["accuracy"]
            rows = result["reference"] == name
            result.loc[rows, f"accuracy_{i}"] = result.loc[rows, "method"].map(accuracy)
    result = result.sort_values(
        "reference", key=lambda column: column.map(names.index), kind="stable", ignore_index=True
    )
    first = ["reference", "method", "n", "mae", "mae_percent", "cor"]
    return result[[*first, *(f"accuracy_{i + 1}" for i in range(len(TASKS)))]], references


def _seen_by_all(references: References, dataset: Dataset, files: dict[str, dict[int, dict[str, Path]]]) -> References:
    """Without the masks of which some held-out person's brain mask has nothing."""
    held = sorted({pair_id for own in files.values() for fold in own.values() for pair_id in fold})
    brains = [np.asarray(dataset.masks[row]) for row in dataset.rows(held)]
    kept = {name: mask for name, mask in references.masks.items() if all((mask & brain).any() for brain in brains)}
    return References(kept, references.lost)


def _images(
    dataset: Dataset, files: dict[str, dict[int, dict[str, Path]]]
) -> Iterator[tuple[str, int | None, str, np.ndarray, np.ndarray, np.ndarray]]:
    """Method, fold, pair_id, real PET, this PET and brain of every held-out PET; the real ones first."""
    held = sorted({pair_id for own in files.values() for fold in own.values() for pair_id in fold})
    rows = dict(zip(held, dataset.rows(held), strict=True))

    def image(pair_id: str) -> tuple[np.ndarray, np.ndarray]:
        row = rows[pair_id]
        return np.asarray(dataset.volumes[row, 1], np.float64), np.asarray(dataset.masks[row])

    for pair_id in held:
        real, brain = image(pair_id)
        yield REAL, None, pair_id, real, real, brain
    for method, by_fold in files.items():
        for fold, own in by_fold.items():
            for pair_id, path in own.items():
                real, brain = image(pair_id)
                yield method, fold, pair_id, real, read_on_grid(path, dataset.grid).astype(np.float64), brain
