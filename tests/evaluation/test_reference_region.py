from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dualglow.evaluation.reference_region import References, reference_value, references_on
from dualglow.preprocess.grid import MODEL_GRID, Grid
from tests.evaluation.test_verbs import run


def test_every_region_lies_on_the_model_grid_and_a_cut_box_is_noticed() -> None:
    whole = references_on(MODEL_GRID)
    assert set(whole.masks) == {"pons", "cerebellum", "pons-vermis"}
    assert max(whole.lost.values()) == 0
    ml = {name: mask.sum() * 2.25**3 / 1000 for name, mask in whole.masks.items()}
    assert ml["cerebellum"] == pytest.approx(158, rel=0.02)  # of the atlas at 1.5 mm
    affine = MODEL_GRID.matrix
    affine[2, 3] += 25  # the box begins at z = -40 mm, above the lower half of the cerebellum
    cut = references_on(Grid(MODEL_GRID.shape, tuple(tuple(row) for row in affine)))
    assert "cerebellum" not in cut.masks
    assert 0.1 < cut.lost["cerebellum"] < 0.9


def test_the_reference_is_measured_where_the_brain_is() -> None:
    pet, brain = np.array([[[1.0, 2.0, 3.0, 9.0]]]), np.array([[[True, True, True, False]]])
    masks = References({"pons": np.array([[[False, True, True, True]]])}, {})
    assert reference_value(pet, brain, "pons", masks) == 2.5
    assert reference_value(pet, brain, "global", masks) == 2
    assert reference_value(pet, brain, "packed", masks) == 1
    upper = References({"pons-vermis": np.ones((1, 1, 4), bool)}, {})
    assert reference_value(pet, brain, "pons-vermis", upper) == 2.5  # of 2 and 3


@pytest.mark.slow
def test_a_pet_that_is_too_bright_as_a_whole_is_right_after_division(results: Path) -> None:
    """`copy` is the real PET + 0.1 everywhere; half as bright again, it is the real one in any SUVR."""
    import nibabel as nib

    for path in (results / "synthesis" / "copy").rglob("*.nii.gz"):
        image = nib.load(path)
        data = (np.asarray(image.dataobj) - 0.1 * (np.asarray(image.dataobj) > 0)) * 1.5
        nib.save(nib.Nifti1Image(data.astype(np.float32), image.affine), path)
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    out = results / "tables" / "reference_regions.tsv"
    run("reference-regions", *where, "--methods", "copy", "--atlas", "aal2", "--out", out)
    table = pd.read_csv(out, sep="\t").set_index(["reference", "method"])
    assert table.loc[("packed", "copy"), "mae_percent"] == pytest.approx(50, abs=0.1)
    # the brain masks of this little dataset are AAL's regions, which the pons is not one of
    assert set(table.index.get_level_values("reference")) == {"packed", "cerebellum", "pons-vermis", "global"}
    assert "Not in the brains on the model grid: pons." in out.with_suffix(".tex").read_text()
    assert "(regions of AAL2 as it is, not warped to the template)" in out.with_suffix(".tex").read_text()
    for name in ("cerebellum", "pons-vermis", "global"):
        assert table.loc[(name, "copy"), "mae_percent"] == pytest.approx(0, abs=0.1)
        assert table.loc[(name, "copy"), "cor"] == pytest.approx(table.loc[("packed", "copy"), "cor"])
        assert table.loc[(name, "copy"), "accuracy_1"] == table.loc[(name, "real"), "accuracy_1"]
