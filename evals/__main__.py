"""`python -m evals …`: run cases, report, compare two runs, check the soundness of golds, measure retrieval, peers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from evals import compare, recall, report, report_html, ship, soundness
from evals.cases import SAMPLE_CASES, WORLDS, Case, CaseError, load_cases, open_authors, parse_instant
from evals.gold import World
from evals.runner import Run, check_gold, declared_as_of, engine_factory, read_results
from nlq.verified import SHIPPED, VerifiedQueries
from streaming.cache import default_cache
from streaming.catalogue import Catalogue

REPOSITORY = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did its work."""
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        return int(options.command(options, console))
    except (CaseError, ValueError, OSError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="ask cases of worlds and score the answers")
    run.add_argument("--cases", nargs="+", required=True, type=Path, metavar="FILE.jsonl")
    run.add_argument("--catalogue", nargs="+", required=True, type=Path, metavar="DIR")
    run.add_argument("--out", required=True, type=Path, metavar="RESULTS.jsonl")
    run.add_argument(
        "--as-of",
        type=parse_instant,
        help="clock, ISO 8601; default: what each world.json declares",
    )
    run.add_argument("--wordings", action="store_true", help="also ask every paraphrase")
    run.add_argument("--limit", type=int, help="only the first N questions")
    run.add_argument(
        "--engine",
        default="nlq.engine:Engine",
        help="module:Class with open(catalogue=…, llm=…)",
    )
    run.add_argument("--llm", default="embedded", help="embedded, an endpoint's URL, or none")
    run.add_argument(
        "--reveal-locked",
        action="store_true",
        help="write SQL and reasons of locked authors to --out (not here)",
    )
    run.add_argument("--quiet", action="store_true", help="headline figures only")
    run.set_defaults(command=_run)
    shown = commands.add_parser("report", help="figures of one or more result files")
    shown.add_argument("results", nargs="+", type=Path)
    shown.add_argument("--html", type=Path, help="write every failure side by side to this file")
    shown.add_argument("--json", type=Path, help="write the figures to this file")
    shown.set_defaults(command=_report)
    two = commands.add_parser("compare", help="two runs over the same cases, with McNemar's test")
    two.add_argument("first", type=Path)
    two.add_argument("second", type=Path)
    two.set_defaults(command=_compare)
    sound = commands.add_parser("soundness", help="golds: not empty, free of ties, killed mutants")
    _world_options(sound)
    sound.add_argument("--ids", action="store_true", help="also name the open cases that fall short")
    sound.set_defaults(command=_soundness)
    found = commands.add_parser("recall", help="does retrieval bring the views and columns that golds need")
    _world_options(found)
    found.set_defaults(command=_recall)
    others = commands.add_parser("peers", help="bare model, LangChain's SQL chain and Vanna on the same model and data")
    others.add_argument("--cases", required=True, type=Path, metavar="FILE.jsonl", help="of one author")
    others.add_argument("--catalogue", nargs="+", type=Path, metavar="DIR", default=_sample_worlds())
    others.add_argument("--out", required=True, type=Path, metavar="DIR", help="a result file a peer is written here")
    others.add_argument("--ours", type=Path, metavar="RESULTS.jsonl", help="a run of the engine on the same cases")
    others.add_argument("--limit", type=int, default=30, help="answerable cases, spread evenly")
    others.add_argument("--only", choices=("bare", "langchain", "vanna"), help="one peer")
    others.add_argument("--threads", type=int, default=1, help="of the model")
    others.set_defaults(command=_peers)
    shipped = commands.add_parser("ship", help="make nlq/verified_queries anew from the open authors")
    shipped.add_argument("--catalogue", nargs="+", type=Path, metavar="DIR", default=_sample_worlds())
    shipped.set_defaults(command=_ship)
    return parser


def _world_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", nargs="+", type=Path, metavar="FILE.jsonl", default=[*open_authors(), SAMPLE_CASES])
    parser.add_argument("--catalogue", nargs="+", type=Path, metavar="DIR", default=_sample_worlds())
    parser.add_argument("--limit", type=int, help="only N cases, spread evenly")


def _sample_worlds() -> list[Path]:
    return sorted(path for path in WORLDS.iterdir() if (path / "catalogue.yaml").exists())


def cache_directory() -> Path:
    """Where golds are kept between runs."""
    return default_cache() / "evals"


def _run(options: argparse.Namespace, console: Console) -> int:
    cases = load_cases(options.cases, wordings=options.wordings)
    if options.limit is not None:
        cases = cases[: options.limit]
    inside = options.out.resolve().is_relative_to(REPOSITORY)
    if options.reveal_locked and inside:
        raise ValueError("--reveal-locked: the text of locked authors may not be written into the repository")
    authors = {case.author for case in cases}
    factory = engine_factory(options.engine, {"llm": None if options.llm == "none" else options.llm}, authors)
    worlds = [World(directory, cache_directory()) for directory in options.catalogue]
    broken = set(check_gold([c for c in cases if c.expect == "answer"], worlds, options.as_of))
    if broken:
        console.print(f"{len(broken)} cases left out: their gold does not run on every world")
    cases = [case for case in cases if case.id not in broken]
    run = Run(
        worlds,
        factory,
        options.out,
        as_of=options.as_of,
        reveal_locked=options.reveal_locked,
    )
    _ask_all(run, cases, console)
    wanted = {case.id for case in cases}
    lines = [line for line in read_results([options.out]) if line["id"] in wanted]
    _print(lines, console, quiet=options.quiet)
    return 0


def _compare(options: argparse.Namespace, console: Console) -> int:
    names = (options.first.stem, options.second.stem)
    compare.show(read_results([options.first]), read_results([options.second]), console, names)
    return 0


def _soundness(options: argparse.Namespace, console: Console) -> int:
    worlds = [World(directory, cache_directory()) for directory in options.catalogue]
    cases = _spread(load_cases(options.cases), options.limit)
    with _progress("examining", len(cases), console) as advance:
        result = soundness.soundness(cases, worlds, advance)
    table = Table(title=f"soundness of {result.cases} golds on {len(worlds)} worlds", show_header=False)
    table.add_row("not empty on some world", str(result.not_empty))
    table.add_row("limit cuts between different keys", str(result.tie_free))
    table.add_row("mutants killed", str(result.killed))
    for kind, rate in result.by_mutation.items():
        table.add_row(f"  {kind}", str(rate))
    console.print(table)
    if options.ids:
        for title, ids in (("empty", result.empty), ("tied", result.tied), ("with surviving mutants", result.weak)):
            console.print(f"{title}: {', '.join(ids) or 'none'}")
    return 0


def _recall(options: argparse.Namespace, console: Console) -> int:
    from retrieval.retrieve import Retriever

    catalogue = Catalogue.load(options.catalogue[0])
    retriever = Retriever.open(catalogue, examples=VerifiedQueries.open(catalogue).documents(), cache=default_cache())
    cases = _spread([case for case in load_cases(options.cases) if case.expect == "answer"], options.limit)
    with _progress("searching", len(cases), console) as advance:
        result = recall.recall(cases, retriever, declared_as_of(options.catalogue[0]), advance)
    table = Table(title="needed among the best k, the author's own examples left out")
    for name in ("k", "all views of the question", "a needed column, among those of its view"):
        table.add_column(name)
    for depth, rate in result.columns.items():
        table.add_row(str(depth), str(result.views.get(depth, "")), str(rate))
    console.print(table)
    console.print(f"with a view beyond the eighth: {', '.join(result.missed) or 'none'}")
    return 0


def _peers(options: argparse.Namespace, console: Console) -> int:
    from evals.peers_run import run_peers

    cases = [case for case in load_cases([options.cases]) if case.expect == "answer"]
    files = run_peers(
        _spread(cases, options.limit),
        [World(directory, cache_directory()) for directory in options.catalogue],
        options.out,
        only=options.only,
        threads=options.threads,
        progress=lambda name, total: _progress(name, total, console),
    )
    for name, file in files.items():
        lines = read_results([file])
        report.show(lines, console, title=f"{name}, {len(lines)} questions")
        if options.ours:
            compare.show(read_results([options.ours]), lines, console, ("ours", name))
    return 0


def _ship(options: argparse.Namespace, console: Console) -> int:
    worlds = [World(directory, cache_directory()) for directory in options.catalogue]
    counts = ship.ship(SHIPPED, worlds)
    console.print(f"{sum(counts.values())} verified queries of {len(counts)} authors in {SHIPPED.name}: {counts}")
    return 0


def _spread(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most `limit` cases at even distances, so that every author and kind takes part."""
    if limit is None or limit >= len(cases):
        return list(cases)
    return [cases[n * len(cases) // limit] for n in range(limit)]


@contextmanager
def _progress(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=total)

        def advance(done: int) -> None:
            progress.update(task, completed=done)
            if not sys.stderr.isatty() and done % 50 == 0:
                print(f"{done} of {total}", file=sys.stderr, flush=True)

        yield advance


def _ask_all(run: Run, cases: Sequence[Case], console: Console) -> None:
    with _progress("asking", len(cases), console) as advance:
        for done, _ in enumerate(run.results(cases), start=1):
            advance(done)


def _print(lines: Sequence[dict[str, Any]], console: Console, *, quiet: bool = False) -> None:
    if not lines:
        console.print("no results")
        return
    report.show(lines, console)
    if not quiet:
        report.show_breakdowns(lines, console)


def _report(options: argparse.Namespace, console: Console) -> int:
    lines = read_results(options.results)
    _print(lines, console)
    if options.html:
        options.html.write_text(report_html.page(lines, options.results[0].stem), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(lines), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
