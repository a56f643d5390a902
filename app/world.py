"""The world that the service answers about: opened in the background, watched, closed in order."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nlq.record.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nlq.build import Parts
    from nlq.contracts import Principal
    from nlq.engine import Engine
    from streaming.catalogue import Catalogue

log = logging.getLogger(__name__)
ALERTS_TTL_S = 2.0
"""Pages poll the alert list; one query in two seconds serves all pages of the same rights."""
MAX_ALERTS = 200
ALERTS = (
    "SELECT alert_id, detector, severity, score, status, created_ts, symbol, venue, trader_id, trader_name, desk, "
    "n_orders, cancel_ratio, deviation_score, explanation, assigned_to, "
    "window_start_ts, window_end_ts FROM alerts ORDER BY created_ts DESC LIMIT {limit}"
)


class WorldNotReady(RuntimeError):
    """The world is still starting or could not be opened; the message says why."""


class World:
    """One world and the engine over it. `state` is starting, ready, failed or stopped."""

    def __init__(
        self,
        catalogue: Catalogue,
        open_parts: Callable[[Callable[[str], None]], Parts],
        *,
        name: str,
        data: Path,
        stream_status: Callable[[], Mapping[str, Any]] = dict,
        when_ready: Callable[[World], None] = lambda _: None,
        model_state: Callable[[], tuple[str, str]] = lambda: ("none", ""),
    ) -> None:
        """Prepare; `start` opens.

        Args:
            catalogue: what can be asked about; known before anything runs.
            open_parts: opens the world; may take half a minute, and is given something to say what it is at with.
            name: shown in the status, such as `live`.
            data: directory for feedback.
            stream_status: numbers of the stream, as `streaming.pipeline.LivePipeline.status` gives them.
            when_ready: done on a thread of its own once questions are answered.
            model_state: how the language model is, as `app.probe.ModelLook` says it.
        """
        self.catalogue = catalogue
        self.name = name
        self.state = "starting"
        self.detail = "starting up"
        self.engine: Engine | None = None
        self._open_parts = open_parts
        self._stream_status = stream_status
        self._data = data
        self._when_ready, self._model_state = when_ready, model_state
        self._since = time.monotonic()
        self._opener: threading.Thread | None = None
        self._lock = threading.Lock()
        self._alerts_turn = threading.Lock()
        self._alerts: dict[tuple[str | None, ...], tuple[float, list[dict[str, Any]]]] = {}

    def start(self) -> None:
        """Open in the background."""
        self._opener = threading.Thread(target=self._open, name="open-world", daemon=True)
        self._opener.start()

    def _open(self) -> None:
        from nlq.engine import Engine

        try:
            parts = self._open_parts(self._say)
        except Exception as error:  # whatever it was, the status must say so instead of the process dying unheard
            log.exception("the world %s could not be opened", self.name)
            self.state, self.detail = "failed", redact(f"{type(error).__name__}: {error}")
            return
        with self._lock:
            if self.state == "stopped":
                parts.close()
                return
            self.engine = Engine(parts)
            self.state, self.detail = "ready", ""
        log.info("ready after %.1f s", time.monotonic() - self._since)
        threading.Thread(target=self._after, args=(parts,), name="after-start", daemon=True).start()

    def _after(self, parts: Parts) -> None:
        """What can wait until questions are answered."""
        try:
            self._when_ready(self)
        except Exception as error:  # noqa: BLE001 - the world is ready all the same
            log.warning("after the start: %s", redact(f"{type(error).__name__}: {error}"))
        if parts.warm is not None:
            parts.warm()
        if parts.drafter is not None:
            _warm(parts)

    def _say(self, detail: str) -> None:
        self.detail = detail
        log.info("%s (%.1f s)", detail, time.monotonic() - self._since)

    def stop(self) -> None:
        """Close what was opened; waits for an opening that is under way."""
        with self._lock:
            self.state, engine, self.engine = "stopped", self.engine, None
        if self._opener is not None:
            self._opener.join(60)
        if engine is not None:
            record = engine.parts.record
            engine.close()
            record.close()

    def status(self) -> dict[str, Any]:
        """How everything is, for people and for metrics."""
        stream: dict[str, Any] = {}
        if self.state == "ready":
            try:
                stream = dict(self._stream_status())
            except Exception as error:  # a status that fails is a status
                log.exception("status of the stream")
                stream = {"state": "unknown", "detail": type(error).__name__}
        engine = self.engine
        model, model_detail = self._model_state()
        if model == "none" and engine is not None and engine.parts.drafter is not None:
            model = "ready"  # the service runs it itself
        return {
            "state": self.state,
            "detail": self.detail,
            "world": self.name,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._since, 1),
            "catalogue": {"name": self.catalogue.name, "version": self.catalogue.version},
            "model": model,
            "model_detail": model_detail,
            "record_entries": len(engine.parts.record) if engine else None,
            "stream": stream,
        }

    def alerts(self, user: Principal, limit: int) -> list[dict[str, Any]]:
        """The newest alerts that `user` may see, through both walls.

        Raises:
            WorldNotReady: nothing can be read yet.
        """
        from nlq.build import rights

        if self.engine is None:
            raise WorldNotReady(f"The engine is {self.state}. {self.detail}")
        if "alerts" not in self.catalogue.roles[user.role].views or "alerts" not in self.catalogue.views:
            return []
        if "alerts" in self.engine.parts.purpose_views and not (user.purpose or "").strip():
            return []
        key = rights(self.catalogue, user)
        with self._alerts_turn:  # whoever comes while they are read anew waits for that one reading
            held = self._alerts.get(key)
            if held is None or time.monotonic() - held[0] > ALERTS_TTL_S:
                rows = self.rows(ALERTS.format(limit=MAX_ALERTS), user)
                plain: list[dict[str, Any]] = json.loads(json.dumps(rows, default=_text))
                held = self._alerts[key] = (time.monotonic(), plain)
        return held[1][:limit]

    def forget_alerts(self) -> None:
        """Read the alerts anew at the next look: one of them was changed."""
        self._alerts.clear()

    def rows(self, sql: str, user: Principal) -> list[dict[str, Any]]:
        """Rows of a statement of our own, through both walls with the rights of `user`; not on the record.

        Raises:
            WorldNotReady: nothing can be read yet, or `user` may not.
        """
        from nlq.guard import check

        engine = self.engine
        if engine is None:
            raise WorldNotReady(f"The engine is {self.state}. {self.detail}")
        with engine.parts.source.snapshot() as snapshot:
            verdict = check(sql, self.catalogue, user, as_of=snapshot.as_of)
            if not verdict.allowed:
                raise WorldNotReady(f"This cannot be read: {verdict.rule}")
            rows: list[dict[str, Any]] = engine.parts.executor.run(verdict, snapshot, user).table.to_pylist()
        return rows

    def record_event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Put an event on the record.

        Raises:
            WorldNotReady: there is no record yet.
            nlq.record.RecordUnavailable: it could not be written.
        """
        if self.engine is None:
            raise WorldNotReady(f"The engine is {self.state}. {self.detail}")
        self.engine.parts.record.event(kind, fields)

    def keep_feedback(self, query_id: str, user_id: str, verdict: str, comment: str) -> None:
        """Keep what somebody said about an answer, apart from the record: comments can be erased."""
        line = {"at": datetime.now(UTC).isoformat(), "query_id": query_id, "user": user_id, "verdict": verdict}
        path = self._data / "feedback.jsonl"
        with self._lock, path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**line, "comment": redact(comment)}, ensure_ascii=False) + "\n")
        path.chmod(0o600)


def _warm(parts: Parts) -> None:
    """Embed the documents before the first unusual question needs them; most questions are answered without."""
    try:
        parts.retrieve("orders of today", "officer")
    except Exception as error:  # noqa: BLE001 - the question that needs it will say so
        log.warning("retrieval is not warm: %s", redact(f"{type(error).__name__}: {error}"))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
