"""How finely each step works: `default` was tuned against known maps, `precise` takes longer, `fast` is coarser.

What each reaches and costs, and what was tried and left, stands in docs/preprocessing.md.
"""

from dataclasses import dataclass

from dualglow.errors import ConfigError


@dataclass(frozen=True)
class Levels:
    """A multi-resolution schedule: iterations, shrink factors and smoothing (voxels) per level, coarse to fine."""

    iterations: tuple[int, ...]
    shrink: tuple[int, ...]
    smoothing: tuple[float, ...]


@dataclass(frozen=True)
class Preset:
    """Settings of one run. `template_mm` is whole mm, as nilearn resamples its template."""

    name: str
    template_mm: int
    affine: Levels
    syn: Levels
    n4_iterations: tuple[int, ...]
    n4_shrink: int
    tissue_iterations: int
    tissue_mm: float  # segmentation works on voxels no finer than this
    rigid: Levels


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="default",
            template_mm=2,
            affine=Levels((60, 30), (4, 2), (2, 1)),
            syn=Levels((100, 100, 8), (4, 2, 1), (2, 1, 0)),
            n4_iterations=(50, 50, 30),
            n4_shrink=4,
            tissue_iterations=4,
            tissue_mm=1.5,
            rigid=Levels((100, 50), (4, 2), (2, 1)),
        ),
        Preset(
            name="precise",
            template_mm=2,
            affine=Levels((100, 60, 20), (4, 2, 1), (2, 1, 0)),
            syn=Levels((200, 120, 25), (4, 2, 1), (2, 1, 0)),
            n4_iterations=(50, 50, 50, 30),
            n4_shrink=4,
            tissue_iterations=8,
            tissue_mm=1.0,
            rigid=Levels((100, 50, 10), (4, 2, 1), (2, 1, 0)),
        ),
        Preset(
            name="fast",
            template_mm=4,
            affine=Levels((60, 30), (2, 1), (1, 0)),
            syn=Levels((20, 8), (2, 1), (1, 0)),
            n4_iterations=(30, 20),
            n4_shrink=3,
            tissue_iterations=2,
            tissue_mm=2.0,
            rigid=Levels((60, 30), (3, 2), (2, 1)),
        ),
        Preset(  # for tests on images of 4 mm
            name="tiny",
            template_mm=4,
            affine=Levels((20,), (2,), (1,)),
            syn=Levels((5,), (2,), (1,)),
            n4_iterations=(5,),
            n4_shrink=2,
            tissue_iterations=1,
            tissue_mm=4.0,
            rigid=Levels((30, 20), (2, 1), (1, 0)),
        ),
    )
}


def preset_named(name: str) -> Preset:
    """Give a preset; raises ConfigError naming the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown: expected fast, default or precise.")
    return PRESETS[name]
