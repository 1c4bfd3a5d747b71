"""The methods section of a paper, written from what was really run."""

import re
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dualglow.cohort.scan import GROUPS
from dualglow.figures.sources import Citations
from dualglow.figures.style import method_name
from dualglow.figures.tables import first_of_each

# What each method is, with the places of its options, and its sources.
_FLOW = "{levels} level(s) of {steps} affine couplings with {hidden} channels"
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dualglow": (
        f"two invertible networks, {_FLOW}, and a relation network between their latents",
        ("dualglow", "glow"),
    ),
    "dualglow-conditional": (f"the same, {_FLOW}, conditional on {{covariates}}", ("dualglow", "glow")),
    "cgan": ("a generator of 12 convolutions, width {width}, against 8 residual blocks", ("nie", "monai")),
    "ucgan": ("a U-Net of 15 convolutions, width {width}, against 8 residual blocks", ("nie", "unet", "monai")),
    "cvae": ("a variational U-Net of 13 residual blocks, width {width}", ("esser", "monai")),
    "pix2pix": ("a U-Net of width {width} against a PatchGAN, L1 weight {l1_weight}", ("isola", "unet", "monai")),
    "iglow": (f"one invertible network of both images, {_FLOW}, the PET found in {{iterations}} steps", ("glow",)),
    "linear": ("least squares at every voxel on T1 intensity, age and sex", ()),
    "mean": ("the mean training PET", ()),
}
_PROGRAMS = ("python", "torch", "numpy")
_ADDED = {
    "spatial_prior": "beyond its paper, every latent voxel has a line, fitted to the training people after each epoch",
    "from_mean": "beyond its paper, it draws the difference from the mean",
    "pseudo_people": "each voxel's slopes drawn to those of all voxels",
}


@dataclass(frozen=True)
class Run:
    """What a results folder says of its run: config.json, grid.json, pairs.tsv, dataset_description.json, model.json.

    `folds` is how many there were, `cards` one fold's card per method, in the order of the tables.
    """

    config: dict[str, Any]
    grid: dict[str, Any]
    pairs: pd.DataFrame
    description: dict[str, Any]
    folds: int
    cards: list[dict[str, Any]]


def methods_text(run: Run) -> str:
    """The section as Markdown, with its references numbered; nothing in it is assumed that the run's files can say."""
    template = Environment(
        loader=PackageLoader("dualglow.figures"), undefined=StrictUndefined, trim_blocks=False, autoescape=False
    ).get_template("methods.md.jinja")
    citations = Citations()
    methods = [card["method"] for card in run.cards]
    text = template.render(
        cite=citations.cite,
        references=citations.listed,
        config=run.config,
        simulated=bool(run.grid["simulated"]),
        n_pairs=len(run.pairs),
        n_people=len(first_of_each(run.pairs)),
        groups=groups_of(run.pairs),
        days=days_apart(run.pairs, run.config["cohort"]["max_days"]),
        left_out=sum(run.grid.get("left_out", {}).values()),
        t1s=partial(_t1s, run, citations),
        shape="×".join(map(str, run.grid["shape"])),
        voxel=_voxel(run.grid),
        percentile=f"{run.cards[0]['window_percentile']:g}",
        cards=run.cards,
        model=partial(_model, citations),
        split=_split(run.config["split"], run.folds),
        training=_training(run.config["training"]),
        differs="; ".join(_own_training(run)),
        closed=" and ".join(method_name(card["method"]) for card in run.cards if not card["optimisation"]),
        samples=run.config["synthesis"]["samples"],
        temperature=f"{run.config['synthesis']['temperature']:g}",
        atlas=partial(_atlas, run.config["evaluation"]["atlas"], citations),
        compared=len(methods) > 1 and run.config["figures"]["method"] in methods,
        folds=run.folds,
        reference=method_name(run.config["figures"]["method"]),
        meta=run.config["evaluation"]["atlas"] in ("aal", "aal2"),
        calibrated=", ".join(method_name(name) for name in methods if name in run.config["evaluation"]["calibrated"]),
        exact=", ".join(method_name(name) for name in methods if name.startswith("dualglow")),  # that have a density
        settings=[_settings(card) for card in run.cards if card["optimisation"]],
        versions=run.cards[0]["versions"],
        programs=", ".join(f"{name} {run.cards[0]['versions'][name]}" for name in _PROGRAMS),
    )
    return _counted(text)


def groups_of(pairs: pd.DataFrame) -> str:
    """How many people have which diagnosis at their first pair, in the order of the disease."""
    people = first_of_each(pairs)["group"].fillna("unknown").value_counts(sort=False)
    order = {group: i for i, group in enumerate(GROUPS)}
    return ", ".join(f"{people[name]} {name}" for name in sorted(people.index, key=lambda n: order.get(n, len(order))))


def days_apart(pairs: pd.DataFrame, allowed: int) -> str:
    """How far apart in time T1 and PET are, as the pairs say themselves: a sentence.

    A pair that a person made (`forced` among its warnings) need not keep to the days allowed, and pairs whose scans
    have no dates have no `delta_days`.
    """
    days = pd.to_numeric(pairs.get("delta_days", pd.Series(index=pairs.index, dtype=float)), errors="coerce").abs()
    warnings = pairs.get("warnings", pd.Series(index=pairs.index, dtype=object)).fillna("").astype(str)
    forced = warnings.str.split().map(lambda codes: "forced" in codes).astype(bool)
    own, by_hand, undated = days[~forced].dropna(), days[forced].dropna(), days.isna()
    parts = []
    if len(own):
        parts.append(f"T1 and PET are at most {own.max():.0f} day(s) apart ({allowed} were allowed)")
    if len(by_hand):
        parts.append(f"in {len(by_hand)} pair(s) made by hand the two are at most {by_hand.max():.0f} day(s) apart")
    if undated.any():
        of_them = f" ({(undated & forced).sum()} of them made by hand)" if (undated & forced).any() else ""
        parts.append(f"of {undated.sum()} pair(s){of_them} the days between T1 and PET are not known")
    sentence = _counted("; ".join(parts))
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _counted(text: str) -> str:
    """`1 fold(s)` → `1 fold`, `2 fold(s)` → `2 folds`."""
    return re.sub(r"\b(\d+) (\w+)\(s\)", lambda found: f"{found[1]} {found[2]}{'s' * (found[1] != '1')}", text)


def _voxel(grid: dict[str, Any]) -> str:
    sizes = {f"{abs(row[i]):g}" for i, row in enumerate(grid["affine"][:3])}
    return " × ".join(sorted(sizes))


def _atlas(name: str, citations: Citations) -> str:
    """What the regions come from; the atlas of a file has the file's name."""
    if name in ("aal", "aal2"):
        sources = citations.cite(*dict.fromkeys(("aal", name)))
        return f"the {name.upper()} atlas {sources}, drawn on one brain and used as it is, not warped to the template"
    return f"the atlas {Path(name).name}"


def _t1s(run: Run, citations: Citations) -> str:
    """What was done to the T1s, and by which programs."""
    used = {each["Name"]: each["Version"] for each in run.description["GeneratedBy"] if each["Name"] != "DualGlow"}
    engine = " and ".join(f"{name} {version}" for name, version in used.items())
    if adopted := run.config["preprocess"]["derivatives"]:
        done = (
            "Tissues and brain masks of the T1s, and the bias-corrected T1 where there was one, are another program's "
            f"(*{Path(adopted).name}*). The T1s were registered"
        )
    else:
        corrected = f"FAST {citations.cite('fast')}" if "FSL" in used else f"N4 {citations.cite('n4')}"
        done = f"T1s were bias-corrected ({corrected}), segmented and registered"
    template, programs = citations.cite("template"), citations.cite(*(name.lower() for name in used))
    through = f"{engine} {programs} through nipype {citations.cite('nipype')}"
    return f"{done} to the ICBM 2009a symmetric template {template} with {through}"


def _model(citations: Citations, card: dict[str, Any]) -> str:
    text, sources = METHODS[card["method"]]
    options = {name: _words(value) for name, value in card["options"].items()}
    added = "".join(f" ({words})" for name, words in _ADDED.items() if card["options"].get(name))
    name = " ".join(filter(None, (method_name(card["method"]), citations.cite(*sources))))
    return f"{name}: {text.format(**options)}{added}."


def _settings(card: dict[str, Any]) -> str:
    """Every option of a network and of its training, in the words of the configuration."""
    how = {name: value for name, value in card["optimisation"].items() if name not in ("seed", "compile")}
    network, training = (
        ", ".join(f"{name} {_words(value) if value != [] else 'none'}" for name, value in each.items())
        for each in (card["options"], how)
    )
    return f"{method_name(card['method'])}: {network}; trained with {training}."


def _words(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _split(split: dict[str, Any], folds: int) -> str:
    kfold = f"{folds} folds, in which every pair is held out once"
    drawn = kfold if split["scheme"] == "kfold" else f"{folds} division(s), each drawn at random"
    share = f"{split['validation']:.0%} of the training people served as validation."
    return f"All methods were trained on the same {drawn}; {share}"


def _training(how: dict[str, Any]) -> str:
    return f"Training took {_budget(how)}, in {how['precision']}"


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
