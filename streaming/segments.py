"""The one row shape of the event route: every good event, dead letter and carried order of a batch in one table.

A *segment* is an immutable set of such rows in memory. One table for all kinds keeps a batch at one Spark job and
history at one Delta commit; the views are filters and projections over it (`streaming/views.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import DataFrame

from streaming.java_object import java_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import SparkSession

ORDER: Final = "O"
TRADE: Final = "T"
QUOTE: Final = "Q"
DEAD: Final = "D"
CARRIED: Final = "W"
"""An open order, or a last quote, that the batch did not touch: in memory only, never in history."""

COLUMNS: Final[dict[str, str]] = {
    # identity of the message
    "kind": "STRING", "topic": "STRING", "partition": "INT", "offset": "BIGINT",
    "event_ts": "TIMESTAMP", "ingest_ts": "TIMESTAMP", "trade_date": "DATE",
    "symbol": "STRING", "venue": "STRING", "issuer_name": "STRING", "asset_class": "STRING", "sector": "STRING",
    "event_id": "STRING",  # event_id of an order event, trade_id of a print
    # order events
    "event_type": "STRING", "order_id": "STRING", "parent_order_id": "STRING", "side": "STRING",
    "order_type": "STRING", "time_in_force": "STRING", "price": "DOUBLE", "order_qty": "DOUBLE",
    "last_qty": "DOUBLE", "last_price": "DOUBLE", "leaves_qty": "DOUBLE", "cum_qty": "DOUBLE", "avg_price": "DOUBLE",
    "exec_id": "STRING", "ref_exec_id": "STRING", "liquidity": "STRING", "counterparty_account_id": "STRING",
    "cancel_reason": "STRING", "reject_reason": "STRING", "trader_id": "STRING", "trader_name": "STRING",
    "desk": "STRING", "account_id": "STRING", "account_type": "STRING", "is_algo": "BOOLEAN",
    "session_phase": "STRING",
    # the order after this event
    "entry_ts": "TIMESTAMP", "entry_phase": "STRING", "n_replaces": "INT", "mid_at_entry": "DOUBLE",
    "distance_bps": "DOUBLE", "order_status": "STRING",
    # a quote, or the quote that prevailed just before an order event
    "quote_ts": "TIMESTAMP", "quote_seq": "BIGINT", "bid_price": "DOUBLE", "bid_qty": "DOUBLE",
    "ask_price": "DOUBLE", "ask_qty": "DOUBLE", "avg_spread_bps": "DOUBLE",
    # a print
    "qty": "DOUBLE", "aggressor_side": "STRING", "is_auction": "BOOLEAN",
    # a dead letter
    "error_class": "STRING", "error_field": "STRING", "error_message": "STRING", "producer": "STRING",
    "raw": "BINARY",  # the message, byte for byte
    "id_hash": "BIGINT",  # of the business id; NULL in dead letters of other classes
    "exec_hash": "BIGINT",  # of the exec_id of a fill
    "tail": "BOOLEAN",  # last row of its order, or last quote of its symbol and venue, in this segment
}  # fmt: skip
"""Column → Spark SQL type, in order. Columns that a kind does not use are NULL or unread."""

DDL: Final = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
_TOGETHER: Final = Path(__file__).with_name("together.java")
ENDED: Final = ("FILLED", "CANCELLED", "REJECTED", "EXPIRED")


def plan_of(frame: DataFrame) -> Any:
    """The analysed plan, which can be opened in any session of the same Spark context."""
    return frame._jdf.queryExecution().analyzed()


def open_plan(session: SparkSession, plan: Any) -> DataFrame:
    """A DataFrame over a shared plan in `session`, without registering a name there."""
    dataset = session._jvm.org.apache.spark.sql.classic.Dataset.ofRows(session._jsparkSession, plan)
    return DataFrame(dataset, session)


def together(session: SparkSession, plans: Iterable[Any], before: Sequence[DataFrame] = ()) -> DataFrame:
    """All rows of several segments, and of frames with the same columns, as few leaves.

    A union of ten segments would be ten stages to plan, to generate code for and to send to each task, in every
    statement, and another code with every change of their number: Java would never come to the end of compiling.

    Args:
        session: where the DataFrame is to live.
        plans: of the segments, in rows or in columns.
        before: further frames, such as history.
    """
    columns: list[Any] = []
    rows: list[Any] = []
    for plan in plans:
        (columns if plan.getClass().getSimpleName() == "InMemoryRelation" else rows).append(plan)
    java = java_object(session, _TOGETHER, "Together", session._jsparkSession)
    cores = session.sparkContext.defaultParallelism
    parts = [open_plan(session, join(_java_list(session, some), cores))
             for join, some in ((java.columns, columns), (java.rows, rows)) if some]  # fmt: skip
    whole, *rest = [*before, *parts]
    for part in rest:
        whole = whole.unionAll(part)
    return whole


def _java_list(session: SparkSession, values: Iterable[Any]) -> Any:
    """A list on the other side."""
    made = session._jvm.java.util.ArrayList()
    for value in values:
        made.add(value)
    return made


def materialised(frame: DataFrame) -> tuple[DataFrame, Any]:
    """A copy of `frame` that forgets how it was made, and the blocks that hold it once an action has read it all.

    Without cutting the lineage each batch would keep all earlier ones alive: its state comes from the one before.
    """
    leaf = frame.localCheckpoint(eager=False)
    return leaf, leaf._jdf.queryExecution().logical().rdd()


class ColumnarCopy:
    """Rows of several segments in columns: filters skip what they can, and a query reads only the columns that it names."""

    def __init__(self, frame: DataFrame) -> None:
        """Build it now, in the calling thread."""
        jvm = frame.sparkSession._jvm
        relation = getattr(jvm.org.apache.spark.sql.execution.columnar, "InMemoryRelation$")
        none = getattr(getattr(jvm.scala, "None$"), "MODULE$")
        level = jvm.org.apache.spark.storage.StorageLevel.MEMORY_AND_DISK()
        # Not DataFrame.persist(): a registered cache entry is compared with every plan of every later query.
        built = getattr(relation, "MODULE$").apply(level, frame._jdf.queryExecution(), none)
        # A plan that ends in a sort names attributes in its ordering that a relation read twice in one statement cannot
        # map to its new ones ("key not found"). The copies promise no order.
        unordered = getattr(getattr(jvm.scala.collection.immutable, "Nil$"), "MODULE$")
        self.plan = built.copy(built.output(), built.cacheBuilder(), unordered)
        getattr(self.plan, "statsOfPlanToCache_$eq")(built.statsOfPlanToCache())
        buffers = self.plan.cacheBuilder().cachedColumnBuffers()
        # Else each task of each query would be sent the whole descent of each copy.
        buffers.localCheckpoint()
        buffers.count()

    def free(self) -> None:
        """Release the memory; nothing may read the copy any more."""
        self.plan.cacheBuilder().clearCache(False)
