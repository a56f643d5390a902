"""Parts that need no Spark: wall 1, honest statements, rows by DuckDB, fuzzing, ordinary questions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evals.security.canary import Canary
from evals.security.denials import denials, of_authors, with_two_meanings
from evals.security.fuzz import fuzz
from evals.security.golds import same_rows, verdicts
from evals.security.parts import WORLD, Figure, Options, Result, gathered, total
from evals.security.rows import COPIES, compare
from evals.security.statements import Hostile, grammar, hand_made, mutants
from evals.security.walls import attack_guard
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MUTANTS = 500
"""Mutants a piece."""
_ORDINARY = {"authors": of_authors, "two meanings": with_two_meanings}


def bent(options: Options, piece: int, file: str, folder: str) -> Iterable[Hostile]:
    """One piece of the mutants; the same statements for every part that asks."""
    return mutants(MUTANTS, options.seed + piece, hand_made(file, folder))


def mutant_pieces(options: Options) -> range:
    """How many pieces the mutants come in."""
    return range(options.generated * 3 // 10 // MUTANTS)


class Guard:
    """Hostile statements against wall 1."""

    name = "guard"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._catalogue = Catalogue.load(WORLD)
        self._folder = tempfile.TemporaryDirectory()
        self._bait = Canary.lay(Path(self._folder.name) / "bait")

    def pieces(self) -> list[str]:
        """Hand-made statements, the grammar by thousands, the mutants by pieces."""
        grown = [f"grammar {n}" for n in range(self._options.generated * 7 // 10 // 1000)]
        return ["hand-made", *grown, *(f"mutants {n}" for n in mutant_pieces(self._options))]

    def run(self, key: str) -> Result:
        """Verdicts on one set."""
        file, folder = str(self._bait.file), str(self._bait.folder)
        kind, _, number = key.partition(" ")
        statements: Iterable[Hostile] = hand_made(file, folder)
        if kind == "grammar":
            statements = grammar(1000, self._options.seed + int(number), file, folder)
        elif kind == "mutants":
            statements = bent(self._options, int(number), file, folder)
        found = attack_guard(statements, self._catalogue)
        return {"asked": found.total, "allowed": [h.sql for h, _ in found.ran], "leaks": found.leaks}

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line a kind."""
        lines = []
        for kind, what, wanted in (
            ("hand-made", "hand-made hostile statements let through by wall 1", "0 of at least 300"),
            ("grammar", "statements of the hostile grammar let through by wall 1", "0"),
            (
                "mutants",
                "mutants of hostile statements that wall 1 found harmless",
                "run against the baits: see mutants",
            ),
        ):
            own = {key: result for key, result in results.items() if key.startswith(kind)}
            allowed = gathered(own, "allowed")
            lines.append(
                Figure(
                    what=what,
                    measured=f"{len(allowed)} of {total(own.values(), 'asked')}",
                    wanted=wanted,
                    passed=kind == "mutants" or not allowed,
                )
            )
        return lines

    def close(self) -> None:
        """Take the bait away."""
        self._folder.cleanup()


class Golds:
    """Honest statements: denials, rows after the rewrite, time of a verdict."""

    name = "golds"

    def __init__(self, options: Options) -> None:
        self._catalogue = Catalogue.load(WORLD)

    def pieces(self) -> list[str]:
        """Verdicts and rows."""
        return ["verdicts", "rows"]

    def run(self, key: str) -> Result:
        """All gold statements."""
        if key == "rows":
            same = same_rows(WORLD, self._catalogue)
            return {"compared": same.compared, "different": same.different}
        honest = verdicts(self._catalogue)
        return {
            "asked": honest.statements,
            "denied": honest.denied,
            "p50": honest.percentile(0.5),
            "p99": honest.percentile(0.99),
            "most": max(honest.milliseconds),
        }

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """Denials, time, rows."""
        lines = []
        if honest := results.get("verdicts"):
            denied = len(honest["denied"])
            share = denied / honest["asked"]
            took = f"p50 {honest['p50']:.1f} ms, p99 {honest['p99']:.1f} ms, most {honest['most']:.1f} ms"
            lines = [
                Figure(
                    what="gold statements denied",
                    measured=f"{denied} of {honest['asked']} ({share:.2%})",
                    wanted="at most 2 %",
                    passed=share <= 0.02,
                ),
                Figure(
                    what="time of a verdict on gold statements, processor time",
                    measured=took,
                    wanted="p99 at most 20 ms",
                    passed=honest["p99"] <= 20,
                ),
            ]
        if same := results.get("rows"):
            lines.append(
                Figure(
                    what="gold statements whose rows changed in the rewrite (DuckDB)",
                    measured=f"{len(same['different'])} of {same['compared']} that DuckDB runs",
                    wanted="0",
                    passed=not same["different"],
                )
            )
        return lines

    def close(self) -> None:
        """Nothing to release."""


class Rows:
    """Random queries of each role against a copy that was filtered beforehand, by DuckDB."""

    name = "rows"
    _PIECE = 50

    def __init__(self, options: Options) -> None:
        self._options = options
        self._catalogue = Catalogue.load(WORLD)

    def pieces(self) -> list[str]:
        """Fifty queries of a role each."""
        return [f"{role} {n}" for n in range(self._options.queries // self._PIECE) for role in COPIES]

    def run(self, key: str) -> Result:
        """One piece."""
        role, number = key.split()
        found = compare(WORLD, self._catalogue, role, self._PIECE, self._options.seed + int(number))
        return {
            "asked": found.queries,
            "equal": found.equal,
            "wrong": [*found.different, *found.refused, *found.failed],
        }

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line a role."""
        lines = []
        for role in COPIES:
            own = [result for key, result in results.items() if key.startswith(f"{role} ")]
            asked, equal = total(own, "asked"), total(own, "equal")
            lines.append(
                Figure(
                    what=f"random queries as {role}: rows equal to the filtered copy (DuckDB)",
                    measured=f"{equal} of {asked}",
                    wanted="all of 500",
                    passed=equal == asked >= 500,
                )
            )
        return lines

    def close(self) -> None:
        """Nothing to release."""


class Fuzz:
    """Strange text against wall 1."""

    name = "fuzz"
    _PIECE = 60.0

    def __init__(self, options: Options) -> None:
        self._options = options
        self._catalogue = Catalogue.load(WORLD)

    def pieces(self) -> list[str]:
        """A minute each, each with a seed of its own."""
        return [f"minute {n}" for n in range(round(self._options.fuzz_seconds / self._PIECE))]

    def run(self, key: str) -> Result:
        """One minute."""
        found = fuzz(self._catalogue, self._PIECE, self._options.seed + int(key.split()[1]))
        bad = {"crashes": found.crashes, "slow": found.slow, "wrong": found.wrong}
        return {"asked": found.statements, "allowed": found.allowed, "longest": found.longest, **bad}

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line."""
        crashes, slow, wrong = (gathered(results, name) for name in ("crashes", "slow", "wrong"))
        longest = max((result["longest"] for result in results.values()), default=0.0)
        return [
            Figure(
                what=f"fuzzing of wall 1 for {len(results) * self._PIECE:.0f} s",
                measured=f"{total(results.values(), 'asked')} statements, {len(crashes)} crashes, {len(slow)} hangs, "
                f"{len(wrong)} wrongly allowed of {total(results.values(), 'allowed')} allowed, "
                f"slowest {longest * 1000:.0f} ms",
                wanted="600 s; 0, 0, 0",
                passed=not (crashes or slow or wrong) and len(results) * self._PIECE >= 600,
            )
        ]

    def close(self) -> None:
        """Nothing to release."""


class Ordinary:
    """Ordinary questions that are refused by mistake."""

    name = "ordinary"

    def __init__(self, options: Options) -> None:
        self._catalogue = Catalogue.load(WORLD)

    def pieces(self) -> list[str]:
        """The open authors' questions, and those with a word of two meanings."""
        return list(_ORDINARY)

    def run(self, key: str) -> Result:
        """One set."""
        found = denials(WORLD, self._catalogue, _ORDINARY[key]())
        return {"asked": found.asked, "refused": found.refused, "outcomes": dict(found.outcomes)}

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line a set."""
        what = {
            "authors": "ordinary questions of the open authors refused by mistake",
            "two meanings": "ordinary questions with words such as delete, hide, kill, evade refused by mistake",
        }
        lines = []
        for key, result in results.items():
            share = len(result["refused"]) / result["asked"]
            measured = f"{len(result['refused'])} of {result['asked']} ({share:.2%})"
            lines.append(Figure(what=what[key], measured=measured, wanted="at most 2 %", passed=share <= 0.02))
        return lines

    def close(self) -> None:
        """Nothing to release."""
