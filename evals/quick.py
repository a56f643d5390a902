"""A small loop over DuckDB for work on the interpreter: right, silently wrong and abstained by author, in a minute.

The full harness is `python -m evals run`; this one only answers "did the last change help" and is no product surface.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import pickle
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import sqlglot

ROOT = Path(__file__).parent
WORLDS = [ROOT / "worlds" / w for w in ("w101", "w102", "w103")]
LOCKED = {"dsk", "law"}
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
_WINDOW = re.compile(r"window\((\w+(?:\.\w+)?),\s*'(\d+) (minute|second|hour)s?'\)\.start", re.IGNORECASE)


def fill(sql: str) -> str:
    """Placeholders of a gold SQL as literals."""
    return sql.replace("{as_of_date}", "DATE '2026-11-20'").replace("{as_of}", "TIMESTAMP '2026-11-20 18:30:00'")


def to_duckdb(sql: str) -> str:
    """Databricks SQL as DuckDB SQL."""
    sql = _WINDOW.sub(r"time_bucket(INTERVAL '\2 \3s', \1)", sql)
    # Spark's percentile interpolates, as its median does; DuckDB's plain quantile picks a value.
    return sqlglot.transpile(sql, read="databricks", write="duckdb")[0].replace("QUANTILE(", "QUANTILE_CONT(")


@lru_cache(maxsize=4)
def world(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection with one view a Parquet file."""
    con = duckdb.connect()
    con.execute("SET TimeZone='UTC'")
    con.execute("SET threads=1")
    for file in sorted(path.glob("*.parquet")):
        con.execute(f"CREATE TABLE {file.stem} AS SELECT * FROM '{file}'")
    con.execute("CREATE MACRO unix_micros(x) AS epoch_us(x::TIMESTAMPTZ)")
    con.execute("CREATE MACRO date_sub(d, n) AS CAST(d AS DATE) - CAST(n AS INTEGER)")
    return con


def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a Databricks statement; cached on disk by statement."""
    key = hashlib.sha256(f"{path}{sql}{'cont' if 'percentile' in sql.lower() else ''}".encode()).hexdigest()
    cached = Path(tempfile.gettempdir()) / "nlq_quick" / f"{key}.pickle"
    if cached.exists():
        return pickle.loads(cached.read_bytes())
    found = [tuple(_plain(v) for v in row) for row in world(path).execute(to_duckdb(sql)).fetchall()]
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(pickle.dumps(found))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        value = float(value)
        return "nan" if math.isnan(value) else float(f"{value:.7g}")
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return str(value) if value is not None else None


def same(gold: list[tuple[Any, ...]], got: list[tuple[Any, ...]], ordered: bool) -> bool:
    """Every gold column stands in the result, same rows as a bag (in order where asked), extra columns allowed."""
    if len(gold) != len(got):
        return False
    if not gold:
        return True
    width, have = len(gold[0]), len(got[0])
    key = repr
    candidates = []
    for c in range(width):
        column = sorted((r[c] for r in gold), key=key)
        fits = [d for d in range(have) if sorted((r[d] for r in got), key=key) == column]
        if not fits:
            return False
        candidates.append(fits)
    target = [tuple(r) for r in gold] if ordered else sorted(gold, key=key)

    def search(c: int, chosen: list[int]) -> bool:
        if c == width:
            rows = [tuple(r[d] for d in chosen) for r in got]
            return (rows if ordered else sorted(rows, key=key)) == target
        return any(search(c + 1, [*chosen, d]) for d in candidates[c] if d not in chosen)

    return search(0, [])


def right(case: dict[str, Any], sql: str) -> bool:
    """Right on all three worlds by some accepted reading."""
    golds = [fill(g) for g in case["sql"]]
    alive = list(golds)
    for path in WORLDS:
        try:
            got = rows_of(path, sql)
        except (duckdb.Error, sqlglot.errors.SqlglotError):
            return False
        if got and len(got[0]) == 0:
            return False
        alive = [g for g in alive if same(rows_of(path, g), got, bool(case.get("order_matters")))]
        if not alive:
            return False
    return True


def cases_of(author: str) -> list[dict[str, Any]]:
    """Cases of one author; `dev` is the sample set. The locked authors are refused."""
    if author in LOCKED:
        raise SystemExit(f"{author} is locked")
    path = ROOT / "cases" / "dev_cases.jsonl" if author == "dev" else ROOT / "cases" / "corpus" / f"{author}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wordings(case: dict[str, Any]) -> list[str]:
    """The question and its paraphrases."""
    return [case["question"], *case.get("paraphrases", ())]


class Kept:
    """A parser whose proposals are kept on disk: they don't change while the rules do."""

    def __init__(self, author: str, weights: Path, part: str, load: Any) -> None:
        made = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / "nlq_quick"
        folder.mkdir(exist_ok=True)
        self.path = folder / f"proposals_{author}_{made}_{part.replace('/', '-')}.pickle"
        self.held: dict[Any, Any] = {}
        for path in folder.glob(f"proposals_{author}_{made}_*.pickle"):
            self.held |= pickle.loads(path.read_bytes())
        self.load = load
        self.parser: Any = None

    def propose(self, question: str, history: Any = (), role: str = "officer") -> Any:
        """As `Parser.propose`."""
        key = (question, tuple(t.sql for t in history), role)
        if key not in self.held:
            self.parser = self.parser or self.load()
            self.held[key] = self.parser.propose(question, history, role)
            if len(self.held) % 100 == 0:
                self.save()
        return self.held[key]

    def save(self) -> None:
        """Write what is held."""
        self.path.write_bytes(pickle.dumps(self.held))


class Oracle:
    """A parser that knows the gold: what the binder makes of a perfect proposal."""

    case: dict[str, Any]

    def propose(self, question: str, history: Any = (), role: str = "officer") -> Any:
        """The gold's sketch as near certainties."""
        from nlq.contracts import Proposal
        from nlq.learn.labels import OUTCOMES, ROLES, SHAPES, sketch
        from streaming.catalogue import Catalogue

        catalogue = Catalogue.load()
        outcome = {o: 0.94 if o == self.case["expect"] else 0.02 for o in OUTCOMES}
        if self.case["expect"] != "answer":
            return Proposal(outcome=outcome, main_view={}, views={}, columns={}, shape={})
        found = sketch(self.case["sql"][0], catalogue.sqlglot_schema)
        return Proposal(
            outcome=outcome,
            main_view={v: 0.95 if v == found.main_view else 0.003 for v in catalogue.views},
            views={v: 0.95 if v in found.views else 0.02 for v in catalogue.views},
            columns={c: {r: 0.95 if r in roles else 0.02 for r in ROLES} for c, roles in found.columns.items()},
            shape={s: 0.95 if s in found.shapes else 0.03 for s in SHAPES},
        )


def interpreter(parser: Any = None) -> Any:
    """An interpreter over world 101."""
    from nlq.interpret import Interpreter
    from retrieval.values import ValueIndex
    from streaming.catalogue import Catalogue

    catalogue = Catalogue.load()
    tables = {f.stem: pq.read_table(f) for f in sorted(WORLDS[0].glob("*.parquet"))}
    small = {
        v: t
        for v, t in tables.items()
        if catalogue.views[v].kind in ("reference", "engine")
        or v in ("dead_letters", "alerts", "personal_trades", "orders")
    }
    return Interpreter(catalogue, ValueIndex.build(small, Interpreter.aliases(catalogue)), parser)


def main() -> None:
    """Score authors; print failures of those named by --show."""
    from nlq.contracts import Principal, Turn

    args = argparse.ArgumentParser()
    args.add_argument("authors", nargs="+")
    args.add_argument("--first", action="store_true", help="only the first wording")
    args.add_argument("--show", default="", help="wrong,abstain,outcome")
    args.add_argument("--parser", action="store_true")
    args.add_argument("--out", default="")
    args.add_argument("--grep", default="")
    args.add_argument("--threshold", type=float, default=0.0)
    args.add_argument("--guided", action="store_true")
    args.add_argument("--drafts", action="store_true", help="the parser has a say in the drafts, whatever is shipped")
    args.add_argument("--weights", default="", help="folder of fold weights to try; default: the shipped ones")
    args.add_argument("--part", default="1/1", help="k/n: every n-th case, from the k-th")
    args.add_argument("--oracle", action="store_true", help="proposals read off the gold: the limit of the binder")
    opts = args.parse_args()
    parser: Any = Oracle() if opts.oracle else None
    if opts.parser:
        from nlq.learn import Parser
        from nlq.learn import parser as shipped

        if opts.weights:
            shipped.WEIGHTS = Path(opts.weights)
        parser = {}
    engine = interpreter(parser if parser is not None else None)
    engine.guided = opts.guided or opts.oracle
    engine.learnt_drafts = engine.learnt_drafts or opts.drafts or opts.oracle
    sink = open(opts.out, "w") if opts.out else None
    total: dict[str, int] = {}
    for author in opts.authors:
        n: dict[str, int] = dict.fromkeys(
            ("cases", "answerable", "answered", "right", "silent", "other", "other_right", "draft_right"), 0
        )
        began = time.perf_counter()
        if opts.parser:
            if author not in parser:
                path = shipped.weights_for(author)
                parser[author] = Kept(author, path, opts.part, lambda p=path: Parser.load(engine.catalogue, weights=p))
            engine.parser = parser[author]
        part, parts = (int(x) for x in opts.part.split("/"))
        for case in cases_of(author)[part - 1 :: parts]:
            history = [Turn(question=h["question"], sql=fill(h["sql"])) for h in case.get("history") or ()]
            who = Principal(role=case["role"], desk=case.get("user_desk"))
            for wording in wordings(case)[: 1 if opts.first else None]:
                if opts.grep and opts.grep not in case["id"]:
                    continue
                if opts.oracle:
                    parser.case = case
                got = engine.interpret(wording, as_of=AS_OF, principal=who, history=history)
                expect = case["expect"]
                n["cases"] += 1
                ok = False
                draft_ok = False
                if expect == "answer":
                    n["answerable"] += 1
                    draft_ok = got.draft is not None and right(case, got.draft.sql)
                    n["draft_right"] += draft_ok
                shown = (
                    got.outcome == "answer"
                    and got.draft is not None
                    and got.draft.confidence >= (opts.threshold or engine.threshold)
                )
                if shown:
                    n["answered"] += 1
                    ok = expect == "answer" and draft_ok
                    n["right"] += ok
                    n["silent"] += not ok
                elif expect != "answer":
                    ok = got.outcome == expect or (expect == "clarify" and got.outcome == "answer")
                    n["other_right"] += ok
                n["other"] += expect != "answer"
                if sink:
                    sink.write(
                        json.dumps(
                            {
                                "id": case["id"],
                                "q": wording,
                                "sql": got.draft.sql if got.draft else None,
                                "doubts": list(got.doubts),
                                "mode": next(
                                    (k[5:] for k, v in got.features.items() if k.startswith("mode_") and v), ""
                                ),
                                "expect": expect,
                                "outcome": got.outcome,
                                "ok": draft_ok,
                                "confidence": got.draft.confidence if got.draft else 0,
                                "features": dict(got.features)
                                if got.draft is not None and got.outcome in ("answer", "clarify")
                                else {},
                                "author": author,
                                "candidates": [
                                    {
                                        "kind": c.kind,
                                        "features": dict(c.features),
                                        "ok": expect == "answer" and right(case, c.sql),
                                        "sql": c.sql,
                                    }
                                    for c in got.candidates
                                ]
                                if got.outcome in ("answer", "clarify")
                                else [],
                            }
                        )
                        + "\n"
                    )
                kind = (
                    ""
                    if ok
                    else "wrong"
                    if shown
                    else "outcome"
                    if expect != "answer"
                    else ("held" if draft_ok else "abstain")
                )
                if kind and kind in opts.show.split(","):
                    print(
                        f"[{kind}] {case['id']} {wording}\n   got({got.outcome}) {got.draft.sql if got.draft else got.reason}\n   gold {case['sql'][0] if case.get('sql') else expect}\n   why {got.reason} {got.doubts}"
                    )
        if opts.parser:
            parser[author].save()
        spent = time.perf_counter() - began
        _line(author, n, spent)
        for k, v in n.items():
            total[k] = total.get(k, 0) + v
    if len(opts.authors) > 1:
        _line("all", total, 0)


def _line(name: str, n: dict[str, int], spent: float) -> None:
    safe = lambda a, b: f"{100 * a / b:.0f}%" if b else "-"
    print(
        f"{name:4} n={n['cases']} answered {n['answered']}/{n['answerable']}={safe(n['answered'], n['answerable'])} "
        f"right of answered {safe(n['right'], n['answered'])} coverage right {safe(n['right'], n['answerable'])} "
        f"silent {safe(n['silent'], n['cases'])} draft right {safe(n['draft_right'], n['answerable'])} "
        f"others {n['other_right']}/{n['other']} {spent:.0f}s",
        file=sys.stdout,
        flush=True,
    )


if __name__ == "__main__":
    main()
