"""A world without Spark: answers are made up, everything around them is the product's own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from app.world import World
from nlq.contracts import Answer, Clarification, LedgerEntry, Principal, Status
from nlq.guard import check
from nlq.record import Record
from nlq.verified import VerifiedQueries
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nlq.contracts import Turn

AS_OF = datetime(2026, 11, 9, 15, 30, tzinfo=UTC)
EVIL = "](javascript:alert(1)) ![x](https://evil.example/leak.png) <script>alert(1)</script> :red[x] $a$"


def by_trader() -> pa.Table:
    return pa.table(
        {
            "trader_id": [f"T-{n:04d}" for n in (17, 42, 8, 23, 31, 5, 12)],
            "orders": [412, 388, 345, 301, 290, 222, 190],
            "cancel_ratio": [0.97, 0.91, 0.88, 0.62, 0.55, 0.41, 0.33],
        }
    )


def by_minute() -> pa.Table:
    minutes = [AS_OF - timedelta(minutes=30 - n) for n in range(30)]
    return pa.table(
        {
            "minute": pa.array(minutes, pa.timestamp("us", tz="UTC")),
            "volume": [float(1000 + 400 * ((n * 7) % 11)) for n in range(30)],
        }
    )


@dataclass
class FakeEngine:
    """Answers by keyword; remembers what it was asked, and puts it on a real record."""

    record: Record
    parts: Any = None
    asked: list[tuple[str, Principal, Sequence[Turn]]] = field(default_factory=list)
    stage_s: float = 0.0

    def ask(
        self,
        question: str,
        user: Principal | None = None,
        as_of: datetime | None = None,
        history: Sequence[Turn] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Answer:
        user = user or Principal()
        self.asked.append((question, user, tuple(history)))
        query_id = self.record.begin({"user_id": user.user_id, "role": user.role, "question": question})
        for stage in ("understand", "check", "execute"):
            (progress or (lambda _: None))(stage)
            time.sleep(self.stage_s)
        answer = self._answer(question, query_id, as_of or AS_OF)
        self.record.complete(query_id, {"status": answer.status.value})
        return answer

    def run_sql(self, sql: str, user: Principal | None = None, as_of: datetime | None = None) -> Answer:
        verdict = check(sql, Catalogue.load(), user or Principal(), as_of=AS_OF)
        if not verdict.allowed:
            query_id = self.record.begin({"user_id": (user or Principal()).user_id, "question": sql})
            self.record.complete(query_id, {"status": "REFUSED"})
            return Answer(status=Status.REFUSED, question=sql, query_id=query_id, reason=verdict.rule)
        return self.ask(f"sql: {sql}", user, as_of)

    def _answer(self, question: str, query_id: str, as_of: datetime) -> Answer:
        base: dict[str, Any] = {"question": question, "query_id": query_id, "as_of": as_of}
        base |= {"timings": {"understand": 0.11, "check": 0.01, "execute": 0.31}}
        match question.split(maxsplit=1)[0].lower():
            case "large":
                choices = ("Orders above 10,000 shares", "Orders above 1 million USD")
                asked = Clarification(question="How large is large?", choices=choices)
                return Answer(status=Status.CLARIFY, clarification=asked, draft="SELECT * FROM orders", **base)
            case "tomorrow":
                return Answer(status=Status.UNANSWERABLE, reason="There is no data of the future.", **base)
            case "delete":
                return Answer(status=Status.REFUSED, reason="CHANGES_DATA: questions only read.", **base)
            case "boom":
                raise RuntimeError("Row of Ola Nordmann: secret=hunter2")
            case "evil":
                table = pa.table({"trader_name": [EVIL, "=HYPERLINK(1)"], "n": [1, 2]})
                reading = f"Reading with {EVIL}"
                return Answer(status=Status.ANSWERED, table=table, reading=reading, sql="SELECT 1", **base)
            case "how":
                table = pa.table({"n_orders": [184_223]})
            case "market":
                table = by_minute()
            case _:
                table = by_trader()
        ledger = (
            LedgerEntry(phrase="today", span=(0, 5), predicate="trade_date = DATE '2026-11-09'", reason="time"),
            LedgerEntry(phrase="cancel ratio", span=(6, 18), predicate="AVG(status = 'CANCELLED')", reason="glossary"),
            LedgerEntry(phrase="", span=None, predicate="LIMIT 10", reason="default: ten rows"),
        )
        return Answer(
            status=Status.ANSWERED,
            table=table,
            sql=(
                "SELECT trader_id, COUNT(*) AS orders, AVG(CAST(status = 'CANCELLED' AS INT)) AS cancel_ratio FROM "
                "orders WHERE trade_date = DATE '2026-11-09' GROUP BY trader_id ORDER BY cancel_ratio DESC LIMIT 10"
            ),
            reading="Traders by the share of their orders entered today that were cancelled, highest first.",
            grounding=ledger,
            views=("orders",),
            offsets={"orders": {0: 1_204_551, 1: 1_199_020}, "quotes": {0: 8_220_111, 1: 8_101_557}},
            versions={"events": 412},
            confidence=0.93,
            origin="plan",
            **base,
        )

    def close(self) -> None:
        self.record.close()


ALERT_ROWS = [
    {
        "alert_id": f"AL-{n}",
        "detector": detector,
        "severity": severity,
        "score": 90.0 - n,
        "status": "NEW",
        "created_ts": (AS_OF - timedelta(minutes=3 * n)).isoformat(),
        "symbol": symbol,
        "venue": "XNYS",
        "trader_id": f"T-{17 + n:04d}",
        "trader_name": "Kim Lund",
        "desk": "Cash Equities",
        "n_orders": 41,
        "cancel_ratio": 0.97,
        "deviation_score": 4.2,
        "assigned_to": None,
        "window_start_ts": (AS_OF - timedelta(minutes=3 * n, seconds=30)).isoformat(),
        "window_end_ts": (AS_OF - timedelta(minutes=3 * n)).isoformat(),
        "explanation": "In 30 seconds 41 buy orders were entered and 40 of them cancelled after 0.8 s on average, "
        "while 1,200 shares were sold on the other side; the trader's usual cancel ratio is 34%.",
    }
    for n, (detector, severity, symbol) in enumerate(
        [("SPOOFING", "HIGH", "ACME"), ("LAYERING", "MEDIUM", "GLOBX"), ("WASH_TRADE", "CRITICAL", "INITE")]
    )
]


THRESHOLD_ROWS = [
    {
        "detector": "SPOOFING", "parameter": parameter, "value": value, "unit": unit, "version": version,
        "effective_from_ts": AS_OF - timedelta(days=30 - version), "effective_to_ts": ended, "approved_by": "mo",
        "rationale": "calibrated",
    }
    for version, ended, ratio in ((1, AS_OF - timedelta(days=10), 0.7), (2, None, 0.8))
    for parameter, value, unit in (("min_cancel_ratio", ratio, "ratio"), ("min_orders", 5.0, "orders"))
]  # fmt: skip


class FakeSource:
    """Remembers the reviews of alerts, and lets them show."""

    def __init__(self) -> None:
        self.status = {row["alert_id"]: str(row["status"]) for row in ALERT_ROWS}
        self.in_charge: dict[str, str | None] = {}

    def review_alert(self, alert_id: str, status: str, assigned_to: str | None = None) -> None:
        self.status[alert_id], self.in_charge[alert_id] = status, assigned_to


class FakeWorld(World):
    """A ready world with made-up answers."""

    def __init__(self, data: Path, *, ready: bool = True, stage_s: float = 0.0) -> None:
        super().__init__(Catalogue.load(), lambda _: None, name="live", data=data)  # type: ignore[arg-type, return-value]
        self.fake = FakeEngine(Record.open(data / "record"), stage_s=stage_s)
        self.source = FakeSource()
        verified = VerifiedQueries.open(self.catalogue, data / "verified", shipped=None)
        self.fake.parts = SimpleNamespace(
            source=self.source, verified=verified, drafter=None, purpose_views=frozenset()
        )
        self._ready = ready

    def start(self) -> None:
        if self._ready:
            self.engine = self.fake  # type: ignore[assignment]
            self.state, self.detail = "ready", ""

    def stop(self) -> None:
        self.engine = None
        self.fake.close()

    def status(self) -> dict[str, Any]:
        stream = {
            "state": "RUNNING",
            "age_s": 0.42,
            "lag": 118,
            "rows_per_s": 203.4,
            "live_rows": 184_223,
            "dead_letters": 3,
            "as_of": AS_OF.isoformat(),
        }
        return {"state": self.state, "detail": self.detail, "world": "live", "stream": stream, "model": "connected"}

    def alerts(self, user: Principal, limit: int) -> list[dict[str, Any]]:
        if "alerts" not in self.catalogue.roles[user.role].views:
            return []
        return self.rows("FROM alerts", user)[:limit]

    def rows(self, sql: str, user: Principal) -> list[dict[str, Any]]:
        if "FROM thresholds" in sql:
            return [dict(row) for row in THRESHOLD_ROWS]
        rows = [{**row, "status": self.source.status[str(row["alert_id"])]} for row in ALERT_ROWS]
        return [row for row in rows if "WHERE" not in sql or f"alert_id = '{row['alert_id']}'" in sql]

    def record_event(self, kind: str, fields: Any) -> None:
        self.fake.record.event(kind, fields)
