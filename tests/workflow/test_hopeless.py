"""Pairs of which preprocessing can make nothing: the run goes on without them and says why."""

from pathlib import Path

import nibabel as nib
import pandas as pd
import pytest

from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.pack import Dataset
from tests.preprocess.heads import noise, organ, person, pet
from tests.workflow.conftest import Snakemake, write_cohort


@pytest.mark.slow
def test_the_workflow_goes_on_without_the_hopeless(settings: dict, snakemake: Snakemake) -> None:
    """Of four pairs one has a T1 of noise, one a PET of another organ, and one a person leaves out."""
    settings["preprocess"] = {"preset": "fast", "exclude": str(Path(settings["results"]).parent / "exclude.tsv")}
    settings["cohort"]["simulated"] = True
    pairs = write_cohort(settings, 4)
    table = pd.read_csv(Path(settings["results"]) / "cohort" / "pairs.tsv", sep="\t")
    coarse = person(1, 4.0)
    t1s, pets = [coarse.t1, noise(coarse.t1), coarse.t1], [pet(coarse, 4), pet(coarse, 4), organ(pet(coarse, 4))]
    for t1, image, row in zip(t1s, pets, table.itertuples(), strict=False):
        nib.save(t1, row.t1_paths)
        nib.save(image, row.pet_paths)
    Path(settings["preprocess"]["exclude"]).write_text(f"pair_id\treason\n{pairs[3]}\tmoved in the scanner\n")
    results = Path(settings["results"])
    done = snakemake(settings, "--cores", "2", "--", str(results / "dataset" / "exclusions.tsv"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    left = pd.read_csv(results / "dataset" / "exclusions.tsv", sep="\t").set_index("pair_id")
    assert left["reason"].to_dict() == {
        pairs[1]: "t1_registration",
        pairs[2]: "pet_registration",
        pairs[3]: "excluded_by_hand",
    }
    assert left.loc[pairs[1], "detail"].startswith("T1 to MNI152: ")
    assert list(Dataset.load(results / "dataset").pairs["pair_id"]) == [pairs[0]]
    for pair in pairs[1:3]:  # a person can look at what failed
        assert derivative(results / "derivatives", pair, "pet", "qc", ".json", desc="pair").is_file()
