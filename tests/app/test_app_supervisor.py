"""`nlq up` ends without a process left, starts again what dies, and says what is in its way.

A small web server stands for the service, so that nothing here waits for Spark; everything else is the real thing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from app.child import Child
from app.run_state import Process, RunState, end_groups
from app.supervisor import stop_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVICE = """
import http.server, json, os, subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(os.environ["NLQ_DATA"] + "/grandchild", "w").write(str(grandchild.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"state": "ready"}).encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["NLQ_PORT"])), Handler).serve_forever()
"""
SCRIPT = f"""
import os, sys
from pathlib import Path
from app.run_state import AlreadyRunning
from app.settings import Settings
from app.supervisor import CannotStart, Supervisor
class Small(Supervisor):
    def _service_command(self):
        return [sys.executable, "-c", {SERVICE!r}]
try:
    say = lambda text: print(text, flush=True)
    sys.exit(Small(Settings.from_environ(os.environ), with_ui=False, catalogue=Path("any"), say=say).run())
except (CannotStart, AlreadyRunning) as error:
    print("nlq:", error, flush=True)
    sys.exit(1)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Up:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.env = {**os.environ, "NLQ_DATA": str(data), "NLQ_PORT": str(free_port()), "NLQ_LLM": "none"}
        self.log = data.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT], env=self.env, stdout=sink, stderr=sink, start_new_session=True
            )
        return self.process

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def until_ready(self) -> RunState:
        wait_for(lambda: "service   ready" in self.text())
        state = RunState.load(self.data)
        assert state is not None
        return state

    def grandchild(self) -> int:
        return int((self.data / "grandchild").read_text())


def alive(pid: int) -> bool:
    return Process.of(pid).started != ""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    stop_running(made.data, timeout_s=20)
    if made.process is not None and made.process.poll() is None:
        made.process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_on_a_signal_without_a_process_left(up: Up, number: signal.Signals) -> None:
    process = up.start()
    service = up.until_ready().children["service"].pid
    grandchild = up.grandchild()
    os.kill(process.pid, number)
    assert process.wait(20) == 0
    assert "no process left" in up.text()
    wait_for(lambda: not alive(service) and not alive(grandchild), 5)
    assert RunState.load(up.data) is None


def test_a_service_that_dies_is_started_again(up: Up) -> None:
    up.start()
    first = up.until_ready().children["service"].pid
    orphan = up.grandchild()
    os.kill(first, signal.SIGKILL)

    def replaced() -> bool:
        state = RunState.load(up.data)
        return bool(state and "service" in state.children and state.children["service"].pid != first)

    wait_for(replaced)
    assert "ended by signal 9; starting again" in up.text()
    wait_for(lambda: not alive(orphan), 5)  # what the dead one had started is gone, too


def test_a_second_one_is_turned_away(up: Up) -> None:
    up.start()
    up.until_ready()
    second = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=up.env, capture_output=True, text=True, check=False, timeout=30
    )
    assert second.returncode == 1
    assert "running already" in second.stdout
    assert "nlq down" in second.stdout


def test_a_taken_port_names_the_port_and_the_setting(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(up.env["NLQ_PORT"])))
        taken.listen()
        process = up.start()
        assert process.wait(20) == 1
    assert f"port {up.env['NLQ_PORT']}" in up.text()
    assert "NLQ_PORT" in up.text()


def test_leftovers_of_a_killed_one_are_ended_by_the_next(up: Up) -> None:
    first = up.start()
    service = up.until_ready().children["service"].pid
    first.kill()
    first.wait()
    assert alive(service)
    up.log.unlink()
    up.start()
    assert up.until_ready().children["service"].pid != service
    assert "leftovers" in up.text()
    assert not alive(service)


def test_down_ends_it_from_outside(up: Up) -> None:
    process = up.start()
    service = up.until_ready().children["service"].pid
    assert stop_running(up.data)
    assert process.wait(5) == 0
    assert not alive(service)
    assert not stop_running(up.data)


def test_the_state_file_is_for_the_owner_only(up: Up) -> None:
    up.start()
    up.until_ready()
    path = up.data / "run" / "state.json"
    assert not path.stat().st_mode & 0o077
    assert json.loads(path.read_text())["url"] == f"http://127.0.0.1:{up.env['NLQ_PORT']}"


def test_a_number_that_went_to_another_program_is_left_alone() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        assert end_groups({"service": Process(pid=stranger.pid, started="Mon Jan  1 00:00:00 2001")}) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_that_dies_at_birth_is_given_up(tmp_path: Path) -> None:
    child = Child(
        "feed", [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "feed.log", env=dict(os.environ)
    )
    child.start()
    lines: list[str] = []

    def given_up() -> bool:
        child._retry_at = min(child._retry_at, 1e-9) if child._retry_at else 0.0  # do not wait out the pauses
        if line := child.look_after():
            lines.append(line)
        return child.failed is not None

    wait_for(given_up)
    child.stop()
    assert "ended with exit code 3" in lines[0]
    assert "not started again" in lines[-1]


def test_one_that_hangs_is_started_again(tmp_path: Path) -> None:
    child = Child(
        "service", [sys.executable, "-c", textwrap.dedent("import time; time.sleep(600)")], log=tmp_path / "s.log",
        env=dict(os.environ), healthy=lambda: False, patience_s=0.2,
    )  # fmt: skip
    child.start()
    first = child.process
    assert first is not None
    wait_for(lambda: child.look_after() is not None and not first.alive)
    wait_for(lambda: child.look_after() is None and child.process is not None and child.process != first)
    child.stop()
