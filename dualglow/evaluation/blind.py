"""Whether synthetic PETs were made without knowing what they are asked for."""

from pathlib import Path

from dualglow.errors import InputError
from dualglow.files import read_json


def check_blind(synthesis: Path, methods: list[str]) -> None:
    """Raise InputError if a method's model was told the diagnosis of the people whose PETs it made.

    Such a PET can show any diagnosis that its model was told: to find it again there says nothing of the T1.
    `synthesis` holds `<method>/fold-<k>/synthesis.json`.
    """
    for method in methods:
        for record in sorted((synthesis / method).glob("fold-*/synthesis.json")):
            if "group" in read_json(record).get("told", ()):
                raise InputError(
                    f"--methods {method}: its models were told the diagnosis (covariates: group) of those whose PETs "
                    "they made, so that these cannot be asked for it. Leave this method out."
                )
