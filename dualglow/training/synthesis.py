"""From T1 to PET with a trained model: the prediction, and how the model's samples spread about it, in SUVR."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import repeat
from math import ceil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from dualglow.errors import ConfigError, DualGlowError, InputError
from dualglow.files import write_json, written_folder
from dualglow.models import Batch, Synthesiser
from dualglow.training.data import Scaling
from dualglow.training.seeds import derived_seed
from dualglow.training.unseen import Unseen, naming

FILES = ("_pet.nii.gz", "_synthesis.png", "synthesis.json")
"""Endings of all that a folder of syntheses may hold."""


@dataclass(frozen=True)
class Sampling:
    """How many random PETs per person, at which temperature, and which quantiles of them (between 0 and 1) to keep.

    Raises ConfigError if the samples are too few: below 1 / (samples + 1) they do not reach.
    """

    samples: int = 16
    temperature: float = 0.7
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ConfigError(f"--samples {self.samples}: a standard deviation needs at least 2.")
        for quantile in self.quantiles:
            if not 0 < quantile < 1:
                raise ConfigError(f"--quantiles {quantile:g}: must be above 0 and below 1.")
            needed = ceil(1 / min(quantile, 1 - quantile) - 1 - 1e-6)
            if self.samples < needed:
                raise ConfigError(f"--quantiles {quantile:g}: needs --samples {needed} or more, not {self.samples}.")


TOGETHER = 2
"""Samples that are drawn at a time: on CPUs PyTorch takes a slow convolution for one volume alone."""


def quantile_name(quantile: float) -> str:
    """Its name in files: q05 for 0.05, q50 for 0.5, q975 for 0.975."""
    return "q" + f"{quantile:.6f}".removeprefix("0.").rstrip("0").ljust(2, "0")


def predict_volume(
    model: Synthesiser,
    card: dict[str, Any],
    mri: np.ndarray,
    mask: np.ndarray,
    age: float | None,
    sex: str | None,
    group: str | None,
    sampling: Sampling,
    seed: int,
) -> dict[str, np.ndarray]:
    """PET of one person and the spread of the samples, as `volumes` gives them.

    Parameters
    ----------
    model, card
        As `load_model` returns them.
    mri, mask
        (X, Y, Z) on the model grid of the card: T1 in [0, 1] as `pack` scales it, and the brain mask.
    age, sex, group
        Years, F or M, and the diagnosis; None or n/a if unknown.

    Raises
    ------
    InputError, DualGlowError
        If the shape is not the card's, or the model yields values that are not finite.
    """
    if list(mri.shape) != list(card["shape"]):
        raise InputError(f"the T1 has the shape {mri.shape}, the model {tuple(card['shape'])}. Resample it first.")
    device = next(iter(model.state_dict().values())).device
    image, inside = (torch.from_numpy(np.array(v, dtype=np.float32))[None, None].to(device) for v in (mri, mask))
    covariates = torch.from_numpy(Scaling.from_card(card).covariates(age, sex, group))[None].to(device)
    return volumes(model, Batch(image, torch.zeros_like(image), inside, covariates), card["window"], sampling, seed)


def volumes(model: Synthesiser, batch: Batch, window: float, sampling: Sampling, seed: int) -> dict[str, np.ndarray]:
    """The maps of a batch of one, float32 (X, Y, Z) in SUVR, 0 outside the mask, by their names in files.

    `synthetic` is the prediction (temperature 0), `std` the voxelwise standard deviation of the samples, `q05` and so
    on their voxelwise quantiles. PET is cut to [0, window], the range of the training. Samples are only all in memory
    where quantiles are asked for: 1.6 MB each on the model grid. A method that is not stochastic has an `std` of 0.
    """
    prediction = _suvr(_predicted(model, batch), window)
    if not model.stochastic:
        names = ["synthetic", *(quantile_name(quantile) for quantile in sorted(sampling.quantiles))]
        return {"std": np.zeros_like(prediction), **dict.fromkeys(names, prediction)}
    drawn = samples(model, batch, window, sampling, seed)
    if not sampling.quantiles:
        return {"synthetic": prediction, "std": moments(drawn)[1]}
    kept = np.stack(list(drawn))
    quantiles = {quantile_name(quantile): quantile_map(kept, quantile) for quantile in sorted(sampling.quantiles)}
    return {"synthetic": prediction, "std": moments(kept)[1], **quantiles}


def samples(model: Synthesiser, batch: Batch, window: float, sampling: Sampling, seed: int) -> Iterator[np.ndarray]:
    """Random PETs (X, Y, Z) of a batch of one, in SUVR, one at a time, cut to [0, window] as in training."""
    if not model.stochastic:
        yield from repeat(_suvr(_predicted(model, batch), window), sampling.samples)
        return
    generator = torch.Generator(batch.mri.device).manual_seed(seed)
    for done in range(0, sampling.samples, TOGETHER):
        count = min(TOGETHER, sampling.samples - done)
        copies = Batch(*(tensor.expand(count, *tensor.shape[1:]) for tensor in batch))
        yield from (_suvr(one[None], window) for one in _sampled(model, copies, sampling.temperature, generator))


def moments(drawn: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n − 1) at each voxel, float32 (Welford: one volume in memory, no cancellation)."""
    mean, squares, count = np.zeros(()), np.zeros(()), 0
    for count, volume in enumerate(drawn, start=1):
        change = volume - mean
        mean = mean + change / count
        squares = squares + change * (volume - mean)
    return mean.astype(np.float32), np.sqrt(squares / (count - 1)).astype(np.float32)


def quantile_map(kept: np.ndarray, quantile: float) -> np.ndarray:
    """Quantile over the first axis, at the position q (n + 1) of the ordered samples.

    With it one more draw of the same distribution lies below the q-quantile with probability q, however few samples
    there are; numpy's default lies further inside.
    """
    return np.quantile(kept, quantile, axis=0, method="weibull").astype(np.float32)


@torch.no_grad()
def _predicted(model: Synthesiser, batch: Batch) -> Tensor:
    return _in_range(model.predict(batch.mri, batch.covariates, batch.mask))


@torch.no_grad()
def _sampled(model: Synthesiser, batch: Batch, temperature: float, generator: torch.Generator) -> Tensor:
    return _in_range(model.sample(batch.mri, batch.covariates, batch.mask, temperature, generator))


def _in_range(pet: Tensor) -> Tensor:
    if not torch.isfinite(pet).all():
        raise DualGlowError("the model yields values that are not finite. Train it with a lower --learning-rate.")
    return pet.clamp(0, 1)


def _suvr(pet: Tensor, window: float) -> np.ndarray:
    return (pet * window)[0, 0].float().cpu().numpy()


def synthesise_fold(
    unseen: Unseen, out: Path, sampling: Sampling, seed: int, finish: Callable[[Path], None] | None = None
) -> list[str]:
    """Write the maps (SUVR, the grid's affine) of every test pair into `out`, a folder whole or absent.

    Each pair has a generator of its own, so it does not matter which others are synthesised. `finish` may add pictures
    to the folder before it takes its place. Returns the pair_ids.
    """
    with written_folder(out, FILES) as part:
        for name, batch in unseen.batches():
            with naming(name):
                own_seed = derived_seed(seed, "sample", name)
                maps = volumes(unseen.model, batch, unseen.card["window"], sampling, own_seed)
            for description, volume in maps.items():
                nib.save(unseen.dataset.grid.image(volume), part / f"{name}_desc-{description}_pet.nii.gz")
        settings = {**asdict(sampling), "seed": seed, "units": "SUVR"}
        write_json({**unseen.record, **settings}, part / "synthesis.json")
        if finish:
            finish(part)
    return unseen.names
