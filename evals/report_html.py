"""One HTML page of a run: the figures, and every failure side by side with what it should have been."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from evals.report import as_dict, failure_classes, figures, selective
from evals.statistics import Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Line = dict[str, Any]

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1d2430;background:#fff}
table{border-collapse:collapse;margin:.6rem 0}td,th{border:1px solid #cdd3dc;padding:.25rem .55rem;text-align:left;
vertical-align:top}th{background:#eef1f5}pre{white-space:pre-wrap;background:#f5f7fa;padding:.5rem;margin:.2rem 0;
border-radius:4px;font-size:13px}.case{border:1px solid #cdd3dc;border-radius:6px;padding:.7rem 1rem;margin:1rem 0}
.side{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.tag{display:inline-block;background:#eef1f5;
border-radius:4px;padding:0 .45rem;margin-right:.3rem;font-size:13px}.bad{background:#fbe3e1}svg{background:#fafbfc}
@media(prefers-color-scheme:dark){body{background:#14171c;color:#dfe4ea}th,.tag{background:#262c35}
pre{background:#1c2129}td,th,.case{border-color:#39414d}.bad{background:#52302e}svg{background:#1c2129}}
"""


def page(lines: Sequence[Line], title: str) -> str:
    """The page. Cases of locked authors appear in the figures only."""
    failures = [x for x in lines if not x["right"] and not x.get("locked")]
    silent = [x for x in failures if x["answered"]]
    shy = [x for x in failures if not x["answered"]]
    withheld = sum(bool(x.get("locked")) for x in lines)
    note = f"<p>{withheld} cases of locked authors count in the figures and are not shown.</p>" if withheld else ""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{note}{_figures(lines)}{_curve(lines)}{_classes(lines)}"
        f"<h2>Silently wrong ({len(silent)})</h2>{''.join(map(_case, silent))}"
        f"<h2>Not answered, or another outcome ({len(shy)})</h2>{''.join(map(_case, shy))}</html>"
    )


def _figures(lines: Sequence[Line]) -> str:
    shown = figures(lines)
    rates = {name.replace("_", " "): rate for name, rate in vars(shown).items() if isinstance(rate, Rate)}
    rates |= {f"right outcome: {name}": rate for name, rate in shown.outcome.items()}
    plain = as_dict(lines)
    other = {
        "questions": shown.n,
        "calibration error": f"{plain['calibration_error']:.3f}",
        "latency p50 / p95": f"{plain['latency_s']['p50']:.2f} / {plain['latency_s']['p95']:.2f} s",
    }
    return _table(("figure", "value"), [*rates.items(), *other.items()])


def _classes(lines: Sequence[Line]) -> str:
    return "<h2>Failures by class</h2>" + _table(("class", "n"), failure_classes(lines))


def _curve(lines: Sequence[Line]) -> str:
    points = selective(lines).curve
    if not points:
        return ""
    places = " ".join(f"{40 + 500 * p.coverage:.1f},{220 - 200 * p.risk:.1f}" for p in points)
    return (
        "<h2>Risk against coverage</h2><svg width=580 height=260 role=img aria-label='risk against coverage'>"
        "<path d='M40 20V220H540' fill=none stroke=#8a94a3 />"
        f"<polyline points='{places}' fill=none stroke=#3566c9 stroke-width=2 />"
        "<g font-size=12 fill=currentColor><text x=36 y=236>0</text><text x=520 y=236>100 %</text>"
        "<text x=220 y=254>share of the answerable</text><text x=4 y=24>100 %</text><text x=46 y=16>wrong</text></g></svg>"
    )


def _case(line: Line) -> str:
    difference = line.get("difference") or {}
    tags = [line["id"], line["group"], line["difficulty"], f"expects {line['expect']}", line["status"]]
    tags += [line.get("failure") or "", difference.get("sql_class") or "", line.get("origin") or ""]
    confidence = line.get("confidence")
    if confidence is not None:
        tags.append(f"confidence {confidence:.3f}")
    history = "".join(f"<p>before: {escape(str(turn['question']))}</p>" for turn in line.get("history") or ())
    got = line.get("sql") or line.get("draft") or ""
    gold = "\n\nor\n\n".join(line.get("gold") or ()) or "no answer expected"
    return (
        f"<div class=case><p>{''.join(f'<span class=tag>{escape(tag)}</span>' for tag in tags if tag)}</p>{history}"
        f"<p><b>{escape(str(line.get('question', '')))}</b></p>"
        f"<div class=side><div>gold<pre>{escape(gold)}</pre></div>"
        f"<div>{'draft, not shown' if not line['answered'] else 'got'}<pre>{escape(got)}</pre></div></div>"
        f"{_said(line)}{_rows(difference)}{_ledger(line.get('ledger') or ())}</div>"
    )


def _said(line: Line) -> str:
    asked = (line.get("clarification") or {}).get("question")
    said = [("reading", line.get("reading")), ("reason", line.get("reason")), ("asked back", asked)]
    return "".join(f"<p>{name}: {escape(str(text))}</p>" for name, text in said if text)


def _rows(difference: dict[str, Any]) -> str:
    if not difference:
        return ""
    head = f"<p>{difference['gold_rows']} rows expected, {difference['got_rows']} given</p>"
    return (
        f"{head}<div class=side><div>missing{_table(difference['gold_columns'], difference['missing'])}</div>"
        f"<div>instead{_table(difference['got_columns'], difference['extra'])}</div></div>"
    )


def _ledger(entries: Iterable[dict[str, Any]]) -> str:
    rows = [(e["phrase"], e["predicate"], e["reason"]) for e in entries]
    return _table(("words", "in the SQL", "because"), rows) if rows else ""


def _table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    heading = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{heading}</tr>{body}</table>"
