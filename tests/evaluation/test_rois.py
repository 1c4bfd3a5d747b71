from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.nifti1 import Nifti1Image

from dualglow.atlases import Atlas, atlas
from dualglow.errors import InputError
from dualglow.evaluation.heldout import read_on_grid
from dualglow.evaluation.rois import Regions, both_sides, join, regions_on, roi_means
from dualglow.preprocess.grid import MODEL_GRID, Grid


def test_painted_labels_give_their_values_exactly(regions: Regions) -> None:
    painted = regions.labels.astype(float) / 7
    means = roi_means(painted, regions.labels > 0, regions)
    assert means["value"].to_numpy() == pytest.approx(np.array(list(regions.names)) / 7)
    assert means["n_voxels"].sum() == (regions.labels > 0).sum()


def test_all_116_regions_survive_on_the_model_grid() -> None:
    on_grid = regions_on(atlas("aal2"), MODEL_GRID)
    means = roi_means(np.ones(MODEL_GRID.shape), np.ones(MODEL_GRID.shape, bool), on_grid)
    assert len(means) == 116
    assert means["n_voxels"].min() >= 5


def test_labels_keep_their_place_in_the_world() -> None:
    source = atlas("aal2")
    on_grid = regions_on(source, MODEL_GRID)
    label = next(i for i, name in source.labels.items() if name == "Hippocampus_L")

    def centre(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
        return nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0))

    here = centre(on_grid.labels == label, MODEL_GRID.matrix)
    there = centre(np.asarray(source.image.dataobj) == label, source.image.affine)
    assert here == pytest.approx(there, abs=1.0)
    assert here[0] < 0  # left is negative in RAS+


def test_only_the_part_in_the_mask_counts() -> None:
    labels = np.array([[[1, 1, 1, 2]]])
    mask = np.array([[[True, True, False, False]]])
    means = roi_means(np.array([[[1.0, 3.0, 100.0, 5.0]]]), mask, Regions(labels, {1: "A", 2: "B"}))
    assert means["n_voxels"].tolist() == [2, 0]
    assert means["value"][0] == 2.0
    assert np.isnan(means["value"][1])


def test_both_sides_weighs_by_voxels() -> None:
    means = pd.DataFrame({"region": ["A_L", "A_R", "B"], "n_voxels": [30, 10, 5], "value": [1.0, 2.0, 9.0]})
    table = join([means.assign(pair_id="p", method="real", fold=pd.NA)])
    assert both_sides(table, ["B", "A"])["value"].tolist() == [9.0, 1.25]
    with pytest.raises(InputError, match="no region C"):
        both_sides(table, ["C"])


def test_an_atlas_elsewhere_is_refused(grid: Grid) -> None:
    affine = np.array([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    far = Nifti1Image(np.ones((4, 4, 4), np.int16), affine)
    with pytest.raises(InputError, match="no label falls on"):
        regions_on(Atlas("far", far, {1: "A"}), grid)


@pytest.mark.parametrize(("fault", "message"), [("affine", "grid"), ("nan", "nan"), ("cut", "cannot be read")])
def test_a_volume_that_cannot_be_compared_is_refused(tmp_path: Path, grid: Grid, fault: str, message: str) -> None:
    data = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    affine, path = grid.matrix, tmp_path / "a.nii.gz"
    if fault == "affine":
        affine = np.diag([-1.0, 1, 1, 1]) @ affine
    if fault == "nan":
        data[3, 3, 3] = np.nan
    nib.save(Nifti1Image(data, affine), path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=message):
        read_on_grid(path, grid)
