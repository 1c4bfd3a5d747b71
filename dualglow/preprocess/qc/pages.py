"""The pages on which a person looks at a cohort's preprocessing: the group's and each pair's, needing no network."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import colormaps
from matplotlib.colors import to_hex

from dualglow import __version__
from dualglow.errors import InputError
from dualglow.files import write_table, written_folder
from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.exclusions import EXCLUDE_COLUMNS
from dualglow.preprocess.qc.charts import Distribution
from dualglow.preprocess.qc.cohort import UNUSUAL, Pair, group_table, values_of
from dualglow.preprocess.qc.drawing import COLOUR_MAP, draw_template
from dualglow.preprocess.qc.limits import INFINITE, MEASURES, Worse
from dualglow.preprocess.qc.panels import PICTURES, picture

_FOLDER, _TEMPLATE = "pictures", "template.webp"


@dataclass(frozen=True)
class Site:
    """What all pages of one folder say."""

    simulated: bool
    shared: bool  # for a reader who has no results folder: nothing to tick
    exclude: Path | None  # the table that the workflow reads
    version: str = __version__


def write_pages(pairs: list[Pair], derivatives: Path, site: Site, out: Path) -> None:
    """Write group.tsv, index.html, a page per pair and their pictures into the folder `out`, replaced as a whole.

    `pairs` are in the order of the pages, as `read_cohort` gives them. Pictures are hard links where that is possible.

    Raises
    ------
    InputError
        If a picture of a pair is missing.
    """
    known = [pair for pair in pairs if pair.known]
    values = values_of({pair.pair_id: pair.numbers for pair in known})
    existing = [measure for measure in MEASURES if values[measure.name].notna().any()]
    spread = {measure.name: Distribution.of(measure, values[measure.name]) for measure in existing}
    templates = _templates()
    with written_folder(out, (".html", ".tsv", _FOLDER)) as folder:
        (folder / _FOLDER).mkdir()
        shown = {pair.pair_id: _pictures(pair, derivatives, folder) for pair in known}
        draw_template(folder / _FOLDER / _TEMPLATE)
        write_table(group_table(pairs), folder / "group.tsv")
        pages = {"index.html": ("group.html.jinja", _group(pairs, spread, shown, site))}
        for place, pair in enumerate(known):
            pages[_page(pair)] = ("pair.html.jinja", _pair(known, place, spread, shown[pair.pair_id]))
        for name, (template, content) in pages.items():
            text = templates.get_template(template).render(site=site, **content)
            (folder / name).write_text(text, encoding="utf-8")


def exclude_text(pairs: list[Pair]) -> str:
    """The table exclude.tsv as the workflow reads it, for the pairs that are in it now."""
    rows = sorted((pair.pair_id, _plain(pair.reason)) for pair in pairs if pair.excluded)
    return "".join("\t".join(row) + "\n" for row in [tuple(EXCLUDE_COLUMNS), *rows])


def _plain(reason: str) -> str:
    """A reason in one line without double quotes, which a table could not hold; group.js does the same."""
    return " ".join(reason.split()).replace('"', "'")


def _templates() -> Environment:
    loader = PackageLoader("dualglow.preprocess.qc")
    found = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    found.filters["lower_first"] = _lower_first
    steps = [to_hex(colormaps[COLOUR_MAP](i / 8)) for i in range(9)]
    found.globals |= {
        "gradient": ", ".join(steps),
        "infinite": INFINITE,
        "unusual": UNUSUAL,
    }
    return found


def _lower_first(title: str) -> str:
    """A title within a sentence: "Brain" becomes "brain", but "PET" and "T1" and "CSF" stay."""
    return title if title[1:2].isupper() or title[1:2].isdigit() else title[:1].lower() + title[1:]


def _page(pair: Pair) -> str:
    return f"{pair.label}.html"


def _pictures(pair: Pair, derivatives: Path, folder: Path) -> dict[str, str | None]:
    """Bring a pair's pictures into the folder under its label; their paths from the pages, None for those it lacks."""
    found: dict[str, str | None] = {}
    for what, (suffix, ending) in PICTURES.items():
        source = derivative(derivatives, pair.pair_id, "figures", suffix, ending, desc=what)
        absent = what == "motion" and pair.numbers["frames"] == 1
        found[what] = None if absent else f"{_FOLDER}/{picture(pair.label, what)}"
        if not absent:
            _linked(source, folder / _FOLDER / picture(pair.label, what))
    return found


def _linked(source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputError(f"{source}: no such picture. Run dualglow qc again for this pair.")
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _group(
    pairs: list[Pair], spread: dict[str, Distribution], shown: dict[str, dict[str, str | None]], site: Site
) -> dict[str, Any]:
    """What the group's page shows."""
    known = [pair for pair in pairs if pair.known]
    pages = {pair.pair_id: _page(pair) for pair in known}
    charts = {
        pair.pair_id: spread[most.name].marked(pair.numbers[most.name]) for pair in known if (most := pair.most_unusual)
    }
    counts = {
        "all": ("All", len(pairs)),
        "flagged": ("Flagged", sum(bool(pair.flags) for pair in pairs)),
        "unusable": ("Unusable", sum(not pair.usable for pair in known)),
        "excluded": ("Excluded", sum(pair.excluded for pair in pairs)),
    }
    return {
        "pairs": pairs,
        "pages": pages,
        "thumbnails": {pair: pictures["thumbnail"] for pair, pictures in shown.items()},
        "charts": charts,
        "sorting": {pair.pair_id: _sorting(pair) for pair in pairs},
        "measures": [one.measure for one in spread.values()],
        "filters": [(name, title, count) for name, (title, count) in counts.items()],
        "excluded": counts["excluded"][1],
        "cohort": [(one.measure, one.pointed(known, pages), one.median) for one in spread.values()],
        "table": "" if site.shared else exclude_text(pairs),
    }


def _sorting(pair: Pair) -> dict[str, dict[str, Any]]:
    """What the page sorts by: the worst first, so the values of measures that are worse when high are negative."""
    found = {}
    for measure in MEASURES if pair.known else ():
        value = pair.numbers[measure.name]
        key = None if value is None else -value if measure.worse is Worse.high else value
        found[measure.name] = {"value": key, "says": measure.says(value)}
    return found


def _pair(
    known: list[Pair], place: int, spread: dict[str, Distribution], pictures: dict[str, str | None]
) -> dict[str, Any]:
    """What the page of the pair at this place shows."""
    pair = known[place]
    return {
        "pair": pair,
        "pic": pictures,
        "template": f"{_FOLDER}/{_TEMPLATE}",
        "region": Path(pair.numbers["reference_region"]).name,  # of a mask by its path, the name alone
        "rows": _rows(pair, spread),
        "place": place + 1,
        "total": len(known),
        "before": _page(known[place - 1]) if place else None,
        "after": _page(known[place + 1]) if place + 1 < len(known) else None,
    }


def _rows(pair: Pair, spread: dict[str, Distribution]) -> list[dict[str, Any]]:
    """The table of a pair's numbers."""
    return [
        {
            "measure": one.measure,
            "value": one.measure.says(value),
            "chart": one.marked(value),
            "score": None if one.measure.worse is Worse.neither else pair.scores[name],
            "out": not one.measure.holds(value),
        }
        for name, one in spread.items()
        for value in [pair.numbers[name]]
    ]
