"""The released-code preset against numbers made by the authors' TensorFlow graph (tests/parity.py says how)."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from dualglow.models import build
from tests.parity import RELEASED_CODE, compare, main

FILE = Path(__file__).parent / "data" / "released_code_small.npz"
CONFIG = Path(__file__).parents[2] / "config" / "released-code.yaml"


@pytest.fixture(scope="module")
def content() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return {name: file[name] for name in file.files}


def test_losses_gradients_and_synthesis_are_the_released_code_s(content: dict[str, np.ndarray]) -> None:
    found = compare(content)
    assert len(found.gradients) == 2 * 2 * 2 * 12 + 2  # networks, levels, steps, weights of a step; relations
    assert max(found.losses.values()) < 1e-5
    assert max(found.gradients.values()) < 1e-4
    assert found.within_limits()


@pytest.mark.parametrize(
    "name", ["w:model/m_o/1/0/f1/l_last/logs", "w:model/prior_u/filter0", "g:model/m_u/0/1/invconv/W"]
)
def test_a_difference_is_seen(content: dict[str, np.ndarray], name: str) -> None:
    assert not compare({**content, name: content[name] * 1.01}).within_limits()


def test_the_script_tells_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FILE) == 0
    assert "agrees" in capsys.readouterr().out
    (tmp_path / "other.npz").write_bytes(b"not a file of arrays")
    assert main(tmp_path / "other.npz") == 2
    assert capsys.readouterr().out.count("\n") == 1


def test_the_configuration_names_the_same_options() -> None:
    options = yaml.safe_load(CONFIG.read_text())["models"]["dualglow"]
    assert {name: options[name] for name in RELEASED_CODE} == RELEASED_CODE
    build("dualglow", (16, 16, 16), {**options, "hidden": 4, "steps": 1})
