"""Answers and status as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from app.settings import Settings
    from nlq.contracts import Answer


def show_answer(answer: Answer, rows: int) -> None:
    """Status, reading, table, SQL and freshness."""
    console = Console(highlight=False)
    head = {"ANSWERED": "green", "CLARIFY": "yellow"}.get(answer.status.value, "red")
    console.print(Text(answer.status.value, style=f"bold {head}"), Text(answer.reading))
    if answer.clarification is not None:
        console.print(Text(answer.clarification.question))
        for choice in answer.clarification.choices:
            console.print(Text(f"  - {choice}"))
    if answer.reason:
        console.print(Text(answer.reason))
    if answer.table is not None and answer.table.num_rows:
        console.print(_grid(answer, rows))
        more = answer.table.num_rows - rows
        if more > 0 or answer.truncated:
            console.print(Text(f"{max(more, 0)} more rows{', and cut at the row limit' if answer.truncated else ''}"))
    if answer.sql:
        console.print(Text(answer.sql, style="dim"))
    elif answer.draft:
        console.print(Text(f"Unverified draft, not run:\n{answer.draft}", style="dim"))
    as_of = f"as of {answer.as_of.isoformat()}" if answer.as_of else ""
    took = sum(s for stage, s in answer.timings.items() if stage != "total")
    console.print(Text(f"{as_of}  {took:.1f} s  {answer.query_id}", style="dim"))


def _grid(answer: Answer, rows: int) -> Table:
    grid = Table(show_edge=False, header_style="bold")
    assert answer.table is not None
    for name in answer.table.column_names:
        grid.add_column(name, overflow="fold")
    for row in answer.table.slice(0, rows).to_pylist():
        grid.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    return grid


def show_status(body: dict[str, Any], settings: Settings) -> None:
    """Processes, then what the service says of itself."""
    if not body["running"] and body["service"] is None:
        typer.echo(f"not running (data in {settings.data}); start with `nlq up`")
        return
    if body["processes"]:
        typer.echo(f"{'part':9} {'state':6} {'process':>8}  {'ready after':>11}  {'processor':>9}  {'memory':>8}")
    for name, process in body["processes"].items():
        after = process.get("ready_after_s")
        typer.echo(
            f"{name:9} {'up' if process['alive'] else 'DOWN':6} {process['pid']:>8}  "
            f"{f'{after:.1f} s' if after is not None else '':>11}  {process.get('cpu', ''):>9}  "
            f"{process.get('memory_bytes', 0) / 2**20:>4.0f} MiB"
        )
    for name, why in body.get("failed", {}).items():
        typer.echo(f"{name:9} NOT THERE: {why}")
    service = body["service"]
    if service is None:
        typer.echo(f"service   {body.get('service_error')}")
        return
    typer.echo(f"engine    {service['state']} {service['detail']}".rstrip())
    if service.get("model") not in (None, "ready"):
        typer.echo(f"model     {service['model']} {service.get('model_detail') or ''}".rstrip())
    stream = service.get("stream") or {}
    if stream.get("state"):
        typer.echo(f"stream    {stream['state']} {stream.get('detail') or ''}".rstrip())
    for fault, why in (stream.get("faults") or {}).items():
        typer.echo(f"  FAULT {fault}: {why}")
    for name, value in stream.items():
        if name not in ("state", "detail", "faults"):
            typer.echo(f"  {name}: {value}")
    if body.get("ui_url"):
        typer.echo(f"page      {body['ui_url']}")
