"""The embedded Apache Kafka: one broker in KRaft mode in its own Java machine, reachable from this machine only."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from streaming.connection import LARGEST_MESSAGE, KafkaConnection
from streaming.jars import jar_paths
from streaming.java import find_java

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
LEAST_FREE_BYTES = 1024**3
"""Below this the broker is not started: a full disk stops Kafka in the middle of a segment."""
_LARGEST_LOG_BYTES = 10 * 1024**2

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dirs}
# One node: every internal topic has one copy, and few partitions because each costs files and memory.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
message.max.bytes={largest}
replica.fetch.max.bytes={largest}
log.segment.bytes=134217728
"""


class BrokerError(RuntimeError):
    """The embedded broker cannot run; the message says what is wrong and what to do."""


class PortInUse(BrokerError):
    """Another program listens on the broker's port."""


class NoDiskSpace(BrokerError):
    """There is too little room, or no right to write, where the broker keeps its log."""


class Broker:
    """Starts and stops the broker. Use as a context manager, or call `start` and `stop`.

    Topics and messages stay in `data_dir` from run to run.
    """

    def __init__(self, data_dir: str | Path, port: int = 0, *, heap: str = "512m", cache: Path | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            data_dir: folder for messages, settings and `broker.log`.
            port: where clients connect; 0 takes any free port at each start.
            heap: memory limit of the broker's Java machine, in Java's notation.
            cache: root of all downloads; None is `default_cache()`.
        """
        self.data_dir = Path(data_dir)
        self.heap = heap
        self._wanted_port = port
        self._cache = cache
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Port of the running broker."""
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, `host:port`."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def connection(self) -> KafkaConnection:
        """How clients reach this broker."""
        return KafkaConnection(bootstrap_servers=self.bootstrap_servers)

    @property
    def log_file(self) -> Path:
        """What Kafka writes about itself."""
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start, and wait until clients can connect.

        Raises:
            PortInUse: another program has the port.
            NoDiskSpace: `data_dir` cannot be written or has less than 1 GiB free.
            JavaMissing: there is no usable Java.
            JarError: a jar is missing or damaged and cannot be replaced.
            BrokerError: Kafka ended or did not answer in time; the end of its log is quoted.
        """
        if self.running:
            return self
        self._check_disk()
        self._end_orphan()
        java = str(find_java().command)
        self._port = _free_port(self._wanted_port)
        properties = self._write_properties()
        class_path = os.pathsep.join(str(jar) for jar in jar_paths("broker", self._cache))
        if not (self.data_dir / "kafka" / "meta.properties").exists():
            self._format(java, class_path, properties)
        command = [
            java,
            "-Xms128m",
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
            "-Duser.timezone=UTC",
            "-cp",
            class_path,
            "kafka.Kafka",
            str(properties),
        ]
        self._keep_log_short()
        with self.log_file.open("ab") as log:
            # Its own session: Ctrl-C in the terminal must reach our supervisor first, which then stops it in order.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.data_dir, start_new_session=True,
                env=_plain_environment(os.environ),
            )  # fmt: skip
        self._pid_file.write_text(f"{self._process.pid} {os.getpid()}\n", encoding="ascii")
        self._wait_until_ready(timeout_s)
        return self

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop in order, or by force after `timeout_s`. Doing it twice does no harm."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it at once, as a power cut would; for crash tests."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "broker.pid"

    def _end_orphan(self) -> None:
        """End the broker of a run that was killed: it still holds the folder, and nobody else will end it."""
        try:
            pid, parent = (int(word) for word in self._pid_file.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return
        if str(self.data_dir / "server.properties") not in _command_line(pid):
            return
        if _command_line(parent):
            raise BrokerError(
                f"{self.data_dir} belongs to a running broker (process {pid}, started by process {parent}). Stop that "
                "one with 'nlq down', or name another folder in NLQ_DATA."
            )
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while _command_line(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        if _command_line(pid):
            os.kill(pid, signal.SIGKILL)

    def _check_disk(self) -> None:
        try:
            (self.data_dir / "kafka").mkdir(parents=True, exist_ok=True)
            probe = self.data_dir / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise NoDiskSpace(
                f"The broker cannot write to {self.data_dir} ({error.strerror}). Free it, or name another folder in "
                "NLQ_DATA."
            ) from error
        free = shutil.disk_usage(self.data_dir).free
        if free < LEAST_FREE_BYTES:
            raise NoDiskSpace(
                f"{self.data_dir} has {free / 2**20:.0f} MiB free and the broker needs at least "
                f"{LEAST_FREE_BYTES / 2**20:.0f}. Make room, or name another folder in NLQ_DATA."
            )

    def _write_properties(self) -> Path:
        properties = self.data_dir / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                host=LOOPBACK,
                port=self._port,
                controller_port=_free_port(0),
                log_dirs=(self.data_dir / "kafka").resolve(),
                largest=LARGEST_MESSAGE,
            ),
            encoding="utf-8",
        )
        return properties

    def _format(self, java: str, class_path: str, properties: Path) -> None:
        # Kafka's cluster ids are 16 random bytes in URL-safe base64; a leading '-' would read as an option.
        cluster = "N" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        command = [java, "-Xmx128m", "-cp", class_path, "kafka.tools.StorageTool", "format", "-t", cluster]
        done = subprocess.run([*command, "-c", str(properties)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(
                f"Kafka could not prepare {self.data_dir}. If it holds data of another version, move it away. Kafka "
                f"said:\n{(done.stdout + done.stderr)[-1500:]}"
            )

    def _keep_log_short(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > _LARGEST_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._process is not None and self._process.poll() is None:
            if _answers(self._port):
                return
            if time.monotonic() > deadline:
                self.stop(timeout_s=5)
                raise BrokerError(f"Kafka did not answer within {timeout_s:.0f} s. Its log, {self.log_file}, ends:\n"
                                  f"{self._log_end()}")  # fmt: skip
            time.sleep(0.1)
        code = self._process.returncode if self._process else None
        raise BrokerError(f"Kafka ended while starting (exit code {code}). Its log, {self.log_file}, ends:\n"
                          f"{self._log_end()}")  # fmt: skip

    def _log_end(self) -> str:
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            return "(no log)"


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        # As Kafka does: a port in TIME_WAIT after a restart is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise PortInUse(
                f"Port {wanted} on {LOOPBACK} is used by another program. Stop that one (is the engine running "
                "already? 'nlq status' tells), or name another port in NLQ_KAFKA_PORT."
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    """Whether Kafka itself answers: an ApiVersions request, version 0, that any broker replies to."""
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x00"  # api key 18, version 0, correlation id 1, empty client id
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(len(request).to_bytes(4, "big") + request)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


def _command_line(pid: int) -> str:
    """Command line of a process, or nothing when there is none (its number may have gone to another program)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    done = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a Java program needs and no more: none of our tokens end up in the broker's memory or crash files."""
    return {name: value for name, value in environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME")}
