"""The command line: one verb per step of the workflow."""

import importlib
import sys
import threading

from dualglow.cli.app import app
from dualglow.errors import DualGlowError
from dualglow.files import full_disk, out_of_space

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
    "comparison",
    "effects",
    "agreement",
    "calibration",
    "robustness",
    "paper",
    "pictures",
    "methods",
    "overview",
    "ageing",
    "slopes",
    "ablation",
    "apply",
    "architecture",
    "cohort_figures",
    "status",
):
    importlib.import_module(f"dualglow.cli.{_room}")


def main() -> None:
    """Run the command line; a user's mistake or a full disk ends as one line on standard error and exit status 1."""
    threading.excepthook = _quiet_about_a_full_disk
    try:
        app()
    except DualGlowError as error:
        _fail(str(error))
    except Exception as error:
        if not out_of_space(error):
            raise
        _fail(full_disk(getattr(error, "filename", None) or "an output"))


def _fail(message: str) -> None:
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    print(f"dualglow {verb}: {message}", file=sys.stderr)
    sys.exit(1)


def _quiet_about_a_full_disk(failed: threading.ExceptHookArgs) -> None:
    """A library's thread that cannot write shows no traceback: the next call into the library fails and is heard."""
    if not out_of_space(failed.exc_value):
        threading.__excepthook__(failed)
