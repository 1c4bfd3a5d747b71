"""Peak memory of the activations of one training step (forward and backward), each network in a process of its own.

Parameters, gradients and input exist before the step, so what is counted is what the step adds. Two views:
`resident` is the peak of the process (VmHWM, set back before the step) less what it held before (VmRSS), with malloc
told to give freed memory back at once (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_); `allocated` is the peak that
PyTorch's profiler counts in a second step, which leaves out the scratch memory of the libraries below.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.networks import VARIANTS, Size, negative_log_density
from tests.benchmarks.report import Row, arguments, machine, table

SIZES = {"full": Size(), "small": Size((16, 16, 16), steps=2, hidden=16)}
RETURN_FREED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", help="measure this one network, here and now, and print JSON")
    options = parser.parse_args()
    size = SIZES[options.size]
    if options.only:
        print(json.dumps(measure(options.only, size)))
        return
    print(f"Peak memory of a training step's activations: {size}, batch 1, fp32\n{machine()}\n")
    print(table([_in_its_own_process(name, options.size) for name in VARIANTS]))


def measure(name: str, size: Size) -> Row:
    """Peaks in MB of 10^6 bytes."""
    torch.manual_seed(0)
    step(VARIANTS[name](Size((16, 16, 16), size.levels, 1, size.hidden)), torch.rand(1, 1, 16, 16, 16))
    network, x = VARIANTS[name](size), torch.rand(1, 1, *size.shape)
    with torch.no_grad():
        network(x)  # ActNorm starts from this
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter) + 0.0
    gc.collect()
    resident = _resident_peak(network, x)
    return {"network": name, "resident (MB)": resident, "allocated (MB)": _allocated_peak(network, x)}


def step(network: nn.Module, x: Tensor) -> None:
    negative_log_density(*network(x)).backward()


def _resident_peak(network: nn.Module, x: Tensor) -> float:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM := VmRSS
    before = _status("VmRSS")
    step(network, x)
    return (_status("VmHWM") - before) / 1e6


def _status(field: str) -> int:
    """Bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: this benchmark needs Linux.")


def _allocated_peak(network: nn.Module, x: Tensor) -> float:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(network, x)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    held, peak = 0, 0
    for event in events:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak / 1e6


def _in_its_own_process(name: str, size: str) -> Row:
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.memory_cpu", "--size", size, "--only", name]
    environment = os.environ | RETURN_FREED | ONE_THREAD
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
