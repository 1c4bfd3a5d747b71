"""Diagnosis from region means by an RBF support vector machine (table 2), with nested cross-validation.

The outer folds are those that the generators were trained on, so every synthetic PET that is classified comes from a
model that has not seen its subject. The machine for fold k learns from the held-out PETs of all other folds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from dualglow.cohort.splits import person
from dualglow.errors import InputError
from dualglow.evaluation.heldout import held_out
from dualglow.evaluation.rois import MRI

OWN = -1  # stands for the fold in features that depend on no model (real PET, MRI, age and sex)
MAJORITY = "majority"
AGE_SEX = "age-sex"
WITH_MRI = "mri+"
"""Before the name of a PET whose features stand beside those of the T1."""

WITH_KNOWN = f"{WITH_MRI}{AGE_SEX}+"
"""The same beside those of the T1, age and sex."""

PREDICTED = ["task", "method", "fold", "pair_id", "subject", "truth", "predicted", "score"]
INNER_FOLDS = 5
GRID = {"svc__C": [0.1, 1.0, 10.0, 100.0], "svc__gamma": [0.001, 0.01, 0.1]}  # gamma around 1 / 116 regions


@dataclass(frozen=True)
class Task:
    """Two sets of groups to tell apart; `positive` is the diseased one."""

    name: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]


TASKS = (
    Task("AD vs CN", ("CN",), ("AD",)),
    Task("MCI+LMCI+AD vs CN+SMC+EMCI", ("CN", "SMC", "EMCI"), ("MCI", "LMCI", "AD")),
)


def feature_matrix(rois: pd.DataFrame) -> pd.DataFrame:
    """Tidy region means of one method → rows (fold, pair_id), one column per region that has voxels in any pair."""
    keyed = rois.assign(fold=rois["fold"].astype("Int64").fillna(OWN))
    wide = keyed.set_index(["fold", "pair_id", "region"])["value"].unstack("region")
    return wide.dropna(axis="columns", how="all")


def age_and_sex(pairs: pd.DataFrame, pair_ids: list[str]) -> pd.DataFrame:
    """Age (years) and sex (F 1, M 0) as features, rows (fold, pair_id): what is known without any image."""
    table = pairs.set_index("pair_id").loc[pair_ids]
    features = pd.DataFrame({"age": table["age"].astype(float), "female": table["sex"].map({"F": 1.0, "M": 0.0})})
    return pd.concat({OWN: features}, names=["fold", "pair_id"])


def joined(features: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Each PET's features beside those of the T1, and beside those of T1, age and sex.

    Some methods are told age and sex, and any PET shows them: a PET that helps no more than they do has nothing to say
    of its own.

    Parameters
    ----------
    features
        Of `mri`, of `age-sex` and of any number of PETs, rows (fold, pair_id).
    """
    mri, known = features[MRI], beside(features[MRI], features[AGE_SEX])
    pets = {name: own for name, own in features.items() if name not in (MRI, AGE_SEX)}
    return {
        WITH_MRI + AGE_SEX: known,
        **{WITH_MRI + name: beside(mri, pet) for name, pet in pets.items()},
        **{WITH_KNOWN + name: beside(known, pet) for name, pet in pets.items()},
    }


def beside(known: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Features that depend on no model, and others, together: rows of the others, columns of both."""
    own = known.droplevel("fold").reindex(more.index.get_level_values("pair_id")).set_axis(more.index)
    return pd.concat([own.add_prefix("known "), more.add_prefix("more ")], axis="columns")


def classify(
    features: dict[str, pd.DataFrame], pairs: pd.DataFrame, folds: pd.DataFrame, used: list[int], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 2 for every task and every kind of features, after a row of the majority class (chance).

    Parameters
    ----------
    features
        Name of the method → its features, rows (fold, pair_id) as `feature_matrix` gives them.
    pairs, folds
        pairs.tsv (pair_id, subject, group) and folds.tsv (fold, pair_id, part).
    used
        The folds whose held-out pairs are classified and learnt from.

    Returns
    -------
    First, one row per task and method: n, n_positive, n_features; accuracy with its 95 % Wilson interval; fnr_share and
    fpr_share (missed and false alarms as shares of all cases, the paper's reading: they and accuracy sum to 1); fnr
    and fpr (of the diseased and of the healthy); auc; `reason` why a row has no result.
    Second, what was predicted: task, method, fold, pair_id, subject, truth, predicted, score.
    """
    pairs = pairs.assign(subject=pairs["subject"].map(person))
    tests = {fold: held_out(folds, fold) for fold in used}
    rows, predictions = [], [pd.DataFrame(columns=PREDICTED)]
    for task in TASKS:
        labels = task_labels(task, pairs, sorted(set().union(*tests.values())))
        reason = infeasible(labels, pairs, tests)
        for method, matrix in ({MAJORITY: next(iter(features.values()))} | features).items():
            row = {"task": task.name, "method": method, "n_features": 0 if method == MAJORITY else matrix.shape[1]}
            if reason is None:
                model = DummyClassifier() if method == MAJORITY else None
                predicted = cross_validate(matrix, labels, pairs, tests, seed, model)
                predictions.append(predicted.assign(task=task.name, method=method))
                row |= summarise(predicted)
            rows.append(row | {"reason": reason})
    columns = ["task", "method", "n", "n_positive", "n_features", *RESULTS, "reason"]
    every = pd.concat(predictions[1:] or predictions, ignore_index=True)
    every["subject"] = every["pair_id"].map(pairs.set_index("pair_id")["subject"])
    return pd.DataFrame(rows).reindex(columns=columns), every[PREDICTED]


def task_labels(task: Task, pairs: pd.DataFrame, pair_ids: list[str]) -> pd.Series:
    """1 for the diseased and 0 for the healthy, by pair_id; pairs of other groups are left out."""
    groups = pairs.set_index("pair_id")["group"].loc[pair_ids]
    chosen = groups[groups.isin(task.negative + task.positive)]
    return chosen.isin(task.positive).astype(int)


def infeasible(labels: pd.Series, pairs: pd.DataFrame, tests: dict[int, list[str]]) -> str | None:
    """Why a task cannot be cross-validated (too few people of a class to learn from in some fold), or None."""
    if len(tests) < 2:
        return "only one fold has synthetic PET: none is left to learn from"
    subjects = pairs.set_index("pair_id")["subject"]
    for fold, test in tests.items():
        train = labels[~labels.index.isin(_same_subjects(subjects, test))]
        for label, name in ((1, "diseased"), (0, "healthy")):
            n = subjects.loc[train.index[train == label]].nunique()
            if n < 4:  # two inner folds with two of each class
                return f"fold {fold} has {n} {name} people to learn from; nested cross-validation needs 4"
    return None


def cross_validate(
    matrix: pd.DataFrame,
    labels: pd.Series,
    pairs: pd.DataFrame,
    tests: dict[int, list[str]],
    seed: int,
    model: DummyClassifier | None = None,
) -> pd.DataFrame:
    """Predict each fold's held-out pairs from a machine that learnt from the other folds.

    Returns
    -------
    Columns fold, pair_id, truth, predicted (0 or 1), score (larger: more likely diseased).
    """
    subjects = pairs.set_index("pair_id")["subject"]
    results = []
    for fold, test_ids in tests.items():
        train, test = fold_features(matrix, fold, test_ids, labels.index, subjects)
        if test.empty:  # the fold holds out nobody of this task
            continue
        y = labels.loc[train.index].to_numpy()
        fitted = (model or support_vector_machine(y, subjects.loc[train.index].to_numpy(), seed)).fit(train, y)
        score = fitted.predict_proba(test)[:, 1] if model else fitted.decision_function(test)
        outcome = pd.DataFrame({"truth": labels.loc[test.index], "predicted": fitted.predict(test), "score": score})
        results.append(outcome.rename_axis("pair_id").reset_index().assign(fold=fold))
    return pd.concat(results, ignore_index=True)


def fold_features(
    matrix: pd.DataFrame, fold: int, test_ids: list[str], labelled: pd.Index, subjects: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features to learn from and features to classify in one fold; no subject is in both.

    Synthetic PET: a held-out pair is measured on the image of this fold's model, the others on the image of the first
    fold that held them out.

    Raises
    ------
    InputError
        If a held-out pair has no features.
    """
    own = matrix.index.get_level_values("fold") == OWN
    here = matrix[own | (matrix.index.get_level_values("fold") == fold)].droplevel("fold")
    wanted = [pair_id for pair_id in test_ids if pair_id in labelled]
    missing = [pair_id for pair_id in wanted if pair_id not in here.index]
    if missing:
        raise InputError(f"fold {fold}: no region means for {len(missing)} held-out pair(s), the first {missing[0]}.")
    others = matrix[own | (matrix.index.get_level_values("fold") != fold)].droplevel("fold")
    keep = others.index.isin(labelled) & ~others.index.isin(_same_subjects(subjects, test_ids))
    train = others[keep & ~others.index.duplicated()]
    return train, here.loc[wanted]


def _same_subjects(subjects: pd.Series, pair_ids: list[str]) -> pd.Index:
    return subjects.index[subjects.isin(subjects.loc[pair_ids])]


def support_vector_machine(labels: np.ndarray, subjects: np.ndarray, seed: int) -> GridSearchCV:
    """An RBF-SVM on standardised features; C and gamma are chosen by inner folds over people. Not fitted yet."""
    steps: Pipeline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), SVC())
    people = pd.DataFrame({"subject": subjects, "label": labels}).drop_duplicates("subject")
    n = min(INNER_FOLDS, int(people["label"].value_counts().min()) // 2)
    splits = StratifiedKFold(n, shuffle=True, random_state=seed).split(people, people["label"])
    inside = [np.isin(subjects, people["subject"].to_numpy()[test]) for _, test in splits]
    cv = [(np.flatnonzero(~test), np.flatnonzero(test)) for test in inside]
    return GridSearchCV(steps, GRID, cv=cv, scoring="accuracy")


RESULTS = ("accuracy", "accuracy_low", "accuracy_high", "fnr_share", "fpr_share", "fnr", "fpr", "auc")


def summarise(predictions: pd.DataFrame) -> dict[str, float]:
    """Counts, accuracy, both readings of FNR and FPR, and AUC of a table of predictions."""
    truth, predicted = predictions["truth"], predictions["predicted"]
    tn, fp, fn, tp = (int(v) for v in confusion_matrix(truth, predicted, labels=[0, 1]).ravel())
    n = tn + fp + fn + tp
    interval = stats.binomtest(tn + tp, n).proportion_ci(method="wilson")
    return {
        "n": n,
        "n_positive": tp + fn,
        "accuracy": (tn + tp) / n,
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
        "fnr_share": fn / n,
        "fpr_share": fp / n,
        "fnr": fn / (tp + fn) if tp + fn else float("nan"),
        "fpr": fp / (tn + fp) if tn + fp else float("nan"),
        "auc": within_fold_auc(predictions),
    }


def within_fold_auc(predictions: pd.DataFrame) -> float:
    """Share of (diseased, healthy) couples of the same fold that are ranked rightly, ties counting half.

    Scores of different folds come from different machines and are not comparable: pooling them would push methods
    that know nothing away from 0.5.
    """
    right, couples = 0.0, 0
    for _, part in predictions.groupby("fold"):
        scores = part["score"].to_numpy()
        difference = scores[part["truth"] == 1][:, None] - scores[part["truth"] == 0][None, :]
        right += float((difference > 0).sum() + 0.5 * (difference == 0).sum())
        couples += difference.size
    return right / couples if couples else float("nan")
