"""The engine: programs from the wheel, and failures as errors of one line."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dualglow.errors import ConfigError, DualGlowError
from dualglow.preprocess.ants import PROGRAMS, read_affine, use_engine
from dualglow.preprocess.register import Step, resample


def _program(name: str) -> Path:
    return next(Path(p) / name for p in os.environ["PATH"].split(os.pathsep) if (Path(p) / name).exists())


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_bad_flag_fails(name: str) -> None:
    done = subprocess.run([_program(name), "--no-such-flag", "1"], capture_output=True, text=True)
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["antsRegistration", "antsApplyTransforms", "Atropos"])
def test_every_program_knows_its_version(name: str) -> None:
    done = subprocess.run([_program(name), "--version"], capture_output=True, text=True, check=True)
    assert "ANTs Version" in done.stdout


def test_unknown_engine() -> None:
    with pytest.raises(ConfigError, match="expected one of auto, native, wheel"):
        use_engine("spm")


def test_native_is_refused_when_only_the_wheel_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTSPATH", raising=False)
    monkeypatch.setenv("PATH", os.environ["PATH"].split(os.pathsep)[0] + os.pathsep + "/nowhere")
    with pytest.raises(ConfigError, match=r"not found on PATH\. .* /usr/lib/ants"):
        use_engine("native")


def test_a_folder_named_in_antspath_is_native_ants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # what use_engine changes is put back
    for name in PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("ANTSPATH", str(tmp_path))
    assert use_engine("auto") == "native"
    assert shutil.which("Atropos") == str(tmp_path / "Atropos")
    assert use_engine("wheel") == "wheel"
    assert shutil.which("Atropos") != str(tmp_path / "Atropos")


def test_a_failed_program_is_one_line(tmp_path: Path, files: dict[str, Path]) -> None:
    broken = tmp_path / "broken.mat"
    broken.write_text("not a transform")
    with pytest.raises(DualGlowError) as caught:
        resample(files["t1"], files["t1"], [Step(broken)], tmp_path / "out.nii")
    assert str(caught.value).startswith("resample_out: ")
    assert "\n" not in str(caught.value)


def test_affine_is_read_in_ras(tmp_path: Path) -> None:
    from scipy.io import savemat

    # LPS: y = t + x, so RAS flips the signs of the first two.
    savemat(
        tmp_path / "a.mat",
        {
            "AffineTransform_float_3_3": np.array([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3.0])[:, None],
            "fixed": np.ones((3, 1)),
        },
        format="4",
    )
    assert np.allclose(read_affine(tmp_path / "a.mat")[:3, 3], [-1, -2, 3])
