"""What Prometheus reads. Values of a question never become labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.questions = Counter("nlq_questions", "Questions by outcome.", ["status"], registry=self._registry)
        self.denied = Counter("nlq_denied", "Requests that opened nothing.", registry=self._registry)
        self.seconds = Histogram("nlq_answer_seconds", "Time to an answer.", buckets=SECONDS, registry=self._registry)
        self.stages = Histogram(
            "nlq_stage_seconds", "Time of a stage.", ["stage"], buckets=SECONDS, registry=self._registry
        )
        self._gauges: dict[str, Gauge] = {}

    def asked(self, status: str, seconds: float, timings: Mapping[str, float]) -> None:
        """Count one answered question."""
        self.questions.labels(status).inc()
        self.seconds.observe(seconds)
        for stage, took in timings.items():
            if stage != "total":
                self.stages.labels(stage).observe(took)

    def text(self, status: Mapping[str, Any]) -> bytes:
        """Everything in Prometheus' text format, with the numbers of the stream as gauges."""
        self._set("nlq_ready", "1 when questions are answered.", float(status.get("state") == "ready"))
        for name, value in (status.get("stream") or {}).items():
            if isinstance(value, int | float):
                self._set(f"nlq_stream_{name}", f"{name} of the stream.", float(value))
        return generate_latest(self._registry)

    def _set(self, name: str, meaning: str, value: float) -> None:
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, meaning, registry=self._registry)
        self._gauges[name].set(value)
