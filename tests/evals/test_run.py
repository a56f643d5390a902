"""`python -m evals run` from case file to figures, with an engine whose answers are known."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from evals.__main__ import main
from evals.cases import CaseError, contaminated, load_cases, open_authors
from evals.runner import read_results
from nlq.contracts import Answer, Clarification, Status

WORLD = Path("evals/worlds/w101")
COUNT = "SELECT count(*) AS n FROM orders"
DESKS = "SELECT desk, count(*) AS n FROM orders GROUP BY desk ORDER BY n DESC"

CASES = [
    {"id": "x-1", "question": "right", "expect": "answer", "sql": [COUNT]},
    {"id": "x-2", "question": "wrong", "expect": "answer", "sql": [COUNT]},
    {"id": "x-3", "question": "second reading", "expect": "answer", "sql": [DESKS, COUNT]},
    {"id": "x-4", "question": "asks back", "expect": "answer", "sql": [COUNT]},
    {"id": "x-5", "question": "crash", "expect": "answer", "sql": [COUNT]},
    {"id": "x-6", "question": "should ask back", "expect": "clarify", "sql": []},
    {"id": "x-7", "question": "answers the unanswerable", "expect": "unanswerable", "sql": []},
    {"id": "x-8", "question": "wrong order", "expect": "answer", "sql": [DESKS], "order_matters": True},
]


class Engine:
    """Answers by what the question says; counts how often it was asked."""

    asked = 0

    @classmethod
    def open(cls, catalogue: Path, llm: str | None = None) -> "Engine":
        """The signature that the runner relies on."""
        engine = cls()
        engine.world = catalogue
        return engine

    def close(self) -> None:
        """Nothing to let go."""

    def ask(self, question: str, user: object = None, as_of: object = None, history: object = ()) -> Answer:
        """One answer of each kind."""
        Engine.asked += 1
        n = len(_orders(self.world))
        match question:
            case "right" | "second reading" | "locked secret":
                return _answer(question, pa.table({"n": [n]}), 0.9)
            case "wrong":
                return _answer(question, pa.table({"n": [n + 1]}), 0.9)
            case "wrong order":
                desks = sorted(set(_orders(self.world)))
                counts = [_orders(self.world).count(desk) for desk in desks]
                return _answer(question, pa.table({"desk": desks, "n": counts}), 0.9)
            case "answers the unanswerable":
                return _answer(question, pa.table({"n": [1]}), 0.6)
            case "crash":
                raise RuntimeError("boom")
            case _:
                asked = Clarification(question="Which?", choices=("a", "b"))
                return Answer(
                    status=Status.CLARIFY,
                    question=question,
                    query_id="q",
                    clarification=asked,
                    draft=COUNT,
                    confidence=0.4,
                )


def _answer(question: str, table: pa.Table, confidence: float) -> Answer:
    return Answer(
        status=Status.ANSWERED, question=question, query_id="q", sql=COUNT, table=table, confidence=confidence
    )


def _orders(world: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(world / "orders.parquet", columns=["desk"]).column("desk").to_pylist()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command over cases; returns its result lines."""
    monkeypatch.setenv("NLQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("sys").modules, "tests_engine", __import__(__name__, fromlist=["Engine"]))

    def start(cases: list[dict], *options: str, expect: int = 0) -> list[dict]:
        file, out = tmp_path / "cases.jsonl", tmp_path / "out.jsonl"
        file.write_text("\n".join(json.dumps(case) for case in cases))
        arguments = ["run", "--cases", str(file), "--catalogue", str(WORLD), "--engine", "tests_engine:Engine"]
        assert main([*arguments, "--out", str(out), *options]) == expect
        return read_results([out]) if out.exists() else []

    return start


def test_every_kind_of_outcome_is_scored(run) -> None:
    """The fixed fields are there, and each case counts as what it is."""
    lines = {line["id"]: line for line in run(CASES)}
    assert {"id", "status", "sql", "seconds", "rows", "reason"} <= set(lines["x-1"])
    assert {name: line["right"] for name, line in lines.items()} == {
        "x-1": True, "x-2": False, "x-3": True, "x-4": False, "x-5": False, "x-6": True, "x-7": False, "x-8": False,
    }  # fmt: skip
    assert lines["x-2"]["failure"] == "SINGLE_CELL_DIFFERENCE"
    assert lines["x-8"]["failure"] == "WRONG_ORDER"
    assert lines["x-5"]["status"] == "FAILED"
    assert lines["x-4"]["draft_right"] is True


def test_figures_count_doubt_and_silence_apart(run, capsys: pytest.CaptureFixture[str]) -> None:
    """Of eight questions five are answered, two rightly; one of the wrong ones had no answer."""
    run(CASES)
    shown = capsys.readouterr().out
    assert "2/5 = 40.0 %" in shown
    assert "3/8 = 37.5 %" in shown


def test_a_second_run_asks_nothing_twice(run) -> None:
    """Results on disk are kept; only new cases are asked."""
    run(CASES[:3])
    before = Engine.asked
    lines = run(CASES[:4])
    assert Engine.asked == before + 1
    assert len(lines) == 4


def test_paraphrases_are_cases_of_their_own(run) -> None:
    """Each wording has its own line and points to its case."""
    case = {**CASES[0], "paraphrases": ["wrong", "asks back"]}
    lines = run([case], "--wordings")
    assert [(line["id"], line["case"], line["right"]) for line in lines] == [
        ("x-1", "x-1", True),
        ("x-1#1", "x-1", False),
        ("x-1#2", "x-1", False),
    ]


def test_locked_authors_leave_no_text(run, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither screen nor file holds the question, the gold, the answer's SQL or a value."""
    case = {"id": "law-1", "author": "law", "question": "locked secret", "expect": "answer", "sql": [DESKS]}
    lines = run([case, {**case, "id": "law-2", "question": "crash"}])
    text = json.dumps(lines) + capsys.readouterr().out
    for secret in ("locked secret", "GROUP BY", COUNT, "boom", "EQ-"):
        assert secret not in text
    assert [line["answered"] for line in lines] == [True, False]


def test_locked_text_never_goes_into_the_repository(run) -> None:
    """Even on request it is written elsewhere only."""
    out = Path("evals/results-of-a-test.jsonl")
    run([CASES[0]], "--reveal-locked", "--out", str(out), expect=2)
    assert not out.exists()


def test_contaminated_cases_are_left_out(tmp_path: Path) -> None:
    """Cases that a developer saw count nowhere."""
    assert contaminated() >= {"dsk-001", "dsk-002", "dsk-003"}
    file = tmp_path / "c.jsonl"
    file.write_text(
        "\n".join(json.dumps({"id": i, "question": "q", "expect": "clarify"}) for i in ("dsk-002", "dsk-9"))
    )
    assert [case.id for case in load_cases([file])] == ["dsk-9"]


def test_locked_files_are_not_among_the_open() -> None:
    """Whatever reads all open authors reads no locked one."""
    assert {path.stem for path in open_authors()}.isdisjoint({"dsk", "law"})


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "not JSON"),
        ('{"id": "a"}', "question"),
        ('{"id": "a", "question": "q", "expect": "maybe"}', "maybe"),
        ('{"id": "a", "question": "q", "expect": "answer"}', "gold"),
    ],
)
def test_a_broken_case_file_names_its_place(tmp_path: Path, line: str, named: str) -> None:
    """File and line are in the message."""
    file = tmp_path / "c.jsonl"
    file.write_text(line)
    with pytest.raises(CaseError, match=named) as caught:
        load_cases([file])
    assert "c.jsonl:1" in str(caught.value)


def test_report_shows_failures_side_by_side(run, tmp_path: Path) -> None:
    """Question, gold and what came instead are on the page; its text cannot break it."""
    run([{**CASES[1], "group": "<script>alert(1)</script>"}])
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "out.jsonl"), "--html", str(page)]) == 0
    html = page.read_text()
    assert "SINGLE_CELL_DIFFERENCE" in html
    assert COUNT.replace("*", "*") in html
    assert "<script>" not in html


def test_compare_counts_pairs(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run twice differs in nothing."""
    run(CASES)
    out = str(tmp_path / "out.jsonl")
    capsys.readouterr()
    assert main(["compare", out, out]) == 0
    assert "1.0000" in capsys.readouterr().out


def test_a_clock_of_a_case_goes_before_that_of_the_run(tmp_path: Path) -> None:
    """A case may freeze its own time."""
    file = tmp_path / "c.jsonl"
    file.write_text(json.dumps({"id": "a", "question": "q", "expect": "clarify", "as_of": "2026-01-01T10:00:00+01:00"}))
    assert load_cases([file])[0].as_of == datetime(2026, 1, 1, 9, tzinfo=UTC)
