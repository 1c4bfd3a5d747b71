"""What the benchmarks print: where they ran, and tables in Markdown."""

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

Row = Mapping[str, object]


def machine() -> str:
    """One line: processor, cores, PyTorch, GPU if there is one."""
    parts = [f"{_processor()}, {len(os.sched_getaffinity(0))} cores", f"PyTorch {torch.__version__}"]
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        parts.append(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
        parts.append(f"cuDNN {torch.backends.cudnn.version()}")
    return " · ".join(parts)


def load() -> str:
    """The load of the machine besides this benchmark, which its times suffer from."""
    return f"load average before: {os.getloadavg()[0]:.1f}"


def table(rows: Sequence[Row]) -> str:
    """Rows with the same keys as a Markdown table; floats with three digits."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the one option that all benchmarks share: the network's size."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "small"), default="full", help="small: a quick try of the script")
    return parser


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
