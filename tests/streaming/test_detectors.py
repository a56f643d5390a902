"""SPOOFING on planted conduct and on decoys that share all but one of its marks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from streaming.alerts import AlertStore
from streaming.detectors import thresholds_at
from streaming.detectors.runner import Runner
from tests.streaming.conftest import at, order, quote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.streaming.conftest import Route, Sent


def episode(
    prefix: str, start_ms: int, *, large: float = 1000.0, fill_opposite: bool = True, cancel_ms: int = 800,
    two_sided: bool = False, reason: str = "TRADER", large_filled: float = 0.0,
) -> list[Sent]:  # fmt: skip
    """Six large buys, a small sell that trades, and the cancels of the buys."""
    sent: list[Sent] = [quote(start_ms - 100, start_ms, 9.99, 10.01)]
    fill_at = start_ms + 6_000
    for n in range(6):
        sent.append(
            order("NEW", f"{prefix}L{n}", start_ms + n * 500, f"{prefix}n{n}", order_qty=large, leaves_qty=large)
        )
        if two_sided:
            sent.append(order("NEW", f"{prefix}S{n}", start_ms + n * 500 + 1, f"{prefix}s{n}", side="SELL",
                              order_qty=large, leaves_qty=large, price=10.5))  # fmt: skip
    sent.append(quote(start_ms + 3_500, start_ms + 1, 10.01, 10.03))
    sent.append(order("NEW", f"{prefix}G", fill_at - 500, f"{prefix}g", side="SELL", order_qty=100.0, price=10.01))
    if fill_opposite:
        sent.append(order("FILL", f"{prefix}G", fill_at, f"{prefix}f", side="SELL", price=10.01, order_qty=100.0,
                          last_qty=100.0, last_price=10.01, leaves_qty=0.0, cum_qty=100.0, avg_price=10.01,
                          exec_id=f"{prefix}X"))  # fmt: skip
    for n in range(6):
        done = fill_at + cancel_ms + n * 20
        if large_filled:
            sent.append(order("FILL", f"{prefix}L{n}", done - 10, f"{prefix}lf{n}", order_qty=large, last_qty=large_filled,
                              last_price=10.0, leaves_qty=large - large_filled, cum_qty=large_filled, avg_price=10.0,
                              exec_id=f"{prefix}LX{n}"))  # fmt: skip
        sent.append(order("CANCEL", f"{prefix}L{n}", done, f"{prefix}c{n}", order_qty=large, leaves_qty=0.0,
                          cum_qty=large_filled, cancel_reason=reason))  # fmt: skip
        if two_sided:
            sent.append(order("CANCEL", f"{prefix}S{n}", done + 1, f"{prefix}d{n}", side="SELL", order_qty=large,
                              leaves_qty=0.0, price=10.5, cancel_reason="TRADER"))  # fmt: skip
    return sent


def after(ms: int) -> list[Sent]:
    """Messages so much later that every earlier window is final."""
    return [quote(ms + 120_000, ms, 9.99, 10.01), order("NEW", f"z{ms}", ms + 120_000, f"z{ms}", trader_id="T2")]


def runner(route: Route, directory: Path) -> tuple[Runner, list[tuple[str, bytes]]]:
    sent: list[tuple[str, bytes]] = []
    return Runner(route.alerts, sent.extend, directory / "detectors.json"), sent


def run(route: Route, made: Runner) -> list[dict[str, Any]]:
    with route.reader.pinned() as generation:
        return made.run(lambda since: route.reader.look(generation, since, route.session))


def test_a_planted_episode_becomes_one_alert_with_its_evidence(route: Route, tmp_path: Path) -> None:
    made, sent = runner(route, tmp_path)
    route.feed(episode("a", 10_000))
    assert run(route, made) == [], "windows that are not final raise nothing"
    route.feed(after(20_000))
    [alert] = run(route, made)
    assert (alert["detector"], alert["trader_id"], alert["account_id"], alert["symbol"], alert["venue"]) == (
        "SPOOFING", "T1", "C1", "ABC", "XNAS")  # fmt: skip
    assert alert["evidence_order_ids"] == [f"aL{n}" for n in range(6)]
    assert alert["evidence_exec_ids"] == ["aX"]
    assert (alert["window_start_ts"], alert["window_end_ts"]) == (at(10_000), at(16_900))
    assert (alert["n_orders"], alert["n_cancels"], alert["qty"], alert["threshold_version"]) == (6, 6, 6000.0, 3)
    assert alert["severity"] in ("HIGH", "CRITICAL")
    text = alert["explanation"]
    assert "consistent with" in text and "intend" not in text and "guilt" not in text
    for fact in ("Ann O'Neil", "6 large buy orders", "6000 units", "100 at 10.01", "10.0 times", "0.80 s after",
                 "2.0 ticks", "50%", "5.0 standard deviations", "version 3", "aX"):  # fmt: skip
        assert fact in text, (fact, text)
    assert [key for key, _ in sent] == [alert["alert_id"]]
    [row] = route.rows("alerts")
    assert row["alert_id"] == alert["alert_id"]

    # A restart, and a look at the same windows again, raise nothing new.
    again, resent = runner(route, tmp_path / "lost")
    assert run(route, again) == [] and resent == []
    route.alerts._versions.clear()
    [same] = run(route, runner(route, tmp_path / "lost2")[0])
    assert same["alert_id"] == alert["alert_id"], "the id follows from the evidence"


DECOYS: dict[str, dict[str, Any]] = {
    "nothing traded on the other side": {"fill_opposite": False},
    "the orders were small": {"large": 300.0},
    "cancelled long after the fill": {"cancel_ms": 9_000},
    "quoted and withdrew on both sides": {"two_sided": True},
    "cancelled by a disconnect": {"reason": "DISCONNECT"},
    "the large orders traded too": {"large_filled": 500.0},
}


def test_decoys_raise_nothing(route: Route, tmp_path: Path) -> None:
    made, _ = runner(route, tmp_path)
    for n, variant in enumerate(DECOYS.values()):
        route.feed(episode(f"d{n}", 10_000 + n * 200_000, **variant))
    route.feed(after(10_000 + len(DECOYS) * 200_000))
    assert [(a["evidence_order_ids"][0], a["explanation"]) for a in run(route, made)] == []


def test_thresholds_are_those_in_force_at_the_time() -> None:
    def row(version: int, start: int, end: int | None, value: float) -> dict[str, Any]:
        return {"detector": "SPOOFING", "parameter": "min_orders", "version": version, "value": value,
                "effective_from_ts": at(start), "effective_to_ts": None if end is None else at(end)}  # fmt: skip

    rows = [row(1, 0, 10, 5), row(2, 10, None, 7)]
    first, second = thresholds_at(rows, "SPOOFING", at(5)), thresholds_at(rows, "SPOOFING", at(10))
    assert first is not None and (first.version, first["min_orders"]) == (1, 5.0)
    assert second is not None and (second.version, second["min_orders"]) == (2, 7.0)
    assert thresholds_at(rows, "SPOOFING", at(-1)) is None
    assert thresholds_at(rows[:1], "SPOOFING", at(20)) is None
    with pytest.raises(KeyError, match="add it to the view"):
        first["layers"]


def test_a_review_changes_an_alert_from_then_on_and_is_sent_again(route: Route, tmp_path: Path) -> None:
    made, sent = runner(route, tmp_path)
    route.feed(episode("a", 10_000))
    route.feed(after(20_000))
    [alert] = run(route, made)
    raised, reviewed = alert["created_ts"], alert["created_ts"] + timedelta(minutes=5)
    route.alerts.review(alert["alert_id"], "ESCALATED", reviewed, "anna")
    route.alerts.review(alert["alert_id"], "FALSE_POSITIVE", reviewed)
    again = AlertStore(route.session, route.catalogue.views["alerts"], tmp_path)
    for store in (route.alerts, again):
        [now], [then] = store.rows(), store.rows(raised)
        assert (now["status"], now["assigned_to"], now["closed_ts"]) == ("FALSE_POSITIVE", "anna", reviewed)
        assert (then["status"], then["closed_ts"]) == ("NEW", None)  # an earlier answer replays as it was
        assert store.rows(raised - timedelta(seconds=1)) == []
    assert made.store.add([alert]) == [], "a reviewed alert is not raised anew"
    made.announce(alert["alert_id"])
    run(route, made)
    assert [json.loads(body)["status"] for _, body in sent] == ["NEW", "FALSE_POSITIVE"]
    with pytest.raises(KeyError):
        route.alerts.review("AL-unknown", "CONFIRMED", reviewed)


def test_a_look_is_due_only_when_another_window_became_final(tmp_path: Path) -> None:
    cursor = tmp_path / "cursor.json"
    cursor.write_text(json.dumps({"until": "2025-11-20T15:00:00+00:00"}))
    runner = Runner(store=None, publish=lambda rows: None, cursor_file=cursor)  # type: ignore[arg-type]

    assert not runner.due(None)
    assert not runner.due(datetime(2025, 11, 20, 15, 0, 9, 999_000, tzinfo=UTC))
    assert runner.due(datetime(2025, 11, 20, 15, 0, 10, tzinfo=UTC))
    runner.announce("a1")
    assert runner.due(None)
