"""The truth about age that the simulator put in: what ageing alone does to the PET of an average person, in MNI152.

Nobody's individual variation, noise or deformation is in it (spatial normalisation is there to undo the last), but all
that age does to uptake and cortex, and the scanner's blur. Two answers, for two questions:

- `total`: uptake and cortex age together, as between people of different ages;
- `same_mri`: only uptake ages, the cortex stays as it is: what a model can be right about that is given one MRI and
  told another age.
"""

from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from dualglow.cohort.simulate import effects, scanner
from dualglow.cohort.simulate.anatomy import Array, template, voxel_points
from dualglow.cohort.simulate.head import Body, Grid, Head, head, opened_sulci, smooth_factors, uptake
from dualglow.cohort.simulate.people import GROUPS, Person
from dualglow.cohort.simulate.shape import Field
from dualglow.cohort.simulate.subject import BLUR

AGES = (effects.REFERENCE_AGE - 10, effects.REFERENCE_AGE + 10)
"""Between these the truth's slope is taken; it hardly depends on the age."""


def average_person(group: str, sex: str, age: float) -> Person:
    """Somebody with the mean severity of the group and nothing individual."""
    day = date(2010, 1, 1)
    return Person(1, group, sex, age, GROUPS[group].severity_mean, day, day, {})


def noiseless_pet(person: Person, cortex: Person, grid: Grid) -> tuple[Array, NDArray[np.bool_]]:
    """Blurred uptake (X, Y, Z; healthy grey matter about 1) of an average person in MNI152, and the brain.

    Parameters
    ----------
    person, cortex
        Whose uptake, and whose cortical thickness (the same person, or at another age).
    grid
        In MNI152 (RAS+ mm), with cubic voxels.
    """
    points = voxel_points(grid.shape, grid.affine)
    tissue = _average_head(cortex, points, grid)
    factors = {label: effects.mean_uptake(person, effects.region_of(name)) for label, name in template().names.items()}
    clean = uptake(tissue, smooth_factors(factors, person.sex, points))
    blur = float(np.mean(BLUR))
    return scanner.blurred(clean, blur, float(grid.affine[0, 0])), tissue.labels > 0


def _average_head(person: Person, points: Array, grid: Grid) -> Head:
    """The template's tissues with the person's average thinning."""
    names = template().names
    lost = {label: effects.mean_thinning(person, effects.region_of(name)) for label, name in names.items()}
    still = Field(np.zeros((3, *template().shape), dtype=np.float32), template().affine)
    opened = opened_sulci(lost)
    return head(Body(still, still, np.eye(4), (np.zeros_like(opened), opened)), points, grid, scalp=1.0)


def at_both_ages(group: str, sex: str, effect: str, grid: Grid) -> list[tuple[Array, NDArray[np.bool_]]]:
    """`noiseless_pet` at the two AGES; `effect` is `total` or `same_mri` (see above)."""
    people = [average_person(group, sex, age) for age in AGES]
    cortices = people if effect == "total" else [replace(people[0], age=effects.REFERENCE_AGE)] * 2
    return [noiseless_pet(person, cortex, grid) for person, cortex in zip(people, cortices, strict=True)]
