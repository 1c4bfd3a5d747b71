"""The numbers of quality control: what each is called, which values are expected, which direction is worse."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

INFINITE = float("inf")


class Worse(Enum):
    """In which direction a number is the more unusual, for the order in which a person looks at pairs."""

    low = "low"
    high = "high"
    both = "both"
    neither = "neither"  # told, but not judged


@dataclass(frozen=True)
class Measure:
    """One number of a pair. A value outside `low` to `high` is flagged: a person should look."""

    name: str  # in JSON and TSV
    title: str
    unit: str
    digits: int  # after the point
    worse: Worse
    grain: float  # differences between people below this are of no interest
    meaning: str  # what it is
    low: float = -INFINITE
    high: float = INFINITE
    look: str = ""  # what a value outside the limits most often means, and which picture shows it

    def says(self, value: float | None) -> str:
        """The value as people write it, with its unit."""
        if value is None:
            return "not measured"
        return f"{value:.{self.digits}f} {self.unit}".strip().replace(" °", "°")

    def holds(self, value: float | None) -> bool:
        """Whether a value was measured and is within the limits."""
        return value is not None and self.low <= value <= self.high

    @property
    def expected(self) -> str:
        """The limits in words; empty without limits."""
        if self.low == -INFINITE:
            return "" if self.high == INFINITE else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == INFINITE else f"{self.low:g} to {self.high:g}"


_TISSUES, _COREGISTRATION = "look at the outlines of the tissues", "look at the PET on the T1"
_NORMALISATION, _REFERENCE = "let the T1 flicker with the template", "look at the reference region"

MEASURES: tuple[Measure, ...] = (
    Measure("brain_ml", "Brain", "ml", 0, Worse.both, 20, "volume of the brain mask (GM + WM + CSF)", 900, 2200,
            f"the brain mask is too small or too large: {_TISSUES}"),
    Measure("gm_share", "Grey matter", "%", 1, Worse.both, 1, "of the brain mask's volume", 30, 75,
            f"grey matter is taken for something else: {_TISSUES}"),
    Measure("csf_share", "CSF", "%", 1, Worse.both, 1, "of the brain mask's volume", high=40,
            look=f"strong atrophy, or a mask that reaches beyond the brain: {_TISSUES}"),
    Measure("cjv", "Mixing of GM and WM", "CJV", 2, Worse.high, 0.03,
            "standard deviations of GM and WM in the T1, summed, over the difference of their means", high=1.2,
            look=f"a noisy T1, motion in it, or wrong tissues: {_TISSUES}"),
    Measure("t1_template_r", "T1–template correlation", "r", 3, Worse.low, 0.01,
            "of the T1 in MNI152 with the template, within its brain", 0.78,
            look=f"the T1 in MNI152 does not resemble the template: {_NORMALISATION}"),
    Measure("mask_dice", "Brain overlap with the template", "Dice", 3, Worse.low, 0.01,
            "of the brain mask in MNI152 with the template's", 0.90,
            look=f"the brain in MNI152 does not cover the template's: {_NORMALISATION}"),
    Measure("jacobian_min", "Strongest shrinking", "", 2, Worse.low, 0.05,
            "smallest Jacobian determinant of the warp in the brain", 0.05, look="the warp folds or nearly folds"),
    Measure("jacobian_max", "Strongest stretching", "", 2, Worse.high, 0.5,
            "largest Jacobian determinant of the warp in the brain", high=10,
            look="the warp stretches somewhere more than tenfold"),
    Measure("pet_t1_nmi", "PET–T1 agreement", "NMI", 3, Worse.low, 0.005,
            "normalised mutual information of PET and T1 within the brain, 1 to 2", 1.02,
            look=f"PET and T1 hardly agree: {_COREGISTRATION}"),
    Measure("rotation_deg", "Rotation of the PET", "°", 1, Worse.high, 5, "from where its header put it to the T1",
            high=45, look=f"a rotation at which people rarely lie: {_COREGISTRATION}"),
    Measure("shift_mm", "Shift of the PET", "mm", 1, Worse.high, 10, "from where its header put it to the T1"),
    Measure("motion_mm", "Motion between frames", "mm", 1, Worse.high, 0.5,
            "largest displacement of a PET frame, mean over a sphere of 65 mm; 0 for a static PET", high=5,
            look="the person moved: look at the motion trace"),
    Measure("brain_coverage", "Brain in the PET's view", "%", 0, Worse.low, 1, "share of the brain with signal", 95,
            look="the PET's field of view cuts the brain"),
    Measure("suvr_brain_mean", "Mean uptake of the brain", "SUVR", 2, Worse.both, 0.03,
            "relative to the reference region", 0.6, 2,
            f"unusual for FDG, so that region or units may be wrong: {_REFERENCE}"),
    Measure("reference_coverage", "Reference region in view", "%", 0, Worse.low, 1, "share of the region with signal",
            80, look="the PET's field of view cuts the reference region"),
    Measure("reference_tissue", "Reference region in tissue", "%", 0, Worse.low, 2,
            "share of the region that is this person's grey or white matter in MNI152", 70,
            look=f"the region lies in CSF or beside the brain: {_REFERENCE}"),
    Measure("reference_offset_mm", "Offset of the reference region", "mm", 1, Worse.high, 1.5,
            "from its anatomy in this T1, found by the template around the region", high=5,
            look=f"the region lies beside its anatomy: {_REFERENCE}"),
    Measure("reference_cv", "Unevenness of the region", "CV", 2, Worse.high, 0.02,
            "standard deviation over mean of the PET in the reference region", high=0.35,
            look=f"something else than the region is in it: {_REFERENCE}"),
    Measure("reference_mean", "Mean of the region", "", 0, Worse.neither, 1, "in the units of the PET's file"),
)  # fmt: skip
NAMES = tuple(measure.name for measure in MEASURES)
# What a PET that is relative to nothing, or to the whole brain, does not have.
_ABSENT = {
    "none": tuple(name for name in NAMES if name.startswith(("reference_", "suvr_"))),
    "global": ("reference_offset_mm",),
}


def applies(name: str, region: str) -> bool:
    """Whether a number exists for PETs that are relative to this reference region."""
    return name not in _ABSENT.get(region, ())


def flags(numbers: dict[str, Any]) -> list[str]:
    """One line per number that is outside its limits or could not be measured."""
    judged = [measure for measure in MEASURES if applies(measure.name, numbers["reference_region"])]
    return [_flag(measure, value) for measure in judged if not measure.holds(value := numbers[measure.name])]


def _flag(measure: Measure, value: float | None) -> str:
    expected = f", expected {measure.expected}" if measure.expected else ""
    return f"{measure.title} {measure.says(value)}{expected}" + (f": {measure.look}" if measure.look else "")
