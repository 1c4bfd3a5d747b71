"""How age, sex and disease change uptake and volumes: the published effect sizes, region by region.

Uptake of grey matter is given relative to the cerebral mean of healthy old people ("Aged Monkeys and Aged Humans",
J Nucl Med); white matter takes up a quarter of grey matter (BrainWeb's FDG phantom). What a scanner sees is less: thin
and thinning cortex loses more to its surroundings by blur. So the shares lost below are smaller than the published ones
that they reach after a blur of 6.5 mm: AD against CN about −22 % in the posterior cingulate and −21 % in the precuneus,
relative to the cerebellum (Bailly 2015, PMC4539420); per decade −6 % in the anterior cingulate, −5 % frontal, −3 %
parietal and temporal (PMC6070529, Willis 2002, PMID 11864807). The thick cerebellar cortex loses less by blur; it is
lowered so that the cerebellum has its published rank. Rows marked "assumed" have no published number behind them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualglow.cohort.simulate.anatomy import Array, template
from dualglow.cohort.simulate.people import Person

REFERENCE_AGE = 75.0  # years
WHITE, CSF, PONS, SCALP, BONE, AIR = 0.25, 0.04, 0.55, 0.12, 0.05, 0.0
FEMALE_UPTAKE = 1.03  # Willis 2002 (sign)
REGIONAL_SD = 0.03  # individual variation of each region's uptake (log)


@dataclass(frozen=True)
class Region:
    """Effects on one region's grey matter.

    uptake: at severity 0 and age 75; drop: share of uptake lost at severity 1; ageing: share of uptake lost per decade;
    thinning: share of grey matter lost at severity 1.
    """

    uptake: float
    drop: float
    ageing: float
    thinning: float


# The first row whose fragment is in the label's name holds.
REGIONS = {
    "PCgG": Region(1.23, 0.17, 0.010, 0.14),
    "PCu": Region(1.20, 0.12, 0.010, 0.14),
    "AnG": Region(1.05, 0.15, 0.010, 0.14),
    "SMG": Region(1.01, 0.12, 0.010, 0.12),
    "SPL": Region(1.01, 0.10, 0.010, 0.10),
    "ITG": Region(0.97, 0.12, 0.010, 0.14),
    "MTG": Region(0.97, 0.12, 0.010, 0.14),
    "STG": Region(0.97, 0.08, 0.010, 0.08),
    "TMP": Region(0.85, 0.10, 0.010, 0.12),  # uptake assumed
    "OFuG": Region(1.01, 0.04, 0.000, 0.04),
    "FuG": Region(0.95, 0.10, 0.010, 0.10),  # uptake assumed
    "Ent": Region(0.75, 0.12, 0.010, 0.16),  # uptake assumed
    "PHG": Region(0.80, 0.12, 0.010, 0.14),  # uptake assumed
    "Hippocampus": Region(0.80, 0.12, 0.020, 0.00),  # uptake assumed; its volume shrinks with the shape
    "Amygdala": Region(0.75, 0.10, 0.020, 0.00),  # assumed
    "ACgG": Region(1.08, 0.03, 0.035, 0.05),
    "MCgG": Region(1.12, 0.09, 0.020, 0.06),  # assumed: between anterior and posterior
    "Cun": Region(1.24, 0.02, 0.000, 0.03),
    "LiG": Region(1.24, 0.01, 0.000, 0.03),
    "Calc": Region(1.24, 0.00, 0.000, 0.02),
    "OCP": Region(1.10, 0.00, 0.000, 0.02),
    "OG_": Region(1.01, 0.02, 0.000, 0.03),
    "PrG": Region(0.99, 0.00, 0.000, 0.02),
    "PoG": Region(0.99, 0.00, 0.000, 0.02),
    "FG": Region(1.12, 0.05, 0.030, 0.06),
    "FRP": Region(1.10, 0.05, 0.030, 0.06),
    "MFC": Region(1.08, 0.05, 0.030, 0.06),
    "OrG": Region(1.05, 0.04, 0.030, 0.06),
    "GRe": Region(1.00, 0.04, 0.030, 0.06),
    "Ins": Region(1.00, 0.04, 0.010, 0.06),
    "Thalamus": Region(1.11, 0.02, 0.000, 0.00),
    "Caudate": Region(1.08, 0.02, 0.010, 0.00),
    "Putamen": Region(1.18, 0.00, 0.010, 0.00),  # assumed
    "Cerebellum": Region(0.88, 0.00, 0.000, 0.00),
    "Vermal": Region(0.82, 0.00, 0.000, 0.00),
}
OTHER = Region(1.0, 0.05, 0.01, 0.05)

CORTEX_PER_DECADE = 0.04  # share of cortical grey matter lost
THINNING_SD = 0.025
VENTRICLES_PER_DECADE, VENTRICLES_AD, VENTRICLES_SD = 0.28, 0.45, 0.28  # log volume; CN ~35, AD ~48 ml
VENTRICLES_CN = 0.32  # log ratio of a healthy 75-year-old's ventricles to the young template's (25 ml)
HIPPOCAMPUS_PER_DECADE, HIPPOCAMPUS_AD, HIPPOCAMPUS_SD = -0.105, -0.31, 0.07  # Barnes PMC2773132; Fraser 2015


def region_of(name: str) -> Region:
    """The effects of a Neuromorphometrics label by its name."""
    return next((effect for fragment, effect in REGIONS.items() if fragment in name), OTHER)


def decades(person: Person) -> float:
    """Decades that the person is older than the reference age."""
    return (person.age - REFERENCE_AGE) / 10


def log_volumes(person: Person, rng: np.random.Generator) -> dict[str, float]:
    """Log ratios of the person's ventricular and hippocampal volumes to the template's."""
    years, s = decades(person), person.severity
    ventricles = VENTRICLES_CN + VENTRICLES_PER_DECADE * years + VENTRICLES_AD * s + rng.normal(0, VENTRICLES_SD)
    hippocampus = HIPPOCAMPUS_PER_DECADE * years + HIPPOCAMPUS_AD * s + rng.normal(0, HIPPOCAMPUS_SD)
    return {"ventricles": ventricles, "hippocampus": hippocampus}


def mean_uptake(person: Person, effect: Region) -> float:
    """Uptake of a region's grey matter in people of this age and severity, on average."""
    return effect.uptake * ((1 - effect.drop * person.severity) * (1 - effect.ageing * decades(person)))


def mean_thinning(person: Person, effect: Region) -> float:
    """Share of a region's grey matter that people of this age and severity have lost, on average."""
    ageing = CORTEX_PER_DECADE * decades(person) if effect.thinning > 0 else 0.0
    return effect.thinning * person.severity + ageing


def uptake_factors(person: Person, rng: np.random.Generator) -> dict[int, float]:
    """Uptake of each region's grey matter (by label), relative to the cerebral mean of a healthy 75-year-old.

    Left and right of a region share half of the variance of their individual variation.
    """
    factors = {}
    shared: dict[str, float] = {}
    for label, name in template().names.items():
        effect = region_of(name)
        part = name.removeprefix("Left_").removeprefix("Right_")
        shared.setdefault(part, rng.normal(0, REGIONAL_SD / np.sqrt(2)))
        individual = np.exp(shared[part] + rng.normal(0, REGIONAL_SD / np.sqrt(2)))
        factors[label] = float(mean_uptake(person, effect) * individual)
    return factors


def thinning(person: Person, rng: np.random.Generator) -> dict[int, float]:
    """Share of each region's grey matter that the person has lost (negative: has more than a healthy 75-year-old)."""
    everywhere = rng.normal(0, THINNING_SD)
    lost = {}
    for label, name in template().names.items():
        effect = region_of(name)
        lost[label] = float(mean_thinning(person, effect) + everywhere * (effect.thinning > 0))
    return lost


def painted(values: dict[int, float], regions: NDArray[np.int16], fill: float) -> Array:
    """Map (X, Y, Z) of a value per label; labels without a value get `fill`."""
    table = np.full(int(max(regions.max(), max(values))) + 1, fill, dtype=np.float32)
    table[list(values)] = list(values.values())
    return table[regions]
