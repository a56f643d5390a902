"""Fits `Confidence` on measured runs and says what each threshold would give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from nlq.learn.confidence import (
    SHIPPED,
    CalibrationError,
    Scored,
    best_of_each,
    choose_threshold,
    expected_error,
    fit,
    held_out_scores,
    risk_coverage,
)
from nlq.learn.data import LOCKED_AUTHORS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SHOWN_RISKS = (0.005, 0.01, 0.02, 0.04, 0.08)


def read_results(files: Sequence[Path]) -> tuple[list[Scored], int]:
    """Drafted answers of result files, and how many questions the files hold.

    A line needs `id`, `features` (a mapping, empty or absent without a draft) and `right` or `ok`, or instead of these
    `candidates`, each with `features` and `ok`; `author` is taken from the id's first part when it is missing. Lines of locked authors are an error: they are for testing only.

    Raises:
        CalibrationError: a line is not of this form, or is a locked author's.
    """
    rows, questions = [], 0
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                case = json.loads(line)
                author = case.get("author") or str(case["id"]).split("-")[0]
                truth = case["right"] if "right" in case else case["ok"]
            except (ValueError, KeyError) as error:
                raise CalibrationError(f"{path}:{number}: {error}") from error
            if author in LOCKED_AUTHORS:
                raise CalibrationError(f"{path}:{number}: the author {author!r} is locked for testing")
            questions += 1
            answerable = case.get("expect", "answer") == "answer"
            drafts = case.get("candidates") or ([{**case, "ok": truth}] if case.get("features") else [])
            rows += [
                Scored(
                    id=case["id"],
                    author=author,
                    features=draft["features"],
                    right=bool(draft["ok"]) and answerable,
                    question=f"{path}:{number}",
                )
                for draft in drafts
            ]
    return rows, questions


def calibrate(
    files: Sequence[Path], out: Path | None = None, *, worst_risk: float = 0.01, least_right: float = 0.95
) -> str:
    """Fit, write the model to `out` (None: the shipped place) and return a report in Markdown."""
    rows, questions = read_results(files)
    held_out = held_out_scores(rows)
    model = fit(rows, worst_risk=worst_risk, least_right=least_right, questions=questions, held_out=held_out)
    model.save(out or SHIPPED)
    best = best_of_each(rows, held_out)
    held_out, truth = held_out[best], np.array([rows[i].right for i in best], float)
    xs, ys = (np.array(column) for column in zip(*model.steps, strict=True))
    calibrated = np.interp(held_out, xs, ys)
    summary = (
        f"{questions} questions, {len(best)} with a draft, {int(truth.sum())} right; scores by models that have not "
        f"seen the author. Calibration error {expected_error(calibrated, truth):.3f}. Threshold {model.threshold:.3f}."
    )
    lines = [
        summary,
        "",
        "| silently wrong, at most | threshold | answered | right of answered | silently wrong |",
        "| --- | --- | --- | --- | --- |",
    ]
    for risk in _SHOWN_RISKS:
        at = choose_threshold(calibrated, truth, risk * questions)
        shown = calibrated >= at
        good, n = float(truth[shown].sum()), int(shown.sum())
        lines.append(
            f"| {100 * risk:.1f} % | {at:.3f} | {100 * n / questions:.1f} % | {100 * good / max(n, 1):.1f} % "
            f"| {100 * (n - good) / questions:.2f} % |"
        )
    strongest = sorted(zip(model.names, model.weights, strict=True), key=lambda x: -abs(x[1]))[:15]
    lines += ["", "Strongest features: " + ", ".join(f"`{n}` {w:+.2f}" for n, w in strongest) + "."]
    curve = risk_coverage(calibrated, truth, questions)
    (out or SHIPPED).with_name("risk_coverage.json").write_text(json.dumps(curve) + "\n", encoding="utf-8")
    return "\n".join(lines)
