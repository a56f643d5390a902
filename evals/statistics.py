"""The few statistics that the figures need: intervals, paired tests, calibration and selective accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % Wilson interval; all NaN when nothing was counted."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson(self.hits, self.of)

    def __str__(self) -> str:
        if not self.of:
            return "none"
        low, high = self.interval
        return f"{self.hits}/{self.of} = {100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def wilson(hits: int, of: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a binomial share."""
    if of == 0:
        return (math.nan, math.nan)
    p = hits / of
    scale = 1 + z * z / of
    centre = (p + z * z / (2 * of)) / scale
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / scale
    return (max(0.0, centre - half), min(1.0, centre + half))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two systems, right on different cases, are equally good.

    Args:
        only_first: cases that only the first system got right.
        only_second: cases that only the second got right.
    """
    n = only_first + only_second
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1)) / 2**n
    return min(1.0, 2 * tail)


def paired_difference(first: Sequence[bool], second: Sequence[bool], *, rounds: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of two shares over the same cases; seeded, so it repeats.

    Raises:
        ValueError: the two lists are of different length or empty.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"paired results needed, got {len(first)} and {len(second)}")
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    drawn = np.random.default_rng(20261123).integers(0, len(difference), size=(rounds, len(difference)))
    low, high = np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975])
    return (float(low), float(high))


def calibration_error(confidence: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error: mean gap between confidence and share right, over equal-width bins, by weight."""
    if not confidence:
        return math.nan
    belief, truth = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    index = np.clip((belief * bins).astype(int), 0, bins - 1)
    gaps = [
        abs(belief[index == b].mean() - truth[index == b].mean()) * (index == b).mean()
        for b in range(bins)
        if (index == b).any()
    ]
    return float(sum(gaps))


@dataclass(frozen=True)
class RiskPoint:
    """What a confidence threshold gives: who is at or above it is answered."""

    threshold: float
    coverage: float
    risk: float
    """Share wrong of those answered."""


def risk_coverage(confidence: Sequence[float], right: Sequence[bool], *, total: int | None = None) -> list[RiskPoint]:
    """Risk against coverage, from the most confident answer down; equal confidences come as one point.

    Args:
        confidence: of each answer or draft.
        right: whether it was right.
        total: what coverage is a share of; the number of answers when left out.
    """
    of = total if total is not None else len(confidence)
    ranked = sorted(zip(confidence, right, strict=True), key=lambda pair: -pair[0])
    points: list[RiskPoint] = []
    wrong = 0
    for n, (belief, is_right) in enumerate(ranked, start=1):
        wrong += not is_right
        if n == len(ranked) or ranked[n][0] != belief:
            points.append(RiskPoint(belief, n / of, wrong / n))
    return points


def area_under_risk_coverage(points: Sequence[RiskPoint]) -> float:
    """Mean risk over the coverage reached; less is better, NaN without points."""
    if not points:
        return math.nan
    area, reached = 0.0, 0.0
    for point in points:
        area += point.risk * (point.coverage - reached)
        reached = point.coverage
    return area / reached


def reliability_score(*, right: int, wrong: int, abstained_rightly: int, total: int, penalty: float) -> float:
    """TrustSQL's score: +1 for a right answer or a right refusal to answer, −penalty for a wrong answer; mean."""
    return (right + abstained_rightly - penalty * wrong) / total if total else math.nan


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile, NaN when there is nothing."""
    return float(np.quantile(np.asarray(values, dtype=float), q)) if values else math.nan
