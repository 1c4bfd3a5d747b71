"""What the drawing of the architecture says, against arithmetic and against a model that runs."""

from pathlib import Path

import pytest
import torch

from dualglow.cli.app import app
from dualglow.errors import ConfigError
from dualglow.models import build
from dualglow.models.summary import loss_in_words, summary, without_weights

ROOT = Path(__file__).parents[2]


def test_the_papers_sizes() -> None:
    """8 × 32·48·32 after the first squeeze, halved and multiplied by 8 from level to level."""
    table = summary(without_weights("dualglow", (64, 96, 64), {}))
    assert list(table["network"]) == ["MRI"] * 4 + ["PET"] * 4
    assert list(table["squeezed"])[:4] == ["8 × 32·48·32", "32 × 16·24·16", "128 × 8·12·8", "512 × 4·6·4"]
    assert list(table["latent"])[4:] == ["4 × 32·48·32", "16 × 16·24·16", "64 × 8·12·8", "512 × 4·6·4"]
    assert list(table["carried"])[:4] == [4, 16, 64, 0]
    assert table["steps"].str.startswith("16 × flow step").all()
    assert table["from_mri"].sum() == 4


def test_latents_are_those_of_a_model_that_runs() -> None:
    options = {"levels": 3, "steps": [2, 1, 1], "hidden": 4, "channels": [1, 3]}
    model = build("dualglow", (16, 24), options)
    latents, _ = model.pet_flow(torch.rand(1, 3, 16, 24))
    table = summary(without_weights("dualglow", (16, 24), options))
    drawn = table[table["network"] == "PET"]
    assert list(drawn["latent"]) == [f"{z.shape[1]} × {z.shape[2]}·{z.shape[3]}" for z in latents]
    assert set(drawn["image"]) == {"3 × 16·24"}
    assert [text[0] for text in drawn["steps"]] == ["2", "1", "1"]
    words = loss_in_words(without_weights("dualglow", (16, 24), options))
    assert f"{sum(p.numel() for p in model.parameters()) / 1e6:,.1f} million" in words


def test_the_conditional_model_and_the_released_code() -> None:
    conditional = summary(without_weights("dualglow-conditional", (16, 16, 16), {"levels": 3, "covariates": ["sex"]}))
    assert list(conditional["reader"]) == ["gradient reversal,\nreader of sex"] * 2 + [
        "reader of sex",
        "",
        "",
        "reader of sex",
    ]
    assert list(conditional["from_mri"])[3:] == [True, True, False]
    with pytest.raises(ConfigError, match="only DUAL-GLOW"):
        without_weights("mean", (8, 8, 8), {})


@pytest.mark.parametrize("config", ["config.yaml", "released-code.yaml"])
def test_the_drawing_is_made_from_a_configuration(config: str, tmp_path: Path) -> None:
    out = tmp_path / "drawing.png"
    app(["architecture", str(ROOT / "config" / config), "--out", str(out)], standalone_mode=False)
    assert out.stat().st_size > 50_000
