"""Retrieval brings what a question needs, sees no more than the role, and gives the same order every time."""

from pathlib import Path

import pytest

from evals.cases import load_cases, open_authors, parse_instant
from evals.recall import recall
from nlq.verified import VerifiedQueries
from retrieval.documents import catalogue_documents, digest
from retrieval.embed import EmbeddingError, LocalEmbedder
from retrieval.keyword import KeywordIndex, words
from retrieval.retrieve import Retriever
from retrieval.store import VectorStore
from streaming.catalogue import Catalogue

CATALOGUE = Catalogue.load()


@pytest.fixture(scope="module")
def examples() -> list:
    """Every second shipped entry: near what ships, at half the time to index."""
    return VerifiedQueries.open(CATALOGUE).documents()[::2]


@pytest.fixture(scope="module")
def retriever(embedding_model: Path, examples: list, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Hybrid retrieval with the real embedding model."""
    return Retriever(
        CATALOGUE, LocalEmbedder(embedding_model), examples=examples, directory=tmp_path_factory.mktemp("index")
    )


@pytest.fixture(scope="module")
def by_words(examples: list) -> Retriever:
    """What is left when the embedding model is missing."""
    return Retriever(CATALOGUE, None, examples=examples)


def test_needed_views_are_among_the_best(retriever: Retriever) -> None:
    """A floor under the measured recall (99 % at eight with all examples), authors' own examples left out."""
    cases = [case for case in load_cases(open_authors()) if case.expect == "answer"]
    sample = cases[:: len(cases) // 40]
    result = recall(sample, retriever, parse_instant("2026-11-20T18:30:00Z"))
    assert result.views[8].value >= 0.95, result.views[8]
    assert result.views[4].value >= 0.85, result.views[4]


def test_keywords_alone_still_help(by_words: Retriever) -> None:
    """Without the embedding model the right view is near the top for plain questions."""
    for question, view in (
        ("rejected orders of T44 today", "orders"),
        ("dead letters by error class", "dead_letters"),
        ("alerts per detector", "alerts"),
        ("current thresholds of the layering detector", "thresholds"),
        ("personal trades without pre-clearance", "personal_trades"),
    ):
        assert view in by_words.rank(question).views[:3], question


@pytest.mark.parametrize("role", CATALOGUE.roles)
def test_a_role_sees_only_its_views(by_words: Retriever, role: str) -> None:
    """Neither documents, nor examples, nor the ranking name a view behind a wall."""
    allowed = CATALOGUE.roles[role].views
    for question in ("query audit questions by user", "restricted list entries", "personal trades", "alerts by desk"):
        assert all(set(document.views) <= allowed for document in by_words.retrieve(question, 8, role))
        assert set(by_words.rank(question, role).views) == allowed


def test_the_same_question_gives_the_same_documents(retriever: Retriever) -> None:
    """Order included."""
    question = "share of orders cancelled within 500 ms by trader"
    first = [document.id for document in retriever.retrieve(question, 8, "officer")]
    assert first == [document.id for document in retriever.retrieve(question, 8, "officer")]
    assert len(first) == len(set(first))


def test_a_glossary_term_in_the_question_comes_first(by_words: Retriever) -> None:
    """Word for word beats similar."""
    assert by_words.retrieve("order-to-trade ratio of each desk", 4)[0].id == "glossary:order-to-trade ratio"


def test_authors_are_left_out(by_words: Retriever, examples: list) -> None:
    """An example of the excluded author never comes back, even when it is the question itself."""
    example = examples[0]
    assert example.id in {d.id for d in by_words.retrieve(example.text, 8)}
    kept = by_words.retrieve(example.text, 8, exclude_authors={example.author})
    assert example.author not in {document.author for document in kept}


def test_every_view_column_code_and_term_is_a_document() -> None:
    """Derived from the catalogue, nothing forgotten."""
    ids = {document.id for document in catalogue_documents(CATALOGUE)}
    for view in CATALOGUE.views.values():
        assert f"view:{view.name}" in ids
        assert {f"column:{view.name}.{column}" for column in view.columns} <= ids
        assert {f"codes:{view.name}.{c.name}" for c in view.columns.values() if c.codes} <= ids
    assert {f"glossary:{term}" for term in CATALOGUE.glossary} <= ids


def test_an_index_is_named_by_its_documents(examples: list) -> None:
    """Any change makes another index."""
    assert digest(examples) == digest(list(examples))
    assert digest(examples) != digest(examples[1:])


def test_a_damaged_index_is_made_anew(embedding_model: Path, tmp_path: Path) -> None:
    """The index is disposable."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "chroma.sqlite3").write_bytes(b"not a database")
    few = catalogue_documents(CATALOGUE)[:3]
    embedder = LocalEmbedder(embedding_model)
    store = VectorStore(few, embedder, tmp_path / "index")
    assert store.search(embedder.encode([few[1].text])[0], 1)[0][0] == 1


def test_no_model_is_told_plainly(tmp_path: Path) -> None:
    """The message names the directory."""
    with pytest.raises(EmbeddingError, match=tmp_path.name):
        LocalEmbedder(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [("cancelled", "cancel"), ("orders", "order"), ("executions", "execution"), ("Rejected", "rejects")],
)
def test_words_meet_across_endings(one: str, other: str) -> None:
    """Plural, tense and case do not matter to keywords."""
    assert words(one) == words(other)


def test_keyword_ties_keep_their_order() -> None:
    """Equal scores come in the order of the texts."""
    assert [n for n, _ in KeywordIndex(["spread wide", "spread wide", "depth"]).search("wide spread", 3)] == [0, 1]
