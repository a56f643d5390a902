"""Figures of a run: what share was right, silent about its doubt, or needlessly shy; with intervals and by group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from evals import statistics
from evals.statistics import Rate, RiskPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The headline figures over some results."""

    n: int
    right_of_answered: Rate
    """Answers that are right (superset) of everything that was answered, whether or not it should have been."""
    coverage: Rate
    """Answered of the answerable."""
    right_of_answerable: Rate
    """Right answers of the answerable: what an officer gets."""
    strict_of_answerable: Rate
    """The same without helpful extra columns."""
    silently_wrong: Rate
    """Wrong answers of all questions, those included that should not have been answered."""
    needless_abstention: Rate
    """Answerable, and told that it cannot be answered, is forbidden, or failed."""
    wrong_clarification: Rate
    """Answerable, and asked back."""
    outcome: dict[str, Rate]
    """Right outcome of the cases that expect clarify, unanswerable or refuse, and of all three (`not answerable`)."""
    vacuous: int
    """Answerable cases whose gold is empty on every world: they prove little."""


def figures(lines: Sequence[Line]) -> Figures:
    """Count the headline figures."""
    answerable = [x for x in lines if x["expect"] == "answer"]
    other = [x for x in lines if x["expect"] != "answer"]
    answered = [x for x in lines if x["answered"]]
    right = [x for x in answered if x["expect"] == "answer" and x["right"]]
    silent = len(answered) - len(right)
    outcome = {e: _rate([x for x in other if x["expect"] == e], _right) for e in ("clarify", "unanswerable", "refuse")}
    return Figures(
        n=len(lines),
        right_of_answered=Rate(len(right), len(answered)),
        coverage=_rate(answerable, lambda x: x["answered"]),
        right_of_answerable=_rate(answerable, _right),
        strict_of_answerable=_rate(answerable, lambda x: x["right_strict"]),
        silently_wrong=Rate(silent, len(lines)),
        needless_abstention=_rate(answerable, lambda x: not x["answered"] and x["status"] != "CLARIFY"),
        wrong_clarification=_rate(answerable, lambda x: not x["answered"] and x["status"] == "CLARIFY"),
        outcome=outcome | {"not answerable": _rate(other, _right)},
        vacuous=sum(bool(x.get("vacuous")) for x in answerable),
    )


def _right(line: Line) -> bool:
    return bool(line["right"])


def _rate(lines: Sequence[Line], hit: Callable[[Line], bool]) -> Rate:
    return Rate(sum(bool(hit(x)) for x in lines), len(lines))


@dataclass(frozen=True, kw_only=True)
class Selective:
    """How far the confidence can be trusted."""

    calibration_error: float
    """Over the answers given."""
    curve: list[RiskPoint]
    """Over answers and the drafts held back, of all answerable cases: what another threshold would give."""
    area: float


def selective(lines: Sequence[Line]) -> Selective:
    """Calibration and the risk–coverage curve from answers and held-back drafts that carry a confidence."""
    answers = [x for x in lines if x["answered"] and x.get("confidence") is not None]
    drafts = [
        x for x in lines if not x["answered"] and x.get("draft_right") is not None and x.get("confidence") is not None
    ]
    ranked = [(x["confidence"], bool(x["right"]) and x["expect"] == "answer") for x in answers]
    ranked += [(x["confidence"], bool(x["draft_right"])) for x in drafts]
    total = sum(x["expect"] == "answer" for x in lines) or 1
    curve = statistics.risk_coverage([c for c, _ in ranked], [r for _, r in ranked], total=total)
    return Selective(
        calibration_error=statistics.calibration_error(
            [x["confidence"] for x in answers],
            [bool(x["right"]) and x["expect"] == "answer" for x in answers],
        ),
        curve=curve,
        area=statistics.area_under_risk_coverage(curve),
    )


def failure_classes(lines: Sequence[Line]) -> list[tuple[str, int]]:
    """How the wrong answers and needless refusals differ from the gold, the commonest first."""
    counted = Counter(x["failure"] or "?" for x in lines if not x["right"])
    return counted.most_common()


def as_dict(lines: Sequence[Line]) -> dict[str, Any]:
    """Figures of a run as plain values, for a JSON file."""
    shown = figures(lines)
    seconds = [s for x in lines for s in x.get("seconds_all") or [x["seconds"]]]
    chosen = selective(lines)

    def plain(rate: Rate) -> dict[str, Any]:
        return {
            "hits": rate.hits,
            "of": rate.of,
            "value": rate.value,
            "interval": rate.interval,
        }

    rates = {name: plain(value) for name, value in vars(shown).items() if isinstance(value, Rate)}
    return {
        "n": shown.n,
        **rates,
        "outcome": {name: plain(rate) for name, rate in shown.outcome.items()},
        "vacuous": shown.vacuous,
        "calibration_error": chosen.calibration_error,
        "area_under_risk_coverage": chosen.area,
        "reliability": {str(c): reliability(lines, c) for c in (0, 1, 10)},
        "latency_s": {
            "p50": statistics.quantile(seconds, 0.5),
            "p95": statistics.quantile(seconds, 0.95),
        },
        "failures": dict(failure_classes(lines)),
    }


def reliability(lines: Sequence[Line], penalty: float) -> float:
    """TrustSQL's score at a penalty for each wrong answer."""
    right = sum(x["answered"] and x["right"] and x["expect"] == "answer" for x in lines)
    wrong = sum(bool(x["answered"]) for x in lines) - right
    rightly = sum(not x["answered"] and x["right"] for x in lines)
    return statistics.reliability_score(
        right=right,
        wrong=wrong,
        abstained_rightly=rightly,
        total=len(lines),
        penalty=penalty,
    )


def show(lines: Sequence[Line], console: Console, *, title: str = "") -> None:
    """Print the figures. Aggregates only: nothing here names a case."""
    shown = figures(lines)
    table = Table(title=title or f"{shown.n} questions", show_header=False)
    table.add_row("right of answered", str(shown.right_of_answered))
    table.add_row("silently wrong, of all", str(shown.silently_wrong))
    table.add_row("coverage, of answerable", str(shown.coverage))
    table.add_row("right, of answerable (superset)", str(shown.right_of_answerable))
    table.add_row("right, of answerable (strict)", str(shown.strict_of_answerable))
    table.add_row("needless abstention, of answerable", str(shown.needless_abstention))
    table.add_row("wrong clarification, of answerable", str(shown.wrong_clarification))
    for name, rate in shown.outcome.items():
        table.add_row(f"right outcome: {name}", str(rate))
    plain = as_dict(lines)
    table.add_row(
        "reliability score, penalty 0 / 1 / 10",
        " / ".join(f"{v:.3f}" for v in plain["reliability"].values()),
    )
    table.add_row("calibration error of answers", f"{plain['calibration_error']:.3f}")
    table.add_row("area under risk–coverage", f"{plain['area_under_risk_coverage']:.3f}")
    latency = plain["latency_s"]
    table.add_row("latency p50 / p95", f"{latency['p50']:.2f} s / {latency['p95']:.2f} s")
    if shown.vacuous:
        table.add_row("gold empty on every world", str(shown.vacuous))
    console.print(table)


def show_breakdowns(lines: Sequence[Line], console: Console) -> None:
    """Print figures by author, group, difficulty and origin, the failure classes and the risk–coverage curve."""
    for key in ("author", "group", "difficulty", "origin"):
        values = sorted({str(x.get(key) or "") for x in lines})
        if len(values) > 1:
            console.print(_by(lines, key, values))
    classes = Table(title="failures by class")
    classes.add_column("class")
    classes.add_column("n", justify="right")
    for name, n in failure_classes(lines):
        classes.add_row(name, str(n))
    console.print(classes)
    curve = selective(lines).curve
    if curve:
        console.print(_curve(curve))


def _by(lines: Sequence[Line], key: str, values: Sequence[str]) -> Table:
    table = Table(title=f"by {key}")
    for name in (
        key,
        "n",
        "coverage",
        "right of answered",
        "silently wrong",
        "right of answerable",
        "other outcomes",
    ):
        table.add_column(name)
    for value in values:
        part = figures([x for x in lines if str(x.get(key) or "") == value])
        table.add_row(
            value or "none",
            str(part.n),
            str(part.coverage),
            str(part.right_of_answered),
            str(part.silently_wrong),
            str(part.right_of_answerable),
            str(part.outcome["not answerable"]),
        )
    return table


def _curve(points: Sequence[RiskPoint]) -> Table:
    table = Table(title="risk–coverage (answers and held-back drafts, of the answerable)")
    for name in ("threshold", "coverage", "wrong of these"):
        table.add_column(name, justify="right")
    for step in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        reached = [p for p in points if p.coverage >= step]
        if reached:
            point = reached[0]
            table.add_row(
                f"{point.threshold:.3f}",
                f"{100 * point.coverage:.0f} %",
                f"{100 * point.risk:.1f} %",
            )
    return table
