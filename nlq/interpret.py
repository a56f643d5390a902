"""Question → plan → SQL with its ledger and an outcome. Pure Python: no Spark, no network, a few milliseconds.

Rules read the question (mentions with spans), choose the view, bind values, times and codes, and settle the shape. The
learnt parser, where there is one, votes on view and shape and is asked afterwards whether it agrees. An answer is given
only when every content word has found its place; what is left over is the doubt that the officer is told of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import sqlglot

from nlq.bind import World, bind
from nlq.compile import compile_plan
from nlq.contracts import Clarification, Draft, LedgerEntry
from nlq.demands import unmet
from nlq.explained import explained
from nlq.features import features_of
from nlq.followup import follow, is_followup, plan_of
from nlq.ground import ledger_of, leftovers, reading_of
from nlq.implausible import implausible
from nlq.odd_input import contradiction, nonsense, two_questions, unknown_names, unreadable
from nlq.outcome import Outcome, forbidden, missing_data, open_question, refused_words
from nlq.relations import relate
from nlq.shape.build import shape_of
from nlq.understand.lexicon import Lexicon
from nlq.understand.mentions import Extractor
from nlq.understand.times import Clock
from nlq.verified_shape import said_otherwise
from nlq.views import scores
from retrieval.values import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nlq.contracts import Principal, Proposal, Turn
    from nlq.learn.choice import Candidate
    from nlq.learn.confidence import Confidence
    from nlq.plan import Plan
    from nlq.understand.reading import Reading
    from retrieval.values import ValueIndex
    from streaming.catalogue import Catalogue


_LEARNT_KINDS = ("learnt", "guided", "second")
_NEAR_VIEW = 3.0
"""Difference of scores below which the second view is tried, too."""
_TRIED = 4
_WORTH = 0.8
"""Doubts that a point of difference between two views' scores outweighs."""
RULES_CONFIDENCE = Path(__file__).with_name("confidence_rules.json")
"""Calibration of the route without a learnt parser."""


@dataclass(frozen=True, kw_only=True)
class Interpretation:
    """What the deterministic route makes of a question."""

    outcome: str
    """answer, clarify, unanswerable or refuse."""
    draft: Draft | None = None
    """Best SQL, also when it is not trusted; then the outcome is not `answer`."""
    clarification: Clarification | None = None
    reason: str | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    plan: Plan | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was understood for certain, for a model that drafts: words → condition."""
    candidates: tuple[Candidate, ...] = ()
    """The rules' draft and the learnt writer's, with their features; for calibration."""


class Interpreter:
    """The deterministic route over one catalogue and one set of reference values."""

    def __init__(
        self, catalogue: Catalogue, values: ValueIndex, parser: object | None = None, verified: object = None
    ) -> None:
        self.catalogue, self.values, self.parser, self.verified = catalogue, values, parser, verified
        self.lexicon = Lexicon.load(catalogue)
        self.extractor = Extractor(self.lexicon, values)
        self.guided = False
        """Whether learnt roles and shapes steer the plan itself."""
        self._approved: dict[str, Reading] = {}
        self.confidence = _confidence(with_parser=parser is not None)
        self.learnt_drafts = self.confidence is not None and "is_guided" in self.confidence.names
        """Whether the parser has a say in the drafts; otherwise it only judges the rules' one."""

    @property
    def threshold(self) -> float:
        """Confidence from which a draft is shown as an answer, as calibrated on other people's questions."""
        return self.confidence.threshold if self.confidence is not None else 0.9

    @staticmethod
    def aliases(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
        """Everyday names for `ValueIndex.build`: value → names, and `~PART` → what a part of a desk code stands for."""
        lexicon = Lexicon.load(catalogue)
        return {**lexicon.names, **{f"~{k}": v for k, v in lexicon.abbreviations.items()}}

    def interpret(
        self, question: str, *, as_of: datetime, principal: Principal, history: Sequence[Turn] = ()
    ) -> Interpretation:
        """Understand one question; never raises for what a person may type."""
        early = refused_words(question, has_history=bool(history)) or unreadable(question, tuple(self.catalogue.views))
        early = early or missing_data(question)
        proposal = self.parser.propose(question, history, principal.role) if self.parser is not None else None  # type: ignore[attr-defined]
        reading = relate(self.extractor.read(question))
        voice = proposal if self.learnt_drafts else None
        ranked = sorted(scores(reading, self.catalogue, self.lexicon, voice).items(), key=lambda p: -p[1])
        ranked = self._allowed(ranked, reading, principal)
        world = World(self.catalogue, self.lexicon, self.values, as_of)
        rules = self._followed(world, reading, history, proposal) or self._fitting(world, reading, ranked, proposal)
        best = self._chosen(world, reading, ranked, proposal, rules)
        if history and not best.features.get("followup") and best.draft is not None and _leans(rules):
            best = replace(best, draft=replace(best.draft, confidence=0.5 * best.draft.confidence))
        best = self._verified(question, as_of, best) or self._said_otherwise(reading, rules) or best
        sql = best.draft.sql if best.draft else ""
        views = (
            *((ranked[0][0],) if not best.features.get("followup") else ()),
            *(v for v in self.catalogue.views if f" {v} " in f"{sql} " and v != ranked[0][0]),
        )
        if early is None or early.kind != "refuse":
            early = forbidden(reading, views, sql, self.catalogue, principal) or early
        early = early or open_question(reading, has_history=bool(history))
        if best.draft is None or best.draft.origin != "verified":
            early = early or self._odd(reading, best, has_history=bool(history))
        if early is not None:
            return _declined(early, best)
        return best

    def _odd(self, reading: Reading, best: Interpretation, *, has_history: bool) -> Outcome | None:
        """What makes this no question that could be answered, whatever the draft."""
        if not has_history and (odd := nonsense(reading) or two_questions(reading)):
            return odd
        return unknown_names(reading, self.values) or contradiction(reading.question, best.plan)

    def _chosen(
        self,
        world: World,
        reading: Reading,
        ranked: list[tuple[str, float]],
        proposal: Proposal | None,
        best: Interpretation,
    ) -> Interpretation:
        """The most believable of the rules' draft, the same steered by learnt roles or over the next view, and the writer's."""
        if (
            not self.learnt_drafts
            or proposal is None
            or not proposal.main_view
            or best.outcome != "answer"
            or best.draft is None
        ):
            return best
        if best.features.get("followup"):
            return best
        from nlq.learn.choice import candidates, draft_of
        from nlq.learn.slots import ReadingSlots

        slots = ReadingSlots(world, reading)
        made = {"plan": best, "guided": self._draft(world, reading, ranked, proposal, guided=True)}
        if len(ranked) > 2 and ranked[0][1] - ranked[1][1] < _NEAR_VIEW:
            made["second"] = self._draft(world, reading, ranked[1:], proposal)
        drafts = [(kind, d.draft.sql, d.features) for kind, d in made.items() if d.draft is not None]
        found = candidates(drafts, proposal, slots)
        scored = [(self._score(c.features, made.get(c.kind, best).doubts), c) for c in found]
        confidence, chosen = max(scored, key=lambda x: x[0])
        source = made.get(chosen.kind, best)
        draft = replace(source.draft or best.draft, confidence=confidence)
        if chosen.kind == "learnt":
            draft = draft_of(chosen, slots, confidence)
        return replace(
            source, outcome="answer", clarification=None, draft=draft, candidates=tuple(found), features=chosen.features
        )

    def _verified(self, question: str, as_of: datetime, best: Interpretation) -> Interpretation | None:
        """An approved question with the same words: its SQL with this question's values and clock."""
        if self.verified is None:
            return None
        match = self.verified.match(question, self._resolve)  # type: ignore[attr-defined]
        if match is None:
            return None
        clock = Clock(as_of=as_of, time=None, day=None)
        sql = match.sql.replace("{as_of_date}", clock.today).replace("{as_of}", clock.now)
        ledger = (
            LedgerEntry(phrase=question, span=(0, len(question)), predicate=sql, reason=f"verified: {match.entry.id}"),
        )
        draft = Draft(
            sql=sql,
            origin="verified",
            confidence=0.995,
            ledger=ledger,
            reading=match.reading or f"As the approved question {match.entry.question!r}.",
        )
        return replace(best, outcome="answer", draft=draft, clarification=None, reason=None, doubts=())

    def _said_otherwise(self, reading: Reading, rules: Interpretation) -> Interpretation | None:
        """An approved question in other words and with other values: trusted as the approved one is."""
        if self.verified is None or rules.draft is None or rules.outcome != "answer":
            return None
        if not rules.features.get("closed") or rules.features.get("followup"):
            return None
        entry = said_otherwise(reading, rules.draft.sql, self.verified.current(), self._approved_reading)  # type: ignore[attr-defined]
        if entry is None:
            return None
        draft = replace(
            rules.draft,
            confidence=max(rules.draft.confidence, 0.97),
            reading=f"{rules.draft.reading} As the approved question {entry.question!r}.",
        )
        return replace(rules, draft=draft, reason=None, doubts=())

    def _approved_reading(self, question: str) -> Reading:
        if question not in self._approved:
            self._approved[question] = self.extractor.read(question)
        return self._approved[question]

    def _resolve(self, column: str, words: str) -> str | None:
        category = COLUMNS.get(column)
        found = {
            h.value
            for h in (self.values.lookup(words.lower().split()) or self.values.spelled(words))
            if h.category == category and h.exact
        }
        return found.pop() if len(found) == 1 else None

    def ground(
        self, question: str, sql: str, understood: Interpretation, *, as_of: datetime, principal: Principal
    ) -> Draft | None:
        """Judge an SQL that somebody else drafted, such as a language model.

        Everything that the question states for certain must stand in it, and every literal of it must come from the
        question, the clock or a default. A draft that closes both ways is trusted a little, any other hardly at all.
        """
        try:
            tree = sqlglot.parse_one(sql, dialect="databricks")
        except sqlglot.errors.SqlglotError:
            return None
        if forbidden(
            self.extractor.read(question),
            tuple(v for v in self.catalogue.views if f" {v} " in f"{sql} "),
            sql,
            self.catalogue,
            principal,
        ):
            return None
        text = tree.sql(dialect="databricks").lower()
        stated = [
            e
            for e in (understood.draft.ledger if understood.draft else ())
            if e.reason in ("value", "name", "code", "surname", "spelled") and e.predicate
        ]
        missing = [e for e in stated if not all(lit.lower() in text for lit in re.findall(r"'([^']+)'", e.predicate))]
        allowed = {
            lit.lower()
            for e in (understood.draft.ledger if understood.draft else ())
            for lit in re.findall(r"'([^']+)'", e.predicate)
        } | {"valid"}
        orphans = [
            str(x.this)
            for x in tree.find_all(sqlglot.exp.Literal)
            if x.is_string and str(x.this).lower() not in allowed and not re.match(r"\d{4}-", str(x.this))
        ]
        proposal = self.parser.propose(question, (), principal.role) if self.parser is not None else None  # type: ignore[attr-defined]
        closed = not missing and not orphans and not unmet(question, sql)
        sure = 0.5 if closed else 0.1
        if proposal is not None:
            from nlq.learn.agreement import agreement

            agree = agreement(proposal, sql, self.catalogue.sqlglot_schema)
            if agree.get("agree_main", -9) < -1.2 or agree.get("agree_read", 0) < 1:
                sure = min(sure, 0.1)
        ledger = (*stated, *(LedgerEntry(phrase="", span=None, predicate=o, reason="orphan") for o in orphans))
        return Draft(
            sql=sql, origin="model", confidence=sure, ledger=ledger, reading="Drafted by the language model: " + sql
        )

    def _allowed(
        self, ranked: list[tuple[str, float]], reading: Reading, principal: Principal
    ) -> list[tuple[str, float]]:
        """Prefer a view that the role may see where the words don't name another one."""
        role = self.catalogue.roles.get(principal.role)
        if role is None or ranked[0][0] in role.views:
            return ranked
        named = any(s.name == ranked[0][0] for m in reading.mentions for s in m.of("view") if not m.of("dim"))
        noun = ranked[0][0].replace("_", " ").rstrip("s")
        named = named or noun in reading.question.lower()
        best = next((p for p in ranked if p[0] in role.views), None)
        if best is None or named or ranked[0][1] - best[1] > 1.5:
            return ranked
        return [best, *(p for p in ranked if p is not best)]

    def _followed(
        self, world: World, reading: Reading, history: Sequence[Turn], proposal: Proposal | None
    ) -> Interpretation | None:
        if not history or not is_followup(reading, None):
            return None
        edit = follow(reading, history[-1].sql, world)
        if edit is None:
            return None
        edit.used |= explained(reading, edit.used, edit.sql, edit.view, self.lexicon.measures, follows=True)
        left = leftovers(reading, edit.used)
        missed = [*unmet(reading.question, edit.sql, reading.named(), follows=True), *implausible(edit.sql)]
        unbound = [*edit.doubts, *(f"{reading.question[slice(*r.span)]!r} in a follow-up" for r in reading.related)]
        doubts = [*unbound, *missed, *(f"{w!r} was not understood" for w in left)]
        plan = plan_of(edit)
        draft = Draft(
            sql=edit.sql,
            origin="followup",
            confidence=0.0,
            ledger=ledger_of(reading, plan, edit.used),
            reading=f"The question before, changed: {reading.question}",
        )
        features = features_of(
            reading, plan, edit.sql, used=edit.used, left=left, doubts=unbound, missed=missed, margin=2.0, score=4.0, mode="followup",
            proposal=proposal, catalogue=self.catalogue,
        )  # fmt: skip
        features["followup"] = 1.0
        draft = replace(draft, confidence=self._score(features, doubts))
        return Interpretation(
            outcome="answer",
            draft=draft,
            reason="; ".join(doubts) or None,
            features=features,
            doubts=tuple(doubts),
            plan=plan,
        )

    def _score(self, features: Mapping[str, float], doubts: Sequence[str]) -> float:
        if self.confidence is None:
            return 0.95 if not doubts else max(0.05, 0.5 - 0.1 * len(doubts))
        believed = 1.0
        if any(features.get(f"is_{k}") and f"is_{k}" not in self.confidence.names for k in _LEARNT_KINDS):
            return 0.0
        if features.get("has_parser") and "agree_main" not in self.confidence.names:
            # Without a calibration that knows the parser its disagreement can only take trust away.
            doubt = min(features.get("agree_main", 0.0), features.get("agree_outcome", 0.0))
            believed = 1.0 if doubt > -0.7 else 0.5 if doubt > -1.6 else 0.1
        return self.confidence.score(features) * believed

    def _fitting(
        self, world: World, reading: Reading, ranked: list[tuple[str, float]], proposal: Proposal | None
    ) -> Interpretation:
        """The draft over the likeliest view; over one of the next where that one leaves clearly less unexplained."""
        first = self._draft(world, reading, ranked, proposal)
        cost, best = float(len(first.doubts)), first
        for k in range(1, min(_TRIED, len(ranked))):
            gap = ranked[0][1] - ranked[k][1]
            if gap > _NEAR_VIEW or not first.doubts:
                break
            other = self._draft(world, reading, [ranked[k], *ranked[:k], *ranked[k + 1 :]], proposal)
            if other.outcome == "answer" and len(other.doubts) + _WORTH * gap + 0.5 < cost:
                cost, best = len(other.doubts) + _WORTH * gap + 0.5, other
        return best

    def _draft(
        self,
        world: World,
        reading: Reading,
        ranked: list[tuple[str, float]],
        proposal: Proposal | None,
        *,
        guided: bool = False,
    ) -> Interpretation:
        view, score = ranked[0]
        margin = score - ranked[1][1]
        # The learnt roles are trusted with the structure only once their measured quality allows it.
        guide = proposal if self.guided or guided else None
        bound = bind(world, reading, view, guide)
        shape = shape_of(world, reading, bound, guide)
        plan = shape.plan
        sql = shape.raw or compile_plan(plan)
        shape.used |= explained(reading, shape.used, sql, plan.view, self.lexicon.measures)
        left = leftovers(reading, shape.used)
        missed = [*unmet(reading.question, sql, reading.named()), *implausible(sql)]
        doubts = [*shape.doubts, *missed, *(f"{w!r} was not understood" for w in left)]
        if shape.settled:
            margin = max(margin, 1.0)  # the template's own words say which views are meant
        if margin < 0.5:
            doubts.append(f"{view} or {ranked[1][0]}")
        features = features_of(
            reading, plan, sql, used=shape.used, left=left, doubts=shape.doubts, missed=missed, margin=margin, score=score, mode=shape.mode,
            proposal=proposal, catalogue=self.catalogue,
        )  # fmt: skip
        confidence = self._score(features, doubts)
        draft = Draft(
            sql=sql,
            origin="plan",
            confidence=confidence,
            ledger=ledger_of(reading, plan, shape.used),
            reading=reading_of(plan, self.catalogue),
        )
        if bound.clarify is not None:
            text, choices = bound.clarify
            return Interpretation(
                outcome="clarify",
                draft=draft,
                clarification=Clarification(question=text, choices=choices),
                reason=text,
                features=features,
                doubts=tuple(doubts),
                plan=plan,
            )
        facts = {p.phrase: p.sql for p in plan.where if p.phrase}
        return Interpretation(
            outcome="answer",
            draft=draft,
            reason="; ".join(doubts) or None,
            features=features,
            doubts=tuple(doubts),
            plan=plan,
            facts=facts,
        )


def default_threshold(*, with_parser: bool) -> float:
    """Confidence from which an answer is shown: the calibrated one, or a cautious one before there is a calibration."""
    model = _confidence(with_parser=with_parser)
    return model.threshold if model is not None else 0.9


def _confidence(*, with_parser: bool) -> Confidence | None:
    """The calibrated model that goes with the route; None before there is one."""
    from nlq.learn.confidence import SHIPPED, CalibrationError, Confidence

    try:
        return Confidence.load(SHIPPED if with_parser and SHIPPED.exists() else RULES_CONFIDENCE)
    except CalibrationError:
        return None


def _leans(rules: Interpretation) -> bool:
    """Whether a question in a conversation names nothing and no time by itself: it may mean what was asked before."""
    own = ("time", "value", "name", "surname", "spelled", "city")
    return rules.plan is not None and not any(p.reason in own for p in rules.plan.where)


def _declined(why: Outcome, best: Interpretation) -> Interpretation:
    clarification = Clarification(question=why.question, choices=why.choices) if why.kind == "clarify" else None
    draft = best.draft if why.kind == "clarify" and why.readable else None
    return Interpretation(
        outcome=why.kind,
        draft=draft,
        clarification=clarification,
        reason=why.reason,
        features=best.features,
        doubts=best.doubts,
    )
