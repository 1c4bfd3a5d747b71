"""The methods section of a paper, written from what was really run."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dualglow.figures.style import method_name

GLOW = "Kingma DP, Dhariwal P. Glow: generative flow with invertible 1×1 convolutions. NeurIPS, 2018."
DUALGLOW = "Sun H et al. DUAL-GLOW: conditional flow-based generative model for modality transfer. ICCV, 2019."
NIE = (
    "Nie D et al. Medical image synthesis with deep convolutional adversarial networks. "
    "IEEE Trans Biomed Eng 65:2720, 2018."
)
UNET = "Ronneberger O et al. U-Net: convolutional networks for biomedical image segmentation. MICCAI, 2015."
ESSER = "Esser P et al. A variational U-Net for conditional appearance and shape generation. CVPR, 2018."
ISOLA = "Isola P et al. Image-to-image translation with conditional adversarial networks. CVPR, 2017."
MONAI = "Cardoso MJ et al. MONAI: an open-source framework for deep learning in healthcare. arXiv:2211.02701, 2022."

# What each method is, with the places of its options, and its sources.
_FLOW = "{levels} level(s) of {steps} affine couplings with {hidden} channels"
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dualglow": (f"two invertible networks, {_FLOW}, and a relation network between their latents", (DUALGLOW, GLOW)),
    "dualglow-conditional": (f"the same, {_FLOW}, conditional on {{covariates}}", (DUALGLOW, GLOW)),
    "cgan": ("a generator of 12 convolutions, width {width}, against 8 residual blocks", (NIE, MONAI)),
    "ucgan": ("a U-Net of 15 convolutions, width {width}, against 8 residual blocks", (NIE, UNET, MONAI)),
    "cvae": ("a variational U-Net of 13 residual blocks, width {width}", (ESSER, MONAI)),
    "pix2pix": ("a U-Net of width {width} against a PatchGAN, L1 weight {l1_weight}", (ISOLA, UNET, MONAI)),
    "iglow": (f"one invertible network of both images, {_FLOW}, the PET found in {{iterations}} steps", (GLOW,)),
    "linear": ("least squares at every voxel on T1 intensity, age and sex", ()),
    "mean": ("the mean training PET", ()),
}
_PROGRAMS = ("python", "torch", "numpy")
_STARTS = {"spatial_prior": "latents start from a line per voxel", "from_mean": "it draws the difference from the mean"}


@dataclass(frozen=True)
class Run:
    """What a results folder says of its run: config.json, grid.json, pairs.tsv, dataset_description.json, model.json.

    `cards` holds one fold's card per method, in the order of the tables.
    """

    config: dict[str, Any]
    grid: dict[str, Any]
    pairs: pd.DataFrame
    description: dict[str, Any]
    cards: list[dict[str, Any]]


def methods_text(run: Run) -> str:
    """The section as Markdown, with its references numbered; nothing in it is assumed that the run's files can say."""
    template = Environment(
        loader=PackageLoader("dualglow.figures"), undefined=StrictUndefined, trim_blocks=False, autoescape=False
    ).get_template("methods.md.jinja")
    references = _references(run.cards)
    return template.render(
        config=run.config,
        simulated=bool(run.grid["simulated"]),
        n_pairs=len(run.pairs),
        n_subjects=run.pairs["subject"].nunique(),
        groups=_groups(run.pairs),
        left_out=sum(run.grid.get("left_out", {}).values()),
        engine=_engine(run.description),
        shape="×".join(map(str, run.grid["shape"])),
        percentile=f"{run.cards[0]['window_percentile']:g}",
        models=[_model(card, references) for card in run.cards],
        split=_split(run.config["split"]),
        training=_training(run.config["training"]),
        differs="; ".join(_own_training(run)),
        references=references,
        versions=run.cards[0]["versions"],
        programs=", ".join(f"{name} {run.cards[0]['versions'][name]}" for name in _PROGRAMS),
    )


def _groups(pairs: pd.DataFrame) -> str:
    people = pairs.drop_duplicates("subject")["group"].fillna("unknown").value_counts(sort=False)
    return ", ".join(f"{count} {group}" for group, count in people.items())


def _engine(description: dict[str, Any]) -> str:
    used = [f"{each['Name']} {each['Version']}" for each in description["GeneratedBy"] if each["Name"] != "DualGlow"]
    return " and ".join(used) or "another program's derivatives"


def _references(cards: list[dict[str, Any]]) -> list[str]:
    """Each source once, in the order in which the methods name them."""
    return list(dict.fromkeys(source for card in cards for source in METHODS[card["method"]][1]))


def _model(card: dict[str, Any], references: list[str]) -> str:
    text, sources = METHODS[card["method"]]
    options = {name: _words(value) for name, value in card["options"].items()}
    numbers = ", ".join(str(references.index(source) + 9) for source in sources)  # after the template's own eight
    starts = "".join(f" ({words}, beyond its paper)" for name, words in _STARTS.items() if card["options"].get(name))
    return f"{method_name(card['method'])}{f' [{numbers}]' if numbers else ''}: {text.format(**options)}{starts}."


def _words(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _split(split: dict[str, Any]) -> str:
    kfold = f"{split['folds']} folds, in which every pair is held out once"
    drawn = kfold if split["scheme"] == "kfold" else f"{split['folds']} random divisions"
    share = f"{split['validation']:.0%} of the training people served as validation."
    return f"All methods were trained on the same {drawn}; {share}"


def _training(how: dict[str, Any]) -> str:
    return f"Training took {_budget(how)}, in {how['precision']}."


def _budget(how: dict[str, Any]) -> str:
    name = {"adamax": "AdaMax", "adam": "Adam"}[how["optimiser"]]
    steps = f"{how['batch_size']} pair(s) per step"
    return f"{how['epochs']} epoch(s) of {name}, learning rate {how['learning_rate']:g}, {steps}"


def _own_training(run: Run) -> list[str]:
    """Budgets that differ from the common one, and whose they are."""
    own = {
        method_name(card["method"]): _budget(run.config["training"] | run.config["models"][card["method"]]["training"])
        for card in run.cards
        if run.config["models"][card["method"]].get("training")
    }
    different = sorted((budget, name) for name, budget in own.items() if budget != _budget(run.config["training"]))
    shared = groupby(different, key=lambda each: each[0])
    return [f"{', '.join(name for _, name in names)}: {budget}" for budget, names in shared]
