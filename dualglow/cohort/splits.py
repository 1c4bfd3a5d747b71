"""Divide people, never scans, into training, validation and test parts."""

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from dualglow.cohort.scan import GROUPS, person
from dualglow.errors import ConfigError, InputError
from dualglow.files import read_table

log = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
FOLD_COLUMNS = ["fold", "pair_id", "subject", "part"]
PATIENT_SPLIT = {"CN": "CN+", "SMC": "CN+", "EMCI": "CN+", "MCI": "AD+", "LMCI": "AD+", "AD": "AD+"}  # paper §4, SVM
STRATA = ("stage", "group", "old", "sex")  # from coarse to fine
STRATA_NAMES = (
    "nothing",
    "CN+SMC+EMCI against MCI+LMCI+AD",
    "group",
    "group and age",
    "group, age and sex",
)  # by depth
OLD = 75  # years
HOLDOUT = 10  # one in ten people is tested ...
PAPER = (806, 80)  # ... but 80 of the paper's 806 (§4)


def make_folds(pairs: pd.DataFrame, scheme: str, folds: int, validation: float, seed: int) -> pd.DataFrame:
    """Split the people of pairs.tsv: one row per fold and pair, with the part train, validation or test.

    Parameters
    ----------
    pairs
        Columns pair_id and subject; group, age (years) and sex are used to stratify where they are known.
    scheme
        `kfold`: everyone is tested once. `holdout`: a tenth of the people is drawn anew for every fold.
    folds
        Number of folds; fewer people give fewer folds, with a warning.
    validation
        Share of the training people (at least one person) that chooses the epoch; 0 for none.
    seed
        The same seed and pairs give the same folds, in whatever order the pairs are.

    Raises
    ------
    ConfigError
        If there are too few people, or an option has no meaning.
    """
    people = _people(pairs)
    _check_options(scheme, folds, validation, len(people))
    folds = _possible(scheme, folds, validation, len(people))
    _report_moved(pairs)
    tests = (_kfold if scheme == "kfold" else _holdout)(people, folds, seed)
    parts = []
    for fold, test in enumerate(tests):
        part = pd.Series("train", index=people.index)
        part.iloc[test] = "test"
        training = people.drop(people.index[test])
        part[_validation(training, validation, np.random.SeedSequence([seed, fold]))] = "validation"
        rows = pairs[["pair_id", "subject"]].assign(fold=fold, part=pairs["subject"].map(person).map(part))
        parts.append(rows[FOLD_COLUMNS].sort_values("pair_id"))
    return pd.concat(parts, ignore_index=True)


def read_folds(path: Path, pairs: pd.DataFrame, left_out: Collection[str]) -> pd.DataFrame:
    """Read folds.tsv for a dataset: its rows of the dataset's pairs, without those that preprocessing left out.

    A test part may so become empty: that fold has nobody to test. Raises InputError as `validate_folds`.
    """
    folds = read_table(path, FOLD_COLUMNS)
    validate_folds(folds, pairs, left_out)
    return folds[~folds["pair_id"].isin(left_out)].reset_index(drop=True)


def validate_folds(folds: pd.DataFrame, pairs: pd.DataFrame, left_out: Collection[str] = ()) -> None:
    """Check a table of folds, which may have been edited by hand, against pairs.tsv.

    `left_out` are pairs that may be in the folds without being in `pairs`. Raises InputError if a column or part is
    unknown, a pair is unknown, missing, twice or under another subject in a fold, a fold has nobody to train on or to
    test, or a person is in two parts of the same fold.
    """
    if missing := [name for name in FOLD_COLUMNS if name not in folds.columns]:
        raise InputError(f"folds.tsv: lacks the column(s) {', '.join(missing)}; it has {', '.join(folds.columns)}.")
    if folds.empty:
        raise InputError("folds.tsv: is empty. Make it with dualglow split.")
    if bad := sorted({str(part) for part in folds["part"]} - set(PARTS)):
        raise InputError(f"folds.tsv: unknown part {', '.join(bad)}; expected {', '.join(PARTS)}.")
    if (numbers := pd.to_numeric(folds["fold"], errors="coerce")).isna().any() or (numbers % 1 != 0).any():
        raise InputError("folds.tsv: the column fold must hold whole numbers from 0.")
    if pairs["pair_id"].duplicated().any():
        raise InputError(f"pairs.tsv: {_some(sorted(set(pairs.loc[pairs['pair_id'].duplicated(), 'pair_id'])))} twice.")
    subjects = pairs.set_index("pair_id")["subject"].astype(str)
    if unknown := sorted(set(folds["pair_id"]) - set(subjects.index) - set(left_out)):
        raise InputError(f"folds.tsv: {_some(unknown)} not in pairs.tsv. Remove the rows or run dualglow split again.")
    expected = folds["pair_id"].map(subjects)
    other = expected.notna() & (folds["subject"].astype(str) != expected)
    if other.any():
        raise InputError(
            f"folds.tsv: {_some(sorted(set(folds.loc[other, 'pair_id'])))} of another subject in pairs.tsv."
        )
    for fold, rows in folds.groupby("fold"):
        _validate_fold(str(fold), rows, set(subjects.index))


def split_hash(folds: pd.DataFrame, fold: int) -> str:
    """12 hexadecimal digits that stand for who is in which part of a fold; the order of the rows does not matter.

    Raises InputError if there is no such fold.
    """
    rows = folds[folds["fold"].astype(int) == fold]
    if rows.empty:
        known = ", ".join(str(number) for number in sorted(set(folds["fold"])))
        raise InputError(f"folds.tsv: has no fold {fold}; it has {known}.")
    columns = rows[["pair_id", "subject", "part"]].itertuples(index=False)
    lines = sorted("\t".join([str(fold), *map(str, row)]) for row in columns)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def demographics(folds: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Who is in which part: per fold and part people, pairs, people per group, age (mean, sd), women, men, PET levels.

    Ages are those of the people's first pairs. `pet_levels` counts the pairs per processing level of the archive; more
    than one in a part means that differently processed PETs are mixed there.
    """
    table = folds[["fold", "pair_id", "part"]].merge(pairs, on="pair_id", how="left")
    table = table.reindex(columns=["fold", "part", "pair_id", "subject", "group", "age", "sex", "pet_level"])
    table["person"] = table["subject"].astype(str).map(person)
    order = [(fold, part) for fold in sorted(set(table["fold"])) for part in PARTS]
    found = dict(list(table.groupby(["fold", "part"])))
    return pd.DataFrame([_part_numbers(*key, found[key]) for key in order if key in found])


def _part_numbers(fold: int, part: str, rows: pd.DataFrame) -> dict[str, object]:
    people = rows.sort_values("pair_id").drop_duplicates("person")
    groups = people["group"].fillna("unknown").value_counts()
    levels = rows["pet_level"].fillna("unknown").value_counts().sort_index()
    age = people["age"].astype(float)
    return {
        "fold": fold,
        "part": part,
        "n": len(people),
        "n_pairs": len(rows),
        **{f"n_{group}": int(groups.get(group, 0)) for group in (*GROUPS, "unknown")},
        "age_mean": age.mean(),
        "age_sd": age.std(),
        "female": int((people["sex"] == "F").sum()),
        "male": int((people["sex"] == "M").sum()),
        "pet_levels": ", ".join(f"{level} {count}" for level, count in levels.items()),
    }


def _validate_fold(fold: str, rows: pd.DataFrame, known: set[str]) -> None:
    twice = sorted(set(rows.loc[rows["pair_id"].duplicated(), "pair_id"]))
    if twice:
        raise InputError(f"folds.tsv: {_some(twice)} more than once in fold {fold}. Keep one row.")
    if missing := sorted(known - set(rows["pair_id"])):
        raise InputError(f"folds.tsv: {_some(missing)} in pairs.tsv but not in fold {fold}. Add a row with its part.")
    for part in ("train", "test"):
        if part not in set(rows["part"]):
            raise InputError(f"folds.tsv: nobody is in the part {part} of fold {fold}.")
    for name, own in rows.groupby(rows["subject"].astype(str).map(person)):
        if own["part"].nunique() > 1:
            rows_of = zip(own.index.astype(int) + 2, own["pair_id"], own["part"], strict=True)
            lines = ", ".join(f"{line} ({pair}: {part})" for line, pair, part in rows_of)
            raise InputError(
                f"folds.tsv: {name} is in {' and '.join(sorted(own['part'].unique()))} of fold {fold}, lines {lines}; "
                "all scans of a person belong in one part, else the test is no test."
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _report_moved(pairs: pd.DataFrame) -> None:
    labels = pairs["subject"].drop_duplicates().groupby(pairs["subject"].map(person)).unique()
    for who, names in labels.items():
        if len(names) > 1:
            log.warning("%s is one person under %s: kept together.", who, " and ".join(sorted(names)))


def _people(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per person, sorted: stage, group, old (75 or more) and sex at the first pair; unknowns are `unknown`."""
    table = pairs.sort_values("pair_id").reindex(columns=["pair_id", "subject", "group", "age", "sex"])
    table.index = pd.Index(table["subject"].map(person), name="person")
    table = table[~table.index.duplicated()].sort_index()
    group, age = table["group"].fillna("unknown").astype(str), table["age"].astype(float)
    old = age.ge(OLD).map({True: f"{OLD}+", False: f"<{OLD}"}).where(age.notna(), "unknown")
    sex = table["sex"].fillna("unknown").astype(str)
    return pd.DataFrame({"stage": group.map(PATIENT_SPLIT).fillna("unknown"), "group": group, "old": old, "sex": sex})


def _check_options(scheme: str, folds: int, validation: float, people: int) -> None:
    if scheme not in ("kfold", "holdout"):
        raise ConfigError(f"--scheme {scheme}: expected kfold or holdout.")
    if not 0 <= validation < 1:
        raise ConfigError(f"--validation {validation}: expected a share from 0 to below 1.")
    if folds < (2 if scheme == "kfold" else 1):
        raise ConfigError(f"--folds {folds}: expected at least {2 if scheme == 'kfold' else 1}.")
    needed = 2 + (validation > 0)
    if people < needed:
        raise ConfigError(f"the pairs are of {people} people, but a split needs at least {needed}. Scan more people.")


def _possible(scheme: str, folds: int, validation: float, people: int) -> int:
    """Return the number of folds that so many people allow, with a warning if it is not the one asked for."""
    if scheme == "holdout":
        return folds
    if folds > people:
        log.warning("%d people: %d folds instead of %d.", people, people, folds)
        folds = people
    if people - -(-people // folds) < 1 + (validation > 0):
        raise ConfigError(f"--folds {folds}: leaves too few of {people} people to train on. Use --folds {people}.")
    return folds


def _dealt(people: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Positions of the people in the order of their strata, at random within each.

    Whoever deals people out in this order gives every fold its share of every stratum, to within one person, and so of
    all coarser strata (they lie side by side), however small the finer ones are.
    """
    shuffled = people.iloc[rng.permutation(len(people))]
    ordered = shuffled.sort_values(list(STRATA), kind="stable")
    return people.index.get_indexer(ordered.index)


def _every(order: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Take `size` of the positions at equal distances, from a random start: systematic sampling."""
    steps = (np.arange(size) + rng.random()) * len(order) / max(size, 1)
    return order[steps.astype(int)]


def _report_strata(people: pd.DataFrame, parts: int, what: str) -> None:
    """Say how far the strata go: to be in every one of `parts` test sets, a stratum needs as many people."""
    for depth in range(len(STRATA), 0, -1):
        names = list(STRATA[:depth])
        if people.groupby(names).size().min() >= parts:
            break
    else:
        depth = 0
    text = STRATA_NAMES[depth]
    if depth == len(STRATA):
        log.info("%s: stratified by %s.", what, text)
        return
    finer = people.groupby(list(STRATA[: depth + 1])).size().idxmin()
    cell = " ".join(finer) if isinstance(finer, tuple) else str(finer)
    log.warning(
        "%s: stratified by %s; finer only as far as the people go (too few for every fold: %s).", what, text, cell
    )


def _kfold(people: pd.DataFrame, folds: int, seed: int) -> list[np.ndarray]:
    """Positions of the test people of each fold."""
    order = _dealt(people, np.random.default_rng(seed))
    _report_strata(people, folds, f"{folds} folds")
    return [np.sort(order[fold::folds]) for fold in range(folds)]


def _holdout(people: pd.DataFrame, folds: int, seed: int) -> list[np.ndarray]:
    """Positions of the test people of each fold, drawn independently."""
    size = PAPER[1] if len(people) == PAPER[0] else max(1, round(len(people) / HOLDOUT))
    _report_strata(people, -(-len(people) // size), f"{folds} draws of {size}")
    draws = [np.random.default_rng(sequence) for sequence in np.random.SeedSequence(seed).spawn(folds)]
    return [np.sort(_every(_dealt(people, rng), size, rng)) for rng in draws]


def _validation(training: pd.DataFrame, share: float, seed: np.random.SeedSequence) -> pd.Index:
    """Return the people of the training part that choose the epoch, with their share of every stratum."""
    if share == 0:
        return training.index[:0]
    size = min(max(1, round(share * len(training))), len(training) - 1)
    rng = np.random.default_rng(seed)
    return training.index[_every(_dealt(training, rng), size, rng)]
