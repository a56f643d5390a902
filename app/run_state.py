"""What a running system leaves on disk about itself, so that other commands find it and nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from nlq.record.seal import replace

if TYPE_CHECKING:
    from collections.abc import Mapping


class AlreadyRunning(RuntimeError):
    """Another `nlq up` holds this data directory; the message says which process."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of ours. A number may go to another program, so its start is kept with it."""

    pid: int
    started: str
    """As `ps` prints it."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this number now."""
        return cls(pid=pid, started=_started(pid))

    @property
    def alive(self) -> bool:
        """Whether it is still this one that runs."""
        return bool(self.started) and _started(self.pid) == self.started


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Addresses and processes of a running system."""

    supervisor: Process
    bootstrap: str = ""
    url: str = ""
    ui_url: str = ""
    children: dict[str, Process] = field(default_factory=dict)
    """Each leads a process group of its own."""
    failed: dict[str, str] = field(default_factory=dict)
    """Parts that are missing or were given up, with the reason."""
    ready_after: dict[str, float] = field(default_factory=dict)
    """Part → seconds from the start of `nlq up` until it answered."""

    def save(self, data: Path) -> None:
        """Write it where `load` finds it."""
        path = _path(data)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, data: Path) -> RunState | None:
        """What the last `nlq up` left; None when there was none or its file is damaged."""
        try:
            raw = json.loads(_path(data).read_bytes())
            return cls(
                supervisor=Process(**raw["supervisor"]),
                bootstrap=raw["bootstrap"],
                url=raw["url"],
                ui_url=raw["ui_url"],
                children={name: Process(**body) for name, body in raw["children"].items()},
                failed=dict(raw["failed"]),
                ready_after=dict(raw.get("ready_after", {})),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def claim(data: Path) -> IO[str]:
    """Take this data directory for one `nlq up`; held until the file is closed or the process ends, however it ends.

    Raises:
        AlreadyRunning: another one has it.
    """
    folder = _path(data).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = (folder / "lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        state = RunState.load(data)
        who = f"process {state.supervisor.pid}, chat page {state.ui_url}" if state else "another process"
        raise AlreadyRunning(
            f"The engine is running already over {data} ({who}). Stop it with `nlq down`, or use another NLQ_DATA."
        ) from None
    return handle


def forget(data: Path) -> None:
    """Remove the state of a system that has ended."""
    _path(data).unlink(missing_ok=True)


def end_groups(processes: dict[str, Process], timeout_s: float = 20.0) -> list[str]:
    """End the process groups that are still ours, first asking, then by force; gives the names of those that ran."""
    ours = {name: process for name, process in processes.items() if process.alive}
    for process in ours.values():
        try:
            os.kill(process.pid, signal.SIGTERM)  # the leader first: it ends what it started in its own order
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + timeout_s
    while any(process.alive for process in ours.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in ours.values():
        signal_group(process.pid, signal.SIGKILL)
    return sorted(ours)


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


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group; one that has ended needs none."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def costs(processes: Mapping[str, Process]) -> dict[str, tuple[str, int]]:
    """Processor time, as `ps` prints it, and memory in bytes of each part with all that it started."""
    shown = subprocess.run(["ps", "-axo", "pgid=,time=,rss="], capture_output=True, text=True, check=False)
    seconds: dict[int, float] = {}
    memory: dict[int, int] = {}
    for line in shown.stdout.splitlines():
        try:
            group, used, kib = line.split()
            seconds[int(group)] = seconds.get(int(group), 0.0) + _seconds(used)
            memory[int(group)] = memory.get(int(group), 0) + int(kib) * 1024
        except ValueError:
            continue
    return {
        name: (_clock(seconds[process.pid]), memory[process.pid])
        for name, process in processes.items()
        if process.pid in seconds
    }


def _seconds(text: str) -> float:
    """`[days-][hours:]minutes:seconds` as seconds."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part)
    return total + int(days or 0) * 86_400


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _path(data: Path) -> Path:
    return data / "run" / "state.json"


def _started(pid: int) -> str:
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = shown.stdout.strip().partition(" ")
    return "" if not state or state.startswith("Z") else started.strip()
