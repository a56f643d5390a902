"""One supervised process: started in a group of its own, watched, started again, ended without leftovers."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import deque
from typing import TYPE_CHECKING

from app.run_state import Process, signal_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LARGEST_LOG = 20 * 2**20
GIVE_UP_AFTER = 6
"""Deaths within `WITHIN_S` after which a process is not started again: it would only burn the machine."""
WITHIN_S = 300.0
LONGEST_PAUSE_S = 30.0


class Child:
    """A process that should run. Not thread-safe: one supervisor loop looks after it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        healthy: Callable[[], bool] | None = None,
        patience_s: float = 120.0,
        stop_s: float = 15.0,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            name: shown to people.
            command: program and arguments.
            log: gets standard output and error.
            env: the whole environment of the process.
            healthy: asked now and then; None trusts a process that runs.
            patience_s: how long it may answer unhealthily in a row before it is started again.
            stop_s: time to end by itself after SIGTERM.
        """
        self.name = name
        self.log = log
        self.failed: str | None = None
        self._command, self._env = list(command), dict(env)
        self._healthy, self._patience_s, self._stop_s = healthy, patience_s, stop_s
        self._process: subprocess.Popen[bytes] | None = None
        self._last_well = 0.0
        self._deaths: deque[float] = deque()
        self._retry_at = 0.0

    @property
    def process(self) -> Process | None:
        """The running process, if there is one."""
        return Process.of(self._process.pid) if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as sink:
            # Its own group: Ctrl-C in the terminal reaches the supervisor alone, which ends everything in order.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=self._env, start_new_session=True
            )
        self._last_well = time.monotonic()

    def look_after(self) -> str | None:
        """Start it again when it died or hangs; gives a line to print when something happened."""
        if self._process is None or self.failed:
            return None
        now = time.monotonic()
        if self._retry_at:
            if now < self._retry_at:
                return None
            self._retry_at = 0.0
            self.start()
            return f"{self.name}: started again"
        code = self._process.poll()
        if code is None:
            if self._healthy is None or self._healthy():
                self._last_well = now
            elif now - self._last_well > self._patience_s:
                signal_group(self._process.pid, signal.SIGKILL)
                return f"{self.name}: has not answered for {self._patience_s:.0f} s and is started again"
            return None
        signal_group(self._process.pid, signal.SIGKILL)  # what it started itself
        return self._after_death(code, now)

    def _after_death(self, code: int, now: float) -> str:
        self._deaths.append(now)
        while self._deaths and self._deaths[0] < now - WITHIN_S:
            self._deaths.popleft()
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if len(self._deaths) >= GIVE_UP_AFTER:
            self.failed = f"{how}, {len(self._deaths)} times in {WITHIN_S / 60:.0f} minutes; see {self.log}"
            return f"{self.name}: {self.failed}. It is not started again."
        pause = min(2.0 ** (len(self._deaths) - 1), LONGEST_PAUSE_S)
        self._retry_at = now + pause
        return f"{self.name}: {how}; starting again in {pause:.0f} s (log: {self.log})"

    def ask_to_end(self) -> None:
        """Tell it to end by itself; `stop` waits for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self, within_s: float | None = None) -> None:
        """End it and all that it started; `within_s` replaces the time that it has to end by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            # Only the leader is asked: Spark's Java machine must outlive the Python part that still writes with it.
            process.terminate()
            try:
                process.wait(self._stop_s if within_s is None else within_s)
            except subprocess.TimeoutExpired:
                pass
        signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])
