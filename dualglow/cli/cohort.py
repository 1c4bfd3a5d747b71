"""From a download to people, pairs and folds: scan, pair, split."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.app import app
from dualglow.errors import InputError

if TYPE_CHECKING:
    from dualglow.cohort.pairing import Exclusion
    from dualglow.cohort.scan import Pair, Scan


class Source(StrEnum):
    """How a download is laid out."""

    auto = "auto"
    ida = "ida"
    bids = "bids"


class PerSubject(StrEnum):
    """How many pairs one person gives."""

    one = "one"
    all = "all"


class Scheme(StrEnum):
    """How people are divided."""

    kfold = "kfold"
    holdout = "holdout"


@app.command()
def scan(
    root: Annotated[Path, typer.Argument(help="Unzipped IDA download (ADNI/<PTID>/… and its CSV) or BIDS dataset.")],
    out: Annotated[Path, typer.Option(help="Table to write: one row per scan found or listed.")],
    csv: Annotated[
        list[Path] | None, typer.Option(help="Collection CSV of IDA; may be repeated. Default: those below ROOT.")
    ] = None,
    source: Annotated[
        Source, typer.Option(help="Layout of ROOT; auto looks for dataset_description.json.")
    ] = Source.auto,
) -> None:
    """Read a download, headers and tables only, into one table of scans.

    **Inputs:** a folder from IDA (ADNI) with its collection CSV and, if there, one XML per image; or a BIDS dataset.
    **Outputs:** scans.tsv; `reason` says why a scan cannot be used and is n/a where it can.
    **Units:** dates YYYY-MM-DD, age in years.

    **Example:** `dualglow scan data/ADNI --out results/cohort/scans.tsv`
    """
    from dualglow.cohort.bids import read_bids
    from dualglow.cohort.ida import read_ida
    from dualglow.cohort.scan import scans_to_table
    from dualglow.files import write_table

    layout = _layout(root) if source is Source.auto and not csv else source
    if layout is Source.bids and csv:
        raise InputError(f"{csv[0]}: a collection CSV goes with an IDA download, not with BIDS. Leave --csv out.")
    scans = read_bids(root) if layout is Source.bids else read_ida(root, csv)
    write_table(scans_to_table(scans), out)
    reasons = Counter((s.modality, s.reason or "usable") for s in scans)
    _show(f"{len(scans)} scans of {len({s.subject for s in scans})} people", _lines(reasons, "scans"))


@app.command()
def pair(
    scans: Annotated[Path, typer.Option(help="scans.tsv of `dualglow scan`; may be edited by hand.")],
    out: Annotated[Path, typer.Option(help="Table to write: one row per T1–PET pair.")],
    exclusions: Annotated[Path, typer.Option(help="Table to write: every other scan and why it is left out.")],
    max_days: Annotated[int, typer.Option(help="Largest gap between T1 and PET in days, inclusive.")] = 180,
    pairs_per_subject: Annotated[
        PerSubject, typer.Option(help="The nearest pair of a person, or all.")
    ] = PerSubject.one,
) -> None:
    """Pair each FDG-PET with the nearest T1 of the same person, and account for every other scan.

    **Inputs:** scans.tsv.
    **Outputs:** pairs.tsv and exclusions.tsv; twice the pairs plus the exclusions are the scans.
    **Units:** delta_days counts days from T1 to PET (negative: PET first), age in years.

    **Example:** `dualglow pair --scans scans.tsv --out pairs.tsv --exclusions exclusions.tsv --max-days 90`
    """
    from dualglow.cohort.pairing import exclusions_to_table, pair_scans, require_pairs
    from dualglow.cohort.scan import pairs_to_table, read_scans
    from dualglow.files import write_table

    records = read_scans(scans)
    pairs, left_out = pair_scans(records, max_days, pairs_per_subject.value)
    write_table(exclusions_to_table(left_out), exclusions)
    _consort(records, pairs, left_out)
    require_pairs(records, pairs, max_days)
    write_table(pairs_to_table(pairs), out)


@app.command()
def split(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv of `dualglow pair`.")],
    out: Annotated[Path, typer.Option(help="Table to write: fold, pair_id, subject, part.")],
    scheme: Annotated[
        Scheme, typer.Option(help="kfold tests everyone once; holdout draws a tenth anew per fold.")
    ] = Scheme.kfold,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 10,
    validation: Annotated[float, typer.Option(help="Share of the training people that chooses the epoch.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same folds.")] = 1,
) -> None:
    """Divide the people, not the scans, into folds of training, validation and test.

    **Inputs:** pairs.tsv.
    **Outputs:** folds.tsv, one row per fold and pair, which may be edited by hand.
    **Units:** none; folds count from 0.

    **Example:** `dualglow split --pairs pairs.tsv --out folds.tsv --folds 10 --seed 1`
    """
    from dualglow.cohort.splits import PARTS, make_folds, split_hash, validate_folds
    from dualglow.files import read_table, write_table

    table = read_table(pairs, ["pair_id", "subject", "group", "age"])
    rows = make_folds(table, scheme.value, folds, validation, seed)
    validate_folds(rows, table)
    write_table(rows, out)
    counts = rows.groupby("fold")["part"].value_counts().unstack(fill_value=0).reindex(columns=PARTS, fill_value=0)
    _show(
        f"{len(table)} pairs of {table['subject'].nunique()} people in {len(counts)} folds",
        [(f"fold {fold}", *map(str, row), split_hash(rows, fold)) for fold, *row in counts.itertuples()],
        ("", *PARTS, "split hash"),
    )


def _layout(root: Path) -> Source:
    """Tell BIDS from IDA. Raises InputError if the folder is neither."""
    from dualglow.cohort.bids import is_bids
    from dualglow.cohort.ida import is_ida

    if not root.is_dir():
        raise InputError(f"{root}: no such folder. Give the folder of the unzipped download or BIDS dataset.")
    if is_bids(root):
        return Source.bids
    if is_ida(root):
        return Source.ida
    raise InputError(
        f"{root}: holds neither a BIDS dataset (dataset_description.json) nor images named as IDA names them "
        "(ADNI_<PTID>_MR_…_I<number>.nii). Give the folder of the unzipped download, or --source."
    )


def _lines(counts: Counter[tuple[str, str]], what: str) -> list[tuple[str, ...]]:
    return [(f"{first} {what}", second, str(count)) for (first, second), count in sorted(counts.items())]


def _consort(records: "list[Scan]", pairs: "list[Pair]", left_out: "list[Exclusion]") -> None:
    """Print what became of every scan, and warn of mixed PET levels."""
    reasons = Counter((f"not used ({e.stage})", f"{e.scan.modality}: {e.reason}") for e in left_out)
    made = Counter(("pairs", p.group or "group unknown") for p in pairs)
    levels = Counter(p.pet_level for p in pairs)
    lines = [("read", "scans", str(len(records)))]
    lines += [(stage, reason, str(count)) for (stage, reason), count in sorted(reasons.items(), reverse=True)]
    lines += [("paired", "scans", str(2 * len(pairs)))]
    lines += [(what, group, str(count)) for (what, group), count in made.items()]
    lines += [("pairs", f"PET level {level}", str(count)) for level, count in sorted(levels.items())]
    _show(f"{len(pairs)} pairs of {len({p.subject for p in pairs})} people", lines)
    if len(levels) > 1:
        print(f"Mind that the pairs mix {len(levels)} PET levels, processed differently: see pet_level in pairs.tsv.")


def _show(title: str, lines: Iterable[tuple[str, ...]], header: tuple[str, ...] = ("", "", "count")) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
