"""Calibrated confidence: orders answers, keeps the risk, refuses what it must not learn from."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nlq.learn.calibrate import calibrate, read_results
from nlq.learn.confidence import (
    CalibrationError,
    Confidence,
    Scored,
    best_of_each,
    choose_threshold,
    fit,
    risk_coverage,
)
from nlq.learn.forest import Forest

if TYPE_CHECKING:
    from pathlib import Path


def _rows(n: int, seed: int = 1) -> list[Scored]:
    chance = random.Random(seed)
    rows = []
    for i in range(n):
        sure, noise = chance.gauss(0, 1), chance.gauss(0, 1)
        right = chance.random() < 1 / (1 + np.exp(-3 * sure))
        rows.append(
            Scored(id=str(i), author=chance.choice("abcd"), features={"sure": sure, "noise": noise}, right=bool(right))
        )
    return rows


def test_scores_follow_the_feature_that_matters_and_mean_what_they_say() -> None:
    model = fit(_rows(800))
    weights = dict(zip(model.names, model.weights, strict=True))
    assert weights["sure"] > 5 * abs(weights["noise"])
    fresh = _rows(2000, seed=2)
    scores = np.array([model.score(r.features) for r in fresh])
    truth = np.array([r.right for r in fresh], float)
    for low, high in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        inside = (scores >= low) & (scores < high)
        assert abs(scores[inside].mean() - truth[inside].mean()) < 0.1


def test_threshold_keeps_the_accepted_risk_and_is_as_low_as_it_may_be() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert choose_threshold(scores, right, 0) == 0.8
    assert choose_threshold(scores, right, 1) == 0.6
    assert choose_threshold(np.array([0.9]), np.array([0.0]), 0) > 1


def test_fitting_is_deterministic_and_survives_saving(tmp_path: Path) -> None:
    one, two = fit(_rows(300)), fit(_rows(300))
    assert one == two
    one.save(tmp_path / "c.json")
    loaded = Confidence.load(tmp_path / "c.json")
    features = {"sure": 0.3, "noise": -1.0}
    assert loaded.score(features) == pytest.approx(one.score(features))
    assert loaded.threshold == pytest.approx(one.threshold)


def test_missing_unknown_and_infinite_features_do_not_break_a_score() -> None:
    model = fit(_rows(300))
    for features in ({}, {"sure": float("nan")}, {"sure": float("inf"), "new": 1.0}):
        assert 0.0 <= model.score(features) <= 1.0


def test_too_little_or_uniform_data_is_refused() -> None:
    with pytest.raises(CalibrationError, match="too few"):
        fit(_rows(10))
    with pytest.raises(CalibrationError, match="too few"):
        fit([Scored(id="1", author="a", features={"x": 1.0}, right=True)] * 50)


def test_results_of_locked_authors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"id": "law-001", "features": {"x": 1.0}, "right": True}) + "\n")
    with pytest.raises(CalibrationError, match="locked"):
        read_results([path])


def test_drafts_for_unanswerable_questions_count_as_wrong(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    lines = [
        {"id": "a-1", "features": {"x": 1.0}, "ok": True, "expect": "clarify"},
        {"id": "a-2", "features": {"x": 1.0}, "ok": True, "expect": "answer"},
        {"id": "a-3", "features": {}, "ok": False, "expect": "answer"},
    ]
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    rows, questions = read_results([path])
    assert questions == 3
    assert [r.right for r in rows] == [False, True]


def test_calibrate_writes_the_model_and_its_curve(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rows = [{"id": r.id, "author": r.author, "features": r.features, "right": r.right} for r in _rows(400)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    report = calibrate([path], tmp_path / "confidence.json", worst_risk=0.02, least_right=0.0)
    assert "| 2.0 % |" in report
    curve = json.loads((tmp_path / "risk_coverage.json").read_text())
    shown = [p for p in curve if p["threshold"] >= round(Confidence.load(tmp_path / "confidence.json").threshold, 3)]
    assert min(p["silently_wrong"] for p in shown) <= 0.02


def test_risk_coverage_counts_over_all_questions() -> None:
    points = risk_coverage([0.9, 0.4], [True, False], questions=4)
    assert points[0]["answered"] == 0.5
    assert points[0]["silently_wrong"] == 0.25
    assert points[1]["right_of_answered"] == 1.0


def test_a_threshold_keeps_the_share_of_right_answers_too() -> None:
    scores, right = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    assert choose_threshold(scores, right, 1.0) == 0.5
    assert choose_threshold(scores, right, 1.0, least_right=0.9) == 0.7
    assert choose_threshold(scores, np.zeros(5), 1.0, least_right=0.9) > 1.0


def test_of_several_drafts_the_best_scored_counts() -> None:
    rows = [
        Scored(id="q", author="a", features={}, right=False, question="1"),
        Scored(id="q", author="a", features={}, right=True, question="1"),
        Scored(id="q", author="a", features={}, right=True, question="2"),
    ]
    assert best_of_each(rows, np.array([0.2, 0.8, 0.1])) == [1, 2]


def test_trees_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(ValueError, match="lead down"):
        Forest.from_json([[[0, -1], [0.5, 0.0], [0, -1], [1, -1], [0.5, 1.0]]])
