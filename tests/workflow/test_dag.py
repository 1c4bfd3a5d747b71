"""The DAG: what a target needs, what a change of configuration makes again, what bad input says."""

import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dualglow.models import METHODS, Density
from dualglow.preprocess.derivatives import derivative
from tests.workflow.conftest import ROOT, Snakemake, write_cohort


def jobs(result: subprocess.CompletedProcess) -> dict[str, int]:
    """The job counts that a dry-run prints."""
    assert result.returncode == 0, result.stdout + result.stderr
    table = re.findall(r"^(\w+) +(\d+) *$", result.stdout, flags=re.MULTILINE)
    return {name: int(count) for name, count in table}


def test_the_papers_configuration_plans_806_pairs(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 806)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "all"))
    assert planned["convert_t1"] == planned["coregister"] == planned["qc"] == 806
    assert planned["qc_group"] == planned["qc_report"] == 1
    assert planned["train"] == planned["evaluate"] == 9 * 10
    assert planned["table1"] == planned["figure4"] == planned["packed_report"] == 1


def test_a_fold_needs_only_its_own_models(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 20)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "fold_3"))
    assert planned["train"] == planned["synthesise"] == planned["evaluate"] == 9
    assert "table1" not in planned


def test_a_method_is_trained_as_its_own_block_says(settings: dict, snakemake: Snakemake) -> None:
    """And the others as all are."""
    write_cohort(settings, 20)
    settings |= {"methods": ["dualglow", "pix2pix"], "training": {"epochs": 7}}
    settings["models"] = {"pix2pix": {"training": {"epochs": 9}}}
    planned = snakemake(settings, "--dry-run", "--printshellcmds", "--", "fold_3").stdout
    commands = {
        re.search("--method (.+?) ", line)[1]: line for line in planned.splitlines() if "dualglow train" in line
    }  # type: ignore[index]
    assert "--epochs 7 " in commands["dualglow"]
    assert "--optimiser adamax" in commands["dualglow"]
    assert "--epochs 9 " in commands["pix2pix"]
    assert "--beta1 0.5 " in commands["pix2pix"]
    assert "--l1-weight 100.0 " in commands["pix2pix"]
    assert set(commands) == {"dualglow", "pix2pix"}


def test_processed_t1s_are_adopted_instead_of_segmented(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 10)
    settings["preprocess"] = {"derivatives": "derivatives/fmriprep"}
    result = snakemake(settings, "--dry-run", "--quiet", "rules", "--", "preprocess")
    planned = jobs(result)
    assert planned["adopt"] == planned["normalise"] == 10
    assert "segment" not in planned
    printed = snakemake(settings, "--dry-run", "--printshellcmds", "--", "preprocess").stdout
    assert "dualglow adopt --derivatives derivatives/fmriprep --pair sub-900S0000_ses-20100101 --scan" in printed
    assert re.search(r"dualglow normalise --t1 \S+_desc-preproc_T1w.nii.gz .* --corrected", printed)


def test_processed_t1s_are_inputs(settings: dict, snakemake: Snakemake, tmp_path: Path) -> None:
    """A T1 that is processed anew is adopted anew."""
    write_cohort(settings, 1)
    anat = tmp_path / "fmriprep" / "sub-900S0000" / "ses-20100101" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-900S0000_ses-20100101_desc-preproc_T1w.nii.gz").touch()
    settings["preprocess"] = {"derivatives": str(tmp_path / "fmriprep")}
    result = snakemake(settings, "--dry-run", "--", "preprocess")
    assert result.returncode != 0  # its tissues and its mask are not there
    assert str(anat / "sub-900S0000_ses-20100101_label-GM_probseg.nii.gz") in result.stdout


def test_synthetic_pets_in_t1_space_are_made_on_demand(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 10)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "native"))
    assert planned["synthesise"] == 9 * 10  # which pairs they hold is known then
    name = "native/linear/fold-0/sub-900S0000_ses-20100101_space-T1w_desc-std_pet.nii.gz"
    printed = snakemake(settings, "--dry-run", "--printshellcmds", "--", f"{settings['results']}/{name}").stdout
    assert re.search(r"dualglow native \S+/linear/fold-0/sub-900S0000_ses-20100101_desc-std_pet.nii.gz --like", printed)


def test_a_reference_mask_is_an_input(settings: dict, snakemake: Snakemake, tmp_path: Path) -> None:
    write_cohort(settings, 10)
    mask = tmp_path / "my mask.nii.gz"
    settings["preprocess"] = {"reference": str(mask)}
    arguments = ("--dry-run", "--printshellcmds", "--", "preprocess")
    missing = snakemake(settings, *arguments)
    assert missing.returncode != 0
    assert "my mask.nii.gz" in missing.stdout
    mask.touch()
    assert f"--reference '{mask}'" in snakemake(settings, *arguments).stdout


def test_a_region_that_does_not_exist_is_refused(settings: dict, snakemake: Snakemake) -> None:
    settings["preprocess"] = {"reference": "thalamus"}
    result = snakemake(settings, "--dry-run", "--", "preprocess")
    assert result.returncode != 0
    assert "thalamus" in result.stdout


def test_uncertainty_is_measured_on_demand(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 20)
    settings["models"] = {"dualglow-conditional": {"covariates": ["age"]}}
    settings["synthesis"] = {"samples": 19, "quantiles": [0.05, 0.95]}
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "likelihood"))
    assert planned["measure_likelihood"] == 2 * 10  # dualglow and dualglow-conditional; mean and linear have no density
    assert planned["figure_likelihood"] == planned["table_likelihood"] == 1
    both = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "tables", "figures"))
    assert both["figure_likelihood"] == both["table_likelihood"] == 1
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "surprise", "fold_0")
    assert jobs(result)["map_surprise"] == 9 * 10
    assert "--floor 0.02 --samples 32 --temperature 1.0 --atlas aal --seed 1" in result.stdout
    assert "--quantiles 0.05,0.95 --samples 19 --temperature 0.7 --seed 1" in result.stdout


def test_figures_of_age_need_a_model_that_reads_ages(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 12, n_folds=3)
    settings["methods"] = ["dualglow", "linear"]
    arguments = ("--dry-run", "--quiet", "rules", "--", "tables", "figures")
    without = snakemake(settings, *arguments)
    assert not {"age_series", "figure14", "table_ageing"} & set(jobs(without))
    assert "Without figures 6, 13, 14 and tables/ageing.tsv: methods has no dualglow-conditional" in without.stderr
    settings["figures"] = {"conditional": "linear"}
    planned = jobs(snakemake(settings, *arguments))
    assert (
        planned["age_series"],
        planned["figure6"] + planned["figure13"],
        planned["figure14"],
        planned["table_ageing"],
    ) == (3, 2, 1, 1)
    assert "age_truth" not in planned  # nobody knows it of real people
    settings["cohort"]["simulated"] = True
    assert jobs(snakemake(settings, *arguments))["age_truth"] == 1
    settings["figures"] = {"conditional": "dualglow"}
    refused = snakemake(settings, *arguments)
    assert refused.returncode != 0
    assert "figures.conditional: dualglow does not read ages" in refused.stdout + refused.stderr


def test_a_model_that_is_told_the_diagnosis_is_not_asked_for_it(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 12, n_folds=3)
    settings |= {"methods": ["dualglow", "dualglow-conditional", "mean"], "evaluation": {"atlas": "aal2"}}
    settings["models"] = {"dualglow-conditional": {"covariates": ["age", "group"]}}
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "tables")
    asked = {
        verb: re.findall(r"--methods (\S+)", re.search(rf"dualglow {verb} .*", result.stdout)[0])
        for verb in ("classify", "effects", "reference-regions", "agreement")
    }
    blind, every = ["dualglow", "mean"], ["dualglow", "dualglow-conditional", "mean"]
    assert asked == {"classify": blind, "effects": blind, "reference-regions": blind, "agreement": every}
    assert "Without dualglow-conditional where PETs are asked for the diagnosis" in result.stderr
    settings |= {"methods": ["dualglow-conditional"], "figures": {"method": "dualglow-conditional"}}
    alone = snakemake(settings, "--dry-run", "--", "tables")
    assert alone.returncode != 0
    assert "each is told the diagnosis" in alone.stdout + alone.stderr


def test_regions_of_an_atlas_of_ones_own_reach_the_commands(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 12, n_folds=3)
    settings |= {"methods": ["linear", "mean"], "evaluation": {"atlas": "aal2"}}
    settings["figures"] = {"method": "linear", "conditional": "linear"}
    arguments = ("--dry-run", "--printshellcmds", "--", "tables", "figures")
    papers = snakemake(settings, *arguments).stdout
    assert re.search(r"dualglow age --dataset .* --methods linear --folds \S+/folds.tsv --atlas aal2 +--out", papers)
    settings["figures"] |= {"regions": ["Precuneus", "Posterior cingulate"]}
    own = snakemake(settings, *arguments).stdout
    for verb in ("age", "table ageing"):
        assert re.search(rf"dualglow {verb} .* --regions=Precuneus '--regions=Posterior cingulate' --out", own)


def test_tables_have_the_bias_of_every_region_whatever_the_atlas(settings: dict, snakemake: Snakemake) -> None:
    """Only AAL and AAL2 have the AD meta-region by their names, but every atlas has regions."""
    write_cohort(settings, 12, n_folds=3)
    settings |= {"methods": ["linear", "mean"], "evaluation": {"atlas": "/home/jane/mine.nii.gz"}}
    settings["figures"] = {"method": "linear", "conditional": "linear"}
    planned = snakemake(settings, "--dry-run", "--printshellcmds", "--", "tables").stdout
    assert re.search(r"tables/agreement_regions\.tsv", planned)
    assert re.search(r"dualglow agreement .* --atlas /home/jane/mine\.nii\.gz --out \S+/tables/agreement\.tsv", planned)


def test_figures_of_a_method_that_is_not_made_are_refused_at_once(settings: dict, snakemake: Snakemake) -> None:
    settings["methods"] = ["linear", "mean"]
    refused = snakemake(settings, "--dry-run", "--", "cohort")
    assert refused.returncode != 0
    assert (
        "figures.method: dualglow is not among methods. Choose one of linear, mean." in refused.stdout + refused.stderr
    )


def test_the_ablation_has_a_target_of_its_own(settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 12, n_folds=3)
    settings["ablation"] = {"prior_weight": [0, 0.001, 1e-5], "folds": [0, 2]}
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "ablation")
    planned = jobs(result)
    assert planned["ablation_train"] == planned["ablation_evaluate"] == planned["ablation_likelihood"] == 6
    assert planned["figure17"] == 1
    assert "train" not in planned
    assert re.search(
        r"--fold 2 --method dualglow .*--prior-weight 1e-05 .*ablation/prior_weight~1e-05/fold~2/model", result.stdout
    )
    assert "figure17" not in jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "all"))


def test_methods_with_a_likelihood_are_those_with_a_density() -> None:
    exact = re.search(r"EXACT = .*", (ROOT / "workflow" / "rules" / "uncertainty.smk").read_text())
    assert exact
    named = set(re.findall(r'"(.+?)"', exact[0]))
    assert named == {name for name, method in METHODS.items() if issubclass(method, Density)}


def test_closed_forms_are_those_that_need_no_training() -> None:
    """They ask for no GPU."""
    common = re.search(r"CLOSED_FORMS = .*", (ROOT / "workflow" / "rules" / "common.smk").read_text())
    assert common
    assert set(re.findall(r'"(.+?)"', common[0])) == {name for name, method in METHODS.items() if not method.iterative}


@pytest.mark.parametrize(
    "target", ["cohort", "preprocess", "tables", "figures", "report", "fold_0", "likelihood", "surprise"]
)
def test_targets_exist(target: str, settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 10)
    assert snakemake(settings, "--dry-run", "--quiet", "rules", "--", target).returncode == 0


def test_the_folds_are_those_of_the_table(settings: dict, snakemake: Snakemake) -> None:
    """Fewer people gave fewer folds, or a person edited folds.tsv."""
    write_cohort(settings, 6, n_folds=4)
    planned = jobs(snakemake(settings, "--dry-run", "--quiet", "rules", "--", "all"))
    assert planned["train"] == planned["evaluate"] == 9 * 4


def test_images_in_zips_and_among_slices_are_inputs_as_what_lies_on_disk(settings: dict, snakemake: Snakemake) -> None:
    """Snakemake sees the zip and the folder; `dualglow convert` is told which image in them, quoted."""
    write_cohort(settings, 1)
    root, table = Path(settings["cohort"]["root"]), Path(settings["results"]) / "cohort" / "pairs.tsv"
    (root / "a download.zip").touch()
    (root / "slices").mkdir()
    inside = {"t1_paths": f"{root}/a download.zip!/ADNI/x y.nii", "pet_paths": f"{root}/slices!/I123"}
    pd.read_csv(table, sep="\t", dtype=str).assign(**inside).to_csv(table, sep="\t", index=False)
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "preprocess")
    assert jobs(result)["convert_t1"] == 1
    assert f"dualglow convert '{root}/a download.zip!/ADNI/x y.nii' --modality t1" in result.stdout
    assert f"dualglow convert '{root}/slices!/I123' --modality pet" in result.stdout
    (root / "a download.zip").unlink()
    gone = snakemake(settings, "--dry-run", "--", "preprocess")
    assert gone.returncode != 0
    assert f"{root}/a download.zip" in gone.stdout


def test_options_of_the_cohort_reach_the_commands(settings: dict, snakemake: Snakemake) -> None:
    folder = Path(settings["cohort"]["root"])
    names = ("merge it.csv", "qc1.csv", "qc2.csv", "overrides.tsv")
    merge, *qc, overrides = (str(folder / name) for name in names)
    for name in names:
        (folder / name).touch()
    settings["cohort"] |= {
        "adnimerge": merge,
        "qc": qc,
        "overrides": overrides,
        "pet_level": "coregavg",
        "strict": True,
    }
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "cohort")
    assert result.returncode == 0, result.stdout
    said = "--no-allow-unlisted --pet-level coregavg --source auto --strict --t1-level auto"
    assert f"{said} '--adnimerge={merge}' --qc={qc[0]} --qc={qc[1]} --out" in result.stdout
    assert f"--overrides={overrides} --out" in result.stdout


def test_pairs_that_a_person_excluded_are_not_preprocessed(settings: dict, snakemake: Snakemake) -> None:
    names = write_cohort(settings, 10)
    table = Path(settings["cohort"]["root"]) / "exclude it.tsv"
    table.write_text("pair_id\treason\n" + "".join(f"{name}\tmoved\n" for name in names[:3]))
    settings["preprocess"] = {"exclude": str(table)}
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "preprocess")
    assert jobs(result)["normalise"] == jobs(result)["qc"] == 7
    assert f"'--exclude={table}' --out" in result.stdout


def test_nothing_is_made_again_for_an_excluded_pair(settings: dict, snakemake: Snakemake) -> None:
    """Not even if its numbers are there and older than what they are made of: it may be the one that crashes."""
    names = write_cohort(settings, 3)
    for seconds, what in enumerate(("pair", "suvr")):
        numbers = derivative(Path(settings["results"]) / "derivatives", names[0], "pet", "qc", ".json", desc=what)
        numbers.parent.mkdir(parents=True, exist_ok=True)
        numbers.write_text("{}")
        os.utime(numbers, (seconds, seconds))
    table = Path(settings["cohort"]["root"]) / "exclude.tsv"
    table.write_text(f"pair_id\treason\n{names[0]}\tmoved\n")
    settings["preprocess"] = {"exclude": str(table)}
    result = snakemake(settings, "--dry-run", "--quiet", "rules", "--", "preprocess", "report")
    assert jobs(result)["normalise"] == jobs(result)["qc"] == 2


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("exclude.tsv", "pair_id,reason\na,b\n", "lacks the column(s) pair_id, reason"),
        ("exclude.tsv", "pair_id\treason\na\tx\na\ty\n", "has a more than once"),
        ("results/qc/exclude.tsv", "pair_id\treason\n", "is deleted and made anew"),
    ],
    ids=["commas", "twice", "where it would be lost"],
)
def test_a_bad_table_of_exclusions_is_named(
    place: str, text: str, said: str, settings: dict, snakemake: Snakemake
) -> None:
    write_cohort(settings, 3)
    table = Path(settings["results"]).parent / place
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(text)
    settings["preprocess"] = {"exclude": str(table)}
    result = snakemake(settings, "--dry-run", "--", "preprocess")
    assert result.returncode != 0
    assert said in result.stdout + result.stderr
    assert str(table) in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("pseudonyms", [True, False])
def test_pseudonyms_are_for_those_who_want_them(pseudonyms: bool, settings: dict, snakemake: Snakemake) -> None:
    write_cohort(settings, 3)
    settings["report"] = {"pseudonyms": pseudonyms}
    result = snakemake(settings, "--dry-run", "--printshellcmds", "--", "report")
    assert ("pseudonyms" in jobs(result)) == pseudonyms
    key = re.compile(rf"--pseudonyms[ =]{settings['results']}/cohort/pseudonyms.tsv")
    lines = result.stdout.splitlines()
    outward = [
        line for line in lines if "dualglow share" in line or ("dualglow qc-group" in line and "--shared" in line)
    ]
    assert len(outward) == 2
    assert all(bool(key.search(command)) == pseudonyms for command in outward)
    local = [line for line in lines if "dualglow qc" in line and line not in outward]
    assert len(local) == 3 + 1  # who writes exclude.tsv needs the real names
    assert not any("--pseudonyms" in command for command in local)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"epoch": 5}}, "epoch"),
        ({"methods": ["dualglow", "dualglo"]}, "dualglo"),
        ({"models": {"cgan": {"training": {"threads": 4}}}}, "threads"),
        ({"training": {"epochs": "five"}}, "five"),
        ({"models": {"dualglow": {"levels": 2.5}}}, "levels"),
        ({"trainning": {}}, "trainning"),
        ({"report": {"pseudonym": True}}, "pseudonym"),
    ],
    ids=[
        "typo",
        "unknown method",
        "a method's own threads",
        "wrong type",
        "not an integer",
        "unknown block",
        "another typo",
    ],
)
def test_a_bad_configuration_is_named(change: dict, named: str, settings: dict, snakemake: Snakemake) -> None:
    result = snakemake(settings | change, "--dry-run", "--", "all")
    assert result.returncode != 0
    assert named in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_missing_download_is_named(settings: dict, snakemake: Snakemake) -> None:
    settings["cohort"]["root"] = "/no/such/folder"
    result = snakemake(settings, "--dry-run", "--", "cohort")
    assert result.returncode != 0
    assert "/no/such/folder" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
