"""A trained model as a folder: weights as safetensors, and a card with all that is needed to rebuild and apply it."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import dualglow
from dualglow.errors import ConfigError, InputError
from dualglow.files import read_json, write_json, written
from dualglow.models import Synthesiser, build

WEIGHTS, CARD = "model.safetensors", "model.json"
LAST = "last.safetensors"
"""The last epoch's weights beside the best one's; to use them, copy the file over model.safetensors."""
NEEDED = ("method", "options", "shape", "affine", "window", "window_percentile", "covariates", "split_hash", "fold")


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors, whole or not at all, with the permissions of any other new file."""
    with written(path) as part:
        part.touch()
        mode = part.stat().st_mode
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, part)
        part.chmod(mode)  # safetensors makes files that only their owner can read
        with part.open("rb") as file:
            os.fsync(file.fileno())  # before it is renamed: a lost node must not leave an empty file


def save_model(folder: Path, model: Synthesiser, card: dict[str, Any]) -> None:
    """Write model.safetensors, then model.json, into `folder`."""
    save_weights(model.state_dict(), folder / WEIGHTS)
    write_json(card, folder / CARD)


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Synthesiser, dict[str, Any]]:
    """Rebuild a trained model, ready to predict, and return it with its card (model.json).

    Raises InputError if a file is missing or damaged, or the weights are not those of the card's architecture.
    """
    card = read_json(folder / CARD)
    missing = [name for name in NEEDED if name not in card]
    if missing:
        raise InputError(f"{folder / CARD}: lacks {', '.join(missing)}; it is not the card of a trained model.")
    try:
        model = build(card["method"], tuple(card["shape"]), card["options"])
    except ConfigError as error:
        raise InputError(f"{folder / CARD}: {error}") from error
    _load_weights(model, folder / WEIGHTS)
    return model.to(device).eval(), card


def _load_weights(model: Synthesiser, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Train the model first, or copy its whole folder.")
    try:
        model.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}). Copy it again.") from error
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: does not fit the {CARD} beside it ({line}). Keep a model's files together."
        ) from error


def versions() -> dict[str, str]:
    """Of the software that made a model."""
    return {
        "dualglow": dualglow.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
