"""All attacks and figures of the two walls: prints one table and writes docs/security-results.md."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from evals.security import canary
from evals.security.engine_parts import Engine, EngineRows, Mutants, Runaways
from evals.security.parts import ROOT, Figure, Options, Part, Results, page, run
from evals.security.question_parts import Embedded, Stub
from evals.security.text_parts import Fuzz, Golds, Guard, Ordinary, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[Options], Part]] = {
    part.name: part
    for part in (Guard, Golds, Rows, Ordinary, Fuzz, Engine, Mutants, EngineRows, Runaways, Stub, Embedded)
}
PAGE = ROOT / "docs" / "security-results.md"


def main(arguments: list[str] | None = None) -> int:
    """Run what has no result yet; returns 1 when a figure misses its mark, 3 when pieces are left."""
    parser = argparse.ArgumentParser(prog="python -m evals.security", description=__doc__)
    parser.add_argument("--only", default="", help=f"comma-separated parts: {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; the same command goes on")
    parser.add_argument("--fresh", action="store_true", help="forget the results of the chosen parts first")
    parser.add_argument("--seed", type=int, default=Options.seed)
    options = parser.parse_args(arguments)
    canary.set_environment()
    settings = replace(Options(), seed=options.seed)
    until = time.monotonic() + options.minutes * 60
    chosen = [name for name in options.only.split(",") if name] or list(PARTS)
    complete = True
    for name in chosen:
        if options.fresh:
            (settings.state / f"{name}.jsonl").unlink(missing_ok=True)
        complete &= run(PARTS[name](settings), Results.open(settings.state / f"{name}.jsonl"), until, print)
    figures = {name: _figures(name, settings) for name in PARTS}
    for name in chosen:
        for figure in figures[name]:
            print(
                f"{'ok  ' if figure.passed else 'MISS'} {name}: {figure.what}: {figure.measured} (wanted {figure.wanted})"
            )
    PAGE.write_text(page({_label(name, settings): figures[name] for name in PARTS}), encoding="utf-8")
    if not complete:
        return 3
    return 0 if all(figure.passed for name in chosen for figure in figures[name]) else 1


def _label(name: str, settings: Options) -> str:
    """The part's name, with how much of it has run where that is not all."""
    part = PARTS[name](settings)
    try:
        pieces = part.pieces()
    finally:
        part.close()
    done = len(Results.open(settings.state / f"{name}.jsonl").found)
    return name if done >= len(pieces) else f"{name}, {done} of {len(pieces)} pieces"


def _figures(name: str, settings: Options) -> list[Figure]:
    """The figures of all results so far, from this run or an earlier one."""
    results = Results.open(settings.state / f"{name}.jsonl")
    part = PARTS[name](settings)
    try:
        return part.figures(results.found) if results.found else []
    finally:
        part.close()


if __name__ == "__main__":
    sys.exit(main())
