"""`python -m evals …`: run cases, report, compare two runs, check the soundness of golds, measure retrieval, peers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from evals import report
from evals.cases import Case, CaseError, load_cases, parse_instant
from evals.gold import World
from evals.runner import Run, check_gold, engine_factory, read_results

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    return parser


def cache_directory() -> Path:
    """Where golds are kept between runs."""
    return Path(os.environ.get("NLQ_CACHE", Path.home() / ".cache" / "nlq")) / "evals"


def _run(options: argparse.Namespace, console: Console) -> int:
    cases = load_cases(options.cases, wordings=options.wordings)
    if options.limit is not None:
        cases = cases[: options.limit]
    inside = options.out.resolve().is_relative_to(REPOSITORY)
    if options.reveal_locked and inside:
        raise ValueError("--reveal-locked: the text of locked authors may not be written into the repository")
    factory = engine_factory(options.engine, {"llm": None if options.llm == "none" else options.llm})
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
    _with_progress(run, cases, console)
    wanted = {case.id for case in cases}
    lines = [line for line in read_results([options.out]) if line["id"] in wanted]
    _print(lines, console, quiet=options.quiet)
    return 0


def _with_progress(run: Run, cases: Sequence[Case], console: Console) -> None:
    columns = (
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking", total=len(cases))
        for done, _ in enumerate(run.results(cases), start=1):
            progress.update(task, completed=done)
            if not sys.stderr.isatty() and done % 50 == 0:
                print(f"{done} of {len(cases)}", file=sys.stderr, flush=True)
        progress.update(task, completed=len(cases))


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
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(lines), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
