"""`nlq audit`: the tamper-evident record of questions."""

from __future__ import annotations

import getpass
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_common import broken, client, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nlq.record import Record
    from nlq.record.retention import Erasure

audit = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Reason = Annotated[str, typer.Option(help="Why; goes on the record, so name no person here.")]


@audit.command()
def verify(
    path: Annotated[Path | None, typer.Option(help="An export, or another record.", exists=True)] = None,
    seals: Annotated[Path | None, typer.Option(help="Directory of the seals, if elsewhere.", exists=True)] = None,
    key: Annotated[str | None, typer.Option(help="Fingerprint of the sealing key that you wrote down.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find any change, removal, insertion, reordering or cut tail. Exit code 0 intact, 1 not."""
    from nlq.record.verify import verify as check

    settings = read_settings()
    directory = path or settings.record_dir
    if not directory.exists():
        raise broken(f"there is no record in {directory}; it begins with the first question")
    where = seals or (settings.record.checkpoints if path is None else None)
    report = check(directory, where, expected_key=key or settings.record_key)
    if as_json:
        findings = [{"place": f.place, "what": f.what} for f in report.findings]
        body = {"intact": report.intact, "entries": report.entries, "checkpoints": report.checkpoints}
        typer.echo(json.dumps({**body, "head": report.head, "key": report.key, "findings": findings}))
    else:
        typer.echo(f"{report.entries} entries, {report.checkpoints} kept checkpoints, head {report.head[:16]}")
        typer.echo(f"sealing key {report.key}")
        for finding in report.findings:
            typer.echo(f"  {finding.place}: {finding.what}")
        typer.echo("intact" if report.intact else "NOT INTACT")
    raise typer.Exit(0 if report.intact else 1)


@audit.command()
def replay(
    query_id: Annotated[str, typer.Argument(help="Id of an answer, as shown with it.")],
    catalogue: Annotated[Path | None, typer.Option(help="Directory that it was asked of.", exists=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Run an old answer again on the old versions and compare the result's hash. Exit code 0 same, 1 not."""
    from dataclasses import asdict, replace

    from app.worlds import directory_parts
    from nlq.client import ServiceError
    from nlq.record import RecordError

    if catalogue is not None:
        from nlq.audit import Replay, unrepeatable
        from nlq.audit import replay as run

        with _record() as record:  # told at once, before anything is opened
            why = unrepeatable(_entry(record, query_id))
        parts = directory_parts(replace(read_settings(), llm=None), catalogue) if why is None else None
        try:
            body = asdict(
                Replay(query_id=query_id, same=False, reason=why or "") if parts is None else run(parts, query_id)
            )
        except RecordError as error:
            raise broken(str(error)) from None
        finally:
            if parts is not None:
                parts.close()
                parts.record.close()
    else:
        try:
            with client(role="auditor") as service:
                body = service.replay(query_id)
        except ServiceError as error:
            raise broken(str(error)) from None
    typer.echo(json.dumps(body) if as_json else f"{'same' if body['same'] else 'NOT the same'}: {body['reason']}")
    raise typer.Exit(0 if body["same"] else 1)


@audit.command("list")
def list_questions(
    person: Annotated[str | None, typer.Option(help="Only what this person asked.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those that ended so, such as ANSWERED.")] = None,
    since: Annotated[str | None, typer.Option(help="Only those asked at this time (ISO, UTC) or later.")] = None,
    last: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """The questions on record, newest last, with the ids that the other commands take."""
    from nlq.record.redact import redact

    with _record() as record:
        rows = record.rows().to_pylist()
    chosen = [
        row
        for row in rows
        if (person is None or row["user_id"] == person)
        and (status is None or (row["status"] or "").upper() == status.upper())
        and (since is None or row["asked_ts"].isoformat() >= since)
    ][-last:]
    for row in chosen:
        if as_json:
            typer.echo(json.dumps(row, default=str, ensure_ascii=False))
        else:
            who = f"{row['user_id'] or '(erased)'} as {row['role']}"
            question = redact(" ".join((row["question"] or "(erased)").split()))
            typer.echo(f"{row['query_id']}  {row['status'] or 'RUNNING':12}  {who:28}  {question[:80]}")
    if not chosen and not as_json:
        typer.echo("no question on record is like that")


@audit.command()
def show(query_id: Annotated[str, typer.Argument(help="Id of a question, as `nlq audit list` shows it.")]) -> None:
    """Everything on record about one question, as JSON; the personal parts as long as they are not erased."""
    with _record() as record:
        typer.echo(json.dumps(_entry(record, query_id), indent=2, default=str, ensure_ascii=False))


@audit.command()
def export(
    target: Annotated[Path, typer.Argument(help="Folder to make.")],
    plain: Annotated[bool, typer.Option("--plain", help="Also the questions in plain text.")] = False,
) -> None:
    """Copy the record with its seals, for somebody else to verify."""
    from nlq.record.export import export as write

    with _record() as record:
        try:
            write(record, target, plain_text=plain)
        except FileExistsError:
            raise broken(f"{target} exists already; name a new folder", 2) from None
    typer.echo(f"written to {target}; verify with: nlq audit verify --path {target}")


@audit.command()
def seal() -> None:
    """Sign a checkpoint now. Keep what is printed elsewhere: it proves the record up to here."""
    with _record() as record:
        typer.echo(json.dumps(record.seal()))
        typer.echo(f"sealing key {record.sealer.fingerprint}", err=True)


@audit.command()
def erase(
    reason: Reason,
    person: Annotated[str | None, typer.Option(help="Everything that a person asked.")] = None,
    question: Annotated[str | None, typer.Option(help="One question, by its id.")] = None,
) -> None:
    """Erase personal data: the keys of the encrypted parts are destroyed, the chain stays whole."""
    from nlq.record import RecordError
    from nlq.record.retention import erase_person, erase_question

    if (person is None) == (question is None):
        raise broken("say either --person or --question", 2)
    with _record() as record:
        try:
            if person is not None:
                done = erase_person(record, person, by=getpass.getuser(), reason=reason)
            else:
                done = erase_question(record, str(question), by=getpass.getuser(), reason=reason)
        except RecordError as error:
            raise broken(str(error)) from None
    if not (done.erased or done.kept_by_retention or done.kept_by_hold):
        typer.echo(f"nothing is on record, or everything is erased already, of {person or question}")
    _tell(done)


@audit.command()
def retention() -> None:
    """Erase the personal parts of questions older than NLQ_RECORD_SHRED_DAYS, but for those under legal hold."""
    from nlq.record.retention import apply_retention

    with _record() as record:
        _tell(apply_retention(record))


@audit.command()
def hold(
    person: Annotated[str | None, typer.Option(help="Keep everything that a person asked.")] = None,
    question: Annotated[str | None, typer.Option(help="Keep one question, by its id.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Keep everything.")] = False,
    lift: Annotated[str | None, typer.Option(help="End a hold, by its id.")] = None,
    reason: Reason = "",
) -> None:
    """Place a legal hold, lift one, or (without options) list those in force."""
    from nlq.record import RecordError
    from nlq.record.retention import lift_hold, place_hold

    with _record() as record:
        if lift is not None:
            if not lift_hold(record, lift, by=getpass.getuser()):
                raise broken(f"no hold {lift!r} is in force")
            typer.echo("lifted")
        elif person or question or everything:
            if not reason:
                raise broken("a hold needs a --reason", 2)
            by = getpass.getuser()
            try:
                if person:
                    placed = place_hold(record, "person", person, by=by, reason=reason)
                elif question:
                    placed = place_hold(record, "query", question, by=by, reason=reason)
                else:
                    placed = place_hold(record, "all", "", by=by, reason=reason)
            except RecordError as error:
                raise broken(str(error)) from None
            covered = len(record.keys.held(record.query_ids()))
            typer.echo(f"{placed.id}  in force; questions under hold now: {covered}")
        else:
            if not record.keys.holds():
                typer.echo("no hold is in force")
            for one in record.keys.holds():
                typer.echo(f"{one.id}  {one.scope:7}  {one.value:24}  {one.at[:10]}  {one.placed_by}: {one.reason}")


@contextmanager
def _record() -> Iterator[Record]:
    from nlq.record import Record, RecordUnavailable

    settings = read_settings()
    if not settings.record_dir.exists():
        raise broken(f"there is no record in {settings.record_dir}; it begins with the first question")
    try:
        record = Record.open(settings.record_dir, settings.record)
        try:
            yield record
        finally:
            record.close()
    except RecordUnavailable as error:
        raise broken(str(error)) from None


def _entry(record: Record, query_id: str) -> dict[str, Any]:
    from nlq.record import RecordError

    try:
        return record.entry(query_id)
    except RecordError as error:
        raise broken(f"{error}; `nlq audit list` shows the ids") from None


def _tell(done: Erasure) -> None:
    typer.echo(
        f"{len(done.erased)} erased, {len(done.kept_by_retention)} kept by retention, {len(done.kept_by_hold)} by hold"
    )
