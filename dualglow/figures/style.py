"""What all tables and figures share: names and order of the methods, colours, fonts, and how they are saved."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from dualglow.files import write_table, written

METHOD_NAMES = {
    "real": "Real PET",
    "mri": "T1 MRI",
    "dualglow": "DUAL-GLOW",
    "dualglow-conditional": "DUAL-GLOW (conditional)",
    "cgan": "cGAN",
    "ucgan": "UcGAN",
    "cvae": "C-VAE",
    "pix2pix": "pix2pix",
    "iglow": "iGLOW",
    "linear": "Linear per voxel",
    "mean": "Mean PET",
    "age-sex": "Age and sex",
    "majority": "Majority class",
}

# Okabe & Ito: told apart with every kind of colour vision.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
STAGE_COLOURS = {"CN": BLUE, "MCI": ORANGE, "AD": VERMILION}
STAGE_MARKERS = {"CN": "o", "MCI": "s", "AD": "^"}

SIMULATED = "simulated cohort"
MAX_PIXELS = 1600

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "svg.fonttype": "none",
}


@contextmanager
def paper_style() -> Iterator[None]:
    """The figures' fonts and lines, for the body of the `with` only."""
    with matplotlib.rc_context(RC):  # type: ignore[arg-type]
        yield


def method_name(method: str) -> str:
    """The name that a method has in print."""
    return METHOD_NAMES.get(method, method)


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the tables; unknown ones last, by name."""
    order = list(METHOD_NAMES)
    return sorted(set(methods), key=lambda name: (order.index(name) if name in order else len(order), name))


def is_simulated(table: pd.DataFrame) -> bool:
    """Whether a table of results (its column `simulated`) comes from a simulated cohort, in whole or in part."""
    return "simulated" in table and bool(table["simulated"].astype(str).eq("True").any())


def titled(text: str, simulated: bool) -> str:
    """A title that says so when the people in it are simulated."""
    return f"{text} ({SIMULATED})" if simulated else text


def nothing_to_draw(title: str, reason: str) -> Figure:
    """A figure that says why it is empty: a cohort may lack what the figure shows, and the others are still drawn."""
    with paper_style():
        figure = Figure(figsize=(6.4, 1.6), layout="constrained")
        figure.suptitle(title, fontsize=10.5)
        figure.text(0.5, 0.4, reason, ha="center", va="center", wrap=True)
    return figure


def save_figure(figure: Figure, drawn: pd.DataFrame, stem: Path) -> list[Path]:
    """Write `<stem>.pdf`, `<stem>.png` (at most 1600 pixels a side, 300 dpi) and `<stem>.tsv`, the numbers drawn."""
    stem = stem.with_name(stem.name.removesuffix(".pdf").removesuffix(".png"))
    paths = [stem.with_name(stem.name + ending) for ending in (".pdf", ".png", ".tsv")]
    with paper_style(), written(paths[0]) as part:
        figure.savefig(part, metadata={"CreationDate": None})
    save_picture(figure, paths[1])
    write_table(drawn, paths[2])
    return paths


def save_picture(figure: Figure, path: Path, dpi: int = 300) -> None:
    """Write a PNG of at most 1600 pixels a side."""
    with paper_style(), written(path) as part:
        figure.savefig(part, dpi=min(dpi, MAX_PIXELS / max(figure.get_size_inches())))
