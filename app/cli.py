"""The `nlq` command. Heavy libraries are imported by the command that needs them: `nlq check` takes no Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_audit import audit
from app.cli_common import ANSWER_CODES, REFUSED, broken, client, read_settings
from app.cli_token import token

if TYPE_CHECKING:
    from nlq.contracts import Answer

app = typer.Typer(
    name="nlq",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Ask trade-surveillance questions in plain English over live market data.\n\nStart everything with `nlq up`, "
    "then ask on the chat page or with `nlq ask`. Settings are NLQ_* environment variables (docs/operating.md).",
)
app.add_typer(audit, name="audit", help="The tamper-evident record of questions: verify, replay, export, seal, erase.")
app.add_typer(token, name="token", help="API tokens and the roles of people.")

Catalogue = Annotated[
    Path | None,
    typer.Option(help="Directory with catalogue.yaml and one Parquet, CSV or Delta table per view.", exists=True),
]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Ask of the world as it stood then: ISO 8601 with zone.")]
RoleName = Annotated[str | None, typer.Option("--role", help="Role of the catalogue to ask in.")]
Desk = Annotated[str | None, typer.Option("--user-desk", help="Desk of a supervisor.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="Plain English.")],
    catalogue: Catalogue = None,
    as_of: AsOf = None,
    role: RoleName = None,
    user_desk: Desk = None,
    as_json: AsJson = False,
    rows: Annotated[int, typer.Option(help="Rows to show.", min=1)] = 40,
) -> None:
    """Ask one question: of the running service, or with --catalogue of a directory, in process.

    Exit codes: 0 answered, 3 asked back, 4 the data is not there, 5 refused, 1 failed, 2 wrong usage.
    """
    instant = _instant(as_of)
    if catalogue is not None:
        answer = _ask_directory(question, catalogue, instant, role, user_desk, quiet=as_json)
    else:
        from nlq.client import ServiceError

        with client(role, user_desk) as service:
            try:
                answer = service.ask(question, as_of=instant, progress=lambda stage: _tell(stage, quiet=as_json))
            except ServiceError as error:
                raise broken(str(error)) from None
    if as_json:
        from nlq.wire import answer_to

        table = answer.table.to_pylist() if answer.table is not None else None
        typer.echo(json.dumps({**answer_to(answer), "rows": table}, default=str, ensure_ascii=False))
    else:
        from app.cli_show import show_answer

        show_answer(answer, rows)
    raise typer.Exit(ANSWER_CODES[answer.status.value])


@app.command()
def check(
    sql: Annotated[str | None, typer.Argument(help="One statement; - reads standard input.")] = None,
    catalogue: Catalogue = None,
    role: RoleName = None,
    user_desk: Desk = None,
    as_of: AsOf = None,
    file: Annotated[
        Path | None, typer.Option(help='JSON lines {"statement": …, "role"?, "user_desk"?}.', exists=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether SQL may run for a role, by which rule, and what would run. Runs nothing.

    Exit codes: 0 allowed (or a file was judged), 5 refused, 2 wrong usage.
    """
    from nlq.contracts import Principal
    from nlq.guard import check as guard
    from nlq.guard import check_file
    from streaming.catalogue import Catalogue as Cat
    from streaming.catalogue import CatalogueError

    try:
        world = Cat.load(catalogue)
    except CatalogueError as error:
        raise broken(str(error)) from None
    user = Principal(user_id="local", role=role or "officer", desk=user_desk)
    instant = _instant(as_of)
    if file is not None:
        refused = 0
        for row in check_file(file, world, user, instant):
            refused += not row["allowed"]
            typer.echo(json.dumps(row, default=str, ensure_ascii=False) if as_json else _verdict_line(row))
        typer.echo(f"{refused} refused", err=True)
        return
    statement = sys.stdin.read() if sql == "-" else sql
    if not statement:
        raise broken("Give a statement, - for standard input, or --file STATEMENTS.jsonl.", 2)
    verdict = guard(statement, world, user, instant or datetime.now(UTC).replace(microsecond=0))
    body = {"statement": statement, "allowed": verdict.allowed, "rule": verdict.rule, "message": verdict.message}
    body |= {"sql": verdict.sql, "views": list(verdict.views), "columns": list(verdict.columns)}
    if as_json:
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        typer.echo(f"allowed for {user.role}" if verdict.allowed else f"refused: {verdict.rule}. {verdict.message}")
        if verdict.sql:
            typer.echo(verdict.sql)
    raise typer.Exit(0 if verdict.allowed else REFUSED)


@app.command()
def up(
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Without the chat page.")] = False,
    bootstrap: Annotated[
        str | None, typer.Option(help="host:port of your own Kafka, in place of the embedded broker.")
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option(help="Serve a catalogue directory, without Kafka.", exists=True)
    ] = None,
    no_feed: Annotated[bool, typer.Option("--no-feed", help="Without the simulator.")] = False,
) -> None:
    """Start everything: broker, model, feed, service, chat page. Ctrl-C ends everything."""
    from dataclasses import replace

    from app.run_state import AlreadyRunning
    from app.supervisor import CannotStart, Supervisor, with_bootstrap

    settings = read_settings()
    if bootstrap:
        settings = with_bootstrap(settings, bootstrap)
    if no_feed or (settings.kafka is not None and "NLQ_FEED" not in os.environ):
        # Nobody wants simulated orders in their own cluster unless they say so.
        settings = replace(settings, feed="none")
    try:
        code = Supervisor(settings, with_ui=not no_ui, catalogue=catalogue, say=typer.echo).run()
    except (CannotStart, AlreadyRunning) as error:
        raise broken(str(error)) from None
    raise typer.Exit(code)


@app.command()
def down() -> None:
    """End what `nlq up` started, also when its terminal is gone."""
    from app.run_state import stop_running

    settings = read_settings()
    if stop_running(settings.data):
        typer.echo("ended, no process left")
    else:
        typer.echo(f"nothing runs over {settings.data}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show processes, addresses, freshness and lag. Exit code 0 when questions are answered, 1 otherwise."""
    from app.cli_show import show_status
    from app.run_state import RunState, costs
    from nlq.client import ServiceError

    settings = read_settings()
    state = RunState.load(settings.data)
    body: dict[str, Any] = {"running": bool(state and state.supervisor.alive), "service": None, "processes": {}}
    if state is not None:
        body |= {"bootstrap": state.bootstrap, "url": state.url, "ui_url": state.ui_url, "failed": state.failed}
        used = costs(state.children)
        body["processes"] = {
            name: {
                "pid": process.pid,
                "alive": process.alive,
                "ready_after_s": state.ready_after.get(name),
                "cpu": used.get(name, ("", 0))[0],
                "memory_bytes": used.get(name, ("", 0))[1],
            }
            for name, process in state.children.items()
        }
    try:
        with client() as service:
            body["service"] = service.status()
    except (ServiceError, typer.Exit) as error:
        body["service_error"] = str(error) or "no token"
    if as_json:
        typer.echo(json.dumps(body, default=str))
    else:
        show_status(body, settings)
    raise typer.Exit(0 if body["service"] and body["service"].get("state") == "ready" else 1)


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="Recorded order-level files: LOBSTER CSV or a Bitstamp log.")],
    speed: Annotated[str, typer.Option(help="Times real time, or max.")] = "1",
) -> None:
    """Play a recording into the running system's broker, as if it happened now."""
    if not path.exists():
        raise broken(
            f"{path} does not exist. Give a folder or file in LOBSTER or Bitstamp format (docs/sources.md).", 2
        )
    raise typer.Exit(_feed("replay", str(path), "--speed", speed))


@app.command()
def live() -> None:
    """Follow Bitstamp's public order feed into the running system's broker. Needs internet, no key."""
    raise typer.Exit(_feed("live"))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def learn(context: typer.Context) -> None:
    """Train the learnt parser for your own catalogue; `nlq learn --help` lists its steps."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "nlq.learn", *context.args]))


def main() -> None:
    """Entry point of the `nlq` command."""
    app()


def _ask_directory(
    question: str, catalogue: Path, as_of: datetime | None, role: str | None, desk: str | None, *, quiet: bool
) -> Answer:
    from app.worlds import directory_parts
    from nlq.contracts import Principal
    from nlq.engine import Engine
    from nlq.record import RecordUnavailable
    from streaming.catalogue import CatalogueError

    settings = read_settings()
    _tell("start Spark", quiet=quiet)
    try:
        parts = directory_parts(settings, catalogue, as_of)
    except (CatalogueError, RecordUnavailable) as error:
        raise broken(str(error)) from None
    engine = Engine(parts)
    try:
        user = Principal(user_id=os.environ.get("USER") or "local", role=role or "officer", desk=desk)
        return engine.ask(question, user=user, as_of=as_of, progress=lambda stage: _tell(stage, quiet=quiet))
    except RecordUnavailable as error:
        raise broken(str(error)) from None
    finally:
        engine.close()
        parts.record.close()


def _feed(*arguments: str) -> int:
    from app.run_state import RunState

    settings = read_settings()
    state = RunState.load(settings.data)
    env = dict(os.environ)
    if settings.kafka is None:
        if state is None or not state.supervisor.alive or not state.bootstrap:
            raise broken("No broker runs here. Start everything with `nlq up`, or name yours in NLQ_KAFKA_BOOTSTRAP.")
        env["NLQ_KAFKA_BOOTSTRAP"] = state.bootstrap
    return subprocess.call([sys.executable, "-m", "streaming.sources", *arguments], env=env)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise broken(f"--as-of {text!r} is not ISO 8601, such as 2026-11-09T15:30:00+00:00.", 2) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _tell(stage: str, *, quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{stage} …")
        sys.stderr.flush()


def _verdict_line(row: dict[str, Any]) -> str:
    head = f"{row.get('id')}\t{'allowed' if row['allowed'] else 'refused: ' + str(row['rule'])}"
    return f"{head}\t{row.get('sql') or row.get('message') or ''}"


if __name__ == "__main__":
    main()
