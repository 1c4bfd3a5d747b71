"""The verb that draws a model."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from dualglow.cli.app import app


@app.command()
def architecture(
    source: Annotated[Path, Argument(help="A trained model's folder, or a configuration such as config/config.yaml.")],
    out: Annotated[Path, Option(help="The picture, .png or .pdf.")],
    method: Annotated[
        str, Option(help="Which method of a configuration: dualglow, dualglow-conditional.")
    ] = "dualglow",
) -> None:
    """Draw DUAL-GLOW with the sizes of its layers and latents, read from the model itself.

    **Inputs**: the model.json of a trained model, or the block `models` of a configuration (on the model grid). No
    weights are read or made.

    **Outputs**: the drawing. **Units**: channels × voxels.

    **Example**: `dualglow architecture config/config.yaml --out architecture.png`
    """
    from dualglow.figures.architecture import architecture as drawn
    from dualglow.figures.style import save_picture
    from dualglow.models.summary import loss_in_words, summary, without_weights

    what, shape, options, title = _of_card(source) if source.is_dir() else _of_configuration(source, method)
    model = without_weights(what, shape, options)
    save_picture(drawn(summary(model), loss_in_words(model), title), out)


def _of_card(folder: Path) -> tuple[str, tuple[int, ...], dict[str, Any], str]:
    """Method, shape, options and title of a trained model."""
    from dualglow.files import read_json

    card = read_json(folder / "model.json")
    title = f"{card['method']}, fold {card['fold']}" + (" (trained on a simulated cohort)" if card["simulated"] else "")
    return card["method"], tuple(card["shape"]), card["options"], title


def _of_configuration(path: Path, method: str) -> tuple[str, tuple[int, ...], dict[str, Any], str]:
    """The same of a configuration; the conditional model starts from dualglow's options."""
    import yaml

    from dualglow.errors import ConfigError, InputError
    from dualglow.preprocess.grid import MODEL_GRID

    if not path.is_file():
        raise InputError(f"{path}: no such file or folder. Give a trained model's folder or a configuration.")
    models = (yaml.safe_load(path.read_text()) or {}).get("models", {})
    if method not in models and method != "dualglow-conditional":
        raise ConfigError(f"{path}: has no models.{method}.")
    base = models.get("dualglow", {}) if method == "dualglow-conditional" else {}
    return method, MODEL_GRID.shape, {**base, **models.get(method, {})}, f"{method} of {path.name}"
