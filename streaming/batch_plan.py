"""The statements of a micro-batch, planned once: messages → packed rows → rows with their order's state.

A small batch runs as one task in one stage: with a thousand rows, handing them from task to task costs more than the
second core gains. A large one, as when catching up, is spread over the cores by (symbol, venue).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streaming.checks import check_sql
from streaming.decode import decode_sql
from streaming.enrich import ACCOUNTS, INSTRUMENTS, TRADERS, carried_sql, packed_sql
from streaming.order_state import state_sql
from streaming.prepared import Input, Prepared
from streaming.segments import CARRIED, COLUMNS, DDL, open_plan

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from streaming.reference import ReferenceRows

RAW: Final = {
    "key": "BINARY", "value": "BINARY", "topic": "STRING", "partition": "INT", "offset": "BIGINT",
    "timestamp": "TIMESTAMP", "timestampType": "INT", "headers": "ARRAY<STRUCT<key: STRING, value: BINARY>>",
}  # fmt: skip
"""Columns of Spark's Kafka source, with headers."""
RAW_DDL: Final = ", ".join(f"`{name}` {kind}" for name, kind in RAW.items())
SMALL: Final = 8_000
"""Messages in a batch, up to which it runs as one task."""

_DROPS_DDL: Final = "topic STRING, `partition` INT, `offset` BIGINT, class STRING, field STRING, message STRING"
_PACKED_DDL: Final = f"p STRUCT<{', '.join(f'`{name}`: {kind}' for name, kind in COLUMNS.items())}>"
_ARRIVALS: Final = (
    "topic", "`partition`", "`offset`", "kind", "unix_micros(event_ts) AS event_us", "id_hash", "exec_hash",
    "ref_exec_id IS NOT NULL AS annuls",
)  # fmt: skip
_LOOKUPS: Final = {
    INSTRUMENTS: ("instruments", "symbol STRING, issuer_name STRING, asset_class STRING, sector STRING, avg_spread_bps_20d DOUBLE"),
    TRADERS: ("traders", "trader_id STRING, trader_name STRING, desk STRING"),
    ACCOUNTS: ("accounts", "account_id STRING, account_type STRING"),
}  # fmt: skip


class BatchPlan:
    """Plans the route for one set of venues; lookups are exchanged as the reference views change."""

    def __init__(self, session: SparkSession, *, largest_message: int, ahead_s: int) -> None:
        """Args:
        session: of our own (`session.quiet_session`).
        largest_message: bytes (`PipelineSettings.largest_message`).
        ahead_s: seconds (`PipelineSettings.ahead_s`).
        """
        self._session = session
        self._checked = check_sql(
            decode_sql("raw", largest_message), largest_message=largest_message, ahead_s=ahead_s
        )  # fmt: skip
        self._carried = Prepared(session, carried_sql("carried"), {"carried": Input(DDL)})
        self._state = Prepared(session, state_sql("packed"), {"packed": Input(_PACKED_DDL)})
        self._arrivals = Prepared(
            session, f"SELECT {', '.join(_ARRIVALS)} FROM segment WHERE kind <> '{CARRIED}'", {"segment": Input(DDL)}
        )
        self._zones: dict[str, str] | None = None
        self._packed: dict[bool, Prepared] = {}
        self._known: dict[str, Any] = {}
        self._lookups: dict[str, Any] = {}

    def use(self, reference: ReferenceRows) -> None:
        """Take the lookups from these reference rows on."""
        if self._zones != reference.time_zones:
            self._zones, self._packed = reference.time_zones, {}
        plans = {name: reference.plan(view, self._session) for name, (view, _) in _LOOKUPS.items()}
        changed = {name: self._lookup(name, plan) for name, plan in plans.items() if self._known.get(name) is not plan}
        if changed:
            self._packed = {drops: plan.over(changed) for drops, plan in self._packed.items()}
            self._known, self._lookups = plans, {**self._lookups, **changed}

    def segment(self, messages: Any, tail: Any, size: int, drops: pa.Table | None = None) -> DataFrame:
        """Rows of the batch's segment, not computed yet.

        Args:
            messages: RDD of the Kafka source's rows (`RAW`); rows of other topics are left out.
            tail: RDD of the segment before.
            size: messages, about.
            drops: duplicates and late messages (`arrivals.DROP_SCHEMA`), None when there are none.
        """
        packed = self._pack(drops is not None)
        if drops is not None:
            packed = packed.over({"drops": self._session.createDataFrame(drops)._jdf.queryExecution().toRdd()})
        rows = packed.rows({"raw": messages})
        rows = rows.union(self._carried.rows({"carried": tail}))
        single = size <= SMALL
        return self._state.frame({"packed": one_partition(self._session, rows) if single else rows}, single=single)

    def arrivals(self, segment: Any) -> pa.Table:
        """Identity and time of each message of a segment, given as an RDD; computes the segment."""
        return self._arrivals.frame({"segment": segment}).toArrow()

    def _pack(self, drops: bool) -> Prepared:
        """Messages → packed rows; planned when first needed, as most runs never see a duplicate."""
        if drops not in self._packed:
            lookups = {name: Input(ddl, small=True) for name, (_, ddl) in _LOOKUPS.items()}
            inputs = {"raw": Input(RAW_DDL), **lookups}
            if drops:
                inputs["drops"] = Input(_DROPS_DDL, small=True)
            sql = packed_sql(self._checked, self._zones or {}, "drops" if drops else None)
            self._packed[drops] = Prepared(self._session, sql, inputs).over(self._lookups)
        return self._packed[drops]

    def _lookup(self, name: str, plan: Any) -> Any:
        columns = [column.split()[0] for column in _LOOKUPS[name][1].split(", ")]
        return open_plan(self._session, plan).select(*columns)._jdf.queryExecution().toRdd()


def one_partition(session: SparkSession, rows: Any) -> Any:
    """The rows of an RDD, read one partition after the other by one task."""
    return rows.coalesce(1, False, getattr(getattr(session._jvm.scala, "None$"), "MODULE$"), None)
