"""Calibrated confidence: from an interpretation's features to the probability that its answer is right.

A forest of trees over named features, and a logistic regression that says which way each feature points; then an
isotonic step table fitted on held-out authors' scores.
A feature that is missing counts as its training mean, a feature that was not trained on counts for nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlq.learn.data import FOLDS
from nlq.learn.forest import Forest, grow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SHIPPED = Path(__file__).with_name("weights") / "confidence.json"
_RIDGE = 1.0
_STEPS = 60


class CalibrationError(ValueError):
    """Confidence cannot be fitted or read; the message says from what and why."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One drafted answer of a measured run."""

    id: str
    author: str
    features: Mapping[str, float]
    right: bool
    """Right on all worlds; False for a drafted answer to a question that has none."""
    question: str = ""
    """Drafts of one question, of which the most believable is shown, have the same text here; empty for an only one."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """A fitted model. `threshold` is the confidence from which a draft is shown as an answer."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    steps: tuple[tuple[float, float], ...] = ()
    """Isotonic table: raw score → calibrated probability, interpolated."""
    threshold: float = 0.9
    forest: Forest | None = None
    """Scores in place of the weights where there is one."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Confidence:
        """Read a fitted model; None reads the shipped one.

        Raises:
            CalibrationError: the file is missing or not usable.
        """
        source = Path(path) if path is not None else SHIPPED
        try:
            raw = json.loads(source.read_text(encoding="utf-8"))
            return cls(
                names=tuple(raw["names"]),
                mean=tuple(raw["mean"]),
                scale=tuple(raw["scale"]),
                weights=tuple(raw["weights"]),
                bias=float(raw["bias"]),
                steps=tuple((float(x), float(y)) for x, y in raw.get("steps", ())),
                threshold=float(raw["threshold"]),
                forest=Forest.from_json(raw["forest"]) if raw.get("forest") else None,
                facts=raw.get("facts", {}),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CalibrationError(f"{source}: {error}; fit it with `python -m nlq.learn calibrate`") from error

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        body = {k: getattr(self, k) for k in ("names", "mean", "scale", "weights", "bias", "steps", "threshold")}
        text = json.dumps({**body, "facts": dict(self.facts)}, indent=1)
        if self.forest is not None:
            trees = json.dumps(self.forest.as_json(), separators=(",", ":"))
            text = text.removesuffix("\n}") + f',\n "forest": {trees}\n}}'
        path.write_text(text + "\n", encoding="utf-8")

    def score(self, features: Mapping[str, float]) -> float:
        """Probability that the answer is right, 0 to 1."""
        raw = self.raw(features)
        if not self.steps:
            return raw
        xs, ys = zip(*self.steps, strict=True)
        return float(np.interp(raw, xs, ys))

    def raw(self, features: Mapping[str, float]) -> float:
        """The score before the isotonic table."""
        if self.forest is not None:
            pairs = zip(self.names, self.mean, strict=True)
            return self.forest.score([_number(features[n]) if n in features else mean for n, mean in pairs])
        z = self.bias
        for name, mean, scale, weight in zip(self.names, self.mean, self.scale, self.weights, strict=True):
            value = features.get(name)
            z += weight * ((_number(value) - mean) / scale) if value is not None else 0.0
        return float(1.0 / (1.0 + np.exp(-np.clip(z, -30, 30))))


def fit(
    rows: Sequence[Scored],
    *,
    worst_risk: float = 0.01,
    least_right: float = 0.0,
    questions: int | None = None,
    held_out: NDArray[np.float64] | None = None,
) -> Confidence:
    """Fit on all rows; the isotonic table and the threshold come from scores of authors left out.

    Of several drafts of one question only the best scored counts for table and threshold.

    Args:
        rows: drafted answers with known truth, each of an author.
        worst_risk: greatest accepted share of silently wrong answers among all questions.
        least_right: least accepted share of right answers among those shown.
        questions: number of questions that `rows` were drawn from, those without a draft included; None takes the
            number of rows.
        held_out: what `held_out_scores` gives for the rows, where it is known already.

    Raises:
        CalibrationError: too few rows, or all alike.
    """
    if len(rows) < 30 or len({r.right for r in rows}) < 2:
        raise CalibrationError(f"{len(rows)} rows with {sum(r.right for r in rows)} right: too few to calibrate on")
    held_out = held_out_scores(rows) if held_out is None else held_out
    shown = best_of_each(rows, held_out)
    held_out, right = held_out[shown], np.array([rows[i].right for i in shown], float)
    steps = _isotonic(held_out, right)
    model = _model(rows)
    calibrated = np.interp(held_out, [x for x, _ in steps], [y for _, y in steps])
    threshold = choose_threshold(calibrated, right, worst_risk * (questions or len(shown)), least_right)
    return Confidence(
        names=model.names,
        mean=model.mean,
        scale=model.scale,
        weights=model.weights,
        bias=model.bias,
        steps=steps,
        threshold=threshold,
        forest=model.forest,
        facts={
            "rows": len(rows),
            "drafts": len(shown),
            "right": int(right.sum()),
            "worst_risk": worst_risk,
            "least_right": least_right,
            "questions": questions,
        },
    )


def held_out_scores(rows: Sequence[Scored]) -> NDArray[np.float64]:
    """Raw score of each row by a model that has not seen its author, nor any of the authors of the same fold."""
    scores = np.zeros(len(rows))
    authors = {r.author for r in rows}
    folds = [fold & authors for fold in FOLDS]
    apart = folds if all(folds) and authors <= frozenset().union(*FOLDS) else [{a} for a in sorted(authors)]
    for left_out in apart:
        others = [r for r in rows if r.author not in left_out]
        if len({r.right for r in others}) < 2:
            continue
        model = _model(others)
        for i, row in enumerate(rows):
            if row.author in left_out:
                scores[i] = model.raw(row.features)
    return scores


def best_of_each(rows: Sequence[Scored], scores: NDArray[np.float64]) -> list[int]:
    """Positions of the best scored draft of each question; the first one where several are alike."""
    best: dict[tuple[str, str, str], int] = {}
    for i, row in enumerate(rows):
        key = (row.author, row.id, row.question or f"#{i}")
        if key not in best or scores[i] > scores[best[key]]:
            best[key] = i
    return list(best.values())


def risk_coverage(
    confidence: Sequence[float] | NDArray[np.float64], right: Sequence[bool] | NDArray[np.float64], questions: int
) -> list[dict[str, float]]:
    """For each threshold: share answered, right of answered, and silently wrong of all `questions`."""
    scores, truth = np.asarray(confidence, float), np.asarray(right, float)
    points = []
    for threshold in sorted(set(np.round(scores, 3))):
        shown = scores >= threshold
        n, good = int(shown.sum()), float(truth[shown].sum())
        points.append(
            {
                "threshold": float(threshold),
                "answered": n / questions,
                "right_of_answered": good / n if n else 1.0,
                "silently_wrong": (n - good) / questions,
            }
        )
    return points


def choose_threshold(
    scores: NDArray[np.float64], right: NDArray[np.float64], wrong_allowed: float, least_right: float = 0.0
) -> float:
    """The lowest threshold that lets no more than `wrong_allowed` wrong answers through; above 1 when none does.

    With `least_right`, also the share of right ones among those shown must reach it.
    """
    best = 1.01
    for threshold in sorted(set(scores), reverse=True):
        shown = scores >= threshold
        if float((1 - right[shown]).sum()) > wrong_allowed:
            break
        if float(right[shown].mean()) >= least_right:
            best = float(threshold)
    return best


def expected_error(scores: NDArray[np.float64], right: NDArray[np.float64], bins: int = 10) -> float:
    """Expected calibration error over bins of equal count."""
    order = np.argsort(scores)
    parts = [p for p in np.array_split(order, bins) if len(p)]
    return float(sum(len(p) * abs(scores[p].mean() - right[p].mean()) for p in parts) / max(len(scores), 1))


def _number(value: Any) -> float:
    number = float(value)
    return number if np.isfinite(number) else 0.0


def _model(rows: Sequence[Scored]) -> Confidence:
    """Forest and ridge logistic regression, the latter by Newton's method on standardised features."""
    names = tuple(sorted({n for r in rows for n in r.features}))
    table = np.array([[_number(r.features.get(n, np.nan)) if n in r.features else np.nan for n in names] for r in rows])
    mean = np.nan_to_num(np.nanmean(np.where(np.isnan(table), np.nan, table), axis=0))
    table = np.where(np.isnan(table), mean, table)
    scale = table.std(axis=0)
    scale[scale < 1e-9] = 1.0
    x = np.hstack([(table - mean) / scale, np.ones((len(rows), 1))])
    y = np.array([r.right for r in rows], float)
    beta = np.zeros(x.shape[1])
    penalty = np.full(x.shape[1], _RIDGE)
    penalty[-1] = 1e-6
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (p - y) + penalty * beta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return Confidence(
        names=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(beta[:-1].tolist()),
        bias=float(beta[-1]),
        forest=grow(table, y),
    )


def _isotonic(scores: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Pool adjacent violators; each pool is shrunk by one imagined miss, so that no few hits make a certainty."""
    order = np.argsort(scores, kind="stable")
    pools: list[list[float]] = []  # sum of scores, hits, count
    for i in order:
        pools.append([float(scores[i]), float(right[i]), 1.0])
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    points = [(total / n, hits / (n + 1.0)) for total, hits, n in pools]
    level, table = 0.0, []
    for x, y in points:
        level = max(level, y)
        table.append((x, level))
    return tuple(table)
