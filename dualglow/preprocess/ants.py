"""Where the programs come from, and running them through nipype so that a failure is an error of one line.

Real ANTs programs on PATH are preferred; else those inside the antspyx wheel, through scripts in a private folder.
With the engine `fsl`, registration and segmentation are FSL's (see `fsl`).
Every call has one thread and a fixed seed: the same input gives the same bytes.
"""

import atexit
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dualglow.errors import ConfigError, DualGlowError, InputError

PROGRAMS = ("antsRegistration", "antsApplyTransforms", "N4BiasFieldCorrection", "Atropos")
FSL_PROGRAMS = ("flirt", "bet", "fast", "fnirt", "invwarp")
ENGINES = ("auto", "native", "wheel", "fsl")
_CRASHED = re.compile(r"code (?:-11|139|-6|134)\b|Segmentation fault|Aborted")

_own_folders: dict[str, Path] = {}
_in_use: list[str] = []  # the engine that this process chose last


def engine_in_use() -> str:
    """Give the engine that `use_engine` chose last in this process; chooses by `auto` if it was not called."""
    return _in_use[-1] if _in_use else use_engine("auto")


def use_engine(engine: str) -> str:
    """Make the programs findable for nipype in this process; gives the engine chosen: `native`, `wheel` or `fsl`.

    Must run before nipype's first look at a version, which it remembers. With `fsl` images are still resampled by
    ANTs, wherever it comes from.

    Raises
    ------
    ConfigError
        If the engine is unknown or is not installed.
    """
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is unknown: expected one of {', '.join(ENGINES)}.")
    os.environ["NIPYPE_NO_ET"] = "1"
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    if engine == "fsl":
        require_fsl()
    found = _use_ants("auto" if engine == "fsl" else engine)
    _in_use[:] = [engine if engine == "fsl" else found]
    return _in_use[-1]


def _use_ants(engine: str) -> str:
    """Put ANTs' own programs, or the wheel's, first on PATH. Native ones may lie in ANTSPATH, too."""
    own = {str(folder) for folder in _own_folders.values()}
    words = [os.environ.get("ANTSPATH", ""), *os.environ["PATH"].split(os.pathsep)]
    native = os.pathsep.join(dict.fromkeys(word for word in words if word and word not in own))
    missing = [program for program in PROGRAMS if not shutil.which(program, path=native)]
    if engine != "wheel" and not missing:
        os.environ["PATH"] = native
        return "native"
    if engine == "native":
        raise ConfigError(
            f"engine native: {', '.join(missing)} not found on PATH. Install ANTs, name its folder in ANTSPATH "
            "(Debian's is /usr/lib/ants) or use engine wheel."
        )
    os.environ["PATH"] = os.pathsep.join([str(_wheel_folder()), native])
    return "wheel"


def require_fsl() -> None:
    """Raise ConfigError unless FSL's programs are on PATH, with FSLDIR set, and fslpy is installed."""
    missing = [program for program in FSL_PROGRAMS if not shutil.which(program)]
    if missing or not os.environ.get("FSLDIR"):
        what = f"{', '.join(missing)} not found on PATH" if missing else "FSLDIR is not set"
        raise ConfigError(f"engine fsl: {what}. Install FSL (see docs/preprocessing.md), or use engine auto.")
    if not find_spec("fsl"):
        raise ConfigError("engine fsl: the package fslpy is not installed. Run: pip install 'dualglow[fsl]'.")
    os.environ["FSLOUTPUTTYPE"] = "NIFTI_GZ"


def _wheel_folder() -> Path:
    """Make the private folder of programs once per process; it goes when the process ends."""
    if "wheel" not in _own_folders:
        library = _wheel_library()
        folder = Path(tempfile.mkdtemp(prefix="dualglow-ants-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        shim = Path(__file__).with_name("shim.py")
        for program in PROGRAMS:
            # -P: the folder of shim.py holds an ants.py of its own, which must not hide the wheel's modules.
            words = shlex.join([sys.executable, "-P", str(shim), str(library), program])
            (folder / program).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (folder / program).chmod(0o755)
        _own_folders["wheel"] = folder
    return _own_folders["wheel"]


def _wheel_library() -> Path:
    spec = find_spec("ants")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or [] for path in sorted(Path(folder).glob("lib*.so"))]
    if not found:
        raise ConfigError("engine wheel: the package antspyx is not installed. Run: pip install antspyx.")
    return found[0]


@contextmanager
def workspace() -> Iterator[Path]:
    """Give a working folder that disappears afterwards; nothing unfinished reaches the outputs."""
    with tempfile.TemporaryDirectory(prefix="dualglow-") as folder:
        yield Path(folder)


def run_node(name: str, interface: Any, folder: Path) -> Any:  # noqa: ANN401 - nipype's classes are not typed
    """Run a nipype interface as a Node in `folder` and give its outputs.

    A Node, because the bare interface does not raise on a failed program when an old output exists.

    Raises
    ------
    DualGlowError
        If the program failed; the message ends with the last line that it wrote.
    """
    import logging

    engine_in_use()
    from nipype import Node

    for logger in ("nipype.workflow", "nipype.interface", "nipype.utils"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # the error raised below says it in one line
    interface.terminal_output = "allatonce"
    if hasattr(interface.inputs, "num_threads"):
        interface.inputs.num_threads = 1
    try:
        return Node(interface, name=name, base_dir=str(folder)).run().outputs
    except Exception as error:  # nipype raises many kinds, all of which mean that this step failed
        raise DualGlowError(f"{name}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    """Find the last line of standard error in a nipype message, else the last line of all."""
    if _CRASHED.search(text):
        return "the program crashed: an input image may be damaged, or memory or disk used up."
    stderr = text.partition("Stderr:")[2].partition("Traceback")[0].strip()
    lines = [line.strip() for line in (stderr or text).splitlines() if line.strip()]
    return lines[-1] if lines else "failed without a message."


def read_affine(path: Path) -> np.ndarray:
    """Read an ITK affine or rigid transform as a 4x4 matrix in RAS+ mm, fixed point → moving point.

    ITK stores matrix A, translation t and centre c in LPS: y = A (x - c) + c + t.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        centre = np.asarray(content.pop("fixed"), dtype=float).ravel()
        parameters = next(v for k, v in content.items() if "Transform" in k).ravel().astype(float)
        matrix, translation = parameters[:9].reshape(3, 3), parameters[9:12]
    except (OSError, KeyError, StopIteration, ValueError) as error:
        raise InputError(f"{path}: is not an ITK affine transform (.mat).") from error
    lps = np.eye(4)
    lps[:3, :3] = matrix
    lps[:3, 3] = translation + centre - matrix @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ lps @ flip


def write_affine(matrix: np.ndarray, path: Path) -> Path:
    """Write a 4x4 matrix (RAS+ mm, fixed point → moving point) as an ITK affine (.mat); gives the path."""
    from scipy.io import savemat

    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = flip @ matrix @ flip
    parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
    savemat(path, {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}, format="4")
    return path
