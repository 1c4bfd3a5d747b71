"""How a table leaves: as TSV for programs, LaTeX for the paper, HTML for the report, and on the terminal."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dualglow.cohort.scan import person
from dualglow.figures.pages import is_text, page
from dualglow.figures.style import SIMULATED
from dualglow.files import write_table, written

_ESCAPES = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "±": r"$\pm$",
    "–": "--",
    "²": "$^2$",
    "<": "$<$",
    "|": "$|$",
}


@dataclass(frozen=True)
class Table:
    """A table of the paper: `numbers` as they are (TSV), `cells` as they are printed, and what the caption says."""

    numbers: pd.DataFrame
    cells: pd.DataFrame
    caption: str
    label: str
    simulated: bool

    @property
    def full_caption(self) -> str:
        """The caption, which says so when the people are simulated."""
        return self.caption + (f" This is a {SIMULATED}: no real people." if self.simulated else "")


def save_table(table: Table, path: Path) -> None:
    """Write `<path>` (.tsv, full precision, with a column `simulated`), and beside it `.tex` (booktabs) and `.html`."""
    write_table(table.numbers.assign(simulated=table.simulated), path)
    with written(path.with_suffix(".tex")) as part:
        part.write_text(to_latex(table))
    with written(path.with_suffix(".html")) as part:
        part.write_text(to_html(table, path.name), encoding="utf-8")


def to_html(table: Table, source: str) -> str:
    """The cells as a page to look at, with the caption; `source` is the file that has the numbers."""
    rows = [[str(cell) for cell in row] for row in table.cells.itertuples(index=False)]
    words = [is_text([row[i] for row in rows]) for i in range(table.cells.shape[1])]
    words[0] = True
    return page(
        "table",
        title=source,
        caption=table.full_caption,
        names=[str(name) for name in table.cells.columns],
        rows=rows,
        words=words,
        source=source,
    )


def to_latex(table: Table) -> str:
    """A LaTeX table environment; needs the package booktabs."""
    columns = "l" + "r" * (table.cells.shape[1] - 1)
    rows = [" & ".join(_latex(str(cell)) for cell in row) + r" \\" for row in table.cells.itertuples(index=False)]
    head = " & ".join(_latex(name) for name in table.cells.columns) + r" \\"
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{_latex(table.full_caption)}}}",
        rf"\label{{{table.label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        *[r"\toprule", head, r"\midrule", *rows, r"\bottomrule"],
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def print_table(table: Table) -> None:
    """Print the cells, aligned, with the caption below."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable(box=SIMPLE_HEAD, caption=table.full_caption, caption_justify="left")
    for i, name in enumerate(table.cells.columns):
        shown.add_column(name.replace(", ", "\n"), justify="left" if i == 0 else "right", no_wrap=True)
    for row in table.cells.itertuples(index=False):
        shown.add_row(*(str(cell) for cell in row))
    console = Console()
    width = Console(width=10_000).measure(shown).maximum  # a terminal that is too narrow wraps lines, never cells
    Console(width=max(width, console.width)).print(shown)


def first_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of each person (column subject); two subject labels of one roster number are one person."""
    return rows[~rows["subject"].astype(str).map(person).duplicated()]


def atlas_name(atlas: str) -> str:
    """An atlas as a caption names it; of a file the file's name.

    AAL and AAL2 were both drawn on one brain, Colin27, which is not quite where the template is.
    """
    return f"{atlas.upper()} as it is, not warped to the template" if atlas in ("aal", "aal2") else Path(atlas).name


def mean_sd(values: pd.Series, digits: int) -> str:
    """`mean ± sd` (sample sd) of the values that are there; the mean alone of one; `n/a` of none."""
    values = values.astype(float).dropna()
    return plus_minus(values.mean(), values.std(), digits)


def plus_minus(mean: float, sd: float, digits: int) -> str:
    """`mean ± sd` in print; without a sd the mean alone, without a mean `n/a`."""
    if pd.isna(mean):
        return "n/a"
    return f"{mean:.{digits}f}" if pd.isna(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def _latex(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
