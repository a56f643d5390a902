"""Joins the concrete parts of the question route. Nothing else chooses an implementation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.contracts import Principal
from nlq.outside import People, is_elsewhere
from streaming.cache import default_cache

if TYPE_CHECKING:
    import pyarrow as pa

    from nlq.draft import Drafter
    from nlq.execute import Executor
    from nlq.interpret import Interpreter
    from nlq.learn import Parser
    from nlq.record import Record, RecordSettings
    from nlq.verified import VerifiedQueries
    from retrieval.retrieve import Document
    from streaming.catalogue import Catalogue
    from streaming.snapshot import Snapshot, SnapshotSource

log = logging.getLogger(__name__)

VALUES_TTL_S = 60.0
"""How old the index of names may be before a question waits for a new one. Reference data changes rarely within a day;
a minute keeps a newly listed instrument askable without re-reading nine views for every question."""


@dataclass(kw_only=True)
class Parts:
    """Everything that a question passes through."""

    catalogue: Catalogue
    source: SnapshotSource
    executor: Executor
    record: Record
    interpreter: Callable[[Principal, Snapshot], Interpreter]
    retrieve: Callable[[str, str], Sequence[Document]]
    drafter: Drafter | None
    threshold: float
    """Calibrated confidence from which a draft is shown as an answer."""
    verified: VerifiedQueries | None = None
    """Approved questions; approving one takes effect at the next question."""
    warm: Callable[[], None] | None = None
    """Lets the language model read its instructions; takes a core for a while, so a service does it once it is up."""
    purpose_views: frozenset[str] = frozenset()
    """Views that are read only with a purpose or case reference."""
    people: Callable[[Snapshot], People] | None = None
    """Keeps names of people from a model on another machine; None where the model is on this one."""
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Stop what was started for these parts, newest first."""
        while self.on_close:
            self.on_close.pop()()


def rights(catalogue: Catalogue, user: Principal) -> tuple[str | None, ...]:
    """All of a person that decides which rows they see: what is kept for one may be shown to another with the same."""
    role = catalogue.roles.get(user.role)
    own = role is not None and "user.user_id" in (role.row_filter or "")
    return (user.role, user.desk, user.user_id if own else None)


class InterpreterPool:
    """One interpreter per set of rights, each with the names that those rights may see and no others.

    The rows behind the value index are read through the guard and the executor as the person who asks, so that a name
    hidden from a role cannot come back as a suggestion or a resolved entity.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        executor: Executor,
        make: Callable[[dict[str, pa.Table]], Interpreter],
        ttl_s: float = VALUES_TTL_S,
        purpose_views: frozenset[str] = frozenset(),
    ) -> None:
        self._catalogue, self._executor, self._make, self._ttl = catalogue, executor, make, ttl_s
        self._purpose_views = purpose_views  # whose names are offered only to who states a purpose
        self._held: dict[tuple[str | bool | None, ...], tuple[float, Interpreter]] = {}
        self._lock = threading.Lock()

    def __call__(self, user: Principal, snapshot: Snapshot) -> Interpreter:
        """The interpreter for the rights of `user`, rebuilt when its names are older than the limit."""
        key = (*rights(self._catalogue, user), bool(self._purpose_views and (user.purpose or "").strip()))
        with self._lock:
            held = self._held.get(key)
            if held is None or (snapshot.generation and time.monotonic() - held[0] > self._ttl):
                held = (time.monotonic(), self._make(self._visible_rows(user, snapshot)))
                self._held[key] = held
        return held[1]

    def _visible_rows(self, user: Principal, snapshot: Snapshot) -> dict[str, pa.Table]:
        from nlq.guard import GuardLimits, check
        from retrieval.values import FACT_COLUMNS

        rows = {}
        limits = GuardLimits(purpose_for=self._purpose_views)
        for name, view in self._catalogue.views.items():
            if view.kind == "reference" and name in self._catalogue.roles[user.role].views:
                verdict = check(f"SELECT * FROM {name}", self._catalogue, user, snapshot.as_of, limits)
                if verdict.allowed:
                    rows[name] = self._executor.run(verdict, snapshot, user).table
        for name, columns in FACT_COLUMNS.items():
            if name in self._catalogue.views and name in self._catalogue.roles[user.role].views:
                distinct = f"SELECT DISTINCT {', '.join(columns)} FROM {name}"
                verdict = check(distinct, self._catalogue, user, snapshot.as_of, limits)
                if verdict.allowed:
                    rows[name] = self._executor.run(verdict, snapshot, user).table
        return rows


def build_parts(
    source: SnapshotSource,
    *,
    record_dir: Path,
    llm: str | None = "embedded",
    llm_token: str | None = None,
    llm_model: str | None = None,
    llm_ca_file: Path | None = None,
    threshold: float | None = None,
    model_threads: int = 1,
    record_settings: RecordSettings | None = None,
    leave_out: Collection[str] = (),
    verified_dir: Path | None = None,
    warm_up: bool = True,
    purpose_views: frozenset[str] = frozenset(),
) -> Parts:
    """Parts over any world.

    Args:
        source: the live pipeline or a catalogue directory.
        record_dir: where the tamper-evident record is kept.
        llm: `embedded`, the URL of an OpenAI-compatible endpoint, or None.
        llm_token: bearer token of that endpoint.
        llm_model: name of the model at that endpoint.
        llm_ca_file: PEM file of the authority that signed its certificate; None trusts the public ones.
        threshold: confidence from which an answer is shown; None takes the calibrated default.
        model_threads: threads of the embedded model; one beside a busy Spark (two fall from 12 to 0.8 tokens/s).
        record_settings: how the record is sealed and for how long it is kept.
        leave_out: authors whose approved questions are not used, as an evaluation on them must.
        verified_dir: where this installation keeps questions that were approved here, beside the shipped ones.
        purpose_views: views that are read only with a purpose or case reference.
        warm_up: let the model read its instructions at once; otherwise the caller runs `Parts.warm`.
    """
    from nlq.execute import Executor
    from nlq.interpret import Interpreter, default_threshold
    from nlq.record import Record
    from nlq.verified import VerifiedQueries
    from retrieval.values import ValueIndex

    catalogue = source.catalogue
    verified = VerifiedQueries.open(catalogue, verified_dir, leave_out=leave_out)
    executor = Executor(source)
    parser = _parser(catalogue)
    aliases = Interpreter.aliases(catalogue)
    pool = InterpreterPool(
        catalogue,
        executor,
        lambda rows: Interpreter(catalogue, ValueIndex.build(rows, aliases), parser, verified),
        purpose_views=purpose_views,
    )
    parts = Parts(
        catalogue=catalogue,
        source=source,
        executor=executor,
        record=Record.open(record_dir, record_settings),
        interpreter=pool,
        purpose_views=purpose_views,
        retrieve=_retriever(catalogue, verified),
        verified=verified,
        drafter=None,
        threshold=default_threshold(with_parser=parser is not None) if threshold is None else threshold,
    )
    if llm is not None:
        _attach_model(parts, llm, llm_token, llm_model, model_threads, llm_ca_file)
        if llm != "embedded" and is_elsewhere(llm):
            parts.people = _everybody(catalogue, pool)
        if warm_up and parts.warm is not None:
            threading.Thread(target=parts.warm, daemon=True, name="model-warm-up").start()
    return parts


def parts_for_directory(
    directory: str | Path | None,
    *,
    llm: str | None,
    as_of: datetime | None = None,
    record_dir: Path | None = None,
    leave_out: Collection[str] = (),
) -> Parts:
    """Parts over a catalogue directory, with a Spark session of their own."""
    import tempfile

    from streaming.catalogue import CatalogueError
    from streaming.directory import DirectorySource
    from streaming.session import build_session

    if directory is None:
        raise CatalogueError("which directory? Give one with catalogue.yaml, or connect to a running service.")
    spark = build_session("nlq-directory", jars=any(Path(directory).glob("*/_delta_log")), driver_memory="2g")
    source = DirectorySource(directory, spark, as_of)
    if record_dir is None:
        record_dir = Path(tempfile.mkdtemp(prefix="nlq-record-"))
    parts = build_parts(source, record_dir=record_dir, llm=llm, model_threads=2, leave_out=leave_out)
    parts.on_close.insert(0, source.close)
    return parts


def _parser(catalogue: Catalogue) -> Parser | None:
    """The learnt parser; without its files the rules stand alone, and say less."""
    from nlq.learn import Parser
    from nlq.learn.parser import WeightsError
    from retrieval.models import ModelFileError, embedding_model_dir

    try:
        return Parser.load(catalogue, encoder=embedding_model_dir())
    except (ModelFileError, WeightsError) as error:
        log.warning("no learnt parser: %s", error)
        return None


def _retriever(catalogue: Catalogue, verified: VerifiedQueries) -> Callable[[str, str], Sequence[Any]]:
    """Retrieval is built at its first use: the answers of the deterministic path never need it."""
    lock = threading.Lock()
    held: list[Any] = []

    def retrieve(question: str, role: str) -> Sequence[Any]:
        from retrieval.retrieve import Retriever

        with lock:
            if not held:
                held.append(Retriever.open(catalogue, examples=verified.documents(), cache=default_cache()))
        return held[0].retrieve(question, k=8, role=role)

    return retrieve


def _everybody(catalogue: Catalogue, pool: InterpreterPool) -> Callable[[Snapshot], People]:
    """All names of people in the world, to be left out of what a model elsewhere reads; nobody is shown them."""
    roles = sorted(catalogue.roles.values(), key=lambda role: (not role.see_pii, role.row_filter is not None))
    all_names = Principal(
        user_id="names kept here", role=roles[0].name, purpose="names are kept from a model elsewhere"
    )
    held: list[tuple[Interpreter, People]] = []

    def everybody(snapshot: Snapshot) -> People:
        interpreter = pool(all_names, snapshot)
        if not held or held[0][0] is not interpreter:
            held[:] = [(interpreter, People(interpreter.extractor, interpreter.values))]
        return held[0][1]

    return everybody


def _attach_model(
    parts: Parts, llm: str, token: str | None, model: str | None, threads: int, ca_file: Path | None = None
) -> None:
    """Connect the language model; without its file the engine answers what the other paths cover, and says so."""
    from nlq import model_prefix
    from nlq.draft import ModelDrafter

    kept = default_cache() / "model-prefix"
    if llm == "embedded":
        from nlq.model_server import ModelServer
        from retrieval.models import ModelFileError, language_model_path

        try:
            server = ModelServer(language_model_path(), threads=threads, prefix_dir=kept)
        except ModelFileError as error:
            log.warning("no language model: %s", error)
            return
        server.start()
        parts.on_close.append(server.stop)
        llm, token, model = server.url, server.token, "embedded"
    parts.drafter = drafter = ModelDrafter(
        parts.catalogue, url=llm, token=token, model=model or "default", ca_file=ca_file
    )
    prefix = model_prefix.of_embedded(llm, token, kept, parts.catalogue) if model == "embedded" else None
    parts.warm = partial(model_prefix.warm, drafter, prefix)
