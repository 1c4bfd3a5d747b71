"""A shared report names nobody: pseudonyms, their salt, and the rewriting of Snakemake's report."""

import random
import re
import stat
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dualglow.cohort.pseudonyms import make_salt, pseudonym_of, pseudonyms, read_salt
from dualglow.cohort.share import Names, names_to_hide, share_report
from dualglow.errors import InputError
from dualglow.files import write_table

PAIRS = pd.DataFrame(
    {
        "pair_id": [
            "sub-002S0295_ses-20060502",
            "sub-002S0295_ses-20080101",
            "sub-941S0295_ses-20100101",
            "sub-01_ses-a",
        ],
        "subject": ["002_S_0295", "002_S_0295", "941_S_0295", "01"],
    }
)
SCANS = pd.DataFrame(
    {
        "scan_id": ["I40817", "I40818", "I9", "sub-01_ses-a_T1w", "I40820"],
        "subject": ["002_S_0295", "002_S_0295", "941_S_0295", "01", "002_S_4444"],
    }
)


def test_the_salt_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    salt = make_salt(tmp_path / "cohort")
    path = tmp_path / "cohort" / ".salt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(salt) == 32
    assert make_salt(path.parent) == salt == read_salt(path.parent)
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="too short"):
        read_salt(path.parent)
    with pytest.raises(InputError, match="cannot be read"):
        read_salt(tmp_path)


def test_one_person_has_one_pseudonym_that_depends_on_the_salt(tmp_path: Path) -> None:
    table = pseudonyms(PAIRS, b"1" * 32).set_index("pair_id")["pseudonym"]
    assert table.str.fullmatch(r"P[0-9a-f]{8}-\d").all()
    people = table.str.split("-").str[0]
    assert people.iloc[0] == people.iloc[1] != people["sub-01_ses-a"]
    assert people["sub-941S0295_ses-20100101"] == people["sub-002S0295_ses-20060502"]  # one roster number, one person
    assert list(table.filter(like="295").str[-1]) == ["1", "2", "3"]
    other = pseudonyms(PAIRS, b"2" * 32)["pseudonym"]
    assert not set(other) & set(table)
    assert pseudonyms(PAIRS.sample(frac=1, random_state=3), b"1" * 32).equals(pseudonyms(PAIRS, b"1" * 32))
    write_table(table.reset_index().assign(subject="x"), tmp_path / "p.tsv")
    assert pseudonym_of("sub-01_ses-a", tmp_path / "p.tsv") == table["sub-01_ses-a"]
    with pytest.raises(InputError, match="no row for sub-77"):
        pseudonym_of("sub-77_ses-1", tmp_path / "p.tsv")


PAGE = """<p>results/derivatives/sub-002S0295/ses-20060502/figures/sub-002S0295_ses-20060502_desc-qc_pet.png</p>
{"wildcards": "sub=002S0295, ses=20060502", "params": "--pair sub-01_ses-a --t1 sub-01/ses-a/anat", "n": 01,
"uri": "data/raw/0123456789abcdef/sub-002s0295_ses-20060502_desc-qc_pet.png"}
002_S_0295 I40817 I40818, ADNI_002_S_4444_MR
sub-01_ses-a_T1w.nii function(a01){return 01}"""


def report(path: Path, **members: bytes) -> Path:
    files = {
        "raw/report.html": PAGE.encode(),
        "raw/data/raw/0123456789abcdef/sub-002S0295_ses-20060502_desc-qc_pet.png": b"\x89PNG pixels",
        "raw/data/raw/fedcba9876543210/cohort.tsv": b"what\tcount\nscans\t5\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | members).items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def names() -> Names:
    return names_to_hide(pseudonyms(PAIRS, b"1" * 32), SCANS, b"1" * 32)


def everything(path: Path) -> str:
    """All names and contents of a zip, as one text."""
    with zipfile.ZipFile(path) as archive:
        return "\n".join(name + "\n" + archive.read(name).decode("latin-1") for name in archive.namelist())


def test_no_name_is_left_in_a_shared_report(names: Names, tmp_path: Path) -> None:
    """Looked for here by a pattern of its own: roster numbers, image IDs and dates of sessions."""
    share_report(report(tmp_path / "raw.zip"), tmp_path / "report.zip", names)
    text = everything(tmp_path / "report.zip")
    assert not re.findall(r"(?i)\d{3}_?S_?\d{4}|I4081\d|I40820|ses-20|ses=20|sub-01|sub=01", text)
    assert "0123456789abcdef" not in text  # a hash of the path, from which the path can be guessed
    person = pseudonyms(PAIRS, b"1" * 32)["pseudonym"].iloc[1].split("-")[0]
    picture = rf"report/data/raw/([0-9a-f]{{16}})/sub-{person}_ses-1_desc-qc_pet\.png"
    (folder,) = re.findall(picture, text)
    assert f'"uri": "data/raw/{folder}/sub-{person}_ses-1_desc-qc_pet.png"' in text  # the page still finds its picture
    assert "function(a01){return 01}" in text  # a bare number is no name
    assert "scans\t5" in text


def test_many_names_are_found_as_one_by_one() -> None:
    """Against the plain alternative of all names: beginnings, ends and cases of each other, and none."""
    draw = random.Random(4)
    found = {"".join(draw.choices("ab1_-", k=draw.randint(1, 7))) for _ in range(300)} | {"x.y", "x+y", "é1"}
    names = Names.of({name: f"<{number}>" for number, name in enumerate(sorted(found))}, b"1" * 32)
    plain = "|".join(re.escape(name) for name in sorted(found, key=len, reverse=True))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{plain})(?![A-Za-z0-9])", re.IGNORECASE)
    text = "".join(draw.choices("abAB1_- x.y+é", k=20_000))
    assert names.clean(text) == pattern.sub(lambda match: names.replaced[match[0].lower()], text)
    long = {name for name in found if len(name) > 5}
    for content in (text.encode(), b"\x00\xff" + max(long).upper().encode() + b"\x07", b"\x89PNG ab1"):
        assert names.left_in(content) == sorted(name for name in long if name.encode() in content.lower())


def test_a_name_that_cannot_be_replaced_stops_the_report(names: Names, tmp_path: Path) -> None:
    raw = report(tmp_path / "raw.zip", **{"raw/data/raw/00/figure.png": b"\x89PNG tEXt 002_S_0295"})
    with pytest.raises(InputError, match="would still hold the names of 1 people") as caught:
        share_report(raw, tmp_path / "report.zip", names)
    assert "295" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [raw]
    with pytest.raises(InputError, match="no such zip"):
        share_report(tmp_path / "absent.zip", tmp_path / "report.zip", names)


def test_without_pseudonyms_all_is_copied(tmp_path: Path) -> None:
    share_report(report(tmp_path / "raw.zip"), tmp_path / "report.zip", None)
    text = everything(tmp_path / "report.zip")
    assert PAGE in text
    assert "report/data/raw/0123456789abcdef/sub-002S0295_ses-20060502_desc-qc_pet.png" in text
