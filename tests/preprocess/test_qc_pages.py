"""The pages of a cohort: every link leads somewhere, the planted outlier comes first, the table is the workflow's."""

import json
import re
import zipfile
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dualglow.cohort.pseudonyms import pseudonyms
from dualglow.cohort.share import names_to_hide, share_report
from dualglow.errors import InputError
from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.exclusions import EXCLUDE_COLUMNS, read_exclude
from dualglow.preprocess.qc.cohort import Pair, group_table, read_cohort, robust_scores, values_of
from dualglow.preprocess.qc.limits import NAMES
from dualglow.preprocess.qc.pages import Site, exclude_text, write_pages
from dualglow.preprocess.qc.panels import PICTURES, picture

SUBJECTS = [f"002_S_{number:04d}" for number in range(1, 13)]
PAIRS = [f"sub-{name.replace('_', '')}_ses-20100101" for name in SUBJECTS]
OUTLIER, FAILED, FAR_OUT, CRASHED = PAIRS[4], PAIRS[7], PAIRS[2], PAIRS[9]
VOID = {"br", "col", "img", "input", "link", "meta", "path", "circle", "rect"}


def numbers_of(pair: str, number: int) -> dict:
    rng = np.random.default_rng(number)
    usual = dict.fromkeys(NAMES, 1.0) | {"brain_ml": 1400 + 50 * rng.normal(), "motion_mm": 0.0}
    found = {**usual, "pair_id": pair, "flags": [], "usable": True, "reasons": [], "frames": 1, "colour_top": 2.2}
    found |= {
        "reference_region": "pons",
        "units": "SUVR",
        "provenance": {"normalisation": {"engine": "wheel", "seed": 1}},
    }
    if pair == OUTLIER:
        found |= {"jacobian_max": 14.0, "flags": ["Strongest stretching 14.00, expected at most 10: <look> & judge"]}
    if pair == FAILED:
        found |= {"usable": False, "reasons": ["PET to T1: no pose makes them alike"], "pet_t1_nmi": None}
    if pair == PAIRS[1]:
        found |= {"frames": 6}
    return found


@pytest.fixture
def derivatives(tmp_path: Path) -> Path:
    """Numbers and pictures of all pairs but one, whose preprocessing crashed."""
    root = tmp_path / "derivatives"
    for number, pair in enumerate(PAIRS):
        if pair == CRASHED:
            continue
        figures = derivative(root, pair, "figures", "x").parent
        figures.mkdir(parents=True)
        numbers = derivative(root, pair, "pet", "qc", ".json", desc="pair")
        numbers.parent.mkdir()
        numbers.write_text(json.dumps(numbers_of(pair, number)))
        for what in PICTURES:
            if what != "motion" or pair == PAIRS[1]:
                (figures / picture(pair, what)).write_bytes(b"RIFF a picture")
    return root


@pytest.fixture
def exclude(tmp_path: Path) -> Path:
    path = tmp_path / "exclude.tsv"
    path.write_text(f"pair_id\treason\n{FAR_OUT}\tsaid 'no' to 002_S_0003's scan\n{CRASHED}\t\n")
    return path


class Page(HTMLParser):
    """What a page refers to, its ids and its words; fails where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.links, self.ids, self.alts, self.words = path, [], set(), [], []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID or (tag == "path" and found.get("class") == "odd"):
            self.open.append(tag)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        if tag == "img":
            self.alts.append(found["alt"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def made(derivatives: Path, exclude: Path | None, out: Path, labels: dict[str, str] | None = None) -> dict[str, Page]:
    cohort = read_cohort(PAIRS, derivatives, read_exclude(exclude), labels)
    write_pages(cohort, derivatives, Site(simulated=True, shared=labels is not None, exclude=exclude), out)
    return {path.name: Page(path) for path in out.glob("*.html")}


def test_every_link_leads_somewhere_and_needs_no_network(derivatives: Path, exclude: Path, tmp_path: Path) -> None:
    pages = made(derivatives, exclude, tmp_path / "qc")
    assert set(pages) == {"index.html", *(f"{pair}.html" for pair in PAIRS if pair != CRASHED)}
    for name, page in pages.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            assert (tmp_path / "qc" / (file or name)).is_file()
            assert not anchor or anchor in pages[file or name].ids
        assert all(page.alts)
        assert not re.search(r"https?://|url\(|@import", (tmp_path / "qc" / name).read_text())
        assert "simulated" in page.text
    linked = {link for page in pages.values() for link in page.links}
    assert {str(p.relative_to(tmp_path / "qc")) for p in (tmp_path / "qc").rglob("*.*")} - {"index.html"} <= linked


def test_the_unusable_and_the_planted_outlier_come_first(derivatives: Path, exclude: Path, tmp_path: Path) -> None:
    pages = made(derivatives, exclude, tmp_path / "qc")
    text = (tmp_path / "qc" / "index.html").read_text()
    order = re.findall(r'<li class="pair[^"]*" id="([^"]+)"', text)
    assert sorted(order) == PAIRS
    assert order[:2] == [FAILED, OUTLIER]
    assert order[-1] == CRASHED
    table = pd.read_csv(tmp_path / "qc" / "group.tsv", sep="\t")
    assert list(table["pair_id"]) == order
    assert table["most_unusual"].iloc[1] == "jacobian_max"
    assert table["excluded"].sum() == 2
    page = pages[f"{OUTLIER}.html"]
    assert "expected at most 10: <look> & judge" in page.text  # escaped: otherwise a tag
    assert "strongest stretching, 14.00 (26.0 sd from the median)" in page.text  # (14 - 1) / its grain of 0.5
    assert "PET to T1: no pose makes them alike" in pages[f"{FAILED}.html"].text
    assert "Static PET" in page.text
    assert "between the 6 frames" in pages[f"{PAIRS[1]}.html"].text


def test_scores_are_robust_distances_towards_the_worse_side() -> None:
    rng = np.random.default_rng(5)
    names = [f"p{number}" for number in range(2000)]
    values = values_of({name: dict.fromkeys(NAMES, 1.0) for name in names})
    values["brain_ml"] = rng.normal(1500, 100, 2000)
    values["pet_t1_nmi"] = rng.normal(1.2, 0.05, 2000)
    values.iloc[0, values.columns.get_loc("pet_t1_nmi")] = 1.4  # four standard deviations too alike: harmless
    values.iloc[1, values.columns.get_loc("pet_t1_nmi")] = 1.0  # four too little
    values.iloc[2, values.columns.get_loc("cjv")] = np.nan
    values.iloc[:400, values.columns.get_loc("jacobian_max")] = 99.0  # a fifth is broken
    values["reference_offset_mm"] = np.nan
    scores = robust_scores(values, [True] * 2000)
    expected = (values["brain_ml"] - 1500).abs() / 100
    assert np.allclose(scores["brain_ml"], expected, atol=0.3)
    assert scores["pet_t1_nmi"].iloc[0] == 0
    assert scores["pet_t1_nmi"].iloc[1] == pytest.approx(4, abs=0.3)
    assert np.isinf(scores["cjv"].iloc[2])
    assert (scores["jacobian_max"].iloc[:400] > 50).all()
    assert (scores[["mask_dice", "reference_offset_mm", "reference_mean"]] == 0).all(axis=None)


def test_the_table_of_exclusions_is_what_the_workflow_reads(derivatives: Path, exclude: Path, tmp_path: Path) -> None:
    pages = made(derivatives, exclude, tmp_path / "qc")
    shown = re.search(r"<textarea[^>]*>(.*?)</textarea>", (tmp_path / "qc" / "index.html").read_text(), re.DOTALL)
    assert shown
    (tmp_path / "again.tsv").write_text(shown[1].replace("&#39;", "'"))
    assert read_exclude(tmp_path / "again.tsv") == read_exclude(exclude)
    script = files("dualglow.preprocess.qc").joinpath("templates", "group.js").read_text()
    assert json.dumps("\t".join(EXCLUDE_COLUMNS) + "\n") in script
    odd = [Pair("a", "a", {}, {}, True, 'two\nlines\tand a "word"')]
    (tmp_path / "odd.tsv").write_text(exclude_text(odd))
    assert read_exclude(tmp_path / "odd.tsv") == {"a": "two lines and a 'word'"}
    assert str(exclude) in pages["index.html"].text


def test_a_pair_without_numbers_must_be_excluded(derivatives: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{CRASHED}.*no such file"):
        read_cohort(PAIRS, derivatives, {})
    (derivative(derivatives, PAIRS[0], "figures", "x").parent / picture(PAIRS[0], "suvr")).unlink()
    cohort = read_cohort([PAIRS[0]], derivatives, {})
    with pytest.raises(InputError, match="no such picture"):
        write_pages(cohort, derivatives, Site(True, False, None), tmp_path / "qc")
    assert not (tmp_path / "qc").exists()


def test_pages_are_replaced_as_a_whole(derivatives: Path, exclude: Path, tmp_path: Path) -> None:
    made(derivatives, exclude, tmp_path / "qc")
    more = tmp_path / "more.tsv"
    more.write_text(exclude.read_text() + f"{OUTLIER}\tstretched\n")
    pages = made(derivatives, more, tmp_path / "qc")
    assert "Excluded: stretched" in pages[f"{OUTLIER}.html"].text
    assert "Excluded: stretched" in pages["index.html"].text


def test_shared_pages_name_nobody(derivatives: Path, exclude: Path, tmp_path: Path) -> None:
    """File names, titles, alternative texts, tables: only pseudonyms; and the report's own check agrees."""
    key = pseudonyms(pd.DataFrame({"pair_id": PAIRS, "subject": SUBJECTS}), b"1" * 32)
    labels = dict(zip(key["pair_id"], key["pseudonym"], strict=True))
    pages = made(derivatives, exclude, tmp_path / "shared", labels)
    assert set(pages) == {"index.html", *(f"{labels[pair]}.html" for pair in PAIRS if pair != CRASHED)}
    everything = "".join(
        f"{path.relative_to(tmp_path / 'shared')}\n{path.read_bytes()!r}" for path in (tmp_path / "shared").rglob("*.*")
    )
    assert not re.search(r"(?i)002_?S_?\d{4}|ses-2010|said 'no'", everything)
    assert '<input type="checkbox"' not in (tmp_path / "shared" / "index.html").read_text()
    scans = pd.DataFrame({"scan_id": ["I40817"], "subject": [SUBJECTS[0]]})
    share_report(zipped(tmp_path / "shared", tmp_path / "raw.zip"), tmp_path / "report.zip",
                 names_to_hide(key, scans, b"1" * 32))  # fmt: skip
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        names = archive.namelist()
        (index,) = [name for name in names if name.endswith("/index.html")]
        links = re.findall(r'(?:src|href)="([^"#]+)"', archive.read(index).decode())
    assert len(links) > 30
    assert {index.replace("index.html", link) for link in links} < set(names)


def zipped(folder: Path, path: Path) -> Path:
    """As Snakemake packs a folder of pages."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, f"raw/data/raw/0123456789abcdef/{file.relative_to(folder)}")
    return path


def test_a_cohort_of_one_has_pages(derivatives: Path, tmp_path: Path) -> None:
    cohort = read_cohort([PAIRS[0]], derivatives, {})
    write_pages(cohort, derivatives, Site(False, False, None), tmp_path / "qc")
    page = Page(tmp_path / "qc" / "index.html")
    assert "Quality control of 1 pair" in page.text
    assert "All numbers are at the cohort's median" in page.text
    assert "preprocess.exclude: exclude.tsv" in page.text
    assert "simulated" not in page.text
    assert group_table(cohort)["score"].tolist() == [0.0]
