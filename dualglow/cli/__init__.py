"""The command line: one verb per step of the workflow."""

import importlib
import sys

from dualglow.cli.app import app
from dualglow.errors import DualGlowError

for _room in (
    "simulate",
    "cohort",
    "privacy",
    "preprocess",
    "quality",
    "derivatives",
    "model",
    "uncertainty",
    "results",
    "paper",
    "apply",
    "architecture",
    "cohort_figures",
):
    importlib.import_module(f"dualglow.cli.{_room}")


def main() -> None:
    """Run the command line; a user's mistake ends as one line on standard error and exit status 1."""
    try:
        app()
    except DualGlowError as error:
        verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        print(f"dualglow {verb}: {error}", file=sys.stderr)
        sys.exit(1)
