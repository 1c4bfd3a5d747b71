"""Where and how precisely the arithmetic is done: device, precision, compilation."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from dualglow.errors import ConfigError
from dualglow.models import Synthesiser

LightningPrecision = Literal["32-true", "bf16-mixed"]

PRECISIONS: dict[str, LightningPrecision] = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}
"""Lightning's names. tf32 rounds what enters a product on the GPU to 10 bits of mantissa, bf16 the networks to 7."""

COMPILED_SHAPES = 64


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU. Raises ConfigError if a GPU is asked for in vain."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch sees no GPU. Ask for one from the cluster, or use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_devices(name: str, gpus: int) -> list[torch.device]:
    """What each process of this node trains on: one GPU each, or with `name` cpu, or for want of one GPU, the CPU.

    Where srun shows every process the one GPU that is its own, that is each one's. Raises ConfigError if there are not
    so many GPUs.
    """
    if gpus < 0 or (gpus == 0 and name == "cuda"):
        raise ConfigError(f"--gpus {gpus}: give their number; 0 is the CPU, with --device auto or cpu.")
    device = choose_device("cpu" if gpus == 0 else name)
    if device.type == "cpu" and (gpus < 2 or name == "cpu"):
        return [device] * max(gpus, 1)
    seen = torch.cuda.device_count()
    if seen == 1 and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return [torch.device("cuda", 0)] * gpus
    if seen < gpus:
        raise ConfigError(
            f"--gpus {gpus}: PyTorch sees {seen} here. Ask the cluster for {gpus} on one node; or, to try it out, "
            f"--device cpu shares the training among {gpus} processes on the CPU."
        )
    return [torch.device("cuda", index) for index in range(gpus)]


def device_name(device: torch.device) -> str:
    """What a model's card says of the machine: the GPU's name, or the kind of CPU and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


@contextmanager
def matrix_precision(precision: str) -> Iterator[None]:
    """Allow products in TF32 on the GPU for tf32 alone; PyTorch by itself allows it in convolutions."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context that Lightning runs its steps in, for what is run beside them."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def compile_networks(model: Synthesiser) -> None:
    """Compile in place the parts of the model that do the work; parameters keep their names.

    Networks of one class share a cache: one entry for each level's shape, batch size and kind of pass, together more
    than the 8 after which PyTorch would give up. Raises ConfigError if the method names no such parts.
    """
    networks = list(model.networks())
    if not networks:
        raise ConfigError("--compile: this method has no networks to compile; leave the option out.")
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, COMPILED_SHAPES)
    for network in networks:
        network.compile(dynamic=False)
