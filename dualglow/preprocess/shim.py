"""Run one of ANTs' programs from the library inside the antspyx wheel: `python shim.py LIBRARY PROGRAM ARGUMENT...`.

The library is loaded without importing `ants` (0.03 s instead of 2 s). Exit code: the program's; 1 for an ITK
exception, 127 for a program that the wheel lacks. It runs as a file, so it imports nothing of DualGlow.
"""

import importlib.util
import os
import signal
import sys
from types import ModuleType

# These two do not know --version; they come from the same build as antsRegistration.
_WITHOUT_VERSION = ("antsApplyTransforms", "Atropos")


def _load(library: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lib", library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is not a Python extension")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _argument(word: str) -> str:
    # The wheel takes a word that begins with 0x for the address of an image in memory.
    return os.path.abspath(word) if word.startswith("0x") else word


def main(library: str, program: str, arguments: list[str]) -> int:
    """Run the program and give its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once, though C++ never returns to Python
    if program in _WITHOUT_VERSION and "--version" in arguments:
        program = "antsRegistration"
    run = getattr(_load(library), program, None)
    if run is None:
        print(f"{program}: the antspyx wheel has no such program", file=sys.stderr)
        return 127
    try:
        return int(run([_argument(word) for word in arguments]))
    except RuntimeError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
