"""Small charts (inline SVG) of a number's distribution over the cohort, with one pair marked or the unusual ones."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from markupsafe import Markup

from dualglow.preprocess.qc.cohort import UNUSUAL, Pair
from dualglow.preprocess.qc.limits import Measure

_WIDTH, _HEIGHT, _BASE = 320, 44, 36  # units of the SVG; the bars stand on the base
_BINS = 32
_WIDEST = 8.0  # robust standard deviations from the median; what is farther stands at the edge


@dataclass(frozen=True)
class Distribution:
    """One number over the cohort: its axis, bars and limits; `mark` and `points` are put upon it."""

    measure: Measure
    values: np.ndarray  # finite ones
    low: float
    high: float

    @classmethod
    def of(cls, measure: Measure, values: pd.Series) -> "Distribution":
        """Choose the axis: all values, but none that is farther than 8 robust standard deviations from the median."""
        finite = values.dropna().to_numpy(float)
        if not finite.size:
            return cls(measure, finite, 0.0, 1.0)
        middle = float(np.median(finite))
        spread = max(1.4826 * float(np.median(np.abs(finite - middle))), measure.grain)
        low, high = max(finite.min(), middle - _WIDEST * spread), min(finite.max(), middle + _WIDEST * spread)
        room = max(0.06 * (high - low), 0.5 * measure.grain)
        return cls(measure, finite, float(low - room), float(high + room))

    @property
    def median(self) -> str:
        """The cohort's median in words."""
        return self.measure.says(float(np.median(self.values)) if self.values.size else None)

    def place(self, value: float) -> float:
        """Horizontal place of a value; at an edge if it lies beyond."""
        return float(np.clip((value - self.low) / (self.high - self.low), 0.01, 0.99)) * _WIDTH

    def marked(self, value: float | None) -> Markup:
        """The chart with one pair's value marked."""
        if value is None:
            return self._svg(Markup(""), "not measured")
        if not self.low <= value <= self.high:
            return self._reaching(value).marked(value)
        x = self.place(value)
        line = Markup('<path class="mark" d="M{:.1f} 2V{}"/><circle class="mark" cx="{:.1f}" cy="{}" r="5"/>').format(
            x, _BASE, x, _BASE
        )
        return self._svg(line, f"this pair: {self.measure.says(value)}")

    def _reaching(self, value: float) -> "Distribution":
        """The same with a longer axis, on which the value lies."""
        room = 0.06 * max(self.high - value, value - self.low)
        return replace(self, low=min(self.low, value - room), high=max(self.high, value + room))

    def pointed(self, pairs: list[Pair], pages: dict[str, str]) -> Markup:
        """The chart with every unusual pair as a point that leads to its page."""
        odd = [pair for pair in pairs if np.isfinite(s := pair.scores[self.measure.name]) and s > UNUSUAL]
        points = Markup("").join(
            Markup('<a href="{}">{}<title>{}</title></path></a>').format(
                pages[pair.pair_id],
                self._point(pair.numbers[self.measure.name]),
                f"{pair.label}: {self.measure.says(pair.numbers[self.measure.name])}",
            )
            for pair in odd
        )
        return self._svg(points, f"{len(odd)} of {len(pairs)} pairs are unusual")

    def _point(self, value: float) -> Markup:
        """A disc at the value, left open for its title; beyond the axis a triangle that points there."""
        x = self.place(value)
        disc = f"M{x - 5:.1f} {_BASE}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"
        way = 9 if value > self.high else -9
        triangle = f"M{x - way:.1f} {_BASE - 6}l{way} 6l{-way} 6z"
        return Markup('<path class="odd" d="{}">').format(disc if self.low <= value <= self.high else triangle)

    def _svg(self, marks: Markup, said: str) -> Markup:
        label = f"{self.measure.title} over {len(self.values)} pairs, median {self.median}; {said}"
        begin = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        axis = Markup('<path class="axis" d="M0 {}H{}"/>').format(_BASE, _WIDTH)
        body = self._beyond() + self._bars() + axis + marks
        return begin.format(_WIDTH, _HEIGHT, label) + body + Markup("</svg>")

    def _bars(self) -> Markup:
        counts, _ = np.histogram(np.clip(self.values, self.low, self.high), _BINS, (self.low, self.high))
        width, tall = _WIDTH / _BINS, (_BASE - 2) / max(counts.max(), 1)
        path = "".join(
            f"M{number * width + 0.5:.1f} {_BASE}v{-tall * count:.1f}h{width - 1:.1f}V{_BASE}z"
            for number, count in enumerate(counts)
            if count
        )
        return Markup('<path class="bars" d="{}"/>').format(path)

    def _beyond(self) -> Markup:
        """What lies outside the limits, tinted, as far as the axis shows it."""
        left, right = (min(max((x - self.low) / (self.high - self.low), 0.0), 1.0) * _WIDTH for x in self._limits())
        tinted = Markup("")
        for x, width in ((0.0, left), (right, _WIDTH - right)):
            if width > 0:
                tinted += Markup('<rect class="beyond" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                    x, width, _BASE
                )
        return tinted

    def _limits(self) -> tuple[float, float]:
        """The measure's limits, as ends of the axis where there are none."""
        return max(self.measure.low, self.low), min(self.measure.high, self.high)
