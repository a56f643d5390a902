"""What the page shows, worked out without the page: chart form, CSV, times, stages. Nothing here imports Streamlit."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

AROUND = timedelta(minutes=1)
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
MAX_BARS = 30
MAX_POINTS = 2_000
MAX_LINES = 8
STAGES = {
    "understand": "Understanding the question",
    "retrieve": "Finding the views that matter",
    "draft": "The language model drafts SQL",
    "ground": "Tying every word to the SQL",
    "check": "Checking the SQL against your rights",
    "execute": "Running it on the pinned snapshot",
    "explain": "Looking for what emptied the result",
}
ORIGINS = {
    "verified": "Answered with SQL that a person approved for this question.",
    "plan": "Worked out from your words by fixed rules.",
    "learnt": "Worked out from your words with the learnt parser.",
    "model": "Drafted by the language model and tied to your words.",
    "person": "SQL as you gave it.",
    "followup": "Worked out from your words and the question before.",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^])")
_JOINER = "\u2060"
_ADDRESS = re.compile(r"(:\\?/|www|@)", re.IGNORECASE)
_ID = re.compile(r"(_id|_seq|^id|_code)$")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart in closed form: a kind and column names, never code."""

    kind: Literal["bar", "line"]
    x: str
    y: str
    series: str | None = None
    ranked: bool = True
    """The rows come in the order of `y`; bars of others are put in it."""


def chart_for(table: pa.Table) -> Chart | None:
    """The chart that helps to read the table; None where a table alone is clearer."""
    import pyarrow as pa

    if table.num_rows < 2 or len(table.column_names) > 6:
        return None
    numbers, times, words = [], [], []
    for field in table.schema:
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            times.append(field.name)
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type):
            if not _ID.search(field.name):
                numbers.append(field.name)
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            words.append(field.name)
    if not numbers:
        return None
    if len(times) == 1 and table.num_rows <= MAX_POINTS and len(words) <= 1 and len(numbers) <= 2:
        series = words[0] if words else None
        if series is None or _distinct(table, series) <= MAX_LINES:
            unique = _distinct(table, times[0]) if series is None else table.num_rows
            return Chart(kind="line", x=times[0], y=numbers[0], series=series) if unique == table.num_rows else None
    if not times and len(words) >= 1 and table.num_rows <= MAX_BARS:
        # The first column of words whose values name the rows; without one, bars would pile up.
        for word in words:
            if _distinct(table, word) == table.num_rows:
                y = _ranked_by(table, numbers)
                return Chart(kind="bar", x=word, y=y, ranked=_is_ranked(table, y))
    return None


def _ranked_by(table: pa.Table, numbers: Sequence[str]) -> str:
    """The number that the rows are sorted by, if there is one: it is what was asked for."""
    return next((name for name in reversed(numbers) if _is_ranked(table, name)), numbers[0])


def _is_ranked(table: pa.Table, name: str) -> bool:
    values = [v for v in table.column(name).to_pylist() if v is not None]
    return values == sorted(values) or values == sorted(values, reverse=True)


def _distinct(table: pa.Table, column: str) -> int:
    import pyarrow.compute as pc

    return int(pc.count_distinct(table.column(column)).as_py())


def csv_bytes(table: pa.Table) -> bytes:
    """The table as CSV. A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow([_cell(name) for name in table.column_names])
    for row in table.to_pylist():
        writer.writerow([_cell(value) for value in row.values()])
    return sink.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool() | int() | float():
            return value  # a negative number is no formula
        case datetime() | date():
            return value.isoformat()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA[:4]) else text


def plain(text: str) -> str:
    """The text so that Markdown shows it as it stands: no links, images, colours or formulas out of data."""
    # Addresses become links without any markup; a word joiner inside keeps them text.
    return _ADDRESS.sub(f"\\1{_JOINER}", _MARKDOWN.sub(r"\\\1", text)).replace("\n", "  \n")


def stage_text(stage: str) -> str:
    """A stage of the question route in words."""
    return STAGES.get(stage, stage.replace("_", " ").capitalize())


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86400:.0f} days"


def count_text(number: float) -> str:
    """A count with thin groups."""
    return f"{number:,.0f}".replace(",", " ")


def number_text(number: float) -> str:
    """A measured number as people write it: grouped, four digits that count, never 1.4e+07."""
    if not math.isfinite(number):
        return "no value"
    if number == int(number) or abs(number) >= 10_000:
        return count_text(number) if abs(number) < 1e15 else f"{number:.4g}"
    return f"{number:,.2f}".replace(",", " ") if abs(number) >= 1_000 else f"{number:.4g}"


def instant_text(instant: datetime | str | None) -> str:
    """An instant in UTC to the second; empty for none."""
    if instant is None or instant == "":
        return ""
    moment = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def scalar(table: pa.Table) -> tuple[str, str] | None:
    """Name and text of the one value of a one-by-one result."""
    if table.num_rows != 1 or table.num_columns != 1:
        return None
    value = table.column(0)[0].as_py()
    if isinstance(value, bool) or value is None:
        text = "no value" if value is None else str(value)
    elif isinstance(value, int):
        text = count_text(value)
    elif isinstance(value, float):
        text = number_text(value)
    elif isinstance(value, datetime):
        text = instant_text(value)
    else:
        text = str(value)
    return table.column_names[0].replace("_", " "), text


def one_row(table: pa.Table) -> list[tuple[str, str]] | None:
    """Names and texts of the values of a single short row, which read better side by side than as a table."""
    if table.num_rows != 1 or not 2 <= table.num_columns <= 4:
        return None
    singles = [scalar(table.select([name])) for name in table.column_names]
    pairs = [pair for pair in singles if pair is not None]
    return pairs if all(len(text) <= 20 for _, text in pairs) else None


def reading_text(reading: str) -> str:
    """How a question was understood, as a sentence."""
    text = reading.strip()
    return text[:1].upper() + text[1:]


def reason_text(reason: str) -> str:
    """Why there is no answer: the rule's code goes last, where it can be quoted and does not stand in the way."""
    found = re.fullmatch(r"([A-Z][A-Z_]{3,}):\s+(.+)", reason.strip(), re.DOTALL)
    if found:
        return f"{found.group(2)} (rule {found.group(1)})"
    return reading_text(re.sub(r"^Refused:\s+", "", reason.strip()))  # the heading says so already


def assumptions(grounding: Sequence[Any]) -> list[str]:
    """What was taken for granted because the question did not say it, in words where the ledger has them."""
    found = [e.reason.partition(":")[2].strip() or e.predicate for e in grounding if e.reason.startswith("default")]
    return list(dict.fromkeys(text for text in found if text))


def ledger_rows(grounding: Sequence[Any]) -> list[dict[str, str]]:
    """The grounding ledger as rows of a table."""
    return [
        {
            "your words": entry.phrase or "(not said)",
            "became": entry.predicate or "(found no place)",
            "because": entry.reason,
        }
        for entry in grounding
    ]


def offset_rows(offsets: Mapping[str, Mapping[int, int]], versions: Mapping[str, int]) -> list[dict[str, str]]:
    """What was read, to the message and the table version."""
    rows = [
        {"source": f"Kafka {topic}", "read up to": ", ".join(f"{p}: {o}" for p, o in sorted(partitions.items()))}
        for topic, partitions in sorted(offsets.items())
    ]
    return rows + [{"source": f"Delta {t}", "read up to": f"version {v}"} for t, v in sorted(versions.items())]


def timing_rows(timings: Mapping[str, float]) -> list[dict[str, str]]:
    """Stages with the time they took."""
    return [
        {"stage": stage_text(stage), "took": seconds_text(took)} for stage, took in timings.items() if stage != "total"
    ]


def alert_short(alert: Mapping[str, Any]) -> str:
    """Detector and instrument, for a narrow list."""
    return " · ".join(part for part in (code_text(alert.get("detector")), str(alert.get("symbol") or "")) if part)


def alert_title(alert: Mapping[str, Any]) -> str:
    """One line for an alert in a list."""
    raised = str(alert.get("created_ts") or "")
    when = f"{datetime.fromisoformat(raised):%d %b %H:%M}" if raised else ""
    return " · ".join(part for part in (when, code_text(alert.get("detector")), str(alert.get("symbol") or "")) if part)


def worst_first(alerts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Alerts by severity; of one severity as they were, which is newest first."""
    return sorted(alerts, key=lambda a: SEVERITIES.index(a["severity"]) if a.get("severity") in SEVERITIES else 9)


def code_text(code: Any) -> str:
    """A code as words: WASH_TRADE as "Wash trade"."""
    return str(code or "").replace("_", " ").capitalize()


def orders_sql(alert: Mapping[str, Any]) -> str | None:
    """The orders behind an alert: those of its trader in its instrument, a minute around its evidence."""
    from sqlglot import exp

    def literal(value: Any) -> str:
        return exp.Literal.string(str(value)).sql(dialect="databricks")

    try:
        start, end = (_naive_utc(alert[name]) for name in ("window_start_ts", "window_end_ts"))
        trader, symbol = literal(alert["trader_id"]), literal(alert["symbol"])
    except (KeyError, TypeError, ValueError):
        return None
    return (
        "SELECT entry_ts, order_id, side, order_type, limit_price, order_qty, filled_qty, status, lifetime_ms, venue "
        f"FROM orders WHERE trader_id = {trader} AND symbol = {symbol} "
        f"AND entry_ts >= TIMESTAMP '{start - AROUND:%Y-%m-%d %H:%M:%S}' "
        f"AND entry_ts <= TIMESTAMP '{end + AROUND:%Y-%m-%d %H:%M:%S}' ORDER BY entry_ts"
    )


def _naive_utc(text: Any) -> datetime:
    moment = datetime.fromisoformat(str(text))
    return moment.astimezone(UTC) if moment.tzinfo else moment


def alert_facts(alert: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of an alert, as pairs of name and text."""
    who = ", ".join(str(v) for v in (alert.get("trader_id"), alert.get("trader_name"), alert.get("desk")) if v)
    facts = [
        ("Trader", who),
        ("Raised", instant_text(alert.get("created_ts"))),
        ("Venue", str(alert.get("venue") or "")),
    ]
    if alert.get("score") is not None:
        facts.append(("Score", f"{float(alert['score']):.0f} of 100"))
    if alert.get("deviation_score") is not None:
        facts.append(("Against own norm", f"{float(alert['deviation_score']):+.1f} standard deviations"))
    if alert.get("cancel_ratio") is not None:
        facts.append(("Orders", f"{float(alert['cancel_ratio']):.0%} of {alert.get('n_orders')} cancelled"))
    return [(name, text) for name, text in facts if text]


def alert_report(alert: Mapping[str, Any], written_by: str, now: datetime) -> str:
    """A draft of the report on an alert: facts from the evidence, blanks where a person must judge."""
    facts = "\n".join(f"- {name}: {text}" for name, text in alert_facts(alert))
    return f"""DRAFT REPORT ON ALERT {alert.get("alert_id")}
Made from the alert's evidence on {instant_text(now)} for {written_by}. Nobody has reviewed it.

1. What was detected
Detector {code_text(alert.get("detector"))}, severity {code_text(alert.get("severity"))}, instrument {alert.get("symbol")}.
{facts}

2. What happened
{alert.get("explanation") or "The explanation is not visible in your role."}

3. Status
{code_text(alert.get("status"))}{f", in charge: {alert['assigned_to']}" if alert.get("assigned_to") else ""}

4. Assessment (to be written)
Reasons for suspicion:
Explanations that would be legitimate, and whether they were checked:
Conclusion:

The pattern alone proves no intent. A detector's alert is a reason to look, not a finding.
"""


KINDS = {
    "alert": "Close an alert",
    "threshold": "Change a threshold",
    "entitlement": "Change somebody's rights",
    "verified_query": "Approve a question",
}


def change_title(change: Mapping[str, Any]) -> str:
    """One line for a proposed change."""
    body = change["body"]
    match change["kind"]:
        case "alert":
            what = f"{code_text(body.get('detector'))} {body.get('symbol') or ''} as {code_text(body.get('status')).lower()}"
        case "threshold":
            what = (
                f"{code_text(body.get('detector'))}, {body.get('parameter')}: {body.get('was')} → {body.get('value')}"
            )
        case "entitlement":
            what = f"{body.get('user_id')}: {', '.join(body.get('roles') or ()) or 'no rights'}"
        case "verified_query":
            what = f"“{body.get('question')}”"
        case _:
            what = ""
    return f"{KINDS.get(change['kind'], change['kind'])} · {what}"


def change_facts(change: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a change replaces and what it brings, as rows of a table."""
    body = change["body"]
    match change["kind"]:
        case "alert":
            rows = [("Alert", body.get("alert_id")), ("Trader", body.get("trader_id")),
                    ("Status", f"{code_text(body.get('was'))} → {code_text(body.get('status'))}"), ("Why", body.get("reason"))]  # fmt: skip
        case "threshold":
            unit = f" {body['unit']}" if body.get("unit") else ""
            rows = [("Detector", code_text(body.get("detector"))), ("Parameter", body.get("parameter")),
                    ("From", f"{body.get('was')}{unit}"), ("To", f"{body.get('value')}{unit}"), ("Why", body.get("rationale"))]  # fmt: skip
        case "entitlement":
            was = body.get("was") or {}
            rows = [("Person", body.get("user_id")), ("Roles so far", ", ".join(was.get("roles") or ()) or "none"),
                    ("Roles then", ", ".join(body.get("roles") or ()) or "none"), ("Desk", body.get("desk") or "none")]  # fmt: skip
        case "verified_query":
            rows = [
                ("Question", body.get("question")),
                ("Also matches", body.get("form") if body.get("slots") else ""),
                ("Answers", body.get("reading") or ""),
            ]
            if body.get("replaces"):
                rows.append(("Replaces", ", ".join(body["replaces"])))
        case _:
            rows = [(name, json.dumps(value)) for name, value in body.items()]
    return [{"": str(name), " ": str(value)} for name, value in rows if value not in (None, "")]
