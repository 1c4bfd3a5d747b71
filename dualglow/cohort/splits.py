"""Divide people, never scans, into training, validation and test parts."""

import hashlib
import logging
import re

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from dualglow.errors import ConfigError, InputError

log = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
FOLD_COLUMNS = ["fold", "pair_id", "subject", "part"]
PATIENT_SPLIT = {"CN": "CN+", "SMC": "CN+", "EMCI": "CN+", "MCI": "AD+", "LMCI": "AD+", "AD": "AD+"}  # paper §4, SVM
HOLDOUT = 10  # one in ten people is tested: 80 of the paper's 806


def person(subject: str) -> str:
    """Who a subject label means: ADNI's roster number, which stays when a person moves to another site."""
    found = re.fullmatch(r"(?:ADNI)?\d{3}_?S_?(\d{4,5})", subject.strip(), re.IGNORECASE)
    return f"RID {int(found[1])}" if found else subject


def make_folds(pairs: pd.DataFrame, scheme: str, folds: int, validation: float, seed: int) -> pd.DataFrame:
    """Split the people of pairs.tsv: one row per fold and pair, with the part train, validation or test.

    Parameters
    ----------
    pairs
        Columns pair_id and subject; group and age (years) are used to stratify where they are known.
    scheme
        `kfold`: everyone is tested once. `holdout`: a tenth of the people is drawn anew for every fold.
    folds
        Number of folds.
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


def validate_folds(folds: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Check a table of folds, which may have been edited by hand, against pairs.tsv.

    Raises InputError if a column or part is unknown, a pair is unknown, missing, twice or under another subject in a
    fold, a fold has nobody to train on or to test, or a person is in two parts of the same fold.
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
    if unknown := sorted(set(folds["pair_id"]) - set(subjects.index)):
        raise InputError(f"folds.tsv: {_some(unknown)} not in pairs.tsv. Remove the rows or run dualglow split again.")
    other = folds["subject"].astype(str) != folds["pair_id"].map(subjects)
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


def _validate_fold(fold: str, rows: pd.DataFrame, known: set[str]) -> None:
    twice = sorted(set(rows.loc[rows["pair_id"].duplicated(), "pair_id"]))
    if twice:
        raise InputError(f"folds.tsv: {_some(twice)} more than once in fold {fold}. Keep one row.")
    if missing := sorted(known - set(rows["pair_id"])):
        raise InputError(f"folds.tsv: {_some(missing)} in pairs.tsv but not in fold {fold}. Add a row with its part.")
    for part in ("train", "test"):
        if part not in set(rows["part"]):
            raise InputError(f"folds.tsv: nobody is in the part {part} of fold {fold}.")
    parts = rows.groupby(rows["subject"].astype(str).map(person))["part"].unique()
    for name, found in parts.items():
        if len(found) > 1:
            raise InputError(
                f"folds.tsv: {name} is in {' and '.join(sorted(found))} of fold {fold}; all scans of a person belong "
                "in one part, else the test is no test."
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _people(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per person, sorted: group and age (years) at the first pair."""
    table = pairs.sort_values("pair_id").reindex(columns=["pair_id", "subject", "group", "age"])
    table.index = pd.Index(table["subject"].map(person), name="person")
    table = table[~table.index.duplicated()].sort_index()
    return pd.DataFrame({"group": table["group"].fillna("unknown").astype(str), "age": table["age"].astype(float)})


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
    if scheme == "kfold" and folds > people:
        raise ConfigError(f"--folds {folds}: the pairs are of only {people} people. Use --folds {people} or fewer.")
    if scheme == "kfold" and people - -(-people // folds) < needed - 1:
        raise ConfigError(f"--folds {folds}: leaves too few of {people} people to train on. Use --folds {people}.")


def _strata(people: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """Ways to stratify, finest first; the last is none at all."""
    old = np.where(people["age"] >= 75, "75+", "<75")
    return [
        ("group and age", people["group"] + " " + pd.Series(old, index=people.index)),
        ("group", people["group"]),
        ("CN+SMC+EMCI against MCI+LMCI+AD", people["group"].map(PATIENT_SPLIT).fillna("unknown")),
        ("nothing", pd.Series("everyone", index=people.index)),
    ]


def _finest(people: pd.DataFrame, members: int, cells: int) -> pd.Series:
    """Return the finest strata with at least `members` people in each and at most `cells` of them."""
    name, strata = next(
        (name, strata)
        for name, strata in _strata(people)
        if name == "nothing" or (strata.value_counts().min() >= members and strata.nunique() <= cells)
    )
    if name == "nothing":
        log.warning("the groups of %d people are too small (or unknown) to stratify the folds by.", len(people))
    else:
        log.info("folds are stratified by %s.", name)
    return strata


def _kfold(people: pd.DataFrame, folds: int, seed: int) -> list[np.ndarray]:
    """Positions of the test people of each fold."""
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(people, _finest(people, folds, len(people)))]


def _holdout(people: pd.DataFrame, folds: int, seed: int) -> list[np.ndarray]:
    """Positions of the test people of each fold, drawn independently."""
    size = max(1, len(people) // HOLDOUT)
    splitter = StratifiedShuffleSplit(folds, test_size=size, random_state=seed)
    return [test for _, test in splitter.split(people, _finest(people, 2, size))]


def _validation(training: pd.DataFrame, share: float, seed: np.random.SeedSequence) -> pd.Index:
    """Return the people of the training part that choose the epoch, spread over the groups in proportion."""
    if share == 0:
        return training.index[:0]
    size = min(max(1, round(share * len(training))), len(training) - 1)
    rng = np.random.default_rng(seed)
    shuffled = training.iloc[rng.permutation(len(training))]
    order = shuffled.groupby("group").cumcount() + rng.random()  # nth of its group
    position = (order / shuffled.groupby("group")["group"].transform("size")).sort_values(kind="stable")
    return position.index[:size]
