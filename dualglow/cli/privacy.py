"""What a report that leaves the institute must not say: pseudonyms, share."""

from pathlib import Path
from typing import Annotated

import typer

from dualglow.cli.app import app


@app.command()
def pseudonyms(
    pairs: Annotated[Path, typer.Option(help="pairs.tsv of `dualglow pair`.")],
    out: Annotated[Path, typer.Option(help="Table to write: pair_id, subject, pseudonym. Keep it to yourself.")],
) -> None:
    """Give every pair a name that tells a stranger nothing.

    Inputs: pairs.tsv. Outputs: the key table; beside it `.salt`, made once, readable by you only. Who has neither
    cannot find out who is meant. Units: none.

    Example: `dualglow pseudonyms --pairs results/cohort/pairs.tsv --out results/cohort/pseudonyms.tsv`
    """
    from dualglow.cohort import pseudonyms as names
    from dualglow.files import read_table, write_table

    table = names.pseudonyms(read_table(pairs, ["pair_id", "subject"]), names.make_salt(out.parent))
    write_table(table, out)


@app.command()
def share(
    report: Annotated[Path, typer.Option(help="Zip of `snakemake --report`, with real names.")],
    out: Annotated[Path, typer.Option(help="Zip to write.")],
    pseudonyms: Annotated[
        Path | None, typer.Option(help="Table of `dualglow pseudonyms`, .salt beside it. Without it, names stay.")
    ] = None,
    scans: Annotated[
        Path | None, typer.Option(help="scans.tsv: all names that must not be in the report. Default: beside the key.")
    ] = None,
) -> None:
    """Rewrite a report so that it can be shared: no person's or scan's name is left in its texts and file names.

    Inputs: the report, the key table, scans.tsv. Outputs: a zip; none if a name would be left in it. Pictures are
    copied as they are, so nobody may be named in them. Units: none.

    Example: `dualglow share --report local.zip --pseudonyms results/cohort/pseudonyms.tsv
    --scans results/cohort/scans.tsv --out report.zip`
    """
    from dualglow.cohort.pseudonyms import COLUMNS, read_salt
    from dualglow.cohort.share import names_to_hide, share_report
    from dualglow.files import read_table

    names = None
    if pseudonyms:
        found = read_table(scans or pseudonyms.with_name("scans.tsv"), ["scan_id", "subject"])
        names = names_to_hide(read_table(pseudonyms, COLUMNS), found, read_salt(pseudonyms.parent))
    share_report(report, out, names)
