"""A Spark session that holds the views of one role and nothing else to misuse.

Wall 2 shares no code with the guard: what a role sees comes straight from the catalogue through the DataFrame API,
functions are removed by an own list, and every plan is checked against own lists of classes.
"""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.engine_functions import FUNCTIONS, TABLE_FUNCTIONS
from streaming.java_object import java_object

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from nlq.contracts import Principal
    from streaming.catalogue import Role, View
    from streaming.snapshot import Snapshot

SETTINGS = {
    "spark.sql.variable.substitute": "false",
    "spark.sql.runSQLOnFiles": "false",
    "spark.sql.scripting.enabled": "false",
    "spark.sql.operatorPipeSyntaxEnabled": "false",
    "spark.sql.optimizer.disableHints": "true",
    "spark.sql.cteRecursionLevelLimit": "0",
    "spark.sql.cteRecursionRowLimit": "0",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
"""Set again in every session: a session does not inherit what another one changed."""

_LOGICAL = "org.apache.spark.sql.catalyst.plans.logical."
_EXPRESSION = "org.apache.spark.sql.catalyst.expressions."
_UNRESOLVED = "org.apache.spark.sql.catalyst.analysis."

_OPERATORS = """
Aggregate Distinct Except Filter Generate GlobalLimit Intersect Join LocalLimit Offset OneRowRelation Project Sort
SubqueryAlias Union Window
"""
PARSED_OPERATORS = frozenset(
    [_LOGICAL + name for name in f"{_OPERATORS} UnresolvedWith UnresolvedHaving UnresolvedQualify".split()]
    + [_UNRESOLVED + name for name in "UnresolvedRelation UnresolvedSubqueryColumnAliases UnresolvedHaving".split()]
)
"""Operators of a parsed statement. Scripts, commands, EXECUTE IMMEDIATE and table functions are not among them."""

PARSED_EXPRESSIONS = frozenset(
    [
        _UNRESOLVED + name
        for name in """UnresolvedAlias UnresolvedAttribute UnresolvedExtractValue UnresolvedFunction UnresolvedGenerator
        UnresolvedOrdinal UnresolvedStar UnresolvedStarExceptOrReplace UnresolvedStarExcept""".split()
    ]
    + [
        _EXPRESSION + name
        for name in """Alias Add And BitwiseNot CaseWhen Cast Concat CreateNamedStruct CreateStruct DateAddInterval Divide
        EqualNullSafe EqualTo Exists GreaterThan GreaterThanOrEqual ILike In InSubquery IntegralDivide IsNotNull IsNull
        LessThan LessThanOrEqual Like ListQuery Literal Multiply NamePlaceholder Not Or Remainder RLike Rollup
        ScalarSubquery SortOrder SpecifiedWindowFrame Subtract TimestampAdd TimestampDiff UnaryMinus UnaryPositive
        WindowExpression WindowSpecDefinition
        StringTrim StringTrimLeft StringTrimRight Extract TryEval CurrentRow$ UnboundedFollowing$ UnboundedPreceding$
        RowFrame$ RangeFrame$ UnspecifiedFrame$ aggregate.AggregateExpression aggregate.AnyValue aggregate.First
        aggregate.Last""".split()
    ]
)
"""Expressions that the parser makes by itself; functions are UnresolvedFunction until the registry knows them."""

ANALYSED_OPERATORS = frozenset(
    _LOGICAL + name for name in f"{_OPERATORS} CTERelationDef CTERelationRef WithCTE View Expand".split()
)
"""Operators of an analysed statement above the registered views. No file, table, range or local data is among them."""

ANALYSED_EXPRESSIONS = frozenset(
    _EXPRESSION + name
    for name in """Alias AnsiCast AttributeReference Cast CheckOverflow CreateArray CreateNamedStruct DateAddInterval
    DateAddYMInterval DateDiff Exists GetArrayItem GetStructField In InSubquery KnownNotNull KnownNullable
    LateralColumnAliasReference ListQuery Literal MakeDecimal Month NamePlaceholder OuterReference
    PreciseTimestampConversion RowNumber ScalarSubquery SortOrder SpecifiedWindowFrame SubtractDates
    SubtractTimestamps TimeAdd TimestampAdd TimestampAddInterval TimestampAddYMInterval TimestampDiff TryEval
    ExtractANSIIntervalDays
    ExtractANSIIntervalHours ExtractANSIIntervalMinutes ExtractANSIIntervalSeconds TypedNullLiteral UnscaledValue WindowExpression WindowSpecDefinition CurrentRow$ UnboundedFollowing$ UnboundedPreceding$ RowFrame$
    RangeFrame$ UnspecifiedFrame$ DivideDTInterval DivideYMInterval MultiplyDTInterval MultiplyYMInterval DatetimeSub
    Hour Minute Second SecondWithFraction MakeTimestamp Ceil Floor RoundCeil RoundFloor With CommonExpressionDef
    CommonExpressionRef Contains StartsWith EndsWith StringLPad StringRPad LambdaFunction NamedLambdaVariable Explode
    PosExplode GeneratorOuter aggregate.AggregateExpression aggregate.MaxBy aggregate.MinBy aggregate.Mode""".split()
)
"""Expressions that the analyser makes by itself; the classes of the functions that stay are added to them."""

MAX_WRITTEN_OUT = 20_000
"""Nodes of a statement with each use of its WITH queries written out; more take longer to plan than a query may run."""


class NotEntitled(Exception):
    """The statement names a view that the role may not see, or that does not exist: the same answer for both."""


class PlanRefused(Exception):
    """The statement's plan holds a class that is not on the list."""


class PlanTooLarge(PlanRefused):
    """The statement would take too long to plan, which nothing can cut short in time."""


class Planning:
    """The planning of one query. Spark cancels jobs but not planning; this ends it at the next rule of the planner."""

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker

    def stop(self) -> None:
        """End it; called from another thread."""
        self.tracker.stop()


class Seal:
    """What is needed to seal sessions of one Spark driver; made once, since it compiles its helper.

    Raises:
        PlanRefused: reflection can still be called in a sealed session; the engine must not start.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark: Any = spark
        self._jvm: Any = spark._jvm
        self._engine = java_object(spark, Path(__file__).with_name("sealed_engine.java"), "SealedEngine")
        self._keep, self._keep_tables = self._java_set(FUNCTIONS), self._java_set(TABLE_FUNCTIONS)
        self._properties = self._jvm.java.util.Properties()
        for name, value in SETTINGS.items():
            self._properties.setProperty(name, value)
        self._classes = ANALYSED_EXPRESSIONS
        self._prove()

    def open(self) -> SparkSession:
        """A fresh session with the settings of wall 2; call `close_registry` when its views are registered."""
        session: SparkSession = self._spark.newSession()
        state: Any = session._jsparkSession.sessionState()
        state.conf().setConf(self._properties)
        return session

    def close_registry(self, session: SparkSession) -> None:
        """Take every function that is not on the list out of the session."""
        state: Any = session._jsparkSession.sessionState()
        self._engine.drop(state.functionRegistry(), self._keep)
        self._engine.drop(state.tableFunctionRegistry(), self._keep_tables)

    def planning(self) -> Planning:
        """For one query; hand it to every step that plans."""
        return Planning(self._engine.planning())

    def parsed(self, session: SparkSession, sql: str) -> tuple[Any, set[str]]:
        """Check the parsed statement, which nothing has run yet; returns it with the lower-case names that it reads.

        Raises:
            PlanRefused: it is no query, holds a class that is not on the list, or is too large to plan.
        """
        if "${" in sql or not sql.replace("\n", " ").replace("\t", " ").isprintable():
            raise PlanRefused("text")
        plan = self._engine.parsed(session._jsparkSession, sql)
        classes, names = set(), set()
        for line in self._engine.contents(plan).split("\n"):
            kind, _, text = line.partition(" ")
            if kind == "relation":
                names.add(text.lower())
            elif kind == "size":
                raise PlanTooLarge(text)
            elif kind == "substitution":  # written with escapes
                raise PlanRefused("text")
            elif kind:
                classes.add(kind)
        refused = classes - PARSED_OPERATORS - PARSED_EXPRESSIONS
        if plan.getClass().getName() not in PARSED_OPERATORS or refused:
            raise PlanRefused(", ".join(sorted(refused)) or "root")
        if self._engine.writtenOut(plan) > MAX_WRITTEN_OUT:
            raise PlanTooLarge
        return plan, names

    def analysed(self, session: SparkSession, plan: Any, planning: Planning) -> Any:
        """The parsed statement with its names and types resolved in the sealed session; nothing is optimised yet."""
        return self._engine.frame(session._jsparkSession, plan, planning.tracker).queryExecution().analyzed()

    def check_analysed(self, plan: Any, views: set[str]) -> None:
        """Check the analysed plan: only listed classes, and data only from the registered views.

        Raises:
            PlanRefused: something else is in it, or it is too large to plan.
        """
        if self._engine.writtenOut(plan) > MAX_WRITTEN_OUT:
            raise PlanTooLarge
        for line in self._engine.planClasses(plan).splitlines():
            if line.startswith("view "):
                if line.removeprefix("view ").lower() not in views:
                    raise PlanRefused(line)
            elif line not in ANALYSED_OPERATORS and line not in self._classes:
                raise PlanRefused(line)

    def planned(self, plan: Any, rows: int, planning: Planning) -> DataFrame:
        """At most `rows` rows of the checked statement, in a session that has its functions, to be planned and run.

        Delta plans its data skipping with functions of its own, looked up in the session that runs the statement. The
        statement itself is resolved and checked by then: no name of its text is looked up again.
        """
        from pyspark.sql import DataFrame

        session = self.open()
        limited = self._engine.limited(plan, rows)
        return DataFrame(self._engine.frame(session._jsparkSession, limited, planning.tracker), session)

    def _java_set(self, names: frozenset[str]) -> Any:
        found = self._jvm.java.util.HashSet()
        for name in names:
            found.add(name)
        return found

    def _prove(self) -> None:
        """Refuse to start where sealing does not work, for example on a Spark that names functions differently."""
        from pyspark.errors import PySparkException

        session = self.open()
        self.close_registry(session)
        state: Any = session._jsparkSession.sessionState()
        for registry in (state.functionRegistry(), state.tableFunctionRegistry()):
            self._classes |= frozenset(self._engine.functionClasses(registry).split())
        for call in ("java_method('java.lang.Math', 'random')", "reflect('java.lang.Math', 'random')", "rand()"):
            try:
                session.sql(f"SELECT {call}")
            except PySparkException:
                continue
            raise PlanRefused(f"sealing has no effect: {call.partition('(')[0]} still resolves")


def register_views(session: SparkSession, snapshot: Snapshot, principal: Principal, names: set[str]) -> set[str]:
    """Register the named views of the snapshot as `principal` may see them; returns their lower-case names.

    Names that are no view of the role are left out: the statement then fails as for a view that does not exist.

    Raises:
        NotEntitled: the role is not known.
    """
    role = snapshot.catalogue.roles.get(principal.role)
    if role is None:
        raise NotEntitled
    registered = set()
    for name in snapshot.catalogue.views:
        if name.lower() in names and name in role.views:
            view = snapshot.catalogue.views[name]
            if not view.sensitivity or _right(role, view.sensitivity):
                frame = entitled_frame(snapshot.frame(name, session), view, role, principal)
                frame.createOrReplaceTempView(name)
                registered.add(name.lower())
    return registered


def entitled_frame(frame: DataFrame, view: View, role: Role, principal: Principal) -> DataFrame:
    """The rows and values of a view that a person may see, in the catalogue's columns."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

    rows: list[Column] = []
    if role.row_filter is not None:
        rows += _own_rows(role.row_filter, view, principal)
    for sensitivity, condition in view.restricted_rows.items():
        if not _right(role, sensitivity):
            rows.append(~F.coalesce(F.expr(condition), F.lit(True)))
    if rows:
        frame = frame.where(reduce(lambda a, b: a & b, rows))
    if frame.columns != list(view.columns):
        frame = frame.select(*(F.col(f"`{name}`") for name in view.columns))
    for column in view.columns.values():
        if column.sensitivity is not None and not _right(role, column.sensitivity):
            frame = frame.withColumn(column.name, F.lit(None).cast(column.type))
    return frame


def _right(role: Role, sensitivity: str) -> bool:
    return (sensitivity == "pii" and role.see_pii) or (sensitivity == "restricted" and role.see_restricted)


_PERSONAL = re.compile(r"\buser\.(\w+)\b")
_WORD = re.compile(r"'(?:[^'\\]|\\.|'')*'|\b[A-Za-z_]\w*\b(?!\s*\()")
_KEYWORDS = frozenset("and or not in is null true false between like user".split())


def _own_rows(text: str, view: View, principal: Principal) -> list[Column]:
    """The role's filter as Spark reads it, with the person's values as literals. None where the view lacks its columns."""
    from pyspark.sql import functions as F  # noqa: N812

    plain = _PERSONAL.sub("NULL", text)
    own = {w.lower() for w in _WORD.findall(plain) if not w.startswith("'") and w.lower() not in _KEYWORDS}
    known = {name.lower() for name in view.columns}
    if own and not own & known:
        return []
    values = {name: getattr(principal, name, None) for name in _PERSONAL.findall(text)}
    if own - known or any(not isinstance(v, str) or "${" in v or not v.isprintable() for v in values.values()):
        return [F.lit(False)]  # nobody's desk is nothing, not everything
    quoted = {name: "'" + str(v).replace("\\", "\\\\").replace("'", "\\'") + "'" for name, v in values.items()}
    return [F.expr(_PERSONAL.sub(lambda found: quoted[found.group(1)], text))]
