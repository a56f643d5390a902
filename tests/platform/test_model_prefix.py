"""What the model made of its instructions is taken back at the next start, and only as it was written."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nlq.draft import ModelUnreachable
from nlq.model_prefix import ModelPrefix, of_instructions, restore_last, warm
from streaming.catalogue import Catalogue

CATALOGUE = Catalogue.load()
STATE = b"ggsq" + bytes(range(256)) * 40


class Server:
    """Speaks llama.cpp's slot paths; keeps what it was asked."""

    def __init__(self, directory):
        self.asked, self.directory = [], directory
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200)

            def do_POST(self):
                name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["filename"]
                action = self.path.partition("action=")[2]
                if self.headers["Authorization"] != "Bearer secret-token":
                    return self.answer(401)
                outer.asked.append(action)
                file = outer.directory / name
                if action == "save":
                    file.write_bytes(STATE)
                elif file.read_bytes() != STATE:
                    return self.answer(400)
                return self.answer(200)

            def answer(self, status):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def prefix(self, model="model 1", catalogue=CATALOGUE, token="secret-token"):
        url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        return of_instructions(url, token, self.directory, catalogue, model)


class Drafter:
    warmed = 0
    fails = False

    def warm(self, timeout_s=0.0):
        self.warmed += 1
        if self.fails:
            raise ModelUnreachable("down")


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.http.shutdown()


def test_the_first_start_writes_it_and_the_next_takes_it_back(server):
    drafter = Drafter()
    warm(drafter, server.prefix())
    assert server.asked == ["save"]
    warm(drafter, server.prefix())
    assert server.asked == ["save", "restore"]
    assert drafter.warmed == 2  # a restored state is asked once, too: an unusable one shows here and not to a person
    assert all(file.stat().st_mode & 0o077 == 0 for file in server.directory.glob("*.slot"))


def test_a_damaged_file_is_never_handed_to_the_server(server):
    warm(Drafter(), server.prefix())
    [file] = server.directory.glob("*.slot")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    warm(Drafter(), server.prefix())
    assert server.asked == ["save", "save"]
    assert file.read_bytes() == STATE


def test_another_model_or_catalogue_has_a_state_of_its_own(server):
    warm(Drafter(), server.prefix())
    warm(Drafter(), server.prefix(model="model 2"))
    assert server.asked == ["save", "save"]
    assert len(list(server.directory.iterdir())) == 2  # file and digest: the old ones are gone


def test_without_a_model_nothing_is_kept(server):
    drafter = Drafter()
    drafter.fails = True
    warm(drafter, server.prefix())
    assert server.asked == []
    warm(Drafter(), None)
    assert list(server.directory.iterdir()) == []


def test_a_server_that_does_not_come_is_given_up(tmp_path):
    drafter = Drafter()
    warm(drafter, ModelPrefix("http://127.0.0.1:9/v1", "t", tmp_path / "m.slot"), patience_s=0.1)
    assert drafter.warmed == 0


def test_the_wrong_token_saves_nothing(server):
    assert not server.prefix(token="other").save()
    assert list(server.directory.glob("*.sha256")) == []


@pytest.mark.language_model
def test_the_real_server_takes_back_what_it_wrote(language_model, tmp_path):
    """A short prompt stands for the instructions: the plumbing is what is proven here."""
    from langchain_openai import ChatOpenAI

    from nlq.model_server import ModelServer

    def tokens_read(server):
        chat = ChatOpenAI(base_url=server.url, api_key=server.token, model="embedded", max_tokens=1, temperature=0)
        reply = chat.invoke([("system", "one two three four five six seven eight nine ten " * 5), ("user", "SELECT")])
        return reply.response_metadata["token_usage"]["prompt_tokens_details"]["cached_tokens"]

    with ModelServer(language_model, prefix_dir=tmp_path / "kept", context=2048) as first:
        prefix = ModelPrefix(first.url, first.token, tmp_path / "kept" / "m.slot")
        assert tokens_read(first) == 0
        assert prefix.save()
    with ModelServer(language_model, prefix_dir=tmp_path / "kept", context=2048) as second:
        prefix = ModelPrefix(second.url, second.token, tmp_path / "kept" / "m.slot")
        assert prefix.restore()
        assert tokens_read(second) > 40
        os.kill(second.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        restored = False
        while not restored and time.monotonic() < deadline:  # it comes back, and with what it had
            time.sleep(0.5)
            restored = second.wait_ready(0) and tokens_read(second) > 40
        assert restored


def test_a_server_that_was_killed_gets_back_what_it_had(server):
    warm(Drafter(), server.prefix())
    url = f"http://127.0.0.1:{server.http.server_address[1]}/v1"
    assert restore_last(url, "secret-token", server.directory)
    assert server.asked == ["save", "restore"]
    assert not restore_last(url, "secret-token", server.directory / "empty")
