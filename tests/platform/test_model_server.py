"""The model server speaks OpenAI's protocol on loopback behind a token, comes back when killed, and leaves no process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from nlq.model_server import ModelServer, ModelServerError


def chat(server, **more):
    return ChatOpenAI(
        base_url=server.url, api_key=more.pop("token", server.token), model="embedded", temperature=0, seed=1,
        max_tokens=24, max_retries=0, timeout=60, **more,
    )  # fmt: skip


def call(server, path, body=None, token=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.split(":")[2].split("/")[0]), timeout=60)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.language_model
def test_langchain_gets_sql(model_server):
    messages = [
        SystemMessage("Answer with one SQL statement and nothing else."),
        HumanMessage("count the rows of quotes"),
    ]
    reply = chat(model_server, extra_body={"grammar": 'root ::= "SELECT COUNT(*) FROM " [a-z]+'}).invoke(messages)
    assert reply.content == "SELECT COUNT(*) FROM quotes"


@pytest.mark.language_model
def test_same_question_same_reply(model_server):
    ask = [HumanMessage("Write a SELECT for the ten largest trades.")]
    assert chat(model_server).invoke(ask).content == chat(model_server).invoke(ask).content


@pytest.mark.language_model
@pytest.mark.parametrize("token", ["wrong", "none"])
def test_other_tokens_are_refused(model_server, token):
    with pytest.raises(openai.AuthenticationError):
        chat(model_server, token=token).invoke("hi")


@pytest.mark.language_model
@pytest.mark.parametrize("path", ["/v1/models", "/props", "/slots", "/metrics"])
def test_without_a_token_only_health_answers(model_server, path):
    assert call(model_server, "/health")[0] == 200
    assert call(model_server, path)[0] == 401


@pytest.mark.language_model
def test_the_template_is_ours_and_not_the_files(model_server):
    """The template inside this model file would put in a system prompt of its own."""
    body = {"messages": [{"role": "user", "content": "hi"}]}
    status, reply = call(model_server, "/apply-template", body, model_server.token)
    assert status == 200
    assert json.loads(reply)["prompt"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.language_model
def test_killed_server_comes_back_under_the_same_address(model_server):
    url, token, before = model_server.url, model_server.token, model_server.pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while model_server.wait_ready(0) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert model_server.wait_ready(90)
    assert (model_server.url, model_server.token) == (url, token)
    assert model_server.pid != before
    assert chat(model_server).invoke("Say ok.").content


@pytest.mark.language_model
def test_long_generation_can_be_interrupted(model_server):
    import threading

    outcome = []

    def ask():
        try:
            outcome.append(
                ChatOpenAI(
                    base_url=model_server.url,
                    api_key=model_server.token,
                    model="embedded",
                    max_tokens=2000,
                    max_retries=0,
                    extra_body={"ignore_eos": True},  # else a short reply may be over before it is interrupted
                ).invoke("Write a very long story.")
            )
        except openai.OpenAIError as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(2)
    started = time.monotonic()
    model_server.interrupt()
    thread.join(10)
    assert time.monotonic() - started < 5
    assert isinstance(outcome[0], openai.OpenAIError)
    assert model_server.wait_ready(90)


@pytest.mark.language_model
def test_no_process_is_left_when_the_owner_is_killed(language_model):
    program = (
        "import sys, pathlib; from nlq.model_server import ModelServer; "
        "s = ModelServer(pathlib.Path(sys.argv[1])).start(); print(s.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(language_model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    server = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 15
    while runs(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(server), f"process {server} still runs"


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_address_and_token_are_known_before_anything_runs(tmp_path):
    """The service is told where the model will be while it is not yet loaded."""
    server = ModelServer(tmp_path / "any.gguf")
    port = int(server.url.split(":")[2].split("/")[0])
    assert port > 0
    assert len(server.token) > 30
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # nobody else gets it meanwhile
    server.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_file_that_is_no_model_names_file_and_fix(tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + os.urandom(1000))
    server = ModelServer(file)
    with pytest.raises(ModelServerError, match=r"did not start .*broken\.gguf; fetch it anew with 'make models'"):
        server.start()
    assert server.pid is None
    server.stop()


def test_token_is_neither_an_argument_nor_in_the_environment(tmp_path):
    """Another user of the machine can read the former, and a crash report may hold the latter."""
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\necho "$@" > "$0.args"\nenv > "$0.env"\nread token\necho "$token" > "$0.token"\necho ready\ncat > /dev/null\n'
    )
    fake.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(fake))
        patch.setenv("NLQ_LLM_TOKEN", "other-secret")
        with ModelServer(tmp_path / "any.gguf") as server:
            assert (tmp_path / "python.token").read_text().strip() == server.token
            for where in ("args", "env"):
                text = (tmp_path / f"python.{where}").read_text()
                assert server.token not in text
                assert "other-secret" not in text
