"""`python -m nlq.learn train | evaluate | calibrate | ask`; also behind `nlq learn`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.learn.data import FOLDS, case_files, name_groups, read_examples
from nlq.learn.train import Recipe
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nlq.learn.data import Example

_CASES = Path("evals") / "cases"
_WORLDS = Path("evals") / "worlds"
_NAMED = ("dead_letters", "alerts", "personal_trades", "orders")
"""Views of facts that hold names of their own, such as a topic or an officer."""
_AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _arguments().parse_args(argv)
    commands = {"train": _train, "evaluate": _evaluate, "calibrate": _calibrate, "ask": _ask}
    commands[options.command](options)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nlq.learn")
    parser.add_argument(
        "--catalogue", type=Path, default=None, help="catalogue file or directory; default: the shipped one"
    )
    parser.add_argument(
        "--encoder", type=Path, default=None, help="folder of the base encoder; default: download cache"
    )
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="tune on verified questions and write the weights")
    train.add_argument("--cases", type=Path, default=_CASES, help="directory of case files (.jsonl)")
    train.add_argument("--worlds", type=Path, default=_WORLDS, help="worlds whose names are swapped for variety")
    train.add_argument("--folds", type=int, nargs="*", default=None, help="also train these leave-authors-out folds")
    train.add_argument("--only-folds", action="store_true")
    train.add_argument("--epochs", type=int, default=None, help="on the frozen encoder")
    train.add_argument("--cycles", type=int, default=1, help="how often those epochs are gone through")
    train.add_argument("--tuned-layers", type=int, default=Recipe.tuned_layers, help="upper encoder layers to tune")
    train.add_argument("--tuned-epochs", type=int, default=Recipe.tuned_epochs)
    train.add_argument("--variants", type=int, default=0, help="reworded copies of each wording")
    train.add_argument("--writer-epochs", type=int, default=Recipe.writer_epochs, help="of the writer, before tuning")
    train.add_argument("--last-epochs", type=int, default=Recipe.last_epochs, help="of new heads on the tuned encoder")
    train.add_argument("--voices", type=int, default=Recipe.voices, help="sets of such heads, averaged")
    train.add_argument("--start", type=Path, default=None, help="weights to begin with, such as a fold's")
    train.add_argument("--seed", type=int, default=20261120)
    train.add_argument("--out", type=Path, default=None, help="default: beside the code")
    evaluate = commands.add_parser("evaluate", help="measure the fold weights on the authors they never saw")
    evaluate.add_argument("--cases", type=Path, default=_CASES)
    evaluate.add_argument("--folds", type=int, nargs="*", default=None)
    evaluate.add_argument("--agreement", action="store_true", help="also: can it tell the gold SQL from a mutated one?")
    calibrate = commands.add_parser("calibrate", help="fit confidence on measured runs")
    calibrate.add_argument(
        "--results", type=Path, nargs="+", required=True, help="JSON lines: id, author, features, right"
    )
    calibrate.add_argument("--worst-risk", type=float, default=0.01, help="accepted share of silently wrong answers")
    calibrate.add_argument("--out", type=Path, default=None)
    ask = commands.add_parser("ask", help="show what the parser proposes for a question")
    ask.add_argument("question")
    ask.add_argument("--without-author", default=None)
    return parser


def _train(options: argparse.Namespace) -> None:
    import torch

    from nlq.learn.encoder import find_directory
    from nlq.learn.parser import WEIGHTS
    from nlq.learn.states import FrozenStates
    from nlq.learn.train import save, train

    torch.set_num_threads(options.threads)
    catalogue, directory = Catalogue.load(options.catalogue), find_directory(options.encoder)
    examples = read_examples(case_files(options.cases), catalogue)
    names = name_groups(options.worlds) if options.worlds.is_dir() else []
    recipe = Recipe(
        cycles=options.cycles, variants=options.variants, seed=options.seed, writer_epochs=options.writer_epochs,
        last_epochs=options.last_epochs, voices=options.voices, tuned_layers=options.tuned_layers, tuned_epochs=options.tuned_epochs, rank=16 if options.tuned_layers else 0,
    )  # fmt: skip
    if options.epochs is not None:
        recipe = replace(recipe, head_epochs=options.epochs)
    forms = _forms(catalogue, options.worlds) if recipe.writer_epochs else None
    states = FrozenStates()
    out: Path = options.out or WEIGHTS
    folds = range(len(FOLDS)) if options.folds == [] else options.folds or ()
    jobs: list[tuple[str, frozenset[str]]] = [] if options.only_folds else [("parser", frozenset())]
    jobs += [(f"fold-{k}", FOLDS[k]) for k in folds]
    for name, left_out in jobs:
        chosen = [e for e in examples if e.author not in left_out]
        _say(f"{name}: {len(chosen)} cases, without {sorted(left_out) or 'nobody'}")
        started = time.perf_counter()
        authors = sorted({e.author for e in chosen})
        facts: dict[str, Any] = {
            "left_out": sorted(left_out), "authors": authors, "cases": len(chosen),
            "started_from": options.start.stem if options.start else None,
        }  # fmt: skip
        unfinished = out / f"{name}.unfinished" / f"{name}.safetensors"
        network = train(
            chosen, catalogue, directory, recipe, names=names, forms=forms, states=states, start=options.start,
            keep=partial(save, path=unfinished, recipe=recipe, **facts), progress=_say,
        )  # fmt: skip
        digest = save(network, out / f"{name}.safetensors", recipe, **facts)
        shutil.rmtree(unfinished.parent, ignore_errors=True)
        _say(f"{out / name}.safetensors {digest} {time.perf_counter() - started:.0f} s")


def _forms(catalogue: Catalogue, worlds: Path) -> Callable[[Example, str], Sequence[str]]:
    """What each wording is to be written as; the names that it may hold are those of the first world."""
    from pyarrow import parquet

    from nlq.learn.forms import FormError, form_of
    from nlq.learn.slots import reader_of

    first = next((p for p in sorted(worlds.glob("*")) if p.is_dir()), None) if worlds.is_dir() else None
    views = [v for v in catalogue.views.values() if v.kind in ("reference", "engine") or v.name in _NAMED]
    tables = {v.name: first / f"{v.name}.parquet" for v in views} if first is not None else {}
    read = reader_of(catalogue, {n: parquet.read_table(p) for n, p in tables.items() if p.is_file()}, _AS_OF)
    types = {c.name: c.type.upper() for v in catalogue.views.values() for c in v.columns.values()}

    def form(example: Example, wording: str) -> Sequence[str]:
        if example.sketch is None or example.history:
            return ()
        try:
            return form_of(example.gold, read(wording), types)
        except FormError:
            return ()

    return form


def _evaluate(options: argparse.Namespace) -> None:
    import torch

    from nlq.learn.evaluate import Tally, agreement_table, evaluate, table
    from nlq.learn.parser import Parser

    torch.set_num_threads(options.threads)
    catalogue = Catalogue.load(options.catalogue)
    examples = read_examples(case_files(options.cases), catalogue)
    pooled, parsers = Tally(), []
    for k in options.folds or range(len(FOLDS)):
        unseen = [e for e in examples if e.author in FOLDS[k]]
        if not any(e.outcome == "answer" for e in unseen):
            continue
        parser = Parser.load(catalogue, encoder=options.encoder, without_author=min(FOLDS[k]))
        parsers.append((parser, unseen))
        tally = evaluate(parser.network, parser.batcher, unseen)
        wanted = ("main view", "exact views", "outcome", "exact sketch")
        shares = [f"{n} {100 * c / (tally.n if n == 'outcome' else tally.answerable):.1f} %" for n, c in tally.hits.items()
                  if n.startswith(wanted)]  # fmt: skip
        _say(f"fold {k}, unseen {', '.join(sorted(FOLDS[k]))}: {'; '.join(shares)}")
        pooled.merge(tally)
    _say("")
    _say(table(pooled))
    if options.agreement:
        _say("")
        _say(agreement_table(parsers, catalogue))


def _calibrate(options: argparse.Namespace) -> None:
    from nlq.learn.calibrate import calibrate

    _say(calibrate(options.results, options.out, worst_risk=options.worst_risk))


def _ask(options: argparse.Namespace) -> None:
    import torch

    from nlq.learn.parser import Parser

    torch.set_num_threads(options.threads)
    parser = Parser.load(
        Catalogue.load(options.catalogue), encoder=options.encoder, without_author=options.without_author
    )
    found = parser.propose(options.question)
    for name in ("outcome", "main_view", "views", "shape"):
        best = sorted(getattr(found, name).items(), key=lambda x: -x[1])[:8]
        _say(f"{name}: " + ", ".join(f"{k} {p:.2f}" for k, p in best if p > 0.05))
    for column, roles in sorted(found.columns.items(), key=lambda x: -max(x[1].values())):
        shown = ", ".join(f"{r} {p:.2f}" for r, p in sorted(roles.items(), key=lambda x: -x[1]) if p > 0.1)
        if shown:
            _say(f"  {'.'.join(column)}: {shown}")


if __name__ == "__main__":
    sys.exit(main())
