"""SPOOFING: large orders on one side that are cancelled as soon as a small order on the other side has traded.

The windows of `order_flow_30s` nominate: nearly everything cancelled, far above the trader's own norm, and something
filled on the other side. The orders and fills confirm. That most orders are cancelled is ordinary, so no ratio alone
raises an alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from streaming.detectors import alert_row, utc
from streaming.windows import LEAST_STDDEV

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.detectors import Look, ThresholdSet

LEAST_DAYS: Final = 10
"""Days that a trader's own norm must rest on; below, the desk's median counts."""
AROUND: Final = timedelta(seconds=0.05)
"""An order cancelled this much before the fill still belongs to it: clocks and order of messages are not exact."""
REACH: Final = timedelta(seconds=120)
"""How far before the windows the orders and fills are read: a large order may have stood for a while."""
CHOSEN: Final = ("TRADER", None)
"""Cancel reasons that are the trader's own decision."""
OPPOSITE: Final = {"BUY": "SELL", "SELL": "BUY"}


@dataclass(frozen=True)
class Episode:
    """Overlapping windows of one trader, instrument and side that nominate the same conduct."""

    trader_id: str
    symbol: str
    side: str
    start: datetime
    end: datetime
    cancel_ratio: float
    deviation: float
    norm: float
    norm_of: str
    """Whose norm it is, in words."""


@dataclass(frozen=True)
class Evidence:
    """Confirmed orders and fills of an episode, one account and venue."""

    large: list[dict[str, Any]]
    fills: list[dict[str, Any]]
    genuine_qty: float
    delay_s: float
    """Seconds between the fill and the cancel of the large order next to it."""
    price_response: float | None
    """How far mid moved towards the genuine side until the fill, in ticks; None when it is not known."""


class Spoofing:
    """See the module's description."""

    name: str = "SPOOFING"
    needs: tuple[str, ...] = ("window_s", "size_multiple", "touch_multiple", "min_orders", "cancel_ratio", "max_fill_ratio",
             "cancel_after_fill_s", "deviation_sigma")  # fmt: skip

    def detect(self, look: Look, thresholds: ThresholdSet) -> list[dict[str, Any]]:
        """One alert for each episode that its orders confirm."""
        episodes = self._episodes(look, thresholds)
        if not episodes:
            return []
        names = ", ".join(sorted({f"'{_quoted(e.trader_id)}'" for e in episodes}))
        orders = _sides(look.frame("orders", REACH).where(f"trader_id IN ({names})").toArrow().to_pylist())
        fills = _sides(
            look.frame("executions", REACH).where(f"trader_id IN ({names}) AND status = 'VALID'").toArrow().to_pylist()
        )
        found = []
        for episode in episodes:
            for evidence in self._confirm(episode, orders, fills, look, thresholds):
                found.append(self._alert(episode, evidence, look, thresholds))
        return found

    def _episodes(self, look: Look, th: ThresholdSet) -> list[Episode]:
        """Windows above the thresholds, overlapping ones joined."""
        since_us = int(look.since.timestamp() * 1e6)
        flow = look.frame("order_flow_30s").where(
            f"is_final AND window_start_ts >= timestamp_micros({since_us}L) AND n_new + n_cancel >= {th['min_orders']} AND opposite_fill_qty > 0 "
            f"AND (n_cancel >= {th['cancel_ratio']} * n_new)"
        )
        norms = _Norms(look)
        hits = []
        for row in flow.toArrow().to_pylist():
            mean, stddev, whose = norms.of(row["trader_id"], row["desk"])
            if mean is None or max(row["n_new"], row["n_cancel"]) < th["min_orders"]:
                continue
            ratio = 1.0 if row["cancel_ratio"] is None else row["cancel_ratio"]
            deviation = (ratio - mean) / max(stddev, LEAST_STDDEV)
            if deviation >= th["deviation_sigma"]:
                hits.append(Episode(row["trader_id"], row["symbol"], row["side"], utc(row["window_start_ts"]),
                                    utc(row["window_end_ts"]), ratio, deviation, mean, whose))  # fmt: skip
        return _joined(hits)

    def _confirm(
        self, episode: Episode, orders: list[dict[str, Any]], fills: list[dict[str, Any]], look: Look,
        th: ThresholdSet,
    ) -> Iterable[Evidence]:  # fmt: skip
        """The orders and fills of the episode, by account and venue, where they show the pattern."""
        mine = [o for o in orders if o["trader_id"] == episode.trader_id and o["symbol"] == episode.symbol]
        places = {(o["account_id"], o["venue"]) for o in mine if o["side"] == episode.side}
        for account, venue in sorted(places):
            here = [o for o in mine if (o["account_id"], o["venue"]) == (account, venue)]
            against = [f for f in fills if f["trader_id"] == episode.trader_id and f["symbol"] == episode.symbol
                       and f["venue"] == venue and f["side"] == OPPOSITE[episode.side]
                       and episode.start <= f["exec_ts"] < episode.end]  # fmt: skip
            evidence = _evidence(episode, here, against, look, th)
            if evidence is not None:
                yield evidence

    def _alert(self, episode: Episode, evidence: Evidence, look: Look, th: ThresholdSet) -> dict[str, Any]:
        large, fills, first = evidence.large, evidence.fills, evidence.large[0]
        score = _score(episode, evidence, th)
        qty = sum(o["order_qty"] for o in large)
        columns = {
            "symbol": episode.symbol, "issuer_name": first["issuer_name"], "venue": first["venue"],
            "trader_id": episode.trader_id, "trader_name": first["trader_name"], "desk": first["desk"],
            "account_id": first["account_id"], "window_start_ts": first["entry_ts"],
            "window_end_ts": max(o["end_ts"] for o in large), "n_orders": len(large), "n_cancels": len(large),
            "cancel_ratio": 1.0, "qty": qty, "notional": sum(o["order_notional"] or 0.0 for o in large),
            "deviation_score": round(episode.deviation, 3), "explanation": explain(episode, evidence, look, th),
            "evidence_order_ids": [o["order_id"] for o in large], "evidence_exec_ids": [f["exec_id"] for f in fills],
        }  # fmt: skip
        identity = (episode.trader_id, first["account_id"], episode.symbol, first["venue"], first["order_id"])
        return alert_row(self.name, th.version, look, identity=identity, score=score, **columns)


def explain(episode: Episode, evidence: Evidence, look: Look, th: ThresholdSet) -> str:
    """What happened, in a fixed order of facts, each from the evidence."""
    large, fills, first = evidence.large, evidence.fills, evidence.large[0]
    start, end = first["entry_ts"], max(o["end_ts"] for o in large)
    filled = sum(o["filled_qty"] for o in large) / sum(o["order_qty"] for o in large)
    traded = ", ".join(f"{f['qty']:g} at {f['price']:g}" for f in fills[:5]) + (" and more" if len(fills) > 5 else "")
    if evidence.price_response is None:
        response = "How mid moved until the fill is not known."
    elif evidence.price_response >= 0.5:
        response = f"Mid moved {evidence.price_response:.1f} ticks in favour of that side before the fill."
    else:
        response = f"Mid did not move in favour of that side ({evidence.price_response:.1f} ticks)."
    return (
        f"Pattern consistent with spoofing. {first['trader_name'] or episode.trader_id} ({episode.trader_id}, account "
        f"{first['account_id']}) entered {len(large)} large {episode.side.lower()} "
        f"order{'s' if len(large) > 1 else ''} of together {sum(o['order_qty'] for o in large):g} units, the largest "
        f"{max(o['order_qty'] for o in large):g}, in {episode.symbol} on {first['venue']} between "
        f"{start:%Y-%m-%d %H:%M:%S.%f} and {end:%H:%M:%S.%f} UTC, and cancelled all of them with {filled:.1%} filled. "
        f"Meanwhile the same trader filled {traded} on the {OPPOSITE[episode.side].lower()} side; the large orders were "
        f"{max(o['order_qty'] for o in large) / evidence.genuine_qty:.1f} times that order's size, and the first cancel "
        f"near a fill came {abs(evidence.delay_s):.2f} s {'after' if evidence.delay_s >= 0 else 'before'} it. "
        f"{response} In the 30-second windows {episode.cancel_ratio:.0%} of entered orders were cancelled against "
        f"{episode.norm:.0%} as {episode.norm_of}: {episode.deviation:.1f} standard deviations above. "
        f"Detector SPOOFING, threshold version {th.version}. "
        f"Orders {_listed(o['order_id'] for o in large)}; fills {_listed(f['exec_id'] for f in fills)}. "
        f"Data as of {look.as_of:%Y-%m-%d %H:%M:%S} UTC, windows final until {look.until:%H:%M:%S} UTC."
    )


def _evidence(
    episode: Episode, orders: list[dict[str, Any]], fills: list[dict[str, Any]], look: Look, th: ThresholdSet
) -> Evidence | None:
    """The confirmed pattern; None when a condition fails or a guard holds."""
    if not fills:
        return None
    sizes = {o["order_id"]: o["order_qty"] for o in orders}
    genuine = max(max(f["qty"], sizes.get(f["order_id"], 0.0)) for f in fills)
    usual = next((r["mean"] for r in look.rows("trader_baselines")
                  if r["trader_id"] == episode.trader_id and r["metric"] == "AVG_ORDER_QTY"), None)  # fmt: skip
    within = timedelta(seconds=th["cancel_after_fill_s"])
    window = timedelta(seconds=th["window_s"])

    def near(order: dict[str, Any]) -> bool:
        return any(-AROUND <= order["end_ts"] - f["exec_ts"] <= within and order["entry_ts"] <= f["exec_ts"]
                   and f["exec_ts"] - order["entry_ts"] <= window for f in fills)  # fmt: skip

    def withdrawn(order: dict[str, Any]) -> bool:
        return (order["status"] == "CANCELLED" and order["cancel_reason"] in CHOSEN
                and order["time_in_force"] not in ("IOC", "FOK"))  # fmt: skip

    touching = [o for o in orders if o["entry_ts"] < episode.end and (o["end_ts"] or o["entry_ts"]) >= episode.start]
    large = [
        o for o in touching
        if o["side"] == episode.side and withdrawn(o) and near(o)
        and o["order_qty"] >= th["size_multiple"] * genuine
        and (usual is None or o["order_qty"] >= th["touch_multiple"] * usual)
        and o["filled_qty"] <= th["max_fill_ratio"] * o["order_qty"]
    ]  # fmt: skip
    # Two-sided quoting: whoever withdraws as much size on the other side was not leaning on this one.
    other = sum(o["order_qty"] for o in touching if o["side"] != episode.side and withdrawn(o))
    if not large or other >= 0.5 * sum(o["order_qty"] for o in large):
        return None
    large.sort(key=lambda o: (o["entry_ts"], o["order_id"]))
    fills = sorted(fills, key=lambda f: (f["exec_ts"], f["exec_id"]))
    delays = [(o["end_ts"] - f["exec_ts"]).total_seconds() for o in large for f in fills]
    delay = min((d for d in delays if d >= -AROUND.total_seconds()), key=abs, default=0.0)
    return Evidence(large, fills, genuine, delay, _response(episode, large[0], fills[0], look))


def _response(episode: Episode, first: dict[str, Any], fill: dict[str, Any], look: Look) -> float | None:
    ticks = {r["symbol"]: r["tick_size"] for r in look.rows("instruments")}
    tick, before, after = ticks.get(episode.symbol), first["mid_at_entry"], fill["mid_price"]
    if not tick or before is None or after is None:
        return None
    return float((after - before) / tick * (1 if episode.side == "BUY" else -1))


def _score(episode: Episode, evidence: Evidence, th: ThresholdSet) -> float:
    """0 to 100: the mean of how clearly each condition is met; exactly at the threshold counts half."""
    size = max(o["order_qty"] for o in evidence.large) / evidence.genuine_qty / th["size_multiple"]
    filled = sum(o["filled_qty"] for o in evidence.large) / sum(o["order_qty"] for o in evidence.large)
    parts = (
        min(1.0, size / 2),
        min(1.0, episode.deviation / th["deviation_sigma"] / 2),
        1.0 - 0.5 * filled / max(th["max_fill_ratio"], 1e-9),
        1.0 - 0.5 * abs(evidence.delay_s) / th["cancel_after_fill_s"],
        0.5 if evidence.price_response is None else min(1.0, max(0.0, evidence.price_response)),
    )
    return 100 * sum(parts) / len(parts)


class _Norms:
    """Cancel ratio that is normal for a trader: their own, or their desk's where their own rests on too few days."""

    def __init__(self, look: Look) -> None:
        rows = [r for r in look.rows("trader_baselines") if r["metric"] == "CANCEL_RATIO"]
        desks = {r["trader_id"]: r["desk"] for r in look.rows("traders")}
        self._own = {r["trader_id"]: r for r in rows if (r["n_days"] or 0) >= LEAST_DAYS}
        self._desk: dict[str | None, list[dict[str, Any]]] = {}
        for row in self._own.values():
            self._desk.setdefault(desks.get(row["trader_id"]), []).append(row)

    def of(self, trader_id: str, desk: str | None) -> tuple[float | None, float, str]:
        """(mean, standard deviation, whose it is); the mean is None when nothing is known."""
        own = self._own.get(trader_id)
        if own is not None:
            return own["mean"], own["stddev"] or 0.0, f"the trader's own norm over {own['n_days']} days"
        peers = self._desk.get(desk, [])
        if not peers:
            return None, 0.0, ""
        spread = median(r["stddev"] or 0.0 for r in peers)
        return median(r["mean"] for r in peers), spread, f"the median norm of desk {desk}"


def _joined(hits: list[Episode]) -> list[Episode]:
    """Overlapping windows of the same trader, instrument and side as one; the strongest deviation stands."""
    joined: list[Episode] = []
    for hit in sorted(hits, key=lambda e: (e.trader_id, e.symbol, e.side, e.start)):
        last = joined[-1] if joined else None
        same = last is not None and (last.trader_id, last.symbol, last.side) == (hit.trader_id, hit.symbol, hit.side)
        if last is not None and same and hit.start < last.end:
            strong = max((last, hit), key=lambda e: e.deviation)
            joined[-1] = Episode(hit.trader_id, hit.symbol, hit.side, last.start, max(last.end, hit.end),
                                 strong.cancel_ratio, strong.deviation, strong.norm, strong.norm_of)  # fmt: skip
        else:
            joined.append(hit)
    return joined


def _sides(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Short sales count as sales, and times are aware."""
    for row in rows:
        row["side"] = "SELL" if row["side"] == "SELL_SHORT" else row["side"]
        for name in ("entry_ts", "end_ts", "exec_ts"):
            if row.get(name) is not None:
                row[name] = utc(row[name])
    return rows


def _listed(ids: Iterable[str]) -> str:
    every = list(ids)
    return ", ".join(every[:10]) + (f" and {len(every) - 10} more" if len(every) > 10 else "")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
