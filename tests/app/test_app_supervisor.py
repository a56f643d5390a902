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
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.child import Child
from app.probe import ModelLook
from app.run_state import Process, RunState, costs, end_groups, stop_running
from app.settings import Settings
from app.supervisor import Supervisor
from retrieval.models import model_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = """
import http.server, json, os, signal, subprocess, sys
if os.environ.get("TEST_STARTING"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(os.environ["NLQ_DATA"] + "/grandchild", "w").write(str(grandchild.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"state": "starting" if os.environ.get("TEST_STARTING") else "ready"}).encode()
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
    directory = None if os.environ.get("TEST_LIVE") else Path("any")
    sys.exit(Small(Settings.from_environ(os.environ), with_ui=False, catalogue=directory, say=say).run())
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


def test_ctrl_c_during_the_start_does_not_wait_for_it(up: Up) -> None:
    up.env["TEST_STARTING"] = "1"
    process = up.start()
    wait_for(lambda: "starting" in up.text())
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 12
    assert "no process left" in up.text()


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


def test_a_broker_port_of_somebody_else_is_not_used(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        up.env |= {"TEST_LIVE": "1", "NLQ_KAFKA_PORT": port}
        assert up.start().wait(20) == 1
    assert f"broker: port {port}" in up.text()
    assert "NLQ_KAFKA_PORT" in up.text()
    assert not (up.data / "grandchild").exists()  # the service never ran


def test_a_broker_of_ones_own_that_is_down_is_waited_for(up: Up) -> None:
    up.env |= {"TEST_LIVE": "1", "NLQ_KAFKA_BOOTSTRAP": "127.0.0.1:9", "NLQ_FEED": "none"}
    up.start()
    wait_for(lambda: (state := RunState.load(up.data)) is not None and "broker" in state.failed)
    state = up.until_ready()
    assert "127.0.0.1:9" in state.failed["broker"]
    assert "reading begins by itself" in up.text()


@pytest.mark.parametrize(("content", "fault"), [(None, "is missing"), (b"GGUF", "is damaged")])
def test_without_a_sound_model_it_goes_on_and_says_so(
    up: Up, tmp_path: Path, content: bytes | None, fault: str
) -> None:
    folder = tmp_path / "cache" / "models" / "language"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / model_files("language")[0].name).write_bytes(content)
    up.env |= {"NLQ_LLM": "embedded", "NLQ_CACHE": str(tmp_path / "cache")}
    up.start()
    why = up.until_ready().failed["model"]
    assert fault in why
    assert "make models" in why
    settings = Settings.from_environ(up.env | {"NLQ_LLM": "none"})
    assert ModelLook(settings)() == ("none", why)  # what the page shows


def test_without_java_it_says_how_to_get_one(up: Up, tmp_path: Path) -> None:
    up.env |= {"JAVA_HOME": str(tmp_path)}
    assert up.start().wait(20) == 1
    assert "Java 17 or 21 is needed" in up.text()
    assert "apt-get install" in up.text()


def test_a_data_folder_that_cannot_be_written_is_named(up: Up, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up.env["NLQ_DATA"] = str(tmp_path / "file" / "data")
    assert up.start().wait(20) == 1
    assert "cannot be written" in up.text()
    assert "NLQ_DATA" in up.text()
    assert "Traceback" not in up.text()


def test_the_model_is_loaded_after_the_service_is_ready(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its load takes a core that the start of the service needs."""
    said: list[str] = []
    made = Supervisor(
        Settings.from_environ(up.env | {"NLQ_LLM": "embedded"}), with_ui=False, catalogue=Path("x"), say=said.append
    )
    order: list[str] = []
    monkeypatch.setattr(made, "_find_java", lambda: None)
    monkeypatch.setattr(made, "_prepare_model", lambda: order.append("reserved"))
    monkeypatch.setattr(made, "_start_service", lambda: order.append("service"))
    monkeypatch.setattr(made, "_wait_for_service", lambda: order.append("ready"))
    monkeypatch.setattr(made, "_start_model", lambda: order.append("model"))
    made._start(0.0)
    wait_for(lambda: "model" in order, 5)
    assert order == ["reserved", "service", "ready", "model"]


def test_what_each_part_costs_is_shown(up: Up) -> None:
    up.start()
    state = up.until_ready()
    assert 0 < state.ready_after["service"] < 30
    clock, memory = costs(state.children)["service"]
    assert clock.count(":") == 1
    assert memory > 5 * 2**20  # with what it started itself


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
