"""What made a file: engine, versions, seed, threads; the same few words in every JSON of the preprocessing."""

import subprocess
from functools import cache
from typing import Any

from dualglow import __version__
from dualglow.errors import DualGlowError
from dualglow.preprocess.ants import engine_in_use


def record(preset: str, seed: int | None) -> dict[str, Any]:
    """Describe this process's registrations: engine, its version, threads, seed (None: nothing is drawn), preset."""
    engine = engine_in_use()
    return {
        "engine": engine,
        "engine_version": _ants_version(),
        "threads": 1,
        "seed": seed,
        "preset": preset,
        "dualglow": __version__,
    }


@cache
def _ants_version() -> str:
    """Give what `antsRegistration --version` says, e.g. `v2.5.1.post95-g2236a75`."""
    run = subprocess.run(["antsRegistration", "--version"], capture_output=True, text=True, check=False)
    for line in run.stdout.splitlines():
        if line.startswith("ANTs Version:"):
            return line.split(":", 1)[1].strip()
    raise DualGlowError(f"antsRegistration --version says nothing of a version, but: {run.stdout or run.stderr!r}.")
