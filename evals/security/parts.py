"""Parts of the security evaluation: each is a list of pieces that can be run now or later, and the figures they give."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROOT = Path(__file__).parents[2]
WORLD = ROOT / "evals" / "worlds" / "w101"
STATE = ROOT / "build" / "security"
"""Results of the pieces that have run, one file a part; a part goes on where it was left."""

Result = dict[str, Any]
"""What came of one piece, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes of the run."""

    seed: int = 20261120
    generated: int = 10_000
    """Generated hostile statements: seven in ten from the grammar, the others by mutation."""
    queries: int = 500
    """Random queries a role against the filtered copy."""
    engine_sample: int = 300
    """Generated statements handed straight to wall 2."""
    engine_queries: int = 15
    """Random queries a role through Spark."""
    fuzz_seconds: float = 600.0
    runaway_seconds: float = 4.0
    """Limit given to each runaway."""
    state: Path = STATE


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured line of the table."""

    what: str
    measured: str
    wanted: str
    passed: bool


class Part(Protocol):
    """One part; `run` is called for the pieces that have no result yet."""

    name: str

    def pieces(self) -> Sequence[str]:
        """Its pieces."""
        ...

    def run(self, key: str) -> Result:
        """One piece."""
        ...

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """What the pieces that have run say together."""
        ...

    def close(self) -> None:
        """Release what the pieces needed."""
        ...


@dataclass
class Results:
    """The results of a part on disk: a line of JSON a piece."""

    file: Path
    found: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path) -> Results:
        """Read what there is."""
        results = cls(file)
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                results.found[row.pop("key")] = row
        return results

    def add(self, key: str, result: Result) -> None:
        """Keep one result."""
        self.found[key] = result
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, **result}, ensure_ascii=True) + "\n")


def run(part: Part, results: Results, until: float, say: Callable[[str], None]) -> bool:
    """Run the missing pieces until the time (of `time.monotonic`) is over; True when none is missing."""
    missing = [key for key in part.pieces() if key not in results.found]
    try:
        for number, key in enumerate(missing):
            if time.monotonic() > until:
                say(f"{part.name}: {len(missing) - number} pieces left; the same command goes on with them")
                return False
            results.add(key, part.run(key))
    finally:
        part.close()
    return True


def gathered(results: Mapping[str, Result], name: str) -> list[Any]:
    """The lists called `name` of all results, joined."""
    return [item for result in results.values() for item in result.get(name, ())]


def total(results: Iterable[Result], name: str) -> int:
    """The sum of the numbers called `name`."""
    return sum(int(result.get(name, 0)) for result in results)


def page(figures: Mapping[str, Sequence[Figure]]) -> str:
    """The table in Markdown."""
    lines = [
        "# Security figures",
        "",
        "Written by `python -m evals.security` (all parts: `make security`; one: `--only PART`; `--minutes 4` stops in time "
        "and the same command goes on). What is behind each line stands in [threat-model.md](threat-model.md) and "
        "[guard.md](guard.md).",
        "",
        "| what | measured | wanted | | part |",
        "| --- | --- | --- | --- | --- |",
    ]
    for part, found in figures.items():
        if not found:
            lines.append(f"| (not measured yet) | | | | {part} |")
        lines += [
            f"| {f.what} | {f.measured} | {f.wanted} | {'met' if f.passed else '**missed**'} | {part} |" for f in found
        ]
    return "\n".join([*lines, ""])
