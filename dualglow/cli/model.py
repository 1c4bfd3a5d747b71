"""The verb of the training room: train a model; and the options that it shares with those that use one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from dualglow.cli.app import app

if TYPE_CHECKING:
    import torch

    from dualglow.training.fold import Request
    from dualglow.training.interruption import Interruption

DATASET = Option(help="Folder with volumes.npy, masks.npy, pairs.tsv, grid.json (from `dualglow pack`).")
FOLDS = Option(help="folds.tsv: fold, pair_id, subject, part (from `dualglow split`, or edited by hand).")
FOLD = Option(help="Which fold, from 0.")
DEVICE = Option(help="auto (a GPU if there is one), cpu or cuda.")
THREADS = Option(help="CPU threads; PyTorch's choice if not given.", min=1, show_default=False)
NETWORK = "Network (dualglow and dualglow-conditional; other methods ignore these)"
RIVALS = "Rivals and baselines (each method has defaults of its own, see config/config.yaml)"


def training(text: str) -> Any:  # noqa: ANN401
    """An option of the optimisation."""
    return Option(help=text, rich_help_panel="Training")


def network(text: str) -> Any:  # noqa: ANN401
    """An option that only the flows take."""
    return Option(help=text, rich_help_panel=NETWORK)


def rivals(text: str) -> Any:  # noqa: ANN401
    """An option of one or more of the other methods; None leaves it to the method."""
    return Option(help=text, rich_help_panel=RIVALS, show_default=False)


@app.command()
def train(
    dataset: Annotated[Path, DATASET],
    folds: Annotated[Path, FOLDS],
    fold: Annotated[int, FOLD],
    out: Annotated[Path, Option(help="The model's folder.")],
    method: Annotated[
        str, Option(help="dualglow, dualglow-conditional, cgan, ucgan, cvae, pix2pix, iglow, mean or linear.")
    ] = "dualglow",
    window_percentile: Annotated[
        float, Option(help="Of PET in the training brains; this SUVR becomes 1, higher ones are cut off.")
    ] = 99.9,
    seed: Annotated[int, Option(help="Of weights, order and noise.")] = 1,
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
    gpus: Annotated[
        int,
        Option(
            help="GPUs of this node that share every step, a process each; 0 is the CPU. With --device cpu, so many "
            "processes on the CPU. If there is no GPU, 1 is the CPU, too."
        ),
    ] = 1,
    save_minutes: Annotated[
        float, training("Save the state so often within an epoch; the end of an epoch and SIGTERM save it anyway.")
    ] = 10.0,
    epochs: Annotated[int, training("Passes over the training pairs (paper: 90).")] = 90,
    batch_size: Annotated[int, training("Pairs per step.")] = 1,
    learning_rate: Annotated[float, training("Of the optimiser (paper: 0.001).")] = 0.001,
    optimiser: Annotated[str, training("adamax (paper) or adam.")] = "adamax",
    beta1: Annotated[float, training("The optimiser's decay of the mean gradient.")] = 0.9,
    warmup_epochs: Annotated[int, training("The learning rate rises linearly over so many epochs.")] = 0,
    clip_gradient: Annotated[float, training("Largest norm of the gradient over all parameters.")] = 100.0,
    precision: Annotated[
        str, training("fp32, tf32 (GPU: faster products, coarser) or bf16 (the coupling networks; latents stay fp32).")
    ] = "fp32",
    beta2: Annotated[
        float,
        training("Its decay of the largest (adam: mean squared) gradient; 0: 1 - 1/steps per epoch (released code)."),
    ] = 0.999,
    ema_decay: Annotated[
        float, training("Validate and keep a moving average of the weights, such as 0.999; 0 is off.")
    ] = 0.0,
    compile: Annotated[bool, training("Compile the networks: minutes at the start, faster steps.")] = False,
    levels: Annotated[int, network("Levels of each network (paper: 4).")] = 4,
    steps: Annotated[
        str | None, network("Flow steps per level (paper: 16; iglow: 10), or one number per level: 1,4,8,4.")
    ] = None,
    hidden: Annotated[int, network("Channels within a coupling (paper: 512).")] = 512,
    mixing: Annotated[str, network("Invertible 1×1×1 convolution: lu or full matrix.")] = "lu",
    coupling: Annotated[str, network("exp (eq. 13) or sigmoid (released code).")] = "exp",
    log_scale_factor: Annotated[float, network("Learned scales are exp(factor · parameter); released code: 3.")] = 1.0,
    network_actnorm: Annotated[bool, network("ActNorm within the couplings (released code).")] = False,
    edge_channel: Annotated[bool, network("Mark the zero padding to the couplings (released code).")] = False,
    relation_kernel: Annotated[int, network("Of the relation network, voxels; odd.")] = 3,
    relation_leaky: Annotated[bool, network("Leaky ReLU on the conditional mean (released code).")] = False,
    relation_bias: Annotated[bool, network("Bias in the relation network; released code: none.")] = True,
    unit_variance: Annotated[bool, network("Conditional sd 1 (released code), not learned (eq. 6).")] = False,
    learn_top: Annotated[bool, network("A learned mean and sd of the top PET latent.")] = False,
    prior_weight: Annotated[float, network("λ, the weight of p(MRI) (paper: 0.001).")] = 0.001,
    covariates: Annotated[
        str, network("Of age,sex,group, with commas. dualglow-conditional: age if not given; else none.")
    ] = "",
    conditioning: Annotated[
        str, network("Covariates replace the top MRI latent (eqs 16, 17), or add to every level's mean.")
    ] = "replace",
    covariate_weight: Annotated[float, network("Of each network that reads covariates from latents.")] = 0.01,
    spatial_prior: Annotated[bool, network("A line and an sd of its own for every latent voxel.")] = False,
    memory: Annotated[
        str, network("What the gradient keeps: plain (all), checkpoint (steps' inputs), invert (least; not with bf16).")
    ] = "checkpoint",
    width: Annotated[
        int | None, rivals("cgan, ucgan, cvae, pix2pix: channels of the networks at full resolution.")
    ] = None,
    adversarial_weight: Annotated[float | None, rivals("cgan, ucgan: of fooling the discriminator.")] = None,
    gradient_weight: Annotated[float | None, rivals("cgan, ucgan: of the gradient difference.")] = None,
    l1_weight: Annotated[float | None, rivals("pix2pix: of the absolute error.")] = None,
    dropout: Annotated[float | None, rivals("pix2pix: share of hidden features lost at random.")] = None,
    code: Annotated[int | None, rivals("cvae: channels of the code.")] = None,
    kl_weight: Annotated[float | None, rivals("cvae: of the divergence from the prior.")] = None,
    iterations: Annotated[int | None, rivals("iglow: steps of the climb to the likeliest PET.")] = None,
    ascent_rate: Annotated[float | None, rivals("iglow: learning rate of the climb.")] = None,
    from_mean: Annotated[
        bool | None, rivals("cgan, ucgan, cvae, pix2pix: draw the difference from the mean training PET.")
    ] = None,
    pseudo_people: Annotated[
        float | None, rivals("linear: weight of all voxels' common slopes beside each voxel's own, in people.")
    ] = None,
) -> None:
    """Train one method on one fold. The defaults are the paper's settings.

    The epoch with the lowest MAE on the fold's validation pairs is kept; the test pairs are not read. A training that
    is told to stop (SIGTERM, Ctrl+C) finishes its step and saves its state; the same command goes on from there, as if
    nothing had happened. After a hard kill it goes on from the last state saved, minutes before. On a GPU the pairs
    are loaded into its memory once, if they fit. A training that leaves the numbers or runs away stops and names the
    step and the layer.

    The batch is divided among several GPUs: results do not depend on their number. torchrun and srun may start the
    processes, too, on several nodes; --gpus is then the number on each node.

    **Inputs**: a packed dataset and folds.tsv.

    **Outputs** in --out: model.safetensors (the best epoch), last.safetensors (the last one; copy it over the other to
    use it), model.json, training.tsv, training.png; TensorBoard's log in tensorboard/.

    **Units**: loss in bits per voxel (bits/dim), MAE in SUVR within the brain mask.

    **Example**: `dualglow train --dataset results/dataset --folds results/cohort/folds.tsv --fold 0 --out model`
    """
    options = {
        "levels": levels,
        "steps": None if steps is None else steps_of(steps),
        "hidden": hidden,
        "mixing": mixing,
        "coupling": coupling,
        "log_scale_factor": log_scale_factor,
        "network_actnorm": network_actnorm,
        "edge_channel": edge_channel,
        "relation_kernel": relation_kernel,
        "relation_leaky": relation_leaky,
        "relation_bias": relation_bias,
        "unit_variance": unit_variance,
        "learn_top": learn_top,
        "prior_weight": prior_weight,
        "covariates": names_of(covariates),
        "conditioning": conditioning,
        "covariate_weight": covariate_weight,
        "spatial_prior": spatial_prior,
        "memory": memory,
        "width": width,
        "adversarial_weight": adversarial_weight,
        "gradient_weight": gradient_weight,
        "l1_weight": l1_weight,
        "dropout": dropout,
        "code": code,
        "kl_weight": kl_weight,
        "iterations": iterations,
        "ascent_rate": ascent_rate,
        "from_mean": from_mean,
        "pseudo_people": pseudo_people,
    }
    import os

    from dualglow.training.interruption import Interruption

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # PyTorch's advice on DDP is not for those who train
    with Interruption() as told:  # before PyTorch is imported, which takes seconds
        from dualglow.training.fold import Request
        from dualglow.training.optimisation import Optimisation

        how = Optimisation(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            warmup_epochs=warmup_epochs,
            clip_gradient=clip_gradient,
            seed=seed,
            precision=precision,
            ema_decay=ema_decay,
            compile=compile,
            beta2=beta2,
            optimiser=optimiser,
            beta1=beta1,
        )
        chosen = _options_of(method, options)
        request = Request(dataset, folds, fold, method, out, chosen, how, window_percentile, save_minutes)
        _train(request, device, threads, gpus, told)


def _train(request: "Request", device: str, threads: int | None, gpus: int, told: "Interruption") -> None:
    """As one of several processes, or alone; or start them."""
    import os

    import torch

    from dualglow.models import METHODS
    from dualglow.training.fold import train_fold
    from dualglow.training.numerics import choose_devices
    from dualglow.training.processes import ALONE, place, start

    devices = choose_devices(device, gpus)
    here = place(os.environ, gpus)
    if here is None and METHODS[request.method].iterative:
        request.optimisation.check_shared(gpus)
        start(gpus)
        return
    here = here or ALONE
    if threads:
        torch.set_num_threads(max(1, threads // here.local_size))
    train_fold(request, devices[here.local], here, told)


def steps_of(text: str) -> int | list[int]:
    """`16` or, one number per level, `1,4,8,4`."""
    from dualglow.errors import ConfigError

    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--steps {text}: expected a whole number, or one per level such as 1,4,8,4.") from error
    return numbers[0] if len(numbers) == 1 else numbers


def names_of(text: str) -> list[str]:
    """Names with commas between them."""
    return [] if not text else [name.strip() for name in text.split(",")]


def _options_of(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that `method` takes and a person gave."""
    import inspect

    from dualglow.errors import ConfigError
    from dualglow.models import METHODS

    if method not in METHODS:
        raise ConfigError(f"--method {method}: unknown. Choose one of {', '.join(METHODS)}.")
    known = inspect.signature(METHODS[method]).parameters
    return {name: value for name, value in given.items() if name in known and value is not None}


def device_of(name: str, threads: int | None) -> "torch.device":
    """Limit PyTorch's threads and choose the torch.device."""
    import torch

    from dualglow.training.numerics import choose_device

    if threads:
        torch.set_num_threads(threads)
    return choose_device(name)
