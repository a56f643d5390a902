"""The only file that talks to a language model: question and facts in, one SELECT out, through LangChain.

The prompt is laid out for prefix caching: rules, schema and glossary are the same bytes for every question of a role,
then come similar approved questions, then the facts and the question. Whatever goes wrong with the model ends in a
`DraftError`, within the time limit.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import openai
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from nlq.grammar import select_grammar

if TYPE_CHECKING:
    from pathlib import Path

    from retrieval.documents import Document
    from streaming.catalogue import Catalogue

MAX_QUESTION = 2_000
"""Characters of a question that reach the model."""
MAX_TOKENS = 200
"""Tokens of a reply; at 8 tokens a second on one thread the longest takes 25 s."""
MAX_EXAMPLES = 3
"""Approved questions shown. Each costs 60 to 75 prompt tokens, 1 to 2 s on two cores."""
_MAX_FACTS = 1_500


class DraftError(RuntimeError):
    """The model gave no usable SQL; the other paths go on without it."""


class ModelUnreachable(DraftError):
    """Nothing answers at the endpoint, or it refuses the request. Operator: is the model server up, the token right?"""


class ModelTimeout(DraftError):
    """The model took longer than the limit, or is busy with another question."""


class ModelGarbage(DraftError):
    """The reply is not one SELECT statement."""


class ModelDeclined(DraftError):
    """The model says that the views cannot answer the question."""


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """One SELECT, unchecked, and how it came about."""

    sql: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Model, prompt and grammar hash, tokens, seconds: for the record."""


class Drafter(Protocol):
    """Anything that drafts SQL for a question."""

    def draft(self, question: str, *, documents: Sequence[Document] = (), facts: Any = "") -> Drafted:
        """Draft one SELECT.

        Raises:
            DraftError: there is none.
        """
        ...


class ModelDrafter:
    """Drafts with a chat model behind an OpenAI-compatible endpoint. One question at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        url: str,
        token: str | None = None,
        model: str = "default",
        timeout_s: float = 30.0,
        grammar: bool | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """Connect to an endpoint; nothing is sent before the first question.

        Args:
            catalogue: whose views the model may use.
            url: base URL of the endpoint, with or without `/v1`.
            token: bearer token.
            model: name of the model there.
            timeout_s: wall-clock limit of a draft.
            grammar: send a grammar (llama.cpp servers only); None sends it to the embedded model alone.
            ca_file: PEM file of the authority that signed the endpoint's certificate; None trusts the public ones.

        Raises:
            ssl.SSLError: `ca_file` holds no certificate.
        """
        self._verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file is not None else True
        self._catalogue = catalogue
        self._timeout_s = timeout_s
        self._use_grammar = model == "embedded" if grammar is None else grammar
        self._model = model
        self._url = url.rstrip("/") if url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"
        self._token = token or "none"
        self._busy = threading.Lock()
        self._warming = False
        self._system = system_prompt(catalogue)

    def draft(self, question: str, *, documents: Sequence[Document] = (), facts: Any = "") -> Drafted:
        """Draft one SELECT.

        Args:
            question: plain English; cut at `MAX_QUESTION` characters.
            documents: what retrieval found; its examples are shown to the model, its views narrow the grammar.
            facts: what was understood of the question for certain: a text, lines of text, or a mapping.

        Raises:
            DraftError: the model is down, slow, talks nonsense or declines.
        """
        messages = prompt(self._system, question, documents, facts)
        stated = re.findall(r"(?:TIMESTAMP|DATE) '[0-9: .-]+'", _facts(facts))
        grammar = select_grammar(self._catalogue, instants=stated) if self._use_grammar else None
        started = time.monotonic()
        reply = self._call(messages, grammar)
        sql = select_of(_text(reply))
        usage: Mapping[str, Any] = reply.usage_metadata or {}
        return Drafted(
            sql=sql,
            provenance={
                "model": self._model,
                "prompt_sha256": _sha(*(str(m.content) for m in messages)),
                "system_sha256": _sha(self._system),
                "grammar_sha256": _sha(grammar) if grammar else None,
                "examples": [d.id for d in _examples(documents)],
                "tokens_in": usage.get("input_tokens"),
                "tokens_out": usage.get("output_tokens"),
                "draft_seconds": round(time.monotonic() - started, 3),
            },
        )

    def warm(self, timeout_s: float = 600.0) -> None:
        """Send the static prefix once, so that the first question finds it in the server's cache.

        Cold, its 2,200 tokens take half a minute on idle cores and minutes on busy ones. Questions meanwhile are told
        at once that the model is not ready.

        Raises:
            DraftError: as in `draft`.
        """
        self._warming = True
        try:
            self._call([SystemMessage(self._system), HumanMessage("SELECT")], None, max_tokens=1, limit_s=timeout_s)
        finally:
            self._warming = False

    def _call(
        self,
        messages: list[BaseMessage],
        grammar: str | None,
        max_tokens: int = MAX_TOKENS,
        limit_s: float | None = None,
    ) -> AIMessage:
        """One exchange within the limit. The limit is wall clock: a server that drips bytes does not escape it."""
        limit = limit_s or self._timeout_s
        deadline = time.monotonic() + limit
        if limit_s is None and self._warming:
            raise ModelTimeout("the model is still reading its instructions; ask again in a minute")
        if not self._busy.acquire(timeout=limit):
            raise ModelTimeout(f"the model was busy with other questions for {limit:g} s; ask again")
        exchange = _Exchange(partial(self._chat, limit), messages, grammar, max_tokens, self._verify)
        thread = threading.Thread(target=exchange.run, args=(self._busy,), daemon=True, name="model-call")
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            exchange.abort()
            raise ModelTimeout(f"the model gave no reply within {limit:g} s; it may be overloaded")
        if exchange.error is not None:
            raise exchange.error
        if exchange.reply is None:
            raise ModelGarbage("the endpoint's reply is not a chat completion")
        return exchange.reply

    def _chat(self, limit: float, http: httpx.Client, grammar: str | None, max_tokens: int) -> ChatOpenAI:
        extra: dict[str, Any] = {"grammar": grammar, "cache_prompt": True} if grammar else {}
        return ChatOpenAI(
            model=self._model,
            base_url=self._url,
            api_key=self._token,
            temperature=0,
            seed=1,
            max_tokens=max_tokens,
            stop_sequences=[";"],
            timeout=limit,
            max_retries=0,
            http_client=http,
            extra_body=extra or None,
        )


class _Exchange:
    """One request on its own thread, which can be broken off."""

    def __init__(
        self,
        chat: Any,
        messages: list[BaseMessage],
        grammar: str | None,
        max_tokens: int,
        verify: ssl.SSLContext | bool,
    ) -> None:
        self.reply: AIMessage | None = None
        self.error: DraftError | None = None
        self._chat, self._messages, self._grammar, self._max_tokens = (
            chat,
            messages,
            grammar,
            max_tokens,
        )
        self._http = httpx.Client(trust_env=False, verify=verify)

    def run(self, busy: threading.Lock) -> None:
        """Make the request; keeps reply or error, lets the next question in when it is over."""
        try:
            self.reply = self._send()
        except DraftError as error:
            self.error = error
        finally:
            self._http.close()
            busy.release()

    def abort(self) -> None:
        """Close the connection, at which llama.cpp stops generating."""
        self._http.close()

    def _send(self) -> AIMessage:
        chat = self._chat(self._http, self._grammar, self._max_tokens)
        try:
            reply = chat.invoke(self._messages)
        except openai.APITimeoutError as error:
            raise ModelTimeout("the endpoint timed out") from error
        except openai.APIConnectionError as error:
            raise ModelUnreachable(f"nothing answers at the endpoint ({type(error.__cause__).__name__})") from error
        except openai.APIStatusError as error:
            raise ModelUnreachable(f"the endpoint refuses the request with HTTP {error.status_code}") from error
        except Exception as error:  # a reply of any shape can come back, and the libraries fail on it in many ways
            raise ModelGarbage(f"the endpoint's reply cannot be read ({type(error).__name__})") from error
        if not isinstance(reply, AIMessage):
            raise ModelGarbage(f"the endpoint's reply is a {type(reply).__name__}, not a message")
        return reply


def system_prompt(catalogue: Catalogue, views: Sequence[str] | None = None) -> str:
    """The static part of the prompt: the same bytes for the same catalogue and views.

    Args:
        catalogue: the world.
        views: views to show; None shows all.
    """
    shown = [catalogue.views[name] for name in (views if views is not None else catalogue.views)]
    lines = []
    for view in shown:
        columns = ", ".join(
            f"{c.name}({'|'.join(c.codes)})" if c.codes else c.name + _type_mark(c.type) for c in view.columns.values()
        )
        lines.append(f"{view.name}: {columns}")
    terms = "\n".join(f"- {term}: {text}" for term, text in catalogue.glossary.items())
    return _template("system.md").replace("{schema}", "\n".join(lines)).replace("{glossary}", terms).strip()


def _type_mark(spark_type: str) -> str:
    """Only types that change how a column is used are worth a token."""
    return {"BOOLEAN": "?", "DATE": ":date"}.get(spark_type, "[]" if spark_type.startswith("ARRAY") else "")


def prompt(system: str, question: str, documents: Sequence[Document], facts: Any) -> list[BaseMessage]:
    """The messages of one question."""
    messages: list[BaseMessage] = [SystemMessage(system)]
    # The nearest example stands last, next to the question.
    for example in reversed(_examples(documents)):
        messages += [
            HumanMessage(_asked(example.text, "")),
            AIMessage(_now_for_model(example.sql or "")),
        ]
    return [*messages, HumanMessage(_asked(question, facts))]


def _asked(question: str, facts: Any) -> str:
    shown = _facts(facts)
    text = _template("question.md").replace("{facts}", f"Facts: {shown}\n" if shown else "")
    return text.replace("{question}", _as_data(question)).strip()


def _as_data(question: str) -> str:
    """The question without control characters or anything that could close its delimiters."""
    plain = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", question[:MAX_QUESTION])
    return re.sub(r"[<>]\s*/?\s*question\s*>?|<\|[^|]*\|>", " ", plain, flags=re.IGNORECASE).strip()


def _facts(facts: Any) -> str:
    if isinstance(facts, str):
        text = facts
    elif isinstance(facts, Mapping):
        text = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    else:
        text = "; ".join(str(fact) for fact in facts or ())
    return _as_data(text[:_MAX_FACTS])


def _examples(documents: Sequence[Document]) -> list[Document]:
    return [d for d in documents if d.kind == "example" and d.sql][:MAX_EXAMPLES]


def _now_for_model(sql: str) -> str:
    """The clock as the model writes it; the guard turns it into the snapshot's instant."""
    return sql.replace("{as_of_date}", "current_date()").replace("{as_of}", "current_timestamp()")


def select_of(text: str) -> str:
    """The one SELECT of a reply, without fences or semicolon.

    Raises:
        ModelDeclined: the reply says CANNOT.
        ModelGarbage: the reply is something else.
    """
    fenced = re.search(r"```(?:sql)?\s*(.*?)(?:```|\Z)", text, re.DOTALL | re.IGNORECASE)
    body = (fenced.group(1) if fenced else text).strip()
    body = body.split(";")[0].strip()
    if re.match(r"CANNOT\b", body, re.IGNORECASE):
        raise ModelDeclined("the model says that the views cannot answer this")
    if not re.match(r"(?:SELECT|WITH)\b", body, re.IGNORECASE):
        raise ModelGarbage("the model's reply is not a SELECT statement")
    return body


def _text(reply: AIMessage) -> str:
    return reply.content if isinstance(reply.content, str) else "".join(str(part) for part in reply.content)


def _sha(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@cache
def _template(name: str) -> str:
    return resources.files("nlq.prompts").joinpath(name).read_text(encoding="utf-8")
