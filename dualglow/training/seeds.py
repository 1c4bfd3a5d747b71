"""Random numbers that depend on what they are for, not on what was drawn before them."""

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from a name and numbers, such as (seed, "noise", epoch, step).

    Each epoch, step and pair gets its own, so an interrupted training that goes on, or a pair synthesised alone,
    draws the same numbers as the whole run.
    """
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
