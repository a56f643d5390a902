"""All attacks and figures of the two walls: prints a table and writes docs/security-results.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.security import canary
from evals.security.fuzz import fuzz
from evals.security.golds import same_rows, verdicts
from evals.security.rows import COPIES, compare, compare_engine
from evals.security.runaway import big_world, refused_before_planning, run_all
from evals.security.statements import grammar, hand_made, mutants
from evals.security.walls import attack_engine, attack_guard
from nlq.execute import Executor
from streaming.catalogue import Catalogue
from streaming.directory import DirectorySource
from streaming.session import build_session

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
WORLD = ROOT / "evals" / "worlds" / "w101"
RESULTS = ROOT / "docs" / "security-results.md"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured line of the table."""

    what: str
    measured: str
    wanted: str
    passed: bool


def main(arguments: list[str] | None = None) -> int:
    """Run everything; returns 1 when a figure misses its mark."""
    parser = argparse.ArgumentParser(prog="python -m evals.security", description=__doc__)
    parser.add_argument("--fuzz-seconds", type=float, default=600.0, help="time for fuzzing the guard")
    parser.add_argument("--generated", type=int, default=10_000, help="generated hostile statements")
    parser.add_argument("--queries", type=int, default=500, help="random queries a role against the filtered copy")
    parser.add_argument("--engine-sample", type=int, default=300, help="generated statements for wall 2 alone")
    parser.add_argument("--engine-queries", type=int, default=15, help="random queries a role through Spark")
    parser.add_argument("--runaway-seconds", type=float, default=4.0, help="limit given to each runaway")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--only", default="", help="comma-separated parts: guard, rows, fuzz, engine, runaway")
    parser.add_argument("--out", type=Path, help="page to write; a full run writes docs/security-results.md")
    options = parser.parse_args(arguments)
    canary.set_environment()
    parts: dict[str, Callable[[Any], list[Figure]]] = {
        "guard": _guard,
        "rows": _rows,
        "fuzz": _fuzz,
        "engine": _engine,
        "runaway": _runaway,
    }
    chosen = [part for part in options.only.split(",") if part] or list(parts)
    figures: list[Figure] = []
    started = time.monotonic()
    for part in chosen:
        found = parts[part](options)
        figures += found
        for figure in found:
            print(
                f"{'ok  ' if figure.passed else 'MISS'} {figure.what}: {figure.measured} (wanted {figure.wanted})",
                flush=True,
            )
    page = options.out or (None if options.only else RESULTS)
    if page is not None:
        page.write_text(_page(figures, options, time.monotonic() - started), encoding="utf-8")
    return 0 if all(figure.passed for figure in figures) else 1


def _guard(options: Any) -> list[Figure]:
    catalogue = Catalogue.load(WORLD)
    with tempfile.TemporaryDirectory() as folder:
        bait = canary.Canary.lay(Path(folder) / "bait")
        file, place = str(bait.file), str(bait.folder)
        made = attack_guard(hand_made(file, place), catalogue)
        share = options.generated * 7 // 10
        grown = attack_guard(grammar(share, options.seed, file, place), catalogue)
        bent = attack_guard(mutants(options.generated - share, options.seed, hand_made(file, place)), catalogue)
    honest = verdicts(catalogue)
    same = same_rows(WORLD, catalogue)
    denials = len(honest.denied) / honest.statements
    return [
        Figure(
            what="hand-made hostile statements let through by wall 1",
            measured=f"{len(made.ran)} of {made.total}",
            wanted="0 of at least 300",
            passed=not made.ran and made.total >= 300,
        ),
        Figure(
            what="statements of the hostile grammar let through by wall 1",
            measured=f"{len(grown.ran)} of {grown.total}",
            wanted="0",
            passed=not grown.ran,
        ),
        Figure(
            what="mutants of hostile statements that wall 1 found harmless",
            measured=f"{len(bent.ran)} of {bent.total}",
            wanted="shown below; run against the baits in the engine part",
            passed=True,
        ),
        Figure(
            what="gold statements denied",
            measured=f"{len(honest.denied)} of {honest.statements} ({denials:.2%})",
            wanted="at most 2 %",
            passed=denials <= 0.02,
        ),
        Figure(
            what="gold statements whose rows changed in the rewrite (DuckDB)",
            measured=f"{len(same.different)} of {same.compared} that DuckDB runs",
            wanted="0",
            passed=not same.different,
        ),
        Figure(
            what="time of a verdict on gold statements, processor time",
            measured=f"p50 {honest.percentile(0.5):.1f} ms, p99 {honest.percentile(0.99):.1f} ms, "
            f"most {max(honest.milliseconds):.1f} ms",
            wanted="p99 at most 20 ms",
            passed=honest.percentile(0.99) <= 20,
        ),
    ]


def _rows(options: Any) -> list[Figure]:
    catalogue = Catalogue.load(WORLD)
    figures = []
    for role in COPIES:
        found = compare(WORLD, catalogue, role, options.queries, options.seed)
        figures.append(
            Figure(
                what=f"random queries as {role}: rows equal to the filtered copy (DuckDB)",
                measured=f"{found.equal} of {found.queries}, {len(found.refused)} refused, {len(found.failed)} not run",
                wanted="all",
                passed=found.equal == found.queries,
            )
        )
    return figures


def _fuzz(options: Any) -> list[Figure]:
    found = fuzz(Catalogue.load(WORLD), options.fuzz_seconds, options.seed)
    return [
        Figure(
            what=f"fuzzing of wall 1 for {options.fuzz_seconds:.0f} s",
            measured=f"{found.statements} statements, {len(found.crashes)} crashes, {len(found.slow)} hangs, "
            f"{len(found.wrong)} wrongly allowed of {found.allowed} allowed, slowest {found.longest * 1000:.0f} ms",
            wanted="0 crashes, 0 hangs, 0 wrongly allowed",
            passed=not (found.crashes or found.slow or found.wrong),
        )
    ]


def _engine(options: Any) -> list[Figure]:
    spark = build_session("security", driver_memory="2g")
    source = DirectorySource(WORLD, spark)
    executor, snapshot = Executor(source), source.snapshot()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        bait = canary.Canary.lay(Path(folder) / "bait", spark)
        file, place = str(bait.file), str(bait.folder)
        made = [hostile for hostile in hand_made(file, place) if hostile.kind != "cost"]
        grown = list(grammar(options.engine_sample, options.seed + 1, file, place))
        grown = [h for h in grown if not any(word in h.sql.lower() for word in ("sequence(", "repeat(", "space("))]
        bent = attack_guard(
            mutants(options.generated * 3 // 10, options.seed, hand_made(file, place)), source.catalogue
        )
        alone = attack_engine([(hostile, hostile.sql) for hostile in [*made, *grown]], executor, snapshot)
        both = attack_engine(bent.ran, executor, snapshot)
        effects = bait.effects(spark)
    figures += [
        Figure(
            what="hostile statements handed straight to wall 2: stopped",
            measured=f"{alone.stopped} of {alone.total}; {len(alone.ran)} ran on masked data or as plain text",
            wanted="all of code, environment, file, DDL and command classes",
            passed=not alone.ran_total_classes,
        ),
        Figure(
            what="baits shown by wall 2 alone, and effects left behind",
            measured=f"{len(alone.leaks)} shown, {len(effects)} effects {effects or ''}".strip(),
            wanted="0 and 0",
            passed=not alone.leaks and not effects,
        ),
        Figure(
            what="harmless mutants run through both walls: baits shown",
            measured=f"{len(both.leaks)} of {both.total}",
            wanted="0",
            passed=not both.leaks,
        ),
    ]
    for role in COPIES:
        found = compare_engine(WORLD, executor, snapshot, role, options.engine_queries, options.seed)
        figures.append(
            Figure(
                what=f"random queries as {role} through both walls on Spark: rows equal to the filtered copy",
                measured=f"{found.equal} of {found.queries}",
                wanted="all",
                passed=found.equal == found.queries,
            )
        )
    executor.close()
    return figures


def _runaway(options: Any) -> list[Figure]:
    spark = build_session("security", driver_memory="2g")
    executor = Executor(DirectorySource(WORLD, spark))
    with tempfile.TemporaryDirectory() as folder:
        snapshot = big_world(Path(folder), datetime(2026, 11, 20, 18, 30, tzinfo=UTC))
        planning = refused_before_planning(snapshot)
        ended = run_all(executor, snapshot, spark, options.runaway_seconds)
    executor.close()
    late = [end for end in ended if end.seconds > options.runaway_seconds + 2]
    slowest = max(ended, key=lambda end: end.seconds)
    stuck = max(ended, key=lambda end: end.freed)
    wait = max(end.neighbour for end in ended)
    return [
        Figure(
            what=f"runaway queries of {len(ended)} kinds, limit {options.runaway_seconds:.0f} s",
            measured=f"{len(late)} answered late; slowest {slowest.seconds:.1f} s ({slowest.kind}); "
            f"{sum(end.code == 'DEADLINE' for end in ended)} stopped at the limit",
            wanted="answered within limit + 2 s",
            passed=not late,
        ),
        Figure(
            what="statements that plan for long, refused by wall 1",
            measured=f"{sum(rule != 'OK' for rule in planning.values())} of {len(planning)}",
            wanted="all",
            passed="OK" not in planning.values(),
        ),
        Figure(
            what="work of a runaway gone after the answer",
            measured=f"at most {stuck.freed:.1f} s later ({stuck.kind})",
            wanted="10 s",
            passed=stuck.freed <= 10,
        ),
        Figure(
            what="longest small job of the ingest pool beside a runaway",
            measured=f"{wait:.1f} s",
            wanted="5 s",
            passed=wait <= 5,
        ),
    ]


def _page(figures: list[Figure], options: Any, seconds: float) -> str:
    lines = [
        "# Security figures",
        "",
        f"Written by `python -m evals.security` (seed {options.seed}, {seconds / 60:.0f} minutes). What is behind each "
        "line stands in [threat-model.md](threat-model.md) and [guard.md](guard.md).",
        "",
        "| what | measured | wanted | |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {f.what} | {f.measured} | {f.wanted} | {'met' if f.passed else '**missed**'} |" for f in figures]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
