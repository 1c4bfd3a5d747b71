"""Colin27 with its skull, and the same head moved by known maps: what differs in MNI152 is the chain's error."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from dualglow.preprocess.grid import MNI_GRID, template_mask
from tests.benchmarks.preprocessing_chain import Prepared, Subject
from tests.benchmarks.preprocessing_measures import MniToT1, dice, distances, mni_brain, overlaps, segmentation
from tests.benchmarks.preprocessing_truth import KnownMap, canonical, moved_head, sampled, world

TEMPLATES = Path("/usr/share/mricron/templates")


def make_colin(seeds: Sequence[int], folder: Path) -> list[tuple[Subject, KnownMap | None]]:
    """Write the head as it is and moved per seed; each map carries points of the moved head to the head's own."""
    head, brain = (canonical(str(TEMPLATES / name)) for name in ("ch2.nii.gz", "ch2bet.nii.gz"))
    points = world(brain)[np.asarray(brain.dataobj) > 0]
    made: list[tuple[Subject, KnownMap | None]] = [(_written(head, folder / "colin"), None)]
    for seed in seeds:
        map_ = KnownMap.random(seed, points, points.mean(0))
        made.append((_written(moved_head(head, map_, seed), folder / f"colin-{seed}"), map_))
    return made


def _written(image: nib.Nifti1Image, folder: Path) -> Subject:
    folder.mkdir()
    nib.save(image, folder / "source.nii.gz")
    return Subject(folder, folder / "source.nii.gz")


def measure_colin(still: Prepared, moved: Prepared, to_head: KnownMap | None) -> dict[str, float]:
    """Consistency in mm over the template's brain, overlaps of tissue and AAL regions, volume change of the moved."""
    assert to_head is not None
    points, one, other = mni_brain(), MniToT1.of(still.t1), MniToT1.of(moved.t1)
    here, there = one(points), to_head(other(points))
    aal = canonical(str(TEMPLATES / "aal.nii.gz"))
    regions = overlaps(*(np.rint(sampled(aal, p, order=0)).astype(int) for p in (here, there)))
    return {
        **distances(there, here),
        **_native(still, moved, to_head),
        "brain, truth": _brain_in_mni(moved),
        "AAL": float(regions.mean()),
        "AAL worst": float(regions.min()),
        **other.volume_change(),
    }


def _native(still: Prepared, moved: Prepared, to_head: KnownMap) -> dict[str, float]:
    """Dice in the moved head's space between its tissues and the still head's, carried by the truth."""
    here, there = segmentation(still.t1), segmentation(moved.t1)
    points = to_head(world(there["GM"]))
    return {
        name: dice(sampled(here[name], points) > 0.5, np.asarray(there[name].dataobj) > 0.5)
        for name in ("GM", "WM", "CSF", "brain")
    }


def _brain_in_mni(prepared: Prepared) -> float:
    """Dice of the brain mask, carried to MNI152, with the template's own."""
    mask = nib.load(prepared.t1.carried.mni_mask).get_fdata() > 0
    return dice(mask, template_mask(MNI_GRID))
