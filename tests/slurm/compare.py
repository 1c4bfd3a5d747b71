"""Are two results the same? Tables, volumes, models and pictures to the byte, apart from times and random names.

python -m tests.slurm.compare results/demo results/demo-slurm
"""

import gzip
import json
import sys
from pathlib import Path

import pandas as pd

# What differs from run to run: what is deleted some time, durations, the pseudonyms' salt, dates in reports and PDFs.
RANDOM = ("work", "logs", "benchmarks", "tensorboard", "report", "report.zip", "config.json", "status.tsv")
TIMED = ("resources.tsv", "resources.tex")
COMPARED = (".tsv", ".json", ".nii.gz", ".npy", ".mat", ".safetensors", ".png", ".tex")


def differences(one: Path, other: Path) -> list[str]:
    """Names of the files, below both folders, that are in one only or not the same."""
    names = {str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if _counts(path, root)}
    return sorted(name for name in names if _content(one / name) != _content(other / name))


def _counts(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    random = parts[0] in RANDOM or path.name in ("pseudonyms.tsv", *TIMED) or "tensorboard" in parts
    # Hidden names are caches, and what a process that was killed had begun to write.
    hidden = any(part.startswith(".") for part in parts)
    return path.is_file() and path.name.endswith(COMPARED) and not random and not hidden


def _content(path: Path) -> object:
    if not path.is_file():
        return None
    if path.name == "training.tsv":
        return pd.read_csv(path, sep="\t").drop(columns="seconds").to_csv()
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".json":
        return json.dumps(_without_places(json.loads(path.read_text())))
    return path.read_bytes()


def _without_places(content: object) -> object:
    """Without the root of the dataset, which lies elsewhere, and the machine's name."""
    if isinstance(content, dict):
        return {key: _without_places(value) for key, value in content.items() if key not in ("DatasetLinks", "device")}
    return content


def main() -> None:
    one, other = map(Path, sys.argv[1:])
    found = differences(one, other)
    number = sum(_counts(path, one) for path in one.rglob("*"))
    print(f"{number} files compared, {len(found)} differ", *found[:20], sep="\n  ")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
