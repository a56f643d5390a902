"""Parts that run on Spark: wall 2 alone, mutants through both walls, rows through both walls, runaways."""

from __future__ import annotations

import tempfile
import threading
import time
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.security import canary
from evals.security.parts import WORLD, Figure, Options, Result, gathered, total
from evals.security.rows import COPIES, compare_engine
from evals.security.runaway import KINDS, PLANNING, big_world, run_one
from evals.security.statements import TOTAL, Hostile, grammar, hand_made
from evals.security.text_parts import bent, mutant_pieces
from evals.security.walls import attack_engine, attack_guard
from nlq.contracts import Principal, Verdict
from nlq.execute import ExecutionError, ExecutionLimits, Executor
from streaming.directory import DirectorySource
from streaming.session import build_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streaming.snapshot import Snapshot

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
_HELD_UP = 1.0
"""Seconds for which a process may be held up before its times are taken again."""
_ENDLESS = 10.0
"""Seconds given to hand-made statements that are made to run on."""


def undisturbed(work: Callable[[], Result], tries: int = 4) -> Result:
    """The result of `work`, again when the whole process was held up meanwhile: then its times say nothing.

    The longest time for which a thread that only sleeps was not let run is kept as `held_up`, in seconds.
    """
    result: Result = {}
    for _ in range(tries):
        end, longest = threading.Event(), [0.0]

        def watch(end: threading.Event = end, longest: list[float] = longest) -> None:
            before = time.monotonic()
            while not end.wait(0.05):
                now = time.monotonic()
                longest[0], before = max(longest[0], now - before - 0.05), now

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        result = work()
        end.set()
        watcher.join()
        result["held_up"] = round(longest[0], 2)
        if longest[0] < _HELD_UP:
            break
    return result


class Room:
    """One Spark with the world, wall 2 and baits; made at its first use."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)

    @cached_property
    def spark(self) -> Any:
        """The product's own session, with the bait in the environment of its Java machine."""
        canary.set_environment()
        return build_session("security", driver_memory="2g")

    @cached_property
    def source(self) -> DirectorySource:
        """The world."""
        return DirectorySource(WORLD, self.spark)

    @cached_property
    def executor(self) -> Executor:
        """Wall 2."""
        return Executor(self.source)

    @cached_property
    def snapshot(self) -> Snapshot:
        """All of the world."""
        return self.source.snapshot()

    @cached_property
    def bait(self) -> canary.Canary:
        """File, folder, tables and views."""
        return canary.Canary.lay(self.folder / "bait", self.spark)

    def close(self) -> None:
        """Give the Java machine back."""
        if "executor" in self.__dict__:
            self.executor.close()
        if "spark" in self.__dict__:
            self.spark.stop()
        self._folder.cleanup()


class Engine:
    """Every hand-made statement and a sample of the grammar handed straight to wall 2, as if wall 1 had let it through."""

    name = "engine"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._room = Room()

    def pieces(self) -> list[str]:
        """One a statement."""
        return list(self._statements("", ""))

    def _statements(self, file: str, folder: str) -> dict[str, Hostile]:
        made = hand_made(file, folder)
        grown = grammar(self._options.engine_sample, self._options.seed + 1, file, folder)
        return {hostile.id: hostile for hostile in (*made, *grown)}

    def run(self, key: str) -> Result:
        """One statement; what it showed, left behind and kept running."""
        bait = self._room.bait
        hostile = self._statements(str(bait.file), str(bait.folder))[key]
        return undisturbed(lambda: self._attack(hostile))

    def _attack(self, hostile: Hostile) -> Result:
        room, bait = self._room, self._room.bait
        seconds = _ENDLESS if hostile.kind in ("cost", "grammar expression") else 60.0
        started = time.monotonic()
        found = attack_engine(
            [(hostile, hostile.sql)], room.executor, room.snapshot, ExecutionLimits(seconds=seconds, max_rows=100)
        )
        took = time.monotonic() - started
        while room.executor.busy and time.monotonic() - started < seconds + 30:
            time.sleep(0.02)
        return {
            "kind": hostile.kind,
            "code": next(iter(found.rules)),
            "ran": bool(found.ran),
            "leaks": found.leaks,
            "effects": bait.effects(room.spark),
            "seconds": round(took, 2),
            "late": took > seconds + 2,
            "survived": bool(room.executor.busy),
        }

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """Stopped, shown, left behind."""
        everything = results.values()
        ran = [result for result in everything if result["ran"]]
        broken = [result for result in ran if result["kind"] in TOTAL]
        leaks, effects = gathered(results, "leaks"), gathered(results, "effects")
        left = sum(bool(result["survived"]) for result in everything)
        late = sum(bool(result["late"]) for result in everything)
        sum_total = sum(result["kind"] in TOTAL for result in everything)
        return [
            Figure(
                what="hostile statements handed straight to wall 2: of code, environment, file, DDL and command classes run",
                measured=f"{len(broken)} of {sum_total}",
                wanted="0",
                passed=not broken,
            ),
            Figure(
                what="the same, all classes: stopped",
                measured=f"{len(results) - len(ran)} of {len(results)}; {len(ran)} ran as plain queries over what the role sees",
                wanted="at least 95 %",
                passed=len(ran) <= 0.05 * len(results),
            ),
            Figure(
                what="baits shown, effects left behind, queries still running, answered late by wall 2 alone",
                measured=f"{len(leaks)}, {len(effects)}, {left}, {late}",
                wanted="0, 0, 0, 0",
                passed=not (leaks or effects or left or late),
            ),
        ]

    def close(self) -> None:
        """Stop Spark."""
        self._room.close()


class Mutants:
    """The mutants that wall 1 let through, run through both walls among the baits."""

    name = "mutants"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._room = Room()

    def pieces(self) -> list[str]:
        """The pieces of `guard`."""
        return [str(number) for number in mutant_pieces(self._options)]

    def run(self, key: str) -> Result:
        """One piece."""
        room, bait = self._room, self._room.bait
        statements = bent(self._options, int(key), str(bait.file), str(bait.folder))
        allowed = attack_guard(statements, room.source.catalogue).ran
        found = attack_engine(allowed, room.executor, room.snapshot)
        return {
            "asked": found.total,
            "texts": [(hostile.sql, sql) for hostile, sql in allowed],
            "leaks": found.leaks,
            "effects": bait.effects(room.spark),
        }

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line."""
        leaks, effects = gathered(results, "leaks"), gathered(results, "effects")
        asked = total(results.values(), "asked")
        return [
            Figure(
                what=f"the {asked} mutants that wall 1 let through, run through both walls: baits shown, effects left behind",
                measured=f"{len(leaks)}, {len(effects)}",
                wanted="0, 0",
                passed=not (leaks or effects),
            )
        ]

    def close(self) -> None:
        """Stop Spark."""
        self._room.close()


class EngineRows:
    """Random queries of each role through both walls on Spark, against the filtered copy."""

    name = "engine-rows"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._room = Room()

    def pieces(self) -> list[str]:
        """One a role."""
        return list(COPIES)

    def run(self, key: str) -> Result:
        """One role."""
        room = self._room
        count = self._options.engine_queries
        found = compare_engine(WORLD, room.executor, room.snapshot, key, count, self._options.seed)
        return {"asked": found.queries, "equal": found.equal, "wrong": [*found.different, *found.refused]}

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """One line."""
        asked, equal = total(results.values(), "asked"), total(results.values(), "equal")
        return [
            Figure(
                what=f"random queries of {len(results)} roles through both walls on Spark: rows equal to the filtered copy",
                measured=f"{equal} of {asked}",
                wanted="all",
                passed=equal == asked > 0,
            )
        ]

    def close(self) -> None:
        """Stop Spark."""
        self._room.close()


class Runaways:
    """Twenty kinds of queries that never end and three that never end being planned, beside honest work."""

    name = "runaway"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._room = Room()

    def pieces(self) -> list[str]:
        """First the honest query alone, then one a kind."""
        return ["alone", *KINDS, *PLANNING]

    @cached_property
    def _big(self) -> Snapshot:
        return big_world(self._room.folder / "big", AS_OF)

    def run(self, key: str) -> Result:
        """One kind."""
        room = self._room
        if key == "alone":
            return undisturbed(self._alone)
        sql = KINDS.get(key) or PLANNING[key]
        seconds = self._options.runaway_seconds
        return undisturbed(lambda: vars(run_one(key, sql, room.executor, self._big, room.spark, seconds)).copy())

    def _alone(self) -> Result:
        """The neighbours' work with nobody beside them; the first queries of a Java machine are not counted."""
        took = []
        for _ in range(8):
            started = time.monotonic()
            verdict = Verdict(allowed=True, rule="OK", sql="SELECT count(*) AS n FROM big WHERE m = 3")
            try:
                self._room.executor.run(
                    verdict, self._big, Principal(user_id="neighbour"), ExecutionLimits(seconds=120)
                )
            except ExecutionError as error:  # pragma: no cover - then there is nothing to compare with
                return {"person": float("inf"), "code": error.code}
            took.append(time.monotonic() - started)
        return {"person": sorted(took[3:])[2]}

    def figures(self, results: Mapping[str, Result]) -> list[Figure]:
        """Answered in time, work gone, neighbours unharmed."""
        ended = {key: result for key, result in results.items() if key != "alone"}
        if not ended:
            return []
        seconds = self._options.runaway_seconds
        late = [key for key, result in ended.items() if result["seconds"] > seconds + 2]
        slowest = max(ended, key=lambda key: ended[key]["seconds"])
        stuck = max(ended, key=lambda key: ended[key]["freed"])
        ingest = max(result["ingest"] for result in ended.values())
        person = max(result["person"] for result in ended.values())
        failed = sum(result["person_failed"] for result in ended.values())
        alone = results.get("alone", {}).get("person", 0.0)
        stopped = sum(result["code"] == "DEADLINE" for result in ended.values())
        refused = sum(result["code"].startswith("PLAN") for result in ended.values())
        return [
            Figure(
                what=f"runaway queries of {len(ended)} kinds handed to wall 2, limit {seconds:.0f} s",
                measured=f"{len(late)} answered late; slowest {ended[slowest]['seconds']:.1f} s ({slowest}); {stopped} stopped at "
                f"the limit, {refused} refused by wall 2 before planning",
                wanted="answered within limit + 2 s",
                passed=not late,
            ),
            Figure(
                what="the same, refused by wall 1 already",
                measured=f"{sum(result['refused_by_guard'] is not None for result in ended.values())} of {len(ended)}",
                wanted="all that plan for long",
                passed=all(ended[key]["refused_by_guard"] for key in PLANNING if key in ended),
            ),
            Figure(
                what="work of a runaway gone after the answer",
                measured=f"at most {ended[stuck]['freed']:.1f} s later ({stuck})",
                wanted="2 s",
                passed=ended[stuck]["freed"] <= 2,
            ),
            Figure(
                what="beside a runaway: longest small job of the ingest pool; longest query of another person, failed ones",
                measured=f"{ingest:.1f} s; {person:.1f} s (alone {alone:.1f} s), {failed}",
                wanted="5 s; answered; 0",
                passed=ingest <= 5 and not failed,
            ),
        ]

    def close(self) -> None:
        """Stop Spark."""
        self._room.close()
