"""The methods section says what was run, and nothing else."""

import copy
import dataclasses
import html
import inspect
import json
import re
import string
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dualglow import models
from dualglow.figures.methods import METHODS, Run, days_apart, groups_of, methods_text
from dualglow.figures.style import METHOD_NAMES
from tests.conftest import Dualglow
from tests.workflow.conftest import ROOT

AFFINE = [[2.25, 0, 0, -70], [0, 2.25, 0, -125], [0, 0, 2.25, -64], [0, 0, 0, 1]]
CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


@pytest.fixture
def run() -> Run:
    """Nine methods with the paper's settings; five pairs of four people."""
    versions = {"dualglow": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.0"}
    blocks = {method: {k: v for k, v in CONFIG["models"][method].items() if k != "training"} for method in METHODS}
    return Run(
        config=copy.deepcopy(CONFIG),
        grid={"simulated": True, "shape": [64, 96, 64], "affine": AFFINE, "left_out": {"bad": 2}},
        pairs=pd.DataFrame({"subject": list("aabcd"), "group": ["CN", "CN", "CN", "AD", None]}),
        description={"GeneratedBy": [{"Name": "DualGlow", "Version": "0.1.0"}, {"Name": "ANTs", "Version": "2.6.5"}]},
        folds=8,
        cards=[
            {"method": method, "options": options, "window_percentile": 99.9, "versions": versions}
            | {"optimisation": None if method in ("mean", "linear") else {"epochs": 90, "seed": 7, "beta1": 0.25}}
            for method, options in blocks.items()
        ],
    )


def test_people_settings_and_versions_are_the_runs(run: Run) -> None:
    text = methods_text(run)
    assert "5 pairs of T1-weighted MRI and FDG-PET of 4 people (2 CN, 1 AD, 1 unknown)" in text
    assert "2 further pairs were left out" in text
    assert "ANTs 2.6.5" in text
    assert "4 levels of 16 affine couplings with 512 channels" in text
    assert "90 epochs of AdaMax, learning rate 0.001" in text
    assert "Trained otherwise: " in text
    assert "UcGAN, cGAN, pix2pix: 90 epochs of Adam, learning rate 0.0002" in text
    assert "DualGlow 0.1.0, python 3.11.7, torch 2.13.0" in text
    assert "64×96×64 voxels of 2.25 mm" in text
    assert "Linear per voxel and Mean PET: fitted in closed form" in text
    assert re.search(r"^- C-VAE: .*kl_weight .*; trained with epochs 90, beta1 0.25\.$", text, flags=re.MULTILINE)
    assert "simulated" in text


def test_what_is_not_so_is_not_said(run: Run) -> None:
    run.grid.update(simulated=False, left_out={})
    run.config["training"] |= {"epochs": 7, "batch_size": 1}
    text = methods_text(Run(run.config, run.grid, run.pairs, run.description, 8, run.cards[-2:]))
    assert "simulated" not in text
    assert "left out" not in text
    assert "7 epochs of AdaMax, learning rate 0.001, 1 pair per step" in text
    for absent in ("MONAI", "DUAL-GLOW", "pix2pix", "Trained otherwise", "90 epoch"):
        assert absent not in text


@pytest.mark.parametrize(
    ("program", "adopted", "said", "absent"),
    [
        ("ANTs", None, r"bias-corrected \(N4 \[\d+\]\), segmented and registered .* with ANTs 1\.2 \[\d+\]", "FAST"),
        ("FSL", None, r"bias-corrected \(FAST \[\d+\]\), segmented and registered .* with FSL 1\.2 \[\d+\]", "N4"),
        ("ANTs", "/home/jane/fmriprep", r"another program's \(\*fmriprep\*\)\. The T1s were registered", "segmented"),
    ],
)
def test_what_was_done_to_the_t1s_is_what_was_run(
    run: Run, program: str, adopted: str | None, said: str, absent: str
) -> None:
    run.description["GeneratedBy"][1] = {"Name": program, "Version": "1.2"}
    run.config["preprocess"]["derivatives"] = adopted
    text, references = methods_text(run).split("## References")
    assert ("N4ITK" in references) == ("N4 [" in text)
    assert re.search(said, text)
    assert absent not in text
    assert "jane" not in text
    assert "8 folds, in which every pair is held out once" in text  # though 10 are configured


def test_every_citation_has_its_reference_and_the_other_way_round(run: Run) -> None:
    text, references = methods_text(run).split("## References")
    cited = {int(number) for numbers in re.findall(r"\[([\d, ]+)\]", text) for number in numbers.split(",")}
    listed = [int(number) for number in re.findall(r"^(\d+)\. ", references, flags=re.MULTILINE)]
    assert listed == list(range(1, len(listed) + 1))
    assert cited == set(listed)


@pytest.mark.parametrize(
    ("atlas", "said", "absent"),
    [
        ("aal", "the AAL atlas [", "Rolls"),
        ("aal2", "the AAL2 atlas [", "n/a"),
        ("/home/jane/mine.nii.gz", "the atlas mine.nii.gz.", "Tzourio"),
    ],
)
def test_the_atlas_that_was_used_is_named_and_cited(run: Run, atlas: str, said: str, absent: str) -> None:
    run.config["evaluation"]["atlas"] = atlas
    text = methods_text(run)
    assert said in text
    assert absent not in text
    assert ("Rolls ET" in text) == (atlas == "aal2")
    assert ("AD meta-region" in text) == (atlas != "/home/jane/mine.nii.gz")
    assert "jane" not in text


def test_every_method_is_described_by_options_that_it_has() -> None:
    assert set(METHODS) == set(models.METHODS)
    for method, (text, _) in METHODS.items():
        named = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert named <= set(inspect.signature(models.METHODS[method]).parameters), method


def test_a_start_beyond_the_paper_is_said(run: Run) -> None:
    assert "beyond its paper" not in methods_text(run)
    run.cards[0]["options"]["spatial_prior"] = True
    assert methods_text(run).count("beyond its paper") == 1


def test_without_a_trained_model_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from dualglow.cli import main

    (tmp_path / "config.json").write_text('{"methods": ["dualglow"]}')
    sys.argv = ["dualglow", "methods", "--results", str(tmp_path)]
    with pytest.raises(SystemExit):
        main()
    assert "holds no trained model of dualglow. Train one first." in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"models": {}}')
    with pytest.raises(SystemExit):
        main()
    assert "names no methods; another version wrote it" in capsys.readouterr().err


def test_the_verb_writes_the_text_and_a_page_to_read(run: Run, tmp_path: Path, dualglow: Dualglow) -> None:
    for name, content in {
        "config.json": run.config,
        "dataset/grid.json": run.grid,
        "derivatives/dataset_description.json": run.description,
        **{f"models/{card['method']}/fold-1/model.json": card for card in run.cards},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "cohort").mkdir()
    pd.DataFrame({"fold": [0, 0, *range(8)]}).to_csv(tmp_path / "cohort" / "folds.tsv", sep="\t", index=False)
    run.pairs.assign(pair_id=list("pqrst")).to_csv(tmp_path / "dataset" / "pairs.tsv", sep="\t", index=False)
    assert dualglow("methods", "--results", tmp_path, "--out", tmp_path / "methods.md") == ""
    text = (tmp_path / "methods.md").read_text()
    assert text == methods_text(dataclasses.replace(run, cards=sorted(run.cards, key=lambda c: order(c["method"]))))
    page = (tmp_path / "methods.html").read_text()
    assert html.unescape(page.split("<pre>")[1].split("</pre>")[0]).strip() == text.strip()


def order(method: str) -> int:
    return list(METHOD_NAMES).index(method)


def test_people_under_two_labels_count_once(run: Run) -> None:
    moved = run.pairs.assign(subject=["002_S_0295", "137_S_0295", "a", "b", "c"])
    assert groups_of(moved) == "2 CN, 1 AD, 1 unknown"
    assert " of 4 people (2 CN" in methods_text(dataclasses.replace(run, pairs=moved))


@pytest.mark.parametrize(
    ("days", "forced", "said"),
    [
        ([3, -173, 20, 1, 0], "", "T1 and PET are at most 173 days apart (180 were allowed)."),
        ([1, 1, 0, 1, 1], "", "T1 and PET are at most 1 day apart (180 were allowed)."),
        (
            [3, -173, 400, None, 0],
            "group_differs forced",
            "T1 and PET are at most 173 days apart (180 were allowed); in 1 pair made by hand the two are at most 400 "
            "days apart; of 1 pair the days between T1 and PET are not known.",
        ),
        (
            [None] * 5,
            "forced",
            "Of 5 pairs (1 of them made by hand) the days between T1 and PET are not known.",
        ),
    ],
)
def test_how_far_apart_the_scans_are_is_what_the_pairs_say(
    days: list[int | None], forced: str, said: str, run: Run
) -> None:
    warnings = [None, "group_unknown", forced, None, None]
    text = methods_text(dataclasses.replace(run, pairs=run.pairs.assign(delta_days=days, warnings=warnings)))
    assert f"(2 CN, 1 AD, 1 unknown) were used. {said} 2 further pairs" in text
    assert days_apart(run.pairs, 180) == "Of 5 pairs the days between T1 and PET are not known."  # no such columns


def test_statistics_that_were_not_done_are_not_said(run: Run) -> None:
    for cards, folds in ((run.cards[:1], 8), (run.cards, 1)):
        text = methods_text(dataclasses.replace(run, cards=cards, folds=folds))
        assert "as above" not in text
        assert "resampled" not in text
        assert "Holm S" in text  # McNemar's p is adjusted all the same
        assert "bits per voxel" in text
    assert "one fold allows no test over folds" in text
    run.config["split"]["scheme"] = "holdout"
    assert "the same 1 division, each drawn at random;" in methods_text(dataclasses.replace(run, folds=1))


def test_how_aal_lies_is_said(run: Run) -> None:
    said = "drawn on one brain and used as it is, not warped to the template"
    assert said in methods_text(run)
    run.config["evaluation"]["atlas"] = "/home/jane/mine.nii.gz"
    assert said not in methods_text(run)
