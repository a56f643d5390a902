"""The command line: exit codes, messages, and that nothing heavy is loaded where it is not needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from nlq.record import Record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def nlq(tmp_path: Path) -> Any:
    runner = CliRunner()
    env = {"NLQ_DATA": str(tmp_path), "NLQ_PORT": "9", "NLQ_TOKEN": "", "NLQ_URL": ""}
    return lambda *arguments, **options: runner.invoke(app, list(arguments), env=env, **options)


def test_help_of_every_command_is_helpful(nlq: Any) -> None:
    for command in ("ask", "check", "up", "down", "status", "replay", "live", "audit", "token"):
        shown = nlq(command, "--help")
        assert shown.exit_code == 0, command
        assert len(shown.output) > 200, command


def test_check_allows_refuses_and_reads_standard_input(nlq: Any) -> None:
    assert nlq("check", "SELECT COUNT(*) AS n FROM orders").exit_code == 0
    refused = nlq("check", "DELETE FROM orders", "--json")
    assert refused.exit_code == 5
    assert json.loads(refused.output)["rule"] == "ROOT_NOT_SELECT"
    assert nlq("check", "-", input="SELECT 1 AS x FROM orders").exit_code == 0
    assert nlq("check", "SELECT * FROM orders", "--role", "auditor").exit_code == 5
    assert nlq("check").exit_code == 2


def test_check_judges_a_file(nlq: Any, tmp_path: Path) -> None:
    path = tmp_path / "statements.jsonl"
    path.write_text(
        '{"id": "a", "statement": "SELECT COUNT(*) FROM orders"}\n{"id": "b", "statement": "DROP TABLE x"}\n'
    )
    shown = nlq("check", "--file", str(path), "--json")
    assert shown.exit_code == 0
    rows = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    assert [(row["id"], row["allowed"]) for row in rows] == [("a", True), ("b", False)]


def test_a_supervisor_sees_their_desk_only(nlq: Any) -> None:
    shown = nlq("check", "SELECT * FROM orders", "--role", "supervisor", "--user-desk", "Rates", "--json")
    assert "Rates" in json.loads(shown.output)["sql"]


def test_without_a_service_the_fix_is_named(nlq: Any) -> None:
    asked = nlq("ask", "how many orders")
    assert asked.exit_code == 1
    assert "nlq up" in asked.output
    status = nlq("status", "--json")
    assert status.exit_code == 1
    assert json.loads(status.output)["running"] is False
    assert "nothing runs" in nlq("down").output


def test_a_wrong_setting_or_instant_is_wrong_usage(nlq: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nlq("ask", "x", "--as-of", "yesterday").exit_code == 2
    monkeypatch.setenv("NLQ_UI_PORT", "many")
    wrong = nlq("down")
    assert wrong.exit_code == 2
    assert "NLQ_UI_PORT" in wrong.output


def test_tokens_are_made_shown_once_listed_and_revoked(nlq: Any) -> None:
    assert nlq("token", "new", "--user", "anna").exit_code == 1  # no rights yet
    assert "no role root" in nlq("token", "new", "--user", "anna", "--role", "root").output
    assert "--desk" in nlq("token", "new", "--user", "sven", "--role", "supervisor").output
    made = nlq("token", "new", "--user", "anna", "--role", "officer", "--name", "notebook")
    token = made.stdout.splitlines()[0]
    assert token.startswith("nlq_")
    listed = nlq("token", "list").output
    assert "anna" in listed
    assert token[13:] not in listed
    assert nlq("token", "revoke", token).exit_code == 0
    assert nlq("token", "revoke", token).exit_code == 1
    assert "no rights" in nlq("token", "role", "anna", "--none").output


def test_audit_verifies_exports_seals_and_finds_tampering(nlq: Any, tmp_path: Path) -> None:
    assert "begins with the first question" in nlq("audit", "verify").output
    record = Record.open(tmp_path / "record")
    query_id = record.begin({"user_id": "anna", "role": "officer", "question": "how many"})
    record.complete(query_id, {"status": "CLARIFY"})
    record.close()
    assert "intact" in nlq("audit", "verify").output
    key = json.loads(nlq("audit", "verify", "--json").output)["key"]
    assert nlq("audit", "verify", "--key", key).exit_code == 0
    assert nlq("audit", "verify", "--key", "00" * 32).exit_code == 1
    assert json.loads(nlq("audit", "seal").stdout.splitlines()[0])["size"] == 2
    assert nlq("audit", "export", str(tmp_path / "copy")).exit_code == 0
    assert nlq("audit", "verify", "--path", str(tmp_path / "copy")).exit_code == 0
    assert nlq("audit", "erase", "--person", "anna", "--reason", "asked").output.startswith("0 erased, 1 kept")
    assert nlq("audit", "hold", "--question", query_id, "--reason", "case 1").output.startswith("H-")
    assert "case 1" in nlq("audit", "hold").output
    assert "under legal hold; `nlq audit hold`" in nlq("audit", "erase", "--question", query_id, "--reason", "x").output
    path = tmp_path / "record" / "record.jsonl"
    path.write_bytes(path.read_bytes().replace(b"officer", b"auditor"))
    broken = nlq("audit", "verify")
    assert broken.exit_code == 1
    assert "record.jsonl:1" in broken.output


def test_audit_finds_questions_and_erases_them_when_the_law_lets_go(
    nlq: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record.open(tmp_path / "record")
    ids = []
    for person in ("anna", "bo"):
        ids.append(record.begin({"user_id": person, "role": "officer", "question": f"alerts of {person}\nopen"}))
        record.complete(ids[-1], {"status": "ANSWERED", "sql": "SELECT 1"})
    record.close()
    assert [line.split()[0] for line in nlq("audit", "list").output.splitlines()] == ids
    assert "alerts of bo open" in nlq("audit", "list", "--person", "bo").output
    assert "is like that" in nlq("audit", "list", "--status", "failed").output
    assert json.loads(nlq("audit", "list", "--json", "--last", "1").output)["query_id"] == ids[1]
    assert json.loads(nlq("audit", "show", ids[0]).output)["sql"] == "SELECT 1"
    assert "`nlq audit list` shows the ids" in nlq("audit", "show", "Q-1").output
    assert nlq("audit", "replay", "Q-1", "--catalogue", str(tmp_path)).exit_code == 1
    assert nlq("audit", "hold", "--question", "Q-1", "--reason", "case 2").exit_code == 1
    monkeypatch.setenv("NLQ_RECORD_KEEP_DAYS", "0")
    assert "questions under hold now: 1" in nlq("audit", "hold", "--person", "bo", "--reason", "case 3").output
    assert (
        nlq("audit", "erase", "--person", "bo", "--reason", "asked").output
        == "0 erased, 0 kept by retention, 1 by hold\n"
    )
    assert nlq("audit", "erase", "--person", "anna", "--reason", "asked").output.startswith("1 erased")
    assert "everything is erased already" in nlq("audit", "erase", "--person", "anna", "--reason", "asked").output
    assert "(erased)" in nlq("audit", "list").output
    assert json.loads(nlq("audit", "show", ids[0]).output)["erased"]
    assert "question" not in json.loads(nlq("audit", "show", ids[0]).output)
    again = nlq("audit", "replay", ids[0], "--catalogue", str(tmp_path))
    assert "erased" in again.output
    assert nlq("audit", "verify").exit_code == 0


def test_looking_at_the_record_adds_nothing_to_it(nlq: Any, tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    record.begin({"user_id": "anna", "role": "officer", "question": "how many"})
    record.close()
    before = [json.loads(nlq("audit", "verify", "--json").output)[part] for part in ("entries", "checkpoints")]
    nlq("audit", "list")
    nlq("audit", "hold")
    assert [json.loads(nlq("audit", "verify", "--json").output)[part] for part in ("entries", "checkpoints")] == before


def test_check_loads_no_heavy_library() -> None:
    script = (
        "import sys; from app.cli import app\n"
        "try: app(['check', 'SELECT 1 AS x FROM orders'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pyspark', 'torch', 'streamlit', 'pandas', 'pyarrow', 'kafka', 'chromadb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "NLQ_PORT": "9"}
    )
    assert done.stdout.splitlines()[-1] == "[]"
