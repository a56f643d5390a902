"""What others do with the same model, data and examples: a bare prompt, LangChain's SQL chain, Vanna.

Each peer is an engine like ours to the runner: it writes SQL for a question and the SQL is run as it is. None of them
can ask back or decline, so that every statement that runs counts as an answer. The clock stands in the question, since
none of them has one. Their SQL is written once and run on every world.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import errors as sqlglot_errors

from evals.runner import declared_as_of
from nlq.contracts import Answer, Status
from nlq.draft import DraftError, select_of
from nlq.verified import VerifiedQueries
from nlq.verified_form import with_clock
from retrieval.retrieve import Retriever

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from langchain_openai import ChatOpenAI

    from evals.gold import World
    from nlq.contracts import Principal, Turn
    from retrieval.embed import Embedder

EXAMPLES_SHOWN = 3
"""As many as our own drafter shows."""
EXAMPLES_KNOWN = 240
"""Approved questions that the peers may draw from; embedding more takes minutes on two cores."""
MAX_TOKENS = 200


class Peer(ABC):
    """A peer over one world; the SQL of a question is written once for all worlds."""

    name: str

    def __init__(self, world: World, author: str, written: dict[str, str]) -> None:
        """Prepare a peer.

        Args:
            world: where SQL is run.
            author: author of the questions; that author's examples are left out.
            written: SQL by question, shared by the worlds.
        """
        self.world = world
        self.author = author
        self._written = written

    @abstractmethod
    def write(self, question: str) -> str:
        """SQL for a question that tells the time."""

    def ask(
        self, question: str, *, user: Principal, as_of: datetime | None = None, history: Sequence[Turn] = ()
    ) -> Answer:
        """Write SQL and run it, in DuckDB's dialect or in Spark's."""
        del user
        clock = as_of or declared_as_of(self.world.directory)
        asked = f"Now is {clock:%Y-%m-%d %H:%M:%S} UTC. {'. '.join([*(t.question for t in history), question])}"
        try:
            if asked not in self._written:
                self._written[asked] = select_of(self.write(asked))
            sql = self._written[asked]
        except DraftError as error:
            return Answer(status=Status.FAILED, question=question, query_id="", reason=str(error), origin=self.name)
        try:
            table = self._run(sql, clock)
        except (duckdb.Error, sqlglot_errors.SqlglotError) as error:
            return Answer(
                status=Status.FAILED,
                question=question,
                query_id="",
                sql=sql,
                reason=type(error).__name__,
                origin=self.name,
            )
        return Answer(
            status=Status.ANSWERED, question=question, query_id="", sql=sql, table=table, origin=self.name, as_of=clock
        )

    def close(self) -> None:
        """Let go of the SQL written so far."""
        self._written.clear()

    def _run(self, sql: str, clock: datetime) -> Any:
        moment = f"TIMESTAMP '{clock:%Y-%m-%d %H:%M:%S}'"
        sql = re.sub(r"(?i)\b(?:current_timestamp(?:\(\))?|now\(\))", moment, sql)
        sql = re.sub(r"(?i)\bcurrent_date(?:\(\))?", f"DATE '{clock:%Y-%m-%d}'", sql)
        try:
            return self.world.run_native(sql)
        except duckdb.Error:
            return self.world.run_duckdb(sql)


class Bare(Peer):
    """The model with the schema and nothing else."""

    name = "bare model"

    def __init__(self, world: World, author: str, written: dict[str, str], chat: ChatOpenAI) -> None:
        """As `Peer`, with the model."""
        super().__init__(world, author, written)
        self._chat = chat

    def write(self, question: str) -> str:
        """One prompt: tables, then the question."""
        from langchain_core.messages import HumanMessage, SystemMessage

        schema = "\n".join(ddl(self.world))
        system = f"You are a SQL expert. Answer with one DuckDB SELECT statement over these tables.\n{schema}"
        return str(self._chat.invoke([SystemMessage(system), HumanMessage(question)]).content)


class LangChain(Peer):
    """LangChain's SQL query chain as it comes, with similar examples in front of the question."""

    name = "LangChain SQL chain"

    def __init__(self, world: World, author: str, written: dict[str, str], chat: ChatOpenAI) -> None:
        """As `Peer`, with the model; sample rows are left out of the prompt, which would not fit otherwise."""
        from langchain_classic.chains import create_sql_query_chain
        from langchain_community.utilities import SQLDatabase
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import StaticPool

        super().__init__(world, author, written)
        engine = create_engine("duckdb:///:memory:", poolclass=StaticPool)
        with engine.begin() as connection:
            for statement in ddl(world):
                connection.execute(text(statement))
        database = SQLDatabase(engine, sample_rows_in_table_info=0)
        self._chain = create_sql_query_chain(chat, database, k=1000)
        self._retriever = Retriever(world.catalogue, None, examples=examples(world, author))

    def write(self, question: str) -> str:
        """Run the chain."""
        near = [d for d in self._retriever.retrieve(question, EXAMPLES_SHOWN) if d.kind == "example"]
        shown = "".join(f"Question: {d.text}\nSQLQuery: {d.sql}\n" for d in near)
        reply = str(self._chain.invoke({"question": f"{shown}{question}" if shown else question}))
        return reply.rsplit("SQLQuery:", maxsplit=1)[-1].split("SQLResult:", maxsplit=1)[0].strip()


class Vanna(Peer):
    """Vanna with its Chroma store, trained on the tables, the glossary and the examples."""

    name = "Vanna"

    def __init__(
        self, world: World, author: str, written: dict[str, str], url: str, token: str, embedder: Embedder
    ) -> None:
        """As `Peer`, with the endpoint and the embedding model of the engine."""
        super().__init__(world, author, written)
        self._vanna = _vanna(url, token, embedder)
        if not self._vanna.get_training_data().empty:
            return
        with contextlib.redirect_stdout(io.StringIO()):
            for statement in ddl(world):
                self._vanna.train(ddl=statement)
            for term, text in world.catalogue.glossary.items():
                self._vanna.train(documentation=f"{term}: {text}")
            for example in examples(world, author):
                self._vanna.train(question=example.text, sql=example.sql)

    def write(self, question: str) -> str:
        """Vanna's own route from question to SQL."""
        with contextlib.redirect_stdout(io.StringIO()):
            return str(self._vanna.generate_sql(question, allow_llm_to_see_data=False))


def _vanna(url: str, token: str, embedder: Embedder) -> Any:
    from openai import OpenAI
    from vanna.chromadb import ChromaDB_VectorStore
    from vanna.openai import OpenAI_Chat

    class Store(ChromaDB_VectorStore, OpenAI_Chat):
        """Vanna's documented way of putting its parts together."""

        def __init__(self, config: dict[str, Any]) -> None:
            ChromaDB_VectorStore.__init__(self, config=config)
            OpenAI_Chat.__init__(self, client=OpenAI(base_url=url, api_key=token, timeout=900), config=config)

    class Vectors:
        """The engine's embedding model in the form that Chroma takes."""

        def __call__(self, input: Sequence[str]) -> list[list[float]]:  # noqa: A002 - Chroma's name
            return [vector.tolist() for vector in embedder.encode(list(input))]

        def embed_query(self, input: Sequence[str]) -> list[list[float]]:  # noqa: A002
            return self(input)

        def name(self) -> str:
            return "default"

    logging.getLogger("vanna").setLevel(logging.ERROR)
    return Store(
        {"client": "in-memory", "embedding_function": Vectors(), "temperature": 0, "model": "embedded", "n_results": 5}
    )


def ddl(world: World) -> list[str]:
    """One CREATE TABLE a view, in DuckDB's dialect."""
    return world.run_native("SELECT sql FROM duckdb_tables() ORDER BY table_name").column(0).to_pylist()


def examples(world: World, author: str) -> list[Any]:
    """The examples that every peer may use, spread over all authors but the one under test, with the clock put in."""
    from dataclasses import replace

    found = VerifiedQueries.open(world.catalogue, leave_out={author}).documents()
    step = max(1, len(found) // EXAMPLES_KNOWN)
    clock = declared_as_of(world.directory)
    return [replace(document, sql=with_clock(document.sql or "", clock)) for document in found[::step]]


def chat_model(url: str, token: str, timeout_s: float) -> ChatOpenAI:
    """The same model for the peers that take a LangChain model."""
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model="embedded",
        base_url=url,
        api_key=token,
        temperature=0,
        seed=1,
        max_tokens=MAX_TOKENS,
        timeout=timeout_s,
        max_retries=0,
        stop_sequences=[";"],
    )
