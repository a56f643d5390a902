"""What the embedded model made of its instructions, kept on disk: read once in an installation's life.

The instructions are the same 2,200 tokens for every question. Reading them takes half a minute on idle cores and
minutes on busy ones; llama.cpp can write the state that it has then to a file (about 62 MiB) and take it back at the
next start, which takes a tenth of a second.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from streaming.catalogue import Catalogue

log = logging.getLogger(__name__)
RESTORE_S = 60.0
SAVE_S = 60.0
LOOK_S = 1.0


class Warmable(Protocol):
    """A drafter that can send its static prefix ahead."""

    def warm(self, timeout_s: float = ...) -> None:
        """Send the static prefix once."""
        ...


class ModelPrefix:
    """The kept state of one embedded model server."""

    def __init__(self, url: str, token: str | None, file: Path) -> None:
        """Nothing is read or sent yet.

        Args:
            url: base of the server's OpenAI-compatible paths.
            token: its bearer token.
            file: where the state is kept, in the server's `prefix_dir`; the name says of what.
        """
        parts = urlsplit(url)
        self._host, self._port, self._token = parts.hostname or "", parts.port or 80, token
        self._file = file
        self._seal = self._file.with_suffix(".sha256")

    def wait(self, patience_s: float) -> bool:
        """Wait until the server answers; False when it did not within the time."""
        deadline = time.monotonic() + patience_s
        while not self._healthy():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True

    def restore(self) -> bool:
        """Hand the kept state to the server; False when there is none, or it is not what was written."""
        try:
            kept = self._seal.read_text(encoding="ascii").strip()
            with self._file.open("rb") as stream:
                sound = hashlib.file_digest(stream, "sha256").hexdigest() == kept
        except OSError:
            return False
        if not sound:
            # A parser in C reads it: a file that changed by itself is not handed over.
            log.warning("%s is damaged and is made anew", self._file)
            self._forget()
            return False
        return self._slot("restore", RESTORE_S)

    def save(self) -> bool:
        """Keep the state that the server has now; earlier ones of other instructions are removed."""
        self._forget()
        if not self._slot("save", SAVE_S) or not self._file.exists():
            return False
        self._file.chmod(0o600)
        with self._file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._seal.write_text(digest, encoding="ascii")
        for other in self._file.parent.glob("*.slot"):
            if other != self._file:
                other.unlink(missing_ok=True)
                other.with_suffix(".sha256").unlink(missing_ok=True)
        return True

    def _forget(self) -> None:
        self._seal.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)

    def _healthy(self) -> bool:
        status, _ = self._call("GET", "/health", None, 2.0)
        return status == http.client.OK

    def _slot(self, action: str, timeout_s: float) -> bool:
        status, body = self._call("POST", f"/slots/0?action={action}", {"filename": self._file.name}, timeout_s)
        if status != http.client.OK:
            log.warning("the model server did not %s its state (HTTP %s: %s)", action, status, body[:200])
        return status == http.client.OK

    def _call(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            connection.close()


def of_instructions(url: str, token: str | None, directory: Path, catalogue: Catalogue, model_id: str) -> ModelPrefix:
    """The kept state of one model's instructions; another model's or catalogue's is of no use and has another name."""
    from nlq.draft import system_prompt

    key = hashlib.sha256(f"{model_id}\0{system_prompt(catalogue)}".encode()).hexdigest()[:24]
    return ModelPrefix(url, token, directory / f"{key}.slot")


def of_embedded(url: str, token: str | None, directory: Path, catalogue: Catalogue) -> ModelPrefix:
    """The kept state of the model that ships with the product, in this version of its runtime."""
    from importlib.metadata import version

    from retrieval.models import model_files

    model_id = f"{model_files('language')[0].sha256} {version('xllamacpp')}"
    return of_instructions(url, token, directory, catalogue, model_id)


def restore_last(url: str, token: str | None, directory: Path) -> bool:
    """Hand a server that was started again the state that it had; False when there is none."""
    kept = sorted(directory.glob("*.slot"), key=lambda file: file.stat().st_mtime)
    return bool(kept) and ModelPrefix(url, token, kept[-1]).restore()


def warm(drafter: Warmable, prefix: ModelPrefix | None, patience_s: float = 600.0) -> None:
    """Let the model have its instructions before the first question, which would otherwise wait for it.

    Args:
        drafter: sends the instructions.
        prefix: the kept state; None for an endpoint that is not ours.
        patience_s: how long the server may take to load.
    """
    if prefix is not None and not prefix.wait(patience_s):
        log.warning("the model server did not answer within %.0f s", patience_s)
        return
    from nlq.draft import DraftError

    began = time.monotonic()
    restored = prefix is not None and prefix.restore()
    try:
        drafter.warm()
    except DraftError as error:
        log.warning("the model could not be warmed up: %s", error)
        return
    log.info("the model is warm after %.1f s%s", time.monotonic() - began, ", from disk" if restored else "")
    if prefix is not None and not restored:
        prefix.save()
