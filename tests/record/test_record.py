"""The record: what is written when, who may read what, and that nothing runs when it cannot be written."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nlq.record import Record, RecordDamaged, RecordSettings, RecordUnavailable, UnderHold, UnknownQuery
from nlq.record.export import export
from nlq.record.retention import apply_retention, erase_person, erase_question, lift_hold, place_hold
from nlq.record.verify import verify
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from pathlib import Path

AS_OF = datetime(2026, 11, 9, 15, 30, tzinfo=UTC)
ASKED = {"user_id": "anna.berg", "role": "officer", "question": "fills of Ola Nordmann, mail ola@example.org"}
ENDED = {
    "status": "ANSWERED",
    "sql": "SELECT * FROM executions WHERE trader_name = 'Ola Nordmann'",
    "views_read": ["executions"],
    "as_of_ts": AS_OF,
    "n_rows": 3,
    "result_hash": "ab" * 32,
    "duration_ms": 412,
}


def ask(record: Record, **changes: object) -> str:
    query_id = record.begin({**ASKED, **changes})
    record.complete(query_id, ENDED)
    return query_id


def test_rows_have_the_shape_of_the_query_audit_view(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    query_id = ask(record)
    table = record.rows()
    assert table.column_names == list(Catalogue.load().views["query_audit"].columns)
    row = table.to_pylist()[0]
    assert row["query_id"] == query_id
    assert (row["user_id"], row["role"], row["status"], row["n_rows"]) == ("anna.berg", "officer", "ANSWERED", 3)
    assert row["views_read"] == ["executions"]
    assert row["as_of_ts"] == AS_OF
    assert row["question"] == "fills of Ola Nordmann, mail [email]"


def test_begin_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    query_id = record.begin(ASKED)
    assert query_id.encode() in (tmp_path / "record" / "record.jsonl").read_bytes()


def test_no_personal_data_stands_in_clear_text(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    ask(record)
    record.close()
    content = b"".join(p.read_bytes() for p in (tmp_path / "record").glob("*.jsonl"))
    assert content
    for secret in (b"anna.berg", b"Nordmann", b"ola@example.org"):
        assert secret not in content


def test_a_question_that_never_ended_reads_failed_after_a_restart(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    record.begin(ASKED)
    assert record.rows().to_pylist()[0]["status"] is None  # still running here
    record.close()
    again = Record.open(tmp_path / "record")
    assert again.rows().to_pylist()[0]["status"] == "FAILED"


def test_complete_needs_a_begin_and_happens_once(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    with pytest.raises(UnknownQuery):
        record.complete("Q-nowhere", ENDED)
    query_id = ask(record)
    with pytest.raises(ValueError, match="complete already"):
        record.complete(query_id, ENDED)


def test_threads_and_two_open_records_share_one_chain(tmp_path: Path) -> None:
    first, second = Record.open(tmp_path / "record"), Record.open(tmp_path / "record")
    threads = [threading.Thread(target=ask, args=(r,)) for r in (first, second) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(first.rows()) == len(second.rows()) == 16
    first.close()
    second.close()
    report = verify(tmp_path / "record")
    assert report.intact, report.findings
    assert report.entries == 32


def test_odd_texts_are_recorded(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    texts = ["\ud800 lone", "line\nbreak\ttab", "", "ü" * 5000, "\x00", "'; DROP TABLE orders --"]
    ids = [ask(record, question=text) for text in texts]
    assert [record.entry(q)["question"] for q in ids][1:] == texts[1:]
    assert verify(tmp_path / "record").intact


def test_kill_between_begin_and_complete(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from nlq.record import Record
        record = Record.open(sys.argv[1])
        record.begin({"user_id": "anna", "role": "officer", "question": "first"})
        query_id = record.begin({"user_id": "anna", "role": "officer", "question": "last words"})
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "record")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert verify(tmp_path / "record").intact
    record = Record.open(tmp_path / "record")
    rows = record.rows().to_pylist()
    assert [(r["question"], r["status"]) for r in rows] == [("first", "FAILED"), ("last words", "FAILED")]
    ask(record)
    record.close()
    assert verify(tmp_path / "record").intact


@pytest.mark.parametrize("keep", [1, 40, 200])
def test_a_torn_last_line_is_put_aside_and_noted(tmp_path: Path, keep: int) -> None:
    record = Record.open(tmp_path / "record")
    ask(record)
    path = tmp_path / "record" / "record.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:keep])
    again = Record.open(tmp_path / "record")
    assert len(list((tmp_path / "record").glob("torn-*"))) == 1
    ask(again)
    assert verify(tmp_path / "record").intact


def test_a_full_disk_lets_nothing_run(tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the kernel refuses the write in the middle."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from nlq.record import Record, RecordUnavailable
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        record = Record.open(sys.argv[1])
        ran = 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
        try:
            for _ in range(500):
                query_id = record.begin({"user_id": "anna", "role": "officer", "question": "x" * 300})
                ran += 1
                record.complete(query_id, {"status": "ANSWERED", "n_rows": 1})
        except RecordUnavailable as error:
            assert "nothing runs" in str(error), error
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            record.begin({"user_id": "anna", "role": "officer", "question": "there is room again"})
            print("refused after", ran)
            sys.exit(0)
        sys.exit("never refused")
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "record")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "refused after" in ended.stdout
    report = verify(tmp_path / "record")
    assert report.intact, report.findings
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_too_little_free_space_lets_nothing_run(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record", RecordSettings(min_free_bytes=2**62))
    with pytest.raises(RecordUnavailable, match="free space"):
        record.begin(ASKED)
    assert len(record) == 0


def test_a_record_that_cannot_be_opened_says_which(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("a file is in the way")
    with pytest.raises(RecordUnavailable, match=str(tmp_path / "record")):
        Record.open(tmp_path / "record")


def test_a_damaged_record_is_not_written_to(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    ask(record)
    ask(record)
    record.close()
    path = tmp_path / "record" / "record.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(RecordDamaged, match="signed head"):
        Record.open(tmp_path / "record")


def test_a_person_is_erased_and_the_chain_stays_whole(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record", RecordSettings(keep=timedelta(0)))
    mine, other = ask(record), ask(record, user_id="bo.dahl")
    done = erase_person(record, "anna.berg", by="dpo", reason="asked for")
    assert done.erased == (mine,)
    rows = {row["query_id"]: row for row in record.rows().to_pylist()}
    assert (rows[mine]["user_id"], rows[mine]["question"], rows[mine]["sql"]) == (None, None, None)
    assert rows[mine]["n_rows"] == 3
    assert rows[other]["user_id"] == "bo.dahl"
    assert record.entry(mine)["erased"]
    record.close()
    assert b"anna.berg" not in b"".join(p.read_bytes() for p in (tmp_path / "record").iterdir())
    assert verify(tmp_path / "record").intact


def test_another_process_sees_the_erasure_at_once(tmp_path: Path) -> None:
    first = Record.open(tmp_path / "record", RecordSettings(keep=timedelta(0)))
    query_id = ask(first)
    second = Record.open(tmp_path / "record", RecordSettings(keep=timedelta(0)))
    assert first.rows().to_pylist()[0]["user_id"] == "anna.berg"
    erase_question(second, query_id, by="dpo", reason="asked for")
    assert first.rows().to_pylist()[0]["user_id"] is None


def test_nothing_young_is_erased(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")  # five years
    query_id = ask(record)
    done = erase_person(record, "anna.berg", by="dpo", reason="asked for")
    assert (done.erased, done.kept_by_retention) == ((), (query_id,))
    later = datetime.now(UTC) + timedelta(days=1828)
    assert erase_person(record, "anna.berg", by="dpo", reason="asked for", now=later).erased == (query_id,)


def test_a_hold_keeps_what_retention_would_erase(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record", RecordSettings(keep=timedelta(0), shred_after=timedelta(days=30)))
    held, free = ask(record), ask(record)
    hold = place_hold(record, "query", held, by="legal", reason="case 7")
    later = datetime.now(UTC) + timedelta(days=31)
    assert apply_retention(record, now=datetime.now(UTC)).erased == ()
    assert apply_retention(record, now=later).erased == (free,)
    with pytest.raises(UnderHold):
        erase_question(record, held, by="dpo", reason="asked for")
    assert lift_hold(record, hold.id, by="legal")
    assert not lift_hold(record, hold.id, by="legal")
    assert apply_retention(record, now=later).erased == (held,)


def test_a_hold_on_a_person_survives_a_restart(tmp_path: Path) -> None:
    settings = RecordSettings(keep=timedelta(0))
    record = Record.open(tmp_path / "record", settings)
    query_id = ask(record)
    place_hold(record, "person", "anna.berg", by="legal", reason="case 8")
    record.close()
    again = Record.open(tmp_path / "record", settings)
    assert erase_person(again, "anna.berg", by="dpo", reason="asked for").kept_by_hold == (query_id,)


def test_an_export_verifies_on_its_own(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    ask(record)
    record.seal()
    folder = export(record, tmp_path / "copy", plain_text=True)
    report = verify(folder)
    assert report.intact, report.findings
    assert (report.entries, report.checkpoints) == (2, 1)
    assert "Nordmann" in (folder / "questions.jsonl").read_text()
    with (folder / "record.jsonl").open("r+b") as stream:
        stream.seek(30)
        stream.write(b"X")
    assert not verify(folder).intact


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "record")
    ask(record)
    for path in [*(tmp_path / "record").iterdir(), tmp_path / "record-seal" / "seal.key"]:
        assert not path.stat().st_mode & 0o077, path
