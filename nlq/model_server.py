"""The embedded language model: llama.cpp's server in a process of its own, on loopback, behind a random token.

Its own process, because a model file is data from strangers and a hung generation must be killable without taking
the engine along. The server speaks OpenAI's protocol, so any other such server can take its place by settings.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
CONTEXT_TOKENS = 8192
"""Prompt and reply together; the model's memory for it is 28 KiB a token."""
_LONGEST_PAUSE_S = 30.0


class ModelServerError(RuntimeError):
    """The model server cannot run; the message says what is wrong and what to do."""


class ModelServer:
    """Starts the server, starts it again when it dies, and stops it. Address and token stay the same throughout."""

    def __init__(
        self,
        model: Path,
        *,
        threads: int = 1,
        adapter: Path | None = None,
        context: int = CONTEXT_TOKENS,
        log_file: Path | None = None,
        prefix_dir: Path | None = None,
    ) -> None:
        """Prepare: address and token are known from here on, so that others can be told before anything runs.

        Args:
            model: a GGUF file whose digest the caller has checked.
            threads: cores that generate; one leaves the other of a two-core machine to the stream.
            adapter: a LoRA adapter in GGUF form.
            context: tokens of prompt and reply together.
            log_file: where llama.cpp's own messages go; None throws them away. Prompts are not among them.
            prefix_dir: where what the model made of its instructions is kept from start to start; see
                `nlq.model_prefix`. None keeps nothing.
        """
        self.token = secrets.token_urlsafe(32)
        self._model = model
        self._options = ["--threads", str(threads), "--context", str(context)]
        self._options += ["--adapter", str(adapter)] if adapter else []
        if prefix_dir is not None:
            prefix_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._options += ["--prefix-dir", str(prefix_dir)]
        self._log_file, self._prefix_dir = log_file, prefix_dir
        # Held until the server takes it: another program could be given the same free port meanwhile.
        self._reserved: socket.socket | None = _reserve()
        self._port: int = self._reserved.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._change = threading.Lock()
        self._keeper: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base of the OpenAI-compatible paths, `http://host:port/v1`."""
        return f"http://{LOOPBACK}:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout_s: float = 120.0) -> Self:
        """Start, and wait until the model is loaded (about 4 s).

        Raises:
            ModelServerError: it ended or did not get ready in time.
        """
        if self._keeper is not None:
            return self
        self._stopping.clear()
        try:
            self._launch(timeout_s)
        except ModelServerError:
            self._end()
            raise
        self._keeper = threading.Thread(target=self._keep_alive, daemon=True, name="model-server-keeper")
        self._keeper.start()
        return self

    def stop(self) -> None:
        """End the process. Doing it twice does no harm."""
        self._stopping.set()
        self._end()
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(timeout=10)

    def interrupt(self) -> None:
        """Kill a generation that hangs; the server is back as soon as the model is loaded again."""
        self._ready.clear()
        if (process := self._process) is not None:
            process.kill()

    def wait_ready(self, timeout_s: float = 60.0) -> bool:
        """Wait until the server can be asked; False when it could not within the time."""
        return self._ready.wait(timeout_s)

    def healthy(self, timeout_s: float = 2.0) -> bool:
        """Whether it answers at this moment."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=timeout_s)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, timeout_s: float) -> None:
        command = [sys.executable, "-m", "nlq.model_server", "--model", str(self._model), "--port", str(self._port)]
        with self._change:
            if self._stopping.is_set():
                return
            self._release_port()
            with self._open_log() as sink:
                self._process = subprocess.Popen(
                    [*command, *self._options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=sink,
                    env=_plain_environment(),
                    start_new_session=True,
                )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        # The token goes through the pipe: arguments and environment can be read by others on the machine. The pipe
        # stays open, and its end tells the server that we are gone.
        try:
            process.stdin.write(self.token.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended at once; why, is said below
        late = threading.Timer(timeout_s, process.kill)
        late.start()
        try:
            line = process.stdout.readline()
        finally:
            late.cancel()
        if line.strip() != b"ready":
            code = process.wait()
            said = line.decode(errors="replace").strip()
            raise ModelServerError(
                f"The language model server did not start (exit code {code}{', ' + said if said else ''}). The model "
                f"is {self._model}; fetch it anew with 'make models', and see that 2 GiB of memory are free."
            )
        self._ready.set()

    def _keep_alive(self) -> None:
        pause = 1.0
        born = time.monotonic()
        while (process := self._process) is not None and not self._stopping.is_set():
            process.wait()
            self._ready.clear()
            # One that lived for a while is replaced at once; one that dies at birth is not hammered.
            pause = 1.0 if time.monotonic() - born > 60 else min(2 * pause, _LONGEST_PAUSE_S)
            if self._stopping.wait(pause):
                return
            log.warning("the language model server ended with code %s and is started again", process.returncode)
            born = time.monotonic()
            try:
                self._launch(120.0)
            except (ModelServerError, OSError) as error:
                log.warning("%s", error)
                continue
            if self._prefix_dir is not None:
                from nlq.model_prefix import restore_last

                restore_last(self.url, self.token, self._prefix_dir)

    def _release_port(self) -> None:
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            reserved.close()

    def _end(self) -> None:
        self._ready.clear()
        self._release_port()
        with self._change:
            process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass  # the other end is gone

    def _open_log(self) -> IO[bytes]:
        if self._log_file is None:
            return Path(os.devnull).open("wb")
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        return self._log_file.open("ab")


def _reserve() -> socket.socket:
    """A free port of this machine, taken but not listened on."""
    holder = socket.socket()
    holder.bind((LOOPBACK, 0))
    return holder


def _plain_environment() -> dict[str, str]:
    """No token, password or proxy of ours: a process that parses strangers' files needs none."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    environment = {name: value for name, value in os.environ.items() if name in kept}
    # The package may be run from its folder without being installed.
    here = str(Path(__file__).resolve().parent.parent)
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, [here, environment.get("PYTHONPATH")]))}


def _parameters(options: argparse.Namespace, token: str) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.model)
    parameters.model_alias = {"embedded"}
    parameters.hostnames = [LOOPBACK]
    parameters.port = options.port
    parameters.api_keys = [token]
    # A built-in template by name: the one inside the model file is a program in a template language and never runs.
    parameters.chat_template = "chatml"
    parameters.use_jinja = False
    parameters.offline = True
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.cors_origins = ""
    parameters.n_ctx = options.context
    parameters.n_parallel = 1
    parameters.n_threads_http = 2
    parameters.cache_prompt = True
    parameters.cache_ram_mib = 256  # of prompts that were cached before; 8 GiB by default
    if options.prefix_dir:
        parameters.slot_save_path = f"{options.prefix_dir}{os.sep}"
    parameters.n_gpu_layers = options.gpu_layers
    parameters.verbosity = 1
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = options.threads
        cpu.poll = 0  # waiting threads sleep: a spinning one takes a core from the stream
    if options.adapter:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(options.adapter), 1.0
        parameters.lora_adapters = [adapter]
    return parameters


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the standard input ends. The first line of the input is the token."""
    parser = argparse.ArgumentParser(prog="python -m nlq.model_server", description=main.__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file, already checked")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=CONTEXT_TOKENS, help="tokens of prompt and reply together")
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--prefix-dir", type=Path, help="keeps what the model made of its instructions")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter (GGUF)")
    options = parser.parse_args(arguments)
    token = sys.stdin.readline().strip()
    if len(token) < 16:
        parser.error("the first line of the standard input must be a token of 16 characters or more")
    # llama.cpp writes where it likes; our one line to the parent must stay alone on its own pipe.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.nice(5)
    import xllamacpp

    try:
        server = xllamacpp.Server(_parameters(options, token))
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the parent gets one line
        answer.write(json.dumps(f"{type(error).__name__}: {error}") + "\n")
        answer.flush()
        return 1
    answer.write("ready\n")
    answer.flush()
    sys.stdin.read()
    del server
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
