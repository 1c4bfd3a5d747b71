"""Table 3: the cohort."""

import pandas as pd

from dualglow.cohort.scan import GROUPS
from dualglow.figures.tables import Table, first_of_each, mean_sd


def demographics(pairs: pd.DataFrame, simulated: bool) -> Table:
    """Table 3 of the paper: people, pairs, age and sex per diagnostic group, and in all.

    A person counts once per group: with several pairs, at the age of the first.

    Parameters
    ----------
    pairs
        pairs.tsv (pair_id, subject, group, sex, age in years).
    simulated
        Whether these people are simulated; the caption then says so.
    """
    known = [group for group in GROUPS if (pairs["group"] == group).any()]
    others = sorted(set(pairs["group"].dropna()) - set(GROUPS))
    parts = [(group, pairs[pairs["group"] == group]) for group in (*known, *others)]
    if pairs["group"].isna().any():
        parts.append(("n/a", pairs[pairs["group"].isna()]))
    parts.append(("Total", pairs))
    numbers = pd.DataFrame([_numbers(name, part) for name, part in parts])
    cells = pd.DataFrame(
        {
            "Group": numbers["group"],
            "People": numbers["n"].astype(str),
            "Pairs": numbers["n_pairs"].astype(str),
            "Age (years)": [mean_sd(_people(part)["age"], 1) for _, part in parts],
            "F / M": [f"{f} / {m}" for f, m in zip(numbers["female"], numbers["male"], strict=True)],
        }
    )
    caption = "People and T1–PET pairs per diagnostic group: age as mean ± sd, number of women and men."
    return Table(numbers, cells, caption, "tab:cohort", simulated)


def _people(part: pd.DataFrame) -> pd.DataFrame:
    return first_of_each(part.sort_values("age", kind="stable"))


def _numbers(name: str, part: pd.DataFrame) -> dict[str, object]:
    people = _people(part)
    sex, age = people["sex"], people["age"].astype(float)
    counts = {
        "n": len(people),
        "n_pairs": len(part),
        "female": int((sex == "F").sum()),
        "male": int((sex == "M").sum()),
    }
    return {"group": name} | counts | {"age_mean": age.mean(), "age_sd": age.std()}
