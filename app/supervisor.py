"""`nlq up`: starts everything in order, starts again what dies, and ends everything without a process left."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.child import Child
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
LOOK_S = 1.0


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

    def run(self) -> int:
        """Start, watch until Ctrl-C or SIGTERM, end. Gives the exit code.

        Raises:
            CannotStart: a port is taken or a part could not be started.
            app.run_state.AlreadyRunning: another `nlq up` has this data directory.
        """
        began = time.monotonic()
        with claim(self._settings.data):
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
        self._check_ports()
        model = threading.Thread(target=self._start_model, daemon=True)
        model.start()
        if self._with_ui:
            write_secrets(self._settings)
            self._launch("page", page_command(self._settings), env=self._environment(None), stop_s=5.0)
        if self._catalogue is None:
            self._start_broker()
            self._start_feed()
        model.join()
        if self._stop.is_set():
            return
        self._launch(
            "service", self._service_command(), env=self._environment(self._model), stop_s=45.0,
            healthy=self._service_answers,
        )  # fmt: skip
        self._wait_for_service(began)

    def _start_model(self) -> None:
        if self._settings.llm != "embedded":
            where = self._settings.llm or "none, by NLQ_LLM=none"
            self._say(f"model     {where}")
            return
        from nlq.model_server import ModelServer, ModelServerError
        from retrieval.models import ModelFileError, language_model_path

        began = time.monotonic()
        try:
            path = language_model_path(self._settings.cache)
            server = ModelServer(path, threads=self._settings.llm_threads, log_file=self._logs / "model.log")
            self._model = server.start()
        except (ModelServerError, ModelFileError, OSError) as error:
            # Most questions are answered without it; the others are asked back.
            self._model = None
            self._say(f"model     not available, going on without: {error}")
            return
        self._say(f"model     ready ({time.monotonic() - began:.1f} s)")

    def _start_broker(self) -> None:
        from streaming.broker import Broker, BrokerError
        from streaming.jars import JarError
        from streaming.java import JavaMissing
        from streaming.topics import BrokerUnreachable, ensure_topics

        began = time.monotonic()
        try:
            if self._kafka is None:
                self._broker = Broker(
                    self._settings.data / "broker", port=self._settings.kafka_port, cache=self._settings.cache
                )
                self._broker.start()
                self._kafka = self._broker.connection
            ensure_topics(self._kafka)
        except (BrokerError, BrokerUnreachable, JarError, JavaMissing) as error:
            raise CannotStart(f"broker: {error}") from error
        took = time.monotonic() - began
        self._say(f"broker    ready on {self._kafka.bootstrap_servers} ({took:.1f} s)")

    def _start_feed(self) -> None:
        if self._settings.feed == "none":
            self._say("feed      none, by NLQ_FEED=none")
            return
        command = [sys.executable, "-m", "streaming.sources", "simulate", "--rate", str(self._settings.feed_rate)]
        self._launch("feed", command, env=self._environment(None))
        self._say(f"feed      simulator, {self._settings.feed_rate:g} events a second")

    def _launch(self, name: str, command: list[str], **options: Any) -> Child:
        child = Child(name, command, log=self._logs / f"{name}.log", **options)
        child.start()
        self._children[name] = child
        self._save()
        return child

    def _service_command(self) -> list[str]:
        directory = ["--catalogue", str(self._catalogue)] if self._catalogue else []
        return [sys.executable, "-m", "app.serve", *directory]

    def _wait_for_service(self, began: float) -> None:
        say_again, told = time.monotonic() + STILL_STARTING_S, ""
        while not self._stop.is_set():
            body = self._health()
            state = str(body.get("state", "starting"))
            if state == "ready":
                self._say(f"service   ready on {self._settings.url} ({time.monotonic() - began:.1f} s since the start)")
                if self._with_ui:
                    self._say(f"\nChat page: {self._settings.public_url}    (Ctrl-C ends everything)")
                return
            child = self._children["service"]
            if state == "failed" or child.process is None:
                raise CannotStart(f"service: {body.get('detail') or 'ended'}\n{child.last_words()}\n(log: {child.log})")
            if time.monotonic() > say_again:
                say_again += STILL_STARTING_S
                self._say(f"service   still starting after {time.monotonic() - began:.0f} s (log: {child.log})")
            if state != told:
                told = state
                self._say(f"service   {state} …")
            self._stop.wait(0.3)

    # -- watch -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            if self._broker is not None and not self._broker.running:
                self._say("broker    ended unexpectedly; starting again")
                self._restart_broker()
            for child in self._children.values():
                if line := child.look_after():
                    self._say(line)
            self._save()

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
        failed = {name: child.failed for name, child in self._children.items() if child.failed}
        now = (children, failed, self._kafka)
        if now == self._known:
            return
        self._known = now
        RunState(
            supervisor=Process.of(os.getpid()),
            bootstrap=self._kafka.bootstrap_servers if self._kafka else "",
            url=self._settings.url,
            ui_url=self._settings.public_url if self._with_ui else "",
            children=children,
            failed=failed,
        ).save(self._settings.data)

    # -- end ---------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _: object) -> None:
        if self._stop.is_set():
            return  # a second Ctrl-C: everything is ending already, and in the right order
        self._stop.set()
        self._say("\nending …" if number == signal.SIGINT else "ending …")

    def _end(self) -> None:
        self._stop.set()
        for name in ("page", "feed", "service"):
            if (child := self._children.get(name)) is not None:
                child.stop()
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

    def _environment(self, model: ModelServer | None) -> dict[str, str]:
        """Our own settings passed on, with the broker and model that run now."""
        env = {**os.environ, "NLQ_DATA": str(self._settings.data), "NLQ_CACHE": str(self._settings.cache)}
        env["PYTHONUNBUFFERED"] = "1"
        env.setdefault("NLQ_URL", self._settings.url)
        if self._kafka is not None:
            env["NLQ_KAFKA_BOOTSTRAP"] = self._kafka.bootstrap_servers
        if model is not None:
            env |= {"NLQ_LLM_URL": model.url, "NLQ_LLM_TOKEN": model.token, "NLQ_LLM_MODEL": "embedded"}
        elif self._settings.llm == "embedded":
            env["NLQ_LLM"] = "none"
        return env

    def _check_ports(self) -> None:
        wanted = [("service", self._settings.host, self._settings.port, "NLQ_PORT")]
        if self._with_ui:
            wanted.append(("chat page", "127.0.0.1", self._settings.ui_port, "NLQ_UI_PORT"))
        for what, host, port, variable in wanted:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise CannotStart(
                        f"{what}: port {port} on {host} cannot be used ({error.strerror}). Stop the program that has "
                        f"it, or name another port in {variable}."
                    ) from error

    def _service_answers(self) -> bool:
        return bool(self._health())

    def _health(self) -> dict[str, Any]:
        # Our own process, and nothing secret in either direction: its certificate need not name this address.
        context = ssl._create_unverified_context() if self._settings.tls_certificate else None  # noqa: S323, SLF001
        try:
            with urllib.request.urlopen(f"{self._settings.url}/healthz", timeout=5, context=context) as response:  # noqa: S310
                body: dict[str, Any] = json.load(response)
                return body
        except (OSError, ValueError, urllib.error.URLError):
            return {}


def with_bootstrap(settings: Settings, servers: str) -> Settings:
    """The settings with another broker, as `nlq up --bootstrap` gives it."""
    if settings.kafka is not None:
        return replace(settings, kafka=replace(settings.kafka, bootstrap_servers=servers))
    return replace(settings, kafka=KafkaConnection(bootstrap_servers=servers))


def stop_running(data: Path, timeout_s: float = 90.0) -> bool:
    """End a running system from outside; False when none runs."""
    state = RunState.load(data)
    if state is None:
        return False
    if state.supervisor.alive:
        os.kill(state.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while state.supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.2)
        if state.supervisor.alive:
            os.kill(state.supervisor.pid, signal.SIGKILL)
    end_groups(state.children)
    forget(data)
    return True
