"""The chain as the workflow runs it, each subject in a process of its own, with the CPU time of every ANTs program."""

import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch

import psutil

from dualglow.preprocess.t1 import PreparedT1

PROGRAM_STEPS = {
    "register_affine": "affine",
    "bias_correction": "N4",
    "register_syn": "SyN",
    "segmentation": "Atropos",
    "register_rigid": "rigid",
}


@dataclass(frozen=True)
class Cost:
    """CPU (user) seconds per step, wall seconds, and the largest resident memory of one process in GB."""

    steps: dict[str, float]
    wall: float
    peak_gb: float

    @property
    def cpu(self) -> float:
        return sum(self.steps.values())


@dataclass(frozen=True)
class Subject:
    """A subject's inputs and working folder; without a PET only the T1 is prepared."""

    folder: Path
    t1: Path
    pet: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A subject that went through the chain; `rigid` (T1 → PET points) and `mni_pet` (SUVR) if it has a PET."""

    t1: PreparedT1
    rigid: Path | None
    mni_pet: Path | None
    cost: Cost


def run(subjects: Sequence[Subject], preset: str, engine: str, jobs: int = 1) -> list[Prepared]:
    """Run the chain for each subject, `jobs` at a time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        return list(pool.map(_chain, subjects, [preset] * len(subjects), [engine] * len(subjects)))


def _chain(subject: Subject, preset: str, engine: str) -> Prepared:
    from dualglow.preprocess.t1 import prepare_t1

    start = time.monotonic()
    before = _user(resource.RUSAGE_SELF)
    subject.folder.mkdir(parents=True, exist_ok=True)
    with _timed_programs() as steps, _watched_memory() as peak_gb:
        prepared = prepare_t1(subject.t1, subject.folder, preset, seed=1, engine=engine)
        rigid, mni_pet = _pet(subject, prepared, preset) if subject.pet else (None, None)
    steps["Python"] = _user(resource.RUSAGE_SELF) - before
    return Prepared(prepared, rigid, mni_pet, Cost(steps, time.monotonic() - start, max(peak_gb)))


def _pet(subject: Subject, prepared: PreparedT1, preset: str) -> tuple[Path, Path]:
    """Convert, coregister and resample the PET."""
    from dualglow.preprocess.convert import convert
    from dualglow.preprocess.coregister import coregister
    from dualglow.preprocess.presets import preset_named
    from dualglow.preprocess.resample import NativeT1, PetOutputs, resample_pet

    assert subject.pet is not None
    folder, converted = subject.folder, subject.folder / "pet_converted.nii.gz"
    rigid = folder / "rigid.mat"
    convert([subject.pet], "pet", converted)
    coregister(prepared.normalised.biascorrected, converted, rigid, folder / "rigid.json", preset_named(preset), seed=1)
    normalised, segmented = prepared.normalised, prepared.segmented
    native = NativeT1(
        normalised.biascorrected, normalised.affine, normalised.warp,
        segmented.mask, segmented.gm, segmented.wm, segmented.csf,
    )  # fmt: skip
    outputs = PetOutputs(
        *[folder / f"{name}.nii.gz" for name in ("t1_pet", "mni_pet", "model_pet")], folder / "suvr.json"
    )
    resample_pet(converted, None, rigid, native, prepared.carried, outputs, "pons")
    return rigid, outputs.mni_pet


@contextmanager
def _timed_programs() -> Iterator[dict[str, float]]:
    """Note the CPU seconds of every program that nipype runs, by step; all resampling is one step."""
    from nipype import Node

    steps = dict.fromkeys((*PROGRAM_STEPS.values(), "resampling"), 0.0)
    original = Node.run

    def timed(node: Node, *args: object, **kwargs: object) -> object:
        before = _user(resource.RUSAGE_CHILDREN)
        try:
            return original(node, *args, **kwargs)
        finally:
            name = next((step for start, step in PROGRAM_STEPS.items() if node.name.startswith(start)), "resampling")
            steps[name] += _user(resource.RUSAGE_CHILDREN) - before

    with patch.object(Node, "run", timed):
        yield steps


def _user(who: int) -> float:
    return resource.getrusage(who).ru_utime


@contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """Note the resident memory (GB) of the largest process, ten times a second.

    getrusage's peak will not do: a new process inherits that of the one that started it.
    """
    peaks, done = [0.0], Event()

    def watch() -> None:
        this = psutil.Process()
        while not done.wait(0.1):
            for process in (this, *this.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    peaks.append(process.memory_info().rss / 2**30)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()
