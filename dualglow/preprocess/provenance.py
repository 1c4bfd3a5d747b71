"""What made a file: engine, versions, seed, threads; the same few words in every JSON of the preprocessing."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from dualglow import __version__
from dualglow.errors import DualGlowError
from dualglow.preprocess.ants import engine_in_use


def record(preset: str, seed: int | None) -> dict[str, Any]:
    """Describe this process's registrations: engine, its version, threads, seed (None: nothing is drawn), preset."""
    engine = engine_in_use()
    versions = {"engine_version": _ants_version()}
    if engine == "fsl":
        versions = {"engine_version": _fsl_version(), "resampling": f"ANTs {_ants_version()}"}
    return {
        "engine": engine,
        **versions,
        "threads": 1,
        "seed": seed,
        "preset": preset,
        "dualglow": __version__,
    }


def _fsl_version() -> str:
    """Give the content of `$FSLDIR/etc/fslversion`, e.g. `6.0.7.14`; FSL from single conda packages has none."""
    path = Path(os.environ["FSLDIR"], "etc", "fslversion")
    return path.read_text().split(":")[0].strip() if path.is_file() else "unknown"


@cache
def _ants_version() -> str:
    """Give what `antsRegistration --version` says, e.g. `v2.5.1.post95-g2236a75`."""
    run = subprocess.run(["antsRegistration", "--version"], capture_output=True, text=True, check=False)
    for line in run.stdout.splitlines():
        if line.startswith("ANTs Version:"):
            return line.split(":", 1)[1].strip()
    raise DualGlowError(f"antsRegistration --version says nothing of a version, but: {run.stdout or run.stderr!r}.")
