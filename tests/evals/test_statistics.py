"""The figures against values worked out elsewhere."""

import math

import pytest

from evals import statistics


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (14, 60, 0.1444, 0.3544),
        (2, 30, 0.0185, 0.2132),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson_as_published(hits: int, of: int, low: float, high: float) -> None:
    """Newcombe (1998) and the spike's own table give these limits."""
    assert statistics.wilson(hits, of) == pytest.approx((low, high), abs=5e-4)


def test_rate_of_nothing_says_so() -> None:
    """A share of zero cases is not zero."""
    assert str(statistics.Rate(0, 0)) == "none"
    assert math.isnan(statistics.Rate(0, 0).value)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 0.021484375), (0, 6, 0.03125), (3, 12, 0.03515625)],
)
def test_mcnemar_is_the_exact_binomial(only_first: int, only_second: int, p: float) -> None:
    """Two-sided binomial tests with p = 1/2."""
    assert statistics.mcnemar(only_first, only_second) == pytest.approx(p)
    assert statistics.mcnemar(only_second, only_first) == pytest.approx(p)


def test_difference_of_pairs_excludes_zero_only_with_cause() -> None:
    """Forty of a hundred better in the first is no luck; one is."""
    clear = statistics.paired_difference([True] * 40 + [False] * 60, [False] * 100)
    slight = statistics.paired_difference([True] + [False] * 99, [False] * 100)
    assert clear[0] > 0.3
    assert clear[1] <= 0.5
    assert slight[0] == 0.0


def test_difference_needs_pairs() -> None:
    """Runs over other cases are not pairs."""
    with pytest.raises(ValueError, match="paired"):
        statistics.paired_difference([True], [True, False])


def test_calibration_error() -> None:
    """Ten answers at 0.95, eight right: 15 points off. Ten at 0.25, five right: 25 points off."""
    confidence = [0.95] * 10 + [0.25] * 10
    right = [True] * 8 + [False] * 2 + [True] * 5 + [False] * 5
    assert statistics.calibration_error(confidence, right) == pytest.approx(0.20)
    assert statistics.calibration_error([1.0, 1.0], [True, True]) == 0.0


def test_risk_rises_with_coverage() -> None:
    """The curve goes from the most confident answer down; equal confidences are one point."""
    curve = statistics.risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False], total=8)
    assert [(p.threshold, p.coverage, round(p.risk, 3)) for p in curve] == [
        (0.9, 0.125, 0.0),
        (0.8, 0.375, 0.333),
        (0.1, 0.5, 0.5),
    ]
    assert statistics.area_under_risk_coverage(curve) == pytest.approx((0 * 1 + 0.25 * (1 / 3) + 0.125 * 0.5) / 0.5)


def test_reliability_punishes_wrong_answers() -> None:
    """TrustSQL: 6 right, 2 wrong, 1 rightly declined, 1 needlessly."""
    score = {
        c: statistics.reliability_score(right=6, wrong=2, abstained_rightly=1, total=10, penalty=c) for c in (0, 1, 10)
    }
    assert score == pytest.approx({0: 0.7, 1: 0.5, 10: -1.3})
