# Names of files and choices of inputs that several rules share.
import json
import sys
import pandas as pd
from functools import cache
from pathlib import Path
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate as validate_table

from dualglow.cohort.scan import on_disk
from dualglow.errors import DualGlowError, InputError
from dualglow.preprocess import derivatives
from dualglow.preprocess.exclusions import read_exclude

RESULTS = config["results"]
PSEUDONYMS = config["report"]["pseudonyms"]
METHODS = config["methods"]
if config["figures"]["method"] not in METHODS:
    raise WorkflowError(
        f"configuration: figures.method: {config['figures']['method']} is not among methods. "
        f"Choose one of {', '.join(METHODS)}."
    )
CLOSED_FORMS = ("mean", "linear")
FOLDS = range(config["split"]["folds"])
PAIRS_SCHEMA = workflow.source_path("../schemas/pairs.schema.yaml")
PAIR = "sub-{sub}_ses-{ses}"


def growing(amount):
    """A resource that grows with every attempt: MB of memory, or minutes."""
    return lambda wildcards, attempt: amount * attempt


def gpus_of(method):
    """The GPUs that share a training; a closed form has no use for one."""
    return 0 if method in CLOSED_FORMS else config["training"]["gpus"]


def gpus(wildcards):
    """The same of a rule's method."""
    return gpus_of(wildcards.method)


def one_gpu(wildcards):
    """The GPU of a job that uses a trained model, if it was trained on any."""
    return min(gpus(wildcards), 1)


def derivative(datatype, suffix, ext=".nii.gz", pair=PAIR, **entities):
    """The path of a preprocessed file of one pair; the one place that knows is dualglow.preprocess.derivatives."""
    root = Path(RESULTS) / "derivatives"
    return str(derivatives.derivative(root, pair, datatype, suffix, ext, **entities))


def intermediate(datatype, suffix, **entities):
    """The path of a file that is deleted once it was used; not among the derivatives, which BIDS describes."""
    root = Path(RESULTS) / "work"
    return temp(
        str(derivatives.derivative(root, PAIR, datatype, suffix, ".nii.gz", **entities))
    )


def for_every_pair(*arguments, **entities):
    """An input function: this derivative of every pair of the cohort that no person excluded, once the pairs are known."""

    def paths(wildcards):
        return [derivative(*arguments, pair=pair, **entities) for pair in kept_pairs()]

    return paths


def for_every_pair_of_batch(*arguments, **entities):
    """An input function: this derivative of every {number}th of {batches} of these pairs."""

    def paths(wildcards):
        number, batches = int(wildcards.number), int(wildcards.batches)
        if not 1 <= number <= batches:
            raise WorkflowError(
                f"batches/{number}-of-{batches}: batches are counted from 1 to {batches}."
            )
        chosen = kept_pairs()[number - 1 :: batches]
        return [derivative(*arguments, pair=pair, **entities) for pair in chosen]

    return paths


def kept_pairs():
    """The pair_ids of the cohort that no person excluded."""
    every = pairs().index
    if unknown := sorted(set(EXCLUDED).difference(every)):
        raise WorkflowError(
            f"configuration: preprocess.exclude: {unknown[0]} is not in cohort/pairs.tsv. "
            "Write its pair_id as it is there."
        )
    return every.difference(EXCLUDED, sort=False)


def excluded():
    """The pairs that a person excluded in a table. Without the table, Snakemake says that an input is missing."""
    path = Path(config["preprocess"]["exclude"] or "")
    if not path.is_file():
        return []
    if path.resolve().is_relative_to(Path(RESULTS, "qc").resolve()):
        raise WorkflowError(
            f"configuration: preprocess.exclude: {path} is in a folder that is deleted and made anew. "
            "Move the table, for example beside your configuration."
        )
    try:
        return list(read_exclude(path))
    except DualGlowError as error:
        raise WorkflowError(f"configuration: preprocess.exclude: {error}") from None


EXCLUDED = excluded()


def pairs():
    """The pairs of the cohort, by pair_id."""
    path = Path(checkpoints.pair.get().output.pairs)
    return read_pairs(path, path.stat().st_mtime_ns)


@cache
def read_pairs(path, changed):
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    validate_table(table, PAIRS_SCHEMA)
    return table.set_index("pair_id")


def images(column):
    """A function: this pair's T1 (t1_paths) or PET (pet_paths), as `dualglow convert` reads them.

    An image may lie in a zip (`some.zip!/inner/path.nii`) or among the slices in a folder (`folder!/I123`).
    """

    def names(wildcards):
        return pairs().loc[PAIR.format(**wildcards), column].split(";")

    return names


def raw(column):
    """An input function: the files, zips or folders on disk that hold these images."""

    def paths(wildcards):
        return sorted({on_disk(name) for name in images(column)(wildcards)})

    return paths


def processed(wildcards):
    """An input function: the files of a T1 that another program processed; what is missing, `dualglow adopt` says."""
    from dualglow.preprocess.adopt import find

    scan, root = images("t1_paths")(wildcards)[0], config["preprocess"]["derivatives"]
    try:
        return sorted(
            map(str, find(Path(root), PAIR.format(**wildcards), scan).files.values())
        )
    except InputError:
        return []


def qc_options(wildcards, input):
    """Options of `dualglow qc-group`: what both sets of pages share, and the tables that there are."""
    tables = [name for name in ("exclude", "pseudonyms") if input.get(name)]
    return [
        f"--derivatives={RESULTS}/derivatives",
        *(["--simulated"] if config["cohort"]["simulated"] else []),
        *(f"--{name}={input.get(name)}" for name in tables),
    ]


def download(wildcards):
    """A sample sheet; nothing for a folder, which is read in place; a missing input that says what to do."""
    root = Path(config["cohort"]["root"])
    if root.is_file():
        return str(root)
    if root.is_dir() or Path(RESULTS, "cohort", "scans.tsv").exists():
        return []
    return f"{root} (no such folder: set cohort.root to your download, BIDS dataset or sample sheet)"


def model_options(wildcards):
    """The network's options of a method."""
    options = config["models"][wildcards.method]
    return flags({name: options[name] for name in options if name != "training"})


def training_options(wildcards):
    """How a method is trained: as all are, but for what its own block says."""
    own = config["models"][wildcards.method].get("training", {})
    options = config["training"] | own
    return flags(
        {name: options[name] for name in options if name not in ("threads", "gpus")}
    )


def flags(options):
    """Configuration keys as command-line options: {prior_weight: 0.001} becomes --prior-weight 0.001.

    A list becomes its items with commas between them, or `none`. In the order of the alphabet: the order of the keys in a
    configuration file is not a reason to run anything again.
    """
    return " ".join(
        flag(f"--{name.replace('_', '-')}", value)
        for name, value in sorted(options.items())
    )


def flag(name, value):
    if isinstance(value, bool):
        return name if value else name.replace("--", "--no-", 1)
    if isinstance(value, list):
        return f"{name} {','.join(map(str, value)) or 'none'}"
    return f"{name} {value}"


def of_every_fold(pattern, methods=METHODS):
    """An input function: this file of every method and of every fold that folds.tsv has."""
    pattern = str(pattern).replace("<results>", RESULTS)

    def paths(wildcards):
        table = pd.read_csv(checkpoints.split.get().output.folds, sep="\t")
        return collect(pattern, method=methods, fold=sorted(set(table["fold"])))

    return paths


def native_files(wildcards):
    """Every synthetic PET and its maps in T1 space, once it is known which pairs were synthesised."""
    found = []
    for fold in sorted(
        set(pd.read_csv(checkpoints.split.get().output.folds, sep="\t")["fold"])
    ):
        for method in METHODS:
            folder = checkpoints.synthesise.get(method=method, fold=fold).output[0]
            names = sorted(
                path.name for path in Path(folder).glob("*_desc-*_pet.nii.gz")
            )
            out = Path(RESULTS, "native", method, f"fold-{fold}")
            found += [
                str(out / name.replace("_desc-", "_space-T1w_desc-")) for name in names
            ]
    return found


def ages_tables(wildcards, input):
    """The tables in the folders of age series among the inputs."""
    return [f"{folder}/ages.tsv" for folder in input.ages]


def conditional():
    """The method of figures 6, 13 and 14, or none; a method that reads no ages is an error."""
    method = config["figures"]["conditional"]
    if method is None or method not in METHODS:
        if workflow.is_main_process:
            print(
                "Without figures 6, 13, 14 and tables/ageing.tsv: methods has no "
                f"{method or 'method for figures.conditional'}.",
                file=sys.stderr,
            )
        return None
    read = {"linear": ["age"], "dualglow-conditional": ["age"]} | {
        name: options["covariates"]
        for name, options in config["models"].items()
        if "covariates" in options
    }
    if "age" not in read.get(method, []):
        raise WorkflowError(
            f"configuration: figures.conditional: {method} does not read ages. Put age among its covariates, or write null."
        )
    return method


def undiagnosed():
    """The methods whose models are not told the diagnosis of those whose PETs they make; only these can be asked for it."""
    told = [
        method
        for method in METHODS
        if "group" in config["models"][method].get("covariates", [])
    ]
    if told and workflow.is_main_process:
        print(
            f"Without {', '.join(told)} where PETs are asked for the diagnosis (table 2, its gain, effect maps, reference "
            "regions): covariates has group, so that it is told.",
            file=sys.stderr,
        )
    if len(told) == len(METHODS):
        raise WorkflowError(
            "configuration: methods: each is told the diagnosis (covariates has group). Add one that is not, such as mean."
        )
    return [method for method in METHODS if method not in told]


UNDIAGNOSED = undiagnosed()


def ablated(name):
    """This file of every run of the sweep."""
    return [f"{RESULTS}/ablation/{run}/{name}" for run in SWEEP.instance_patterns]


def ablated_options(wildcards):
    """DUAL-GLOW's options, network and training, with another λ."""
    options = config["models"]["dualglow"]
    network = {name: options[name] for name in options if name != "training"}
    how = config["training"] | options.get("training", {})
    chosen = network | {"prior_weight": wildcards.prior_weight}
    return flags(
        chosen | {name: how[name] for name in how if name not in ("threads", "gpus")}
    )
