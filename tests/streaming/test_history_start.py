"""What a start reads from disk is what the table holds, also when the files beside the table are damaged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from streaming import delta_files
from streaming.alerts import AlertStore
from streaming.history import History, Manifest
from streaming.reference import ReferenceTable
from streaming.segments import COLUMNS
from tests.streaming.conftest import at, order, quote, trade

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame

    from tests.streaming.conftest import Route


def written(route: Route, waves: int = 2) -> None:
    """History with a working, a partly filled and a cancelled order, fills, a bust, quotes, prints, a duplicate."""
    for n in range(waves):
        t = n * 1000
        fill = {"last_qty": 50.0, "last_price": 10.0, "leaves_qty": 50.0, "cum_qty": 50.0}
        route.feed([
            quote(t, 2 * n, 9.9, 10.0), quote(t + 1, 2 * n + 1, 9.8, 10.0, symbol="XYZ", venue="XNYS"),
            order("NEW", f"A{n}", t + 2, f"a{n}"), order("NEW", f"B{n}", t + 3, f"b{n}"),
            order("FILL", f"B{n}", t + 4, f"f{n}", exec_id=f"X{n}", **fill),
            order("NEW", f"C{n}", t + 5, f"c{n}"), order("CANCEL", f"C{n}", t + 6, f"d{n}", leaves_qty=0.0),
            order("BUST", f"B{n}", t + 7, f"e{n}", ref_exec_id=f"X{n}"), trade(t + 8, f"t{n}", 10.0, 1.0),
            order("NEW", f"D{n}", t + 9, f"a{n}"),
        ])  # fmt: skip
        route.maintenance.step()


def rows_of(frame: DataFrame) -> list[tuple[Any, ...]]:
    columns = [name for name in COLUMNS if name not in ("kind", "tail")]
    ended = "coalesce(order_status IN ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED'), false)"
    rows = frame.where(f"tail AND NOT {ended}").selectExpr(*(f"`{c}`" for c in columns)).collect()
    return sorted((tuple(row) for row in rows), key=str)


def test_manifest_and_ids_are_those_of_the_table(route: Route, tmp_path: Path) -> None:
    assert route.history.last_manifest() is None
    written(route)
    route.history.maintain(keep_days=None, vacuum_hours=168.0)  # its commits have no manifest
    last = route.history.last_manifest()
    assert last is not None
    assert last.step == 2
    assert last in [Manifest.parse(text, version) for version, text in route.history._commits_by_delta(50)]

    kept = route.history.recent_hashes(last)
    shutil.rmtree(tmp_path / "state" / "ids")
    again = History(route.session, tmp_path).recent_hashes(last)
    assert set(kept) == set(again)
    assert len(set(kept)) == 2 * 10, "two quotes, six order events, an exec_id, a print; the duplicate adds none"
    assert (tmp_path / "state" / "ids").exists(), "the next start is fast again"


def test_a_damaged_state_is_made_again_from_the_table(route: Route, tmp_path: Path) -> None:
    written(route)
    last = route.history.last_manifest()
    assert last is not None
    good = rows_of(route.history.state(last))
    assert len(good) == 2 + 4, "a quote of each symbol, and of each wave a new and a partly filled order"
    folder = tmp_path / last.state
    (part,) = folder.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-5] + b"\0" * 5)
    assert rows_of(route.history.state(last)) == good
    for harm in (part.unlink, lambda: shutil.rmtree(folder)):
        harm()
        assert route.history.state(last).count() == len(good)


def test_a_step_that_was_committed_though_it_failed_is_not_written_over(route: Route, tmp_path: Path) -> None:
    written(route, waves=1)
    maintenance, remember = route.maintenance, route.history._remember
    route.feed([quote(5000, 50, 9.9, 10.0), order("NEW", "E", 5001, "e")])

    def fails(_: object) -> None:
        raise OSError("no space left")

    route.history._remember = fails
    with pytest.raises(OSError, match="no space"):
        maintenance.step()
    committed = route.history.last_manifest()
    beside = [*tmp_path.glob("state/step-*2/*.parquet"), *tmp_path.glob("state/ids/*2.ids")]
    before = [path.read_bytes() for path in beside]
    assert len(before) == 2
    route.feed([quote(6000, 60, 9.9, 10.0), order("NEW", "F", 6001, "f")])
    route.history._remember = remember
    assert maintenance.step()
    assert maintenance.last == committed, "the step stands as it was committed"
    assert [path.read_bytes() for path in beside] == before, "so do the files that its commit names"
    assert committed is not None
    ids = set(route.history.recent_hashes(committed))
    assert maintenance.step(), "what came later is a step of its own"
    last = maintenance.last
    assert last is not None
    assert last.step == committed.step + 1
    assert len(set(route.history.recent_hashes(last)) - ids) == 2, "the ids of a quote and of an order"
    rows = route.history.frame(route.session, last.version).select("topic", "partition", "offset").collect()
    assert (len(rows), len(set(rows))) == (14, 14)


def test_small_tables_are_read_without_spark_as_delta_reads_them(route: Route, tmp_path: Path) -> None:
    written(route, waves=1)
    table = ReferenceTable(route.session, tmp_path)
    reference = route.live.newest.reference
    loaded = table.load(route.views, 0)
    assert {view: dict(rows) for view, rows in loaded.rows.items()} == {v: dict(r) for v, r in reference.rows.items()}
    table.save(reference.changed("accounts", ("E1",), None))
    assert table.version() == 1
    assert len(table.load(route.views, 0).rows["accounts"]) == 2
    assert len(table.load(route.views).rows["accounts"]) == 1

    view = route.catalogue.views["alerts"]
    alert = dict.fromkeys(view.columns) | {
        "alert_id": "A-1", "detector": "SPOOFING", "status": "NEW", "created_ts": at(1), "updated_ts": at(1.5),
        "evidence_order_ids": ["O1", "Ö2"], "n_orders": 3, "score": 0.5,
    }  # fmt: skip
    route.alerts.add([alert])
    route.alerts.review("A-1", "CLOSED", at(9))
    again = AlertStore(route.session, view, tmp_path)
    assert again.rows() == route.alerts.rows()
    assert again.rows(at(2)) == [alert]

    log = tmp_path / "delta" / "reference" / "_delta_log"
    delta_log = route.session._jvm.org.apache.spark.sql.delta.DeltaLog
    delta_log.forTable(route.session._jsparkSession, table.path).checkpoint()
    (log / f"{0:020d}.json").unlink()
    with pytest.raises(delta_files.Unusual):
        delta_files.rows(tmp_path / "delta" / "reference", 1)
    assert len(table.load(route.views, 1).rows["accounts"]) == 1, "Delta itself reads it"
