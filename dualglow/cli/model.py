"""The verb of the training room: train a model; and the options that it shares with those that use one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from dualglow.cli.app import app

if TYPE_CHECKING:
    import torch

DATASET = Option(help="Folder with volumes.npy, masks.npy, pairs.tsv, grid.json (from `dualglow pack`).")
FOLDS = Option(help="folds.tsv: fold, pair_id, subject, part (from `dualglow split`, or edited by hand).")
FOLD = Option(help="Which fold, from 0.")
DEVICE = Option(help="auto (a GPU if there is one), cpu or cuda.")
THREADS = Option(help="CPU threads; PyTorch's choice if not given.", min=1, show_default=False)
NETWORK = "Network (method dualglow; others ignore these)"


@app.command()
def train(
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="The model's folder.")],
    method: Annotated[str, Option(help="dualglow, mean or linear.")] = "dualglow",
    epochs: Annotated[int, Option(help="Passes over the training pairs (paper: 90).")] = 90,
    batch_size: Annotated[int, Option(help="Pairs per step.")] = 1,
    learning_rate: Annotated[float, Option(help="Of AdaMax (paper: 0.001).")] = 0.001,
    warmup_epochs: Annotated[int, Option(help="The learning rate rises linearly over so many epochs.")] = 0,
    clip_gradient: Annotated[float, Option(help="Largest norm of the gradient over all parameters.")] = 100.0,
    levels: Annotated[int, Option(help="Levels of each network (paper: 4).", rich_help_panel=NETWORK)] = 4,
    steps: Annotated[int, Option(help="Flow steps per level (paper: 16).", rich_help_panel=NETWORK)] = 16,
    hidden: Annotated[int, Option(help="Channels within a coupling (paper: 512).", rich_help_panel=NETWORK)] = 512,
    relation_kernel: Annotated[int, Option(help="Of the relation network, voxels.", rich_help_panel=NETWORK)] = 3,
    prior_weight: Annotated[
        float, Option(help="λ, the weight of p(MRI) (paper: 0.001).", rich_help_panel=NETWORK)
    ] = 0.001,
    spatial_prior: Annotated[
        bool, Option(help="A mean and sd of its own for every latent voxel.", rich_help_panel=NETWORK)
    ] = False,
    covariates: Annotated[bool, Option(help="Age and sex in the top latent's mean.", rich_help_panel=NETWORK)] = False,
    checkpoint: Annotated[
        bool, Option(help="Compute activations again in the backward pass, to save memory.", rich_help_panel=NETWORK)
    ] = True,
    window_percentile: Annotated[
        float, Option(help="Of PET in the training brains; this SUVR becomes 1, higher ones are cut off.")
    ] = 99.9,
    seed: Annotated[int, Option(help="Of weights, order and noise.")] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
) -> None:
    """Train one method on one fold. The defaults are the paper's settings.

    The epoch with the lowest MAE on the fold's validation pairs is kept; the test pairs are not read. A training that
    was interrupted goes on after its last whole epoch when the same command is given again.

    **Inputs**: a packed dataset and folds.tsv.

    **Outputs** in --out: model.safetensors, model.json, training.tsv, training.png; TensorBoard's log in tensorboard/.

    **Units**: loss in bits per voxel, MAE in SUVR within the brain mask.

    **Example**: `dualglow train --dataset results/dataset --folds results/cohort/folds.tsv --fold 0 --out model`
    """
    from dualglow.training.fold import Request, train_fold
    from dualglow.training.loop import Optimisation

    network = {
        "levels": levels,
        "steps": steps,
        "hidden": hidden,
        "relation_kernel": relation_kernel,
        "prior_weight": prior_weight,
        "spatial_prior": spatial_prior,
        "covariates": covariates,
        "checkpoint": checkpoint,
    }
    optimisation = Optimisation(epochs, batch_size, learning_rate, warmup_epochs, clip_gradient, seed)
    options = _options_of(method, network)
    request = Request(dataset, folds, fold, method, out, options, optimisation, window_percentile)
    train_fold(request, device_of(device, threads))


def _options_of(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the network options that `method` takes."""
    import inspect

    from dualglow.errors import ConfigError
    from dualglow.models import METHODS

    if method not in METHODS:
        raise ConfigError(f"--method {method}: unknown. Choose one of {', '.join(METHODS)}.")
    return {name: value for name, value in given.items() if name in inspect.signature(METHODS[method]).parameters}


def device_of(name: str, threads: int | None) -> "torch.device":
    """Limit PyTorch's threads and choose the torch.device."""
    import torch

    from dualglow.training.loop import choose_device

    if threads:
        torch.set_num_threads(threads)
    return choose_device(name)
