"""From a download to people, pairs and folds: scan, pair, split."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualglow.cli.app import app

if TYPE_CHECKING:
    import pandas as pd

    from dualglow.cohort.pairing import Exclusion
    from dualglow.cohort.scan import Pair, Scan

SCANS, PAIRS = Path("results/cohort/scans.tsv"), Path("results/cohort/pairs.tsv")


class Source(StrEnum):
    """How a download is laid out."""

    auto = "auto"
    ida = "ida"
    bids = "bids"
    sheet = "sheet"


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
    root: Annotated[
        Path,
        typer.Argument(
            help="IDA download (zips, or unzipped, and its CSV), BIDS dataset, or sample sheet (.tsv, .csv)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Table to write: one row per scan found or listed.")] = SCANS,
    csv: Annotated[
        list[Path] | None, typer.Option(help="Collection CSV of IDA; may be repeated. Default: those below ROOT.")
    ] = None,
    source: Annotated[Source, typer.Option(help="Layout of ROOT; auto finds out.")] = Source.auto,
    pet_level: Annotated[
        str, typer.Option(help="Processing level of the FDG-PETs, such as coregavg; auto: the best of each day.")
    ] = "auto",
    t1_level: Annotated[str, typer.Option(help="original, processed, or auto: the best of each day.")] = "auto",
    strict: Annotated[
        bool, typer.Option("--strict/--no-strict", help="Leave out images that do not say where left and right are.")
    ] = False,
    allow_unlisted: Annotated[
        bool,
        typer.Option(
            "--allow-unlisted/--no-allow-unlisted", help="Also use images that no table and no XML describes."
        ),
    ] = False,
    adnimerge: Annotated[
        Path | None, typer.Option(help="ADNIMERGE table: groups, sexes, ages that are missing.")
    ] = None,
    qc: Annotated[list[Path] | None, typer.Option(help="Table of quality control of ADNI; may be repeated.")] = None,
) -> None:
    """Read a download, headers and tables only, into one table of scans.

    **Inputs:** a folder from IDA (ADNI), zipped or not, with its collection CSV and, if there, one XML per image;
    a BIDS dataset; or a sample sheet.
    **Outputs:** scans.tsv; `reason` says why a scan cannot be used and is n/a where it can. Beside it .headers.json
    keeps what was read, so that a second run reads only what has changed.
    **Units:** dates YYYY-MM-DD, age in years.

    **Example:** `dualglow scan data/ADNI && dualglow pair`
    """
    from dualglow.cohort.download import read_download
    from dualglow.cohort.ida import Options
    from dualglow.cohort.scan import scans_to_table
    from dualglow.files import check_writable, write_table

    check_writable(out.absolute().parent)
    cache = out.with_name(".headers.json")
    options = Options(pet_level, t1_level, strict, allow_unlisted, adnimerge, tuple(qc or ()), cache)
    with _progress("headers") as progress:
        scans = read_download(root, source.value, csv, options, progress)
    write_table(scans_to_table(scans), out)
    reasons = Counter((s.modality, s.reason or "usable") for s in scans)
    _show(f"{len(scans)} scans of {len({s.subject for s in scans})} people: {out}", _lines(reasons, "scans"))
    _warnings(code for s in scans for code in s.warnings.split())


@app.command()
def pair(
    scans: Annotated[Path, typer.Option(help="scans.tsv of `dualglow scan`; may be edited by hand.")] = SCANS,
    out: Annotated[
        Path | None, typer.Option(help="Table to write: one row per T1–PET pair. Default: pairs.tsv beside scans.tsv.")
    ] = None,
    exclusions: Annotated[
        Path | None,
        typer.Option(help="Table to write: every other scan and why. Default: exclusions.tsv beside pairs.tsv."),
    ] = None,
    max_days: Annotated[int, typer.Option(help="Largest gap between T1 and PET in days, inclusive.")] = 180,
    pairs_per_subject: Annotated[
        PerSubject, typer.Option(help="The nearest pair of a person, or all.")
    ] = PerSubject.one,
    overrides: Annotated[
        Path | None,
        typer.Option(help="Table of what a person decides: pairs forced or forbidden, scans left out, dates."),
    ] = None,
) -> None:
    """Pair each FDG-PET with the nearest T1 of the same person, and account for every other scan.

    **Inputs:** scans.tsv; perhaps overrides.tsv (columns action, subject, t1_id, pet_id, scan_id, date, reason).
    **Outputs:** pairs.tsv and exclusions.tsv; twice the pairs plus the exclusions are the scans.
    **Units:** delta_days counts days from T1 to PET (negative: PET first), age in years.

    **Example:** `dualglow pair --scans results/cohort/scans.tsv --max-days 90`
    """
    from dualglow.cohort.overrides import read_overrides
    from dualglow.cohort.pairing import exclusions_to_table, pair_scans, require_pairs
    from dualglow.cohort.scan import pairs_to_table, read_scans
    from dualglow.files import write_table

    out = out or scans.with_name("pairs.tsv")
    records = read_scans(scans)
    by_hand = read_overrides(overrides) if overrides else None
    pairs, left_out = pair_scans(records, max_days, pairs_per_subject.value, by_hand)
    write_table(exclusions_to_table(left_out), exclusions or out.with_name("exclusions.tsv"))
    _consort(records, pairs, left_out)
    require_pairs(records, pairs, max_days)
    write_table(pairs_to_table(pairs), out)


@app.command()
def split(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv of `dualglow pair`.")] = PAIRS,
    out: Annotated[
        Path | None,
        typer.Option(help="Table to write: fold, pair_id, subject, part. Default: folds.tsv beside pairs.tsv."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check this table of folds, which may be made by hand, and make none.")
    ] = None,
    demographics: Annotated[
        Path | None,
        typer.Option(help="Table to write: who is in which part. Default without --out: folds_demographics.tsv."),
    ] = None,
    scheme: Annotated[
        Scheme, typer.Option(help="kfold tests everyone once; holdout draws a tenth anew per fold.")
    ] = Scheme.kfold,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 10,
    validation: Annotated[float, typer.Option(help="Share of the training people that chooses the epoch.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same folds.")] = 1,
) -> None:
    """Divide the people, not the scans, into folds of training, validation and test.

    **Inputs:** pairs.tsv.
    **Outputs:** folds.tsv, one row per fold and pair, which may be edited by hand; folds_demographics.tsv beside it.
    **Units:** none; folds count from 0.

    **Example:** `dualglow split --pairs pairs.tsv --folds 10 --seed 1`, or, after an edit by hand,
    `dualglow split --check folds.tsv --pairs pairs.tsv`
    """
    from dualglow.cohort import splits
    from dualglow.files import read_table, write_table

    table = read_table(pairs, ["pair_id", "subject", "group", "age"])
    if check:
        rows = read_table(check, splits.FOLD_COLUMNS)
        splits.validate_folds(rows, table)
    else:
        rows = splits.make_folds(table, scheme.value, folds, validation, seed)
        splits.validate_folds(rows, table)
        write_table(rows, out or pairs.with_name("folds.tsv"))
        demographics = demographics or (None if out else pairs.with_name("folds_demographics.tsv"))
    if demographics:
        write_table(splits.demographics(rows, table), demographics)
    _show_folds(rows, table)


def _show_folds(rows: "pd.DataFrame", pairs: "pd.DataFrame") -> None:
    """Print the size and the hash of every fold, and warn of folds that train on mixed PET levels."""
    from dualglow.cohort.splits import PARTS, demographics, person, split_hash

    counts = rows.groupby("fold")["part"].value_counts().unstack(fill_value=0).reindex(columns=PARTS, fill_value=0)
    _show(
        f"{len(pairs)} pairs of {pairs['subject'].map(person).nunique()} people in {len(counts)} folds",
        [(f"fold {fold}", *map(str, row), split_hash(rows, fold)) for fold, *row in counts.itertuples()],
        ("", *PARTS, "split hash"),
    )
    training = demographics(rows, pairs).query("part == 'train'")["pet_levels"]
    if len(mixed := training[training.str.contains(",")]):
        print(f"Mind that {len(mixed)} folds train on mixed PET levels ({mixed.iloc[0]} in fold 0): see --pet-level.")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, nothing in a log; the body gets the function to call with (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
    lines += [(what, group, str(count)) for (what, group), count in sorted(made.items())]
    lines += [("pairs", f"PET level {level}", str(count)) for level, count in sorted(levels.items())]
    _show(f"{len(pairs)} pairs of {len({p.subject for p in pairs})} people", lines)
    _warnings(code for p in pairs for code in p.warnings.split())
    if len(levels) > 1:
        print(
            f"Mind that the pairs mix {len(levels)} PET levels, processed differently: see pet_level in pairs.tsv. "
            "dualglow scan --pet-level keeps one."
        )


def _warnings(codes: Iterable[str]) -> None:
    """Print how often which warning was given."""
    if counts := Counter(codes):
        print("Warnings, in the column `warnings`: " + ", ".join(f"{code} {n}" for code, n in sorted(counts.items())))


def _show(title: str, lines: Iterable[tuple[str, ...]], header: tuple[str, ...] = ("", "", "count")) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
