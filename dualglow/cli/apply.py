"""The verb for one new person: a raw T1 in, a synthetic PET out."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from dualglow.cli.app import app
from dualglow.cli.uncertainty import QUANTILES, numbers


@app.command()
def apply(
    model: Annotated[Path, Argument(help="A trained model's folder: model.safetensors and model.json.")],
    t1: Annotated[Path, Option(help="Raw T1 with its skull, NIfTI.")],
    out: Annotated[Path, Option(help="Folder for the results.")],
    age: Annotated[float | None, Option(help="Years, for a model that uses it.")] = None,
    sex: Annotated[str | None, Option(help="F or M, for a model that uses it.")] = None,
    group: Annotated[str | None, Option(help="Diagnosis (CN, SMC, EMCI, MCI, LMCI, AD), likewise.")] = None,
    samples: Annotated[int, Option(help="Samples for the standard deviation.", min=2)] = 16,
    temperature: Annotated[float, Option(help="Of the samples.", min=0)] = 0.7,
    quantiles: Annotated[str, QUANTILES] = "none",
    preset: Annotated[
        str, Option(help="Preprocessing: default, fast or precise; use what the model was trained with.")
    ] = "default",
    engine: Annotated[str, Option(help="ANTs' programs: auto, native or wheel; or fsl instead of them.")] = "auto",
    seed: Annotated[int, Option(help="Of registration and samples.")] = 1,
) -> None:
    """Synthesise the PET of one person from a raw T1.

    **Inputs**: a trained model and a T1 in scanner space. It is preprocessed as the training data were (minutes).

    **Outputs** in --out: `space-MNI152_desc-synthetic_pet.nii.gz` (1.5 mm), `space-T1w_desc-synthetic_pet.nii.gz` (the
    T1's own grid), the same with `desc-std` (standard deviation of the samples) and, for --quantiles, `desc-q05` and
    so on (voxelwise quantiles of the samples), `apply.json`, and a picture `synthetic.png`. docs/uncertainty.md says
    what they mean.

    **Units**: SUVR relative to the model's reference region.

    **Example**: `dualglow apply results/models/dualglow/fold-0 --t1 T1.nii.gz --age 72 --sex F --out synthetic/`
    """
    from dualglow.application import Person, apply_model
    from dualglow.training.synthesis import Sampling

    sampling = Sampling(samples, temperature, numbers("--quantiles", quantiles))
    apply_model(model, Person(t1, age, sex, group), out, sampling, preset, engine, seed)
