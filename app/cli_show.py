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
    for name, process in body["processes"].items():
        typer.echo(f"{name:9} {'up' if process['alive'] else 'DOWN'}  (process {process['pid']})")
    for name, why in body.get("failed", {}).items():
        typer.echo(f"{name:9} GIVEN UP: {why}")
    service = body["service"]
    if service is None:
        typer.echo(f"service   {body.get('service_error')}")
        return
    typer.echo(f"engine    {service['state']} {service['detail']}".rstrip())
    for name, value in (service.get("stream") or {}).items():
        typer.echo(f"  {name}: {value}")
    if body.get("ui_url"):
        typer.echo(f"page      {body['ui_url']}")
