"""How a download becomes pairs: a CONSORT-style flow chart, and a histogram of the days between the scans."""

from collections import Counter
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from dualglow.cohort.scan import GROUPS
from dualglow.figures.style import BLUE, GREEN, ORANGE, SKY, VERMILION, paper_style, titled

FLOW_COLUMNS = ["stage", "modality", "what", "count"]
ALL = "all"
SHOWN_REASONS = 9  # at a box's side; the rest is summed up

# What a reason code means, in the words of a paper.
MEANINGS = {
    "not_t1": "not a T1",
    "not_pet": "not a PET",
    "wrong_tracer": "another tracer than FDG",
    "tracer_unknown": "tracer unknown",
    "level_not_used": "processing level not used",
    "level_not_wanted": "another processing level",
    "file_missing": "listed, but not downloaded",
    "not_in_csv": "in no table",
    "no_date": "no date",
    "date_conflict": "dates contradict each other",
    "duplicate_differs": "two files, two contents",
    "modality_conflict": "modality contradicted",
    "subject_conflict": "person contradicted",
    "qc_failed": "failed the study's quality control",
    "geometry": "unsuitable geometry",
    "dicom_incomplete": "DICOM series incomplete",
    "format_unknown": "format not read",
    "orientation_assumed": "left and right not stated",
    "frames_inconsistent": "frames differ in shape",
    "duplicate_file": "the same image as .nii and .nii.gz",
    "name_conflict": "file name contradicts its folder",
    "bidsignored": "listed in .bidsignore",
    "name_unknown": "file name not understood",
    "unreadable": "unreadable",
    "excluded_by_hand": "left out by hand",
    "no_partner": "no partner of this person",
    "outside_window": "partner too many days away",
    "duplicate_same_day": "second scan of a day",
    "not_selected": "a nearer pair was taken",
    "unmatched": "partners taken by other scans",
    "forbidden_by_hand": "pair forbidden by hand",
}


KINDS = {"MRI": "MRI", "PET": "PET", "other": "neither"}
LINE, PADDING, GAP = 1.0, 0.35, 1.6  # heights in lines of text
MIXED = "Mind: PETs of several processing levels are mixed"
WRAP = 44  # characters in a wide box
PLACES = {  # centre, width (both in % of the figure) and colour of each box
    "read": (25, 46, BLUE),
    "lost": (77, 44, VERMILION),
    "t1": (12.5, 21, BLUE),
    "pet": (37.5, 21, BLUE),
    "left": (77, 44, ORANGE),
    "paired": (25, 46, GREEN),
}


@dataclass(frozen=True)
class _Box:
    """A box of the chart: centre and width in % of the figure, top in lines from above, headline and lines below it.

    Two blanks in a line separate a name from its count, which is set flush right.
    """

    x: float
    top: float
    width: float
    head: str
    lines: list[str]
    colour: str

    @property
    def height(self) -> float:
        """Height in lines."""
        return 2 * PADDING + LINE * (1 + len(self.lines))

    @property
    def bottom(self) -> float:
        """Lower edge in lines from above."""
        return self.top + self.height

    @property
    def y(self) -> float:
        """Middle in lines from above."""
        return self.top + self.height / 2


def flow_table(scans: pd.DataFrame, pairs: pd.DataFrame, exclusions: pd.DataFrame) -> pd.DataFrame:
    """Count what became of every scan; the numbers that the chart shows.

    Parameters
    ----------
    scans, pairs, exclusions
        The tables of `dualglow scan` and `dualglow pair`.

    Returns
    -------
    Rows of stage (read, excluded, usable, unpaired, paired, group, pet_level, t1_level, warning), modality, what
    (a reason, group, level or warning) and count: of scans, or of pairs from `paired` on.
    """
    rows = [("read", str(name), "scans", int(n)) for name, n in scans["modality"].value_counts().items()]
    rows.append(("read", ALL, "people", scans["subject"].nunique()))
    for stage, name in (("scan", "excluded"), ("pair", "unpaired")):
        part = exclusions[exclusions["stage"] == stage]
        counts = Counter(zip(part["modality"].astype(str), part["reason"].astype(str), strict=True))
        rows += [(name, *key, n) for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    lost = exclusions[exclusions["stage"] == "scan"]
    for modality in ("MRI", "PET"):
        own = int((scans["modality"] == modality).sum() - (lost["modality"] == modality).sum())
        rows.append(("usable", modality, "scans", own))
    rows += [("paired", ALL, "pairs", len(pairs)), ("paired", ALL, "people", pairs["subject"].nunique())]
    for column in ("group", "pet_level", "t1_level"):
        found = Counter(pairs[column].fillna("unknown").astype(str))
        rows += [(column, ALL, what, n) for what, n in sorted(found.items(), key=_order)]
    codes = Counter(code for text in pairs["warnings"].dropna() for code in str(text).split())
    rows += [("warning", ALL, code, n) for code, n in sorted(codes.items())]
    return pd.DataFrame(rows, columns=FLOW_COLUMNS)


def flow_chart(flow: pd.DataFrame, simulated: bool) -> Figure:
    """Boxes from scans read over usable T1s and PETs to pairs, with the reasons and counts at the side.

    Parameters
    ----------
    flow
        Of `flow_table`.
    """
    read, lost, t1, pet, left, paired = boxes = _boxes(flow)
    fork, join = t1.top - GAP / 2, t1.bottom + GAP / 2
    bottom = paired.bottom + 1
    with paper_style():
        figure = Figure(figsize=(7.4, 0.165 * bottom + 0.45), layout="constrained")
        axes = figure.subplots()
        axes.set(xlim=(0, 100), ylim=(bottom, -1))
        axes.axis("off")
        _line(axes, (read.x, read.bottom), (read.x, fork))
        _line(axes, (t1.x, fork), (pet.x, fork))
        _line(axes, (t1.x, join), (pet.x, join))
        for box in (t1, pet):
            _line(axes, (box.x, fork), (box.x, box.top), arrow=True)
            _line(axes, (box.x, box.bottom), (box.x, join))
        _line(axes, (read.x, join), (read.x, paired.top), arrow=True)
        for side in (lost, left):
            _line(axes, (read.x, side.y), (side.x - side.width / 2, side.y), arrow=True)
        for box in boxes:
            _draw(axes, box)
        figure.suptitle(titled("From the download to T1–PET pairs", simulated), fontsize=10.5)
    return figure


def days_histogram(pairs: pd.DataFrame, simulated: bool) -> Figure:
    """Histogram of the days from T1 to PET (negative: the PET came first), with the median and the quartiles.

    Parameters
    ----------
    pairs
        pairs.tsv; its column delta_days is drawn. Pairs without dates are counted in the title.
    """
    days = pairs["delta_days"].dropna().to_numpy(float)
    undated = len(pairs) - len(days)
    with paper_style():
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        axes = figure.subplots()
        if len(days):
            reach = max(10.0, float(np.abs(days).max()))
            step = 10 if reach > 60 else 5
            edge = step * np.ceil((reach + 0.5) / step)
            axes.hist(
                days, bins=list(np.arange(-edge, edge + step, step) - 0.5), color=SKY, edgecolor=BLUE, linewidth=0.6
            )
            low, median, high = (round(value) for value in np.percentile(days, [25, 50, 75]))
            axes.axvspan(low, high, color=ORANGE, alpha=0.25, linewidth=0, zorder=0, label=f"quartiles {low}, {high}")
            axes.axvline(median, color=VERMILION, linewidth=1.6, label=f"median {median} days")
            axes.axvline(0, color="0.4", linewidth=0.8, linestyle=":")
            axes.legend(frameon=False, loc="upper left")
        axes.set_xlabel("Days from T1 to PET (negative: PET first)")
        axes.set_ylabel("Pairs")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        left_out = f", {undated} without dates not shown" if undated else ""
        title = f"Days between T1 and PET, {len(days)} pairs{left_out}"
        figure.suptitle(titled(title, simulated), fontsize=10.5)
    return figure


def _boxes(flow: pd.DataFrame) -> list[_Box]:
    """Place the boxes from top to bottom: read, not usable, T1, PET, in no pair, paired."""
    kinds = [f"{KINDS.get(name, name)}: {n:,}" for name, n in _counts(flow, "read", "modality", "scans")]
    usable = dict(_counts(flow, "usable", "modality"))
    groups = [f"{name} {n:,}" for name, n in _counts(flow, "group")]
    levels = [f"{name} {n:,}" for name, n in _counts(flow, "pet_level")]
    made = [", ".join(groups), *_wrapped("PET level: " + ", ".join(levels))]
    made += [MIXED] if len(levels) > 1 else []
    texts = {
        "read": (f"{_sum(flow, 'read', 'scans'):,} scans of {_sum(flow, 'read', 'people'):,} people read", kinds),
        "lost": (f"{_sum(flow, 'excluded'):,} not usable", _reasons(flow, "excluded")),
        "t1": (f"{usable.get('MRI', 0):,} T1", ["usable"]),
        "pet": (f"{usable.get('PET', 0):,} FDG-PET", ["usable"]),
        "left": (f"{_sum(flow, 'unpaired'):,} usable, in no pair", _reasons(flow, "unpaired")),
        "paired": (f"{_sum(flow, 'paired', 'pairs'):,} pairs of {_sum(flow, 'paired', 'people'):,} people", made),
    }
    top, placed = 0.0, []
    for name, (head, lines) in texts.items():
        x, width, colour = PLACES[name]
        placed.append(_Box(x, top, width, head, lines, colour))
        top = top if name == "t1" else placed[-1].bottom + GAP
    return placed


def _reasons(flow: pd.DataFrame, stage: str) -> list[str]:
    """One line per modality and reason, the most frequent first; the rare ones are summed up."""
    part = flow[flow["stage"] == stage]
    cells = zip(part["modality"].astype(str), part["what"].astype(str), part["count"].astype(int), strict=True)
    lines = [f"{KINDS.get(kind, kind)}: {MEANINGS.get(why, why)}  {n:,}" for kind, why, n in cells]
    rest = part["count"].iloc[SHOWN_REASONS:]
    more = [f"{len(rest)} rarer reasons  {rest.sum():,}"] if len(rest) else []
    return lines[:SHOWN_REASONS] + more


def _counts(flow: pd.DataFrame, stage: str, column: str = "what", what: str = "") -> list[tuple[str, int]]:
    part = flow[(flow["stage"] == stage) & ((flow["what"] == what) | (what == ""))]
    return [(str(name), int(n)) for name, n in zip(part[column], part["count"], strict=True)]


def _sum(flow: pd.DataFrame, stage: str, what: str = "") -> int:
    return sum(n for _, n in _counts(flow, stage, what=what))


def _order(item: tuple[str, int]) -> tuple[int, str]:
    """Groups in the order of the disease, everything else by name."""
    name = item[0]
    return (GROUPS.index(name) if name in GROUPS else len(GROUPS), name)


def _wrapped(text: str) -> list[str]:
    return wrap(text, WRAP) or [""]


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float], arrow: bool = False) -> None:
    style = "-|>" if arrow else "-"
    props = {"arrowstyle": style, "color": "0.35", "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", xy=end, xytext=start, arrowprops=props)


def _draw(axes: Axes, box: _Box) -> None:
    corner = (box.x - box.width / 2, box.top)
    shape = FancyBboxPatch(
        corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=0.8", mutation_aspect=0.4,
        facecolor="white", edgecolor=box.colour, linewidth=1.4,
    )  # fmt: skip
    axes.add_patch(shape)
    left = box.x - box.width / 2 + 2
    axes.text(left, box.top + 1.2 * PADDING, box.head, va="top", weight="bold", fontsize=9)
    for number, line in enumerate(box.lines, start=1):
        name, _, count = line.partition("  ")
        y = box.top + 1.4 * PADDING + number * LINE
        colour = VERMILION if name == MIXED else "0.2"
        axes.text(left, y, name, va="top", fontsize=8, color=colour)
        axes.text(box.x + box.width / 2 - 2, y, count, va="top", ha="right", fontsize=8, color="0.2")
