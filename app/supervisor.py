"""`nlq up`: starts everything in order, starts again what dies, and ends everything without a process left."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.child import Child
from app.probe import PortTaken, check_ports, page_answers, service_health
from app.run_state import Process, RunState, claim, end_groups, forget
from app.ui_config import page_command, write_secrets
from streaming.connection import KafkaConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.settings import Settings
    from nlq.model_server import ModelServer
    from streaming.broker import Broker

log = logging.getLogger(__name__)
STILL_STARTING_S = 60.0
"""After which, and again each time, a start that takes long is said to be still under way; usual is 20 s."""
STARTING_STOP_S = 5.0
LOOK_S = 1.0
EMBEDDED_BROKER_S, OWN_BROKER_S = 30.0, 3.0
"""How long the topics may take to be made."""


class CannotStart(RuntimeError):
    """Something that everything else needs is missing; the message says what and how to get it."""


class Supervisor:
    """Everything of one `nlq up`."""

    def __init__(
        self, settings: Settings, *, with_ui: bool = True, catalogue: Path | None = None, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._with_ui = with_ui
        self._catalogue = catalogue
        self._say = say
        self._stop = threading.Event()
        self._children: dict[str, Child] = {}
        self._broker: Broker | None = None
        self._model: ModelServer | None = None
        self._kafka: KafkaConnection | None = settings.kafka
        self._logs = settings.data / "logs"
        self._known: tuple[Any, ...] = ()
        self._began = 0.0
        self._ready_after: dict[str, float] = {}
        self._awaited: dict[str, Callable[[], bool]] = {}
        self._faults: dict[str, str] = {}
        """Parts that are not there, with the reason; the rest goes on without."""

    def run(self) -> int:
        """Start, watch until Ctrl-C or SIGTERM, end. Gives the exit code.

        Raises:
            CannotStart: a port is taken or a part could not be started.
            app.run_state.AlreadyRunning: another `nlq up` has this data directory.
        """
        began = time.monotonic()
        try:
            lock = claim(self._settings.data)
        except OSError as error:
            raise CannotStart(
                f"{self._settings.data} cannot be written ({error.strerror}). Make room there, or name another folder "
                "in NLQ_DATA."
            ) from error
        with lock:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            self._end_leftovers()
            try:
                self._start(began)
                self._watch()
            finally:
                self._end()
        return 0

    # -- start -------------------------------------------------------------------------------------------------------

    def _start(self, began: float) -> None:
        """What others wait for comes first; what takes processor time and can wait, after the service is ready."""
        self._began = began
        try:
            check_ports(self._settings, with_ui=self._with_ui, with_broker=self._catalogue is None)
        except PortTaken as error:
            raise CannotStart(str(error)) from error
        self._find_java()
        self._prepare_model()
        known = self._catalogue is not None or self._settings.kafka is not None or self._settings.kafka_port
        if known:
            # The address of the broker is known before it runs: Spark's start and the broker's overlap.
            self._kafka = self._settings.kafka or KafkaConnection(
                bootstrap_servers=f"127.0.0.1:{self._settings.kafka_port}"
            )
            self._start_service()
        if self._catalogue is None:
            self._start_broker()
            self._start_feed()
        if not known:
            self._start_service()
        if self._with_ui:
            write_secrets(self._settings)
            self._launch(
                "page",
                page_command(self._settings),
                env=self._environment(),
                stop_s=5.0,
                first_look=lambda: page_answers(self._settings),
            )
        self._wait_for_service()
        if not self._stop.is_set():
            threading.Thread(target=self._start_model, daemon=True, name="start-model").start()

    def _find_java(self) -> None:
        from streaming.java import JavaMissing, find_java

        try:
            find_java()
        except JavaMissing as error:
            raise CannotStart(str(error)) from error

    def _start_service(self) -> None:
        self._launch(
            "service", self._service_command(), env=self._environment(), stop_s=45.0, healthy=self._service_answers,
        )  # fmt: skip

    def _prepare_model(self) -> None:
        """Reserve the model's address, which the service must know; it is loaded when the service is ready."""
        if self._settings.llm != "embedded":
            where = self._settings.llm or "none, by NLQ_LLM=none"
            self._say(f"model     {where}")
            return
        from nlq.model_server import ModelServer
        from retrieval.models import ModelFileError, language_model_path

        try:
            path = language_model_path(self._settings.cache)
            self._model = ModelServer(
                path, threads=self._settings.llm_threads, log_file=self._logs / "model.log",
                prefix_dir=self._settings.cache / "model-prefix",
            )  # fmt: skip
        except (ModelFileError, OSError) as error:
            self._without_model(str(error))

    def _start_model(self) -> None:
        from nlq.model_server import ModelServerError

        model = self._model
        if model is None:
            return
        began = time.monotonic()
        try:
            model.start()
        except (ModelServerError, OSError) as error:
            if not self._stop.is_set():
                self._without_model(str(error))
            return
        if self._stop.is_set():
            model.stop()  # everything was ended while it loaded
            return
        self._ready_after["model"] = time.monotonic() - self._began
        self._say(f"model     ready ({time.monotonic() - began:.1f} s)")

    def _without_model(self, why: str) -> None:
        """Most questions are answered without it; the others are asked back."""
        self._model = None
        self._faults["model"] = why
        self._say(f"model     not available, going on without: {why}")

    def _start_broker(self) -> None:
        from streaming.broker import Broker, BrokerError
        from streaming.jars import JarError
        from streaming.java import JavaMissing
        from streaming.topics import BrokerUnreachable

        began = time.monotonic()
        try:
            if self._settings.kafka is None:
                self._broker = Broker(
                    self._settings.data / "broker", port=self._settings.kafka_port, cache=self._settings.cache
                )
                self._broker.start()
                self._kafka = self._broker.connection
            self._ensure_topics(EMBEDDED_BROKER_S if self._broker else OWN_BROKER_S)
        except (BrokerError, JarError, JavaMissing) as error:
            raise CannotStart(f"broker: {error}") from error
        except BrokerUnreachable as error:
            if self._broker is not None:
                raise CannotStart(f"broker: {error}") from error
            self._faults["broker"] = str(error)
            self._say(f"broker    {error} Going on: reading begins by itself when it answers.")
            return
        assert self._kafka is not None
        self._ready_after["broker"] = time.monotonic() - self._began
        self._say(f"broker    ready on {self._kafka.bootstrap_servers} ({time.monotonic() - began:.1f} s)")

    def _ensure_topics(self, timeout_s: float) -> None:
        from streaming.topics import ensure_topics

        assert self._kafka is not None
        ensure_topics(self._kafka, timeout_s=timeout_s)

    def _start_feed(self) -> None:
        if self._settings.feed == "none":
            self._say("feed      none, by NLQ_FEED=none")
            return
        command = [sys.executable, "-m", "streaming.sources", "simulate", "--rate", str(self._settings.feed_rate)]
        self._launch("feed", command, env=self._environment())
        self._say(f"feed      simulator, {self._settings.feed_rate:g} events a second")

    def _launch(
        self, name: str, command: list[str], *, first_look: Callable[[], bool] | None = None, **options: Any
    ) -> Child:
        child = Child(name, command, log=self._logs / f"{name}.log", **options)
        child.start()
        self._children[name] = child
        if first_look is not None:
            self._awaited[name] = first_look
        self._save()
        return child

    def _service_command(self) -> list[str]:
        directory = ["--catalogue", str(self._catalogue)] if self._catalogue else []
        return [sys.executable, "-m", "app.serve", *directory]

    def _wait_for_service(self) -> None:
        began, say_again, told = self._began, time.monotonic() + STILL_STARTING_S, ""
        while not self._stop.is_set():
            body = service_health(self._settings)
            self._look_at_awaited()
            state, detail = str(body.get("state", "starting")), str(body.get("detail") or "")
            if state == "ready":
                self._ready_after["service"] = time.monotonic() - began
                self._save()
                self._say(f"service   ready on {self._settings.url} ({time.monotonic() - began:.1f} s since the start)")
                if self._with_ui:
                    self._say(f"\nChat page: {self._settings.public_url}    (Ctrl-C ends everything)")
                return
            child = self._children["service"]
            if state == "failed" or child.process is None:
                why = detail or f"ended\n{child.last_words()}"
                raise CannotStart(f"service: {why}\n(log: {child.log})")
            if time.monotonic() > say_again:
                say_again = time.monotonic() + STILL_STARTING_S
                self._say(f"service   still starting after {time.monotonic() - began:.0f} s (log: {child.log})")
            if body and (shown := detail or state) != told:
                told = shown
                self._say(f"service   {shown} …")
            self._stop.wait(0.3)

    def _look_at_awaited(self) -> None:
        """Note when something that was started answers for the first time."""
        for name, answers in list(self._awaited.items()):
            if answers():
                self._ready_after[name] = time.monotonic() - self._began
                del self._awaited[name]

    # -- watch -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            if self._broker is not None and not self._broker.running:
                self._say("broker    ended unexpectedly; starting again")
                self._restart_broker()
            if "broker" in self._faults:
                self._try_broker()
            for child in self._children.values():
                if line := child.look_after():
                    self._say(line)
            self._look_at_awaited()
            self._save()

    def _try_broker(self) -> None:
        """Make the topics of a broker of your own that was not there at the start."""
        from streaming.freshness import broker_answers
        from streaming.topics import BrokerUnreachable

        if self._kafka is None or not broker_answers(self._kafka.bootstrap_servers):
            return
        try:
            self._ensure_topics(OWN_BROKER_S)
        except BrokerUnreachable as error:
            self._faults["broker"] = str(error)
            return
        del self._faults["broker"]
        self._say(f"broker    ready on {self._kafka.bootstrap_servers}")

    def _restart_broker(self) -> None:
        from streaming.broker import BrokerError

        assert self._broker is not None
        try:
            self._broker.start()
        except BrokerError as error:
            self._say(f"broker    could not be started again: {error}")
            self._stop.wait(5)
        else:
            self._say(f"broker    ready on {self._broker.bootstrap_servers}")

    def _save(self) -> None:
        """Write the state file when something in it changed."""
        children = {name: process for name, child in self._children.items() if (process := child.process)}
        if self._broker is not None and self._broker.pid:
            children["broker"] = Process.of(self._broker.pid)
        if self._model is not None and self._model.pid:
            children["model"] = Process.of(self._model.pid)
        failed = self._faults | {name: child.failed for name, child in self._children.items() if child.failed}
        now = (children, failed, self._kafka, dict(self._ready_after))
        if now == self._known:
            return
        try:
            RunState(
                supervisor=Process.of(os.getpid()),
                bootstrap=self._kafka.bootstrap_servers if self._kafka else "",
                url=self._settings.url,
                ui_url=self._settings.public_url if self._with_ui else "",
                children=children,
                failed=failed,
                ready_after={name: round(seconds, 1) for name, seconds in self._ready_after.items()},
            ).save(self._settings.data)
        except OSError as error:
            # A full disk must not end what runs: the next look tries again.
            if self._known != ("unsaved",):
                self._say(f"state     cannot be written to {self._settings.data} ({error.strerror}); make room there")
            self._known = ("unsaved",)
            return
        self._known = now

    # -- end ---------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _: object) -> None:
        if self._stop.is_set():
            return  # a second Ctrl-C: everything is ending already, and in the right order
        self._stop.set()
        self._say("\nending …" if number == signal.SIGINT else "ending …")

    def _end(self) -> None:
        self._stop.set()
        for part in self._children.values():
            part.ask_to_end()  # all at once: on a busy machine each takes a while, and only the broker must outlast them
        for name in ("page", "feed", "service"):
            if (child := self._children.get(name)) is not None:
                # One that still starts has nothing to write, and Spark's start cannot be broken off in order.
                child.stop(None if name != "service" or name in self._ready_after else STARTING_STOP_S)
        if self._model is not None:
            self._model.stop()
        if self._broker is not None:
            self._broker.stop()
        forget(self._settings.data)
        self._say("ended, no process left")

    def _end_leftovers(self) -> None:
        """End what a killed `nlq up` left behind."""
        old = RunState.load(self._settings.data)
        if old is not None and (ended := end_groups(old.children)):
            self._say(f"ended leftovers of an earlier run: {', '.join(ended)}")
        forget(self._settings.data)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        """Our own settings passed on, with the broker and model that run now."""
        env = {**os.environ, "NLQ_DATA": str(self._settings.data), "NLQ_CACHE": str(self._settings.cache)}
        env["PYTHONUNBUFFERED"] = "1"
        env.setdefault("NLQ_URL", self._settings.url)
        if self._kafka is not None:
            env["NLQ_KAFKA_BOOTSTRAP"] = self._kafka.bootstrap_servers
        if (model := self._model) is not None:
            env |= {"NLQ_LLM_URL": model.url, "NLQ_LLM_TOKEN": model.token, "NLQ_LLM_MODEL": "embedded"}
        elif self._settings.llm == "embedded":
            env["NLQ_LLM"] = "none"
        return env

    def _service_answers(self) -> bool:
        return bool(service_health(self._settings))


def with_bootstrap(settings: Settings, servers: str) -> Settings:
    """The settings with another broker, as `nlq up --bootstrap` gives it."""
    if settings.kafka is not None:
        return replace(settings, kafka=replace(settings.kafka, bootstrap_servers=servers))
    return replace(settings, kafka=KafkaConnection(bootstrap_servers=servers))
