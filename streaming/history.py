"""Everything that ever came in, in one Delta table, written in steps by one thread and exact across crashes.

A *step* appends whole segments, all kinds in one commit. The commit's own metadata is the manifest: the offsets up to
which the table now reaches, and the state that the next batch needs. So there is one atomic truth to restart from.

Order of a step: reference rows, state file, recent ids (`recent_ids.py`), then the commit that names them all. A crash
before the commit leaves files that nothing names; the messages are read again. A step that is tried again after an error
is looked for in the log first: what stands beside a commit is never written over.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streaming import delta_files
from streaming.recent_ids import RecentIds
from streaming.segments import CARRIED, DDL, ENDED, ORDER, QUOTE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from streaming.live_views import Offsets

log = logging.getLogger(__name__)

APP_ID: Final = "events-history"
KEPT_STATES: Final = 5
_SCAN: Final = 200
"""Commits to look through for the newest manifest; maintenance commits, which carry none, are far fewer."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One published batch, so that the views of that very moment can be opened again."""

    generation: int
    newest_us: int
    watermark_us: int
    offsets: Offsets


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one step declares."""

    step: int
    generation: int
    offsets: Offsets
    newest_us: int
    watermark_us: int
    high_us: dict[str, int]
    """`topic/partition` → newest event time."""
    state: str
    """Folder of the state file, relative to the data directory."""
    state_sha256: str = ""
    """Digest of the state; empty in steps of earlier releases, which did not check it."""
    reference_version: int | None
    annuls: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    batches: tuple[Batch, ...] = ()
    version: int = -1
    """Delta version of the commit; known only after it."""

    def text(self) -> str:
        """As it stands in the commit."""
        return json.dumps({"manifest": asdict(self)})

    @classmethod
    def parse(cls, text: str | None, version: int) -> Manifest | None:
        """The manifest of a commit; None when the commit has none."""
        body = json.loads(text).get("manifest") if text and text.startswith("{") else None
        if body is None:
            return None
        batches = tuple(Batch(**b | {"offsets": _offsets(b["offsets"])}) for b in body["batches"])
        return cls(**body | {"offsets": _offsets(body["offsets"]), "batches": batches, "version": version})


def _offsets(raw: dict[str, dict[str, int]]) -> Offsets:
    return {topic: {int(p): int(o) for p, o in parts.items()} for topic, parts in raw.items()}


class History:
    """The Delta table `events` and the state files beside it. One process and one writing thread at a time."""

    def __init__(self, spark: SparkSession, directory: Path, horizon: int = 500_000) -> None:
        """Args:
        spark: session for what is written and read here.
        directory: of the history and all that stands beside it.
        horizon: ids that a restart must know at least.
        """
        self.spark, self.directory = spark, directory
        self._table = directory / "delta" / "events"
        self.path = str(self._table)
        self._index = directory / "state" / "manifests.jsonl"
        self._horizon, self._ids = horizon, RecentIds(directory / "state" / "ids", horizon)

    # -- reading

    def frame(self, session: SparkSession, version: int) -> DataFrame:
        """The table as of a version, with the columns of a segment."""
        frame = session.read.format("delta").option("versionAsOf", version).load(self.path)
        return frame.drop("day").selectExpr(*(f"`{c.split('`')[1]}`" for c in DDL.split(", ")))

    def last_manifest(self, scan: int = _SCAN) -> Manifest | None:
        """The newest step among the last `scan` commits; None when nothing was written yet."""
        try:
            commits = [(v, info.get("userMetadata")) for v, info in delta_files.commit_infos(self._table, scan)]
        except delta_files.Unusual as error:
            log.warning("Delta itself has to read its log: %s", error)
            commits = self._commits_by_delta(scan)
        found = (Manifest.parse(text, version) for version, text in commits)
        return next((manifest for manifest in found if manifest is not None), None)

    def _commits_by_delta(self, scan: int) -> list[tuple[int, str | None]]:
        from delta.tables import DeltaTable

        rows = DeltaTable.forPath(self.spark, self.path).history(scan).select("version", "userMetadata").collect()
        return [(version, text) for version, text in rows]

    def manifests(self) -> list[Manifest]:
        """Every step that is still on record, oldest first, without its batches; from the index beside the table."""
        if not self._index.exists():
            return []
        lines = (line for line in self._index.read_text(encoding="utf-8").splitlines() if line.endswith("}"))
        found = (Manifest.parse(line, int(json.loads(line)["manifest"]["version"])) for line in lines)
        return [manifest for manifest in found if manifest is not None]

    def batches(self, manifest: Manifest) -> tuple[Batch, ...]:
        """The batches of a step, from its commit; empty when the commit's log file is gone."""
        commit = self._table / "_delta_log" / f"{manifest.version:020d}.json"
        if not commit.exists():
            return ()
        for line in commit.read_text(encoding="utf-8").splitlines():
            info = json.loads(line).get("commitInfo", {})
            if (found := Manifest.parse(info.get("userMetadata"), manifest.version)) is not None:
                return found.batches
        return ()

    def state(self, manifest: Manifest) -> DataFrame:
        """Open orders and last quotes at the end of a step; made again from the table when their file is damaged."""
        folder = self.directory / manifest.state
        if not (folder / "_SUCCESS").exists() or manifest.state_sha256 not in ("", _digest(folder)):
            log.warning("%s is missing or damaged; open orders are looked for in the whole history", folder.name)
            return self._state_from_table(manifest)
        return self.spark.read.schema(DDL).parquet(str(folder))

    def _state_from_table(self, manifest: Manifest) -> DataFrame:
        """The last row of each working order, and the last quote of each symbol and venue."""
        from pyspark.sql import Window
        from pyspark.sql.functions import col, row_number

        facts = self.frame(self.spark, manifest.version)

        def last(rows: DataFrame, keys: Sequence[str], order: Sequence[str]) -> DataFrame:
            newest = Window.partitionBy(*keys).orderBy(*(col(name).desc() for name in order))
            return rows.withColumn("_n", row_number().over(newest)).where("_n = 1").drop("_n")

        ended = ", ".join(f"'{status}'" for status in ENDED)
        life = facts.where(f"kind = '{ORDER}' AND event_type NOT IN ('BUST', 'CORRECT')")
        orders = last(life, ("symbol", "venue", "order_id"), ("offset",)).where(f"order_status NOT IN ({ended})")
        quotes = last(facts.where(f"kind = '{QUOTE}'"), ("symbol", "venue"), ("event_ts", "quote_seq"))
        return orders.unionAll(quotes).selectExpr(*("true AS tail" if c == "tail" else f"`{c}`" for c in facts.columns))

    def recent_hashes(self, manifest: Manifest) -> list[int]:
        """Hashes of the ids that were accepted last, oldest first."""
        kept = self._ids.read(manifest.step, manifest.generation)
        if kept is None:
            log.warning("the ids of the last messages are read from the whole history")
            kept = self._ids_from_table(manifest)
            self._ids.write(manifest.step, manifest.generation, kept, first=0)
        known: list[int] = kept.tolist()
        return known

    def _ids_from_table(self, manifest: Manifest) -> np.ndarray:
        frame = self.frame(self.spark, manifest.version).where("id_hash IS NOT NULL")
        newest = frame.orderBy("ingest_ts", ascending=False).limit(self._horizon).select("id_hash", "exec_hash")
        table = newest.toArrow()
        both = zip(*(table.column(name).to_pylist() for name in ("id_hash", "exec_hash")), strict=True)
        return np.array([key for pair in reversed(list(both)) for key in pair if key is not None], dtype="<i8")

    # -- writing

    def append(self, rows: DataFrame, carried: DataFrame, manifest: Manifest, ids: np.ndarray) -> Manifest:
        """Write one step; returns the manifest with the version of its commit. May be repeated after an error.

        When an earlier attempt was committed after all, nothing is written and its manifest returned, which may reach
        less far than the one that was asked for.

        Args:
            rows: all rows of the step's segments.
            carried: open orders and last quotes at its end.
            manifest: what the step declares.
            ids: hashes of the ids of its messages, in the order of their arrival.
        """
        before = self.last_manifest()
        if before is not None and before.step == manifest.step:
            self.reconcile(before)
            return before
        folder = self.directory / manifest.state
        carried.coalesce(1).write.mode("overwrite").parquet(str(folder))
        manifest = replace(manifest, state_sha256=_digest(folder))
        self._ids.write(manifest.step, manifest.generation, ids)
        day = "coalesce(trade_date, to_date(ingest_ts))"
        good = rows.where(f"kind <> '{CARRIED}'").withColumn("tail", _false())
        (
            good.selectExpr("*", f"{day} AS day").coalesce(1).write.format("delta").mode("append")
            .partitionBy("kind", "day").option("txnAppId", APP_ID).option("txnVersion", manifest.step)
            .option("userMetadata", manifest.text()).save(self.path)
        )  # fmt: skip
        written = self.last_manifest(scan=4)
        if written is None or written.step != manifest.step:
            raise RuntimeError(f"{self.path}: step {manifest.step} was not committed; is another process writing here?")
        self._remember(written)
        self._ids.tidy(written.step, written.generation)
        return written

    def _remember(self, manifest: Manifest) -> None:
        self._index.parent.mkdir(parents=True, exist_ok=True)
        with self._index.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"manifest": asdict(replace(manifest, batches=()))}) + "\n")
        states = sorted(self._index.parent.glob("step-*"))
        for stale in states[:-KEPT_STATES]:
            shutil.rmtree(stale, ignore_errors=True)

    def reconcile(self, manifest: Manifest) -> None:
        """Put a step into the index that was committed just before a crash."""
        known = self.manifests()
        if not known or known[-1].step < manifest.step:
            self._remember(manifest)

    def maintain(self, *, keep_days: int | None, vacuum_hours: float) -> dict[str, float]:
        """Join small files, drop days older than `keep_days` (None keeps all) and files that no version needs.

        Returns:
            What was done → seconds.
        """
        from delta.tables import DeltaTable

        table, took = DeltaTable.forPath(self.spark, self.path), {}

        def timed(name: str, work: Any) -> None:
            start = time.monotonic()
            work()
            took[name] = time.monotonic() - start

        if keep_days is not None:
            timed("delete", lambda: table.delete(f"day < date_sub(current_date(), {keep_days})"))
        timed("optimize", lambda: table.optimize().executeCompaction())
        timed("vacuum", lambda: table.vacuum(vacuum_hours))
        return took


def state_folder(step: int) -> str:
    """Folder of a step's state file, relative to the data directory."""
    return f"state/step-{step:010d}"


def _digest(folder: Path) -> str:
    """Digest of the Parquet files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _false() -> Any:
    from pyspark.sql.functions import lit

    return lit(False)
