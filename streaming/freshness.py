"""What the views are good for: how far they reach, how far behind they are, and in what state the stream is."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql.streaming import StreamingQuery

    from streaming.live_views import Generation, Offsets


def instant(us: int | None) -> datetime | None:
    """Epoch microseconds as an aware UTC time; None for none."""
    if not us:
        return None
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def broker_answers(servers: str, timeout_s: float = 1.0) -> bool:
    """Whether any of the bootstrap servers accepts a connection."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
                return True
        except (OSError, ValueError):
            continue
    return False


def end_offsets(query: StreamingQuery | None) -> Offsets:
    """Newest offsets on the broker as the query last saw them; empty before its first batch."""
    progress = query.lastProgress if query is not None else None
    if not progress or not progress["sources"]:
        return {}
    raw = progress["sources"][0]["latestOffset"] or {}
    raw = json.loads(raw) if isinstance(raw, str) else raw
    return {topic: {int(p): int(o) for p, o in parts.items()} for topic, parts in raw.items()}


def lag(committed: Offsets, ends: Offsets) -> int:
    """Messages on the broker that are not in the views yet."""
    return sum(max(0, end - committed.get(t, {}).get(p, 0)) for t, parts in ends.items() for p, end in parts.items())


def ingest_rows(generation: Generation, ends: Offsets) -> list[dict[str, Any]]:
    """Rows of the view `ingest_status`, one a partition."""
    rows = []
    for topic, parts in sorted(generation.offsets.items()):
        for partition, offset in sorted(parts.items()):
            end = max(offset, ends.get(topic, {}).get(partition, offset))
            rows.append({
                "topic": topic, "partition": partition, "committed_offset": offset - 1, "end_offset": end - 1,
                "lag": end - offset, "last_event_ts": instant(generation.high_us.get((topic, partition))),
                "watermark_ts": instant(generation.watermark_us), "ingest_ts": instant(generation.published_us),
            })  # fmt: skip
    return rows


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
