"""Atlases: as many regions as they should have, where they should be."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualglow.atlases import atlas, reference_mask
from dualglow.errors import ConfigError, InputError


def centre(image: nib.Nifti1Image, inside: np.ndarray) -> np.ndarray:
    return nib.affines.apply_affine(image.affine, np.argwhere(inside)).mean(axis=0)


def test_aal2_has_as_many_regions_as_the_papers_atlas_and_each_has_voxels() -> None:
    found = atlas("aal2")
    present = set(np.unique(np.asarray(found.image.dataobj)).tolist()) - {0}
    assert present == set(found.labels)
    assert len(present) == 116


@pytest.mark.parametrize(
    ("name", "place"),
    [("Hippocampus_L", (-25, -21, -11)), ("Angular_R", (45, -60, 38)), ("Cingulate_Post_L", (-6, -43, 24))],
)
def test_regions_lie_where_the_literature_has_them(name: str, place: tuple[int, int, int]) -> None:
    """Centres of mass after Tzourio-Mazoyer et al. 2002, MNI, RAS+ mm, to within 6 mm."""
    found = atlas("aal2")
    index = next(i for i, label in found.labels.items() if label == name)
    where = centre(found.image, np.asarray(found.image.dataobj) == index)
    assert np.linalg.norm(where - place) < 6


def test_the_pons_is_in_the_middle_of_the_brain_stem() -> None:
    mask = reference_mask("pons")
    inside = np.asarray(mask.dataobj) > 0
    x, y, z = centre(mask, inside)
    assert abs(x) < 2
    assert -38 < y < -20
    assert -38 < z < -24
    assert 5 < inside.sum() * 1.5**3 / 1000 < 16  # ml


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="aal2"):
        atlas("aal3")
    with pytest.raises(ConfigError, match="vermis"):
        reference_mask("vermis")
    with pytest.raises(InputError, match="no such file"):
        atlas(str(tmp_path / "labels.nii.gz"))
