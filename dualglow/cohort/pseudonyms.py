"""Names for people that tell a stranger nothing: a salted hash, whose salt and key table stay in the results folder."""

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

import pandas as pd

from dualglow.cohort.scan import person
from dualglow.errors import InputError
from dualglow.files import read_table

SALT_NAME = ".salt"
SALT_BYTES = 32
COLUMNS = ["pair_id", "subject", "pseudonym"]
DIGITS = 8  # 32 bits: among 10 000 people two share a name with a probability of 1 %, which is checked


def make_salt(folder: Path) -> bytes:
    """Read the folder's salt; make it, readable by its owner only, if there is none.

    Raises InputError if it cannot be made or read, or is too short.
    """
    path = folder / SALT_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}). Choose a writable results folder.") from error
    else:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(SALT_BYTES))
    return read_salt(folder)


def read_salt(folder: Path) -> bytes:
    """Read the folder's salt. Raises InputError if there is none, or it is too short."""
    path = folder / SALT_NAME
    try:
        salt = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Run dualglow pseudonyms.") from error
    if len(salt) < SALT_BYTES:
        raise InputError(f"{path}: is too short for a salt. Remove it; a new one, and new pseudonyms, will be made.")
    return salt


def hashed(text: str, salt: bytes, digits: int = DIGITS) -> str:
    """Hexadecimal digits of the text's hash, which cannot be guessed without the salt (HMAC-SHA256)."""
    return hmac.new(salt, text.encode(), sha256).hexdigest()[:digits]


def pseudonyms(pairs: pd.DataFrame, salt: bytes) -> pd.DataFrame:
    """Name each pair: `P` and 8 hexadecimal digits for the person, then which of the person's pairs it is.

    Parameters
    ----------
    pairs
        pairs.tsv; its columns pair_id and subject are read. In the order of pair_id, one person's pairs are in time.

    Returns
    -------
    One row per pair: pair_id, subject, pseudonym, such as `P3fa91c2b-1`.

    Raises
    ------
    InputError
        If two people would share a name.
    """
    table = pairs[["pair_id", "subject"]].astype(str).sort_values("pair_id", ignore_index=True)
    who = table["subject"].map(person)
    names = {name: "P" + hashed(name, salt) for name in sorted(set(who))}
    if len(set(names.values())) < len(names):
        raise InputError(f"two people would share a pseudonym. Remove {SALT_NAME} beside pairs.tsv and run again.")
    number = table.groupby(who).cumcount() + 1
    return table.assign(pseudonym=who.map(names) + "-" + number.astype(str))[COLUMNS]


def pseudonym_of(pair_id: str, path: Path) -> str:
    """Look up a pair in pseudonyms.tsv. Raises InputError if it is not there."""
    table = read_table(path, COLUMNS)
    found = table.loc[table["pair_id"] == pair_id, "pseudonym"]
    if found.empty:
        raise InputError(f"{path}: has no row for {pair_id}. Run dualglow pseudonyms again.")
    return str(found.iloc[0])
