"""`nlq token`: API tokens and the roles of people."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_common import broken, read_settings

if TYPE_CHECKING:
    from app.access import Access

token = typer.Typer(no_args_is_help=True)
UserId = Annotated[str, typer.Option("--user", help="Name of the person or program.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="Role of the catalogue; repeatable, first is usual.")]


@token.command()
def new(
    user: UserId,
    role: Roles = None,
    desk: Annotated[str | None, typer.Option(help="Desk of a supervisor.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[int, typer.Option(help="Days until it ends.", min=1, max=366)] = 90,
) -> None:
    """Make an API token. It is shown once and stored only as a hash. --role gives the person roles first."""
    from app.access import AccessDenied

    access = _access()
    if role:
        _grant(access, user, role, desk)
    try:
        typer.echo(access.new_token(user, name=name, lives=timedelta(days=days)))
    except AccessDenied as error:
        raise broken(str(error)) from None
    typer.echo(f"for {user}, ends in {days} days; it is not shown again", err=True)


@token.command()
def revoke(token_id: Annotated[str, typer.Argument(help="Its id (`nlq token list`) or its whole text.")]) -> None:
    """End a token at once."""
    if not _access().revoke(token_id):
        raise broken(f"no token {token_id[:12]!r} is in force; `nlq token list` shows them")
    typer.echo("revoked")


@token.command("list")
def list_tokens() -> None:
    """Show tokens; secrets are not kept and cannot be shown."""
    for one in _access().tokens():
        state = f"revoked {one.revoked:%Y-%m-%d}" if one.revoked else f"until {one.expires:%Y-%m-%d}"
        typer.echo(f"{one.id}  {one.user_id:20}  {state:20}  {one.name}")


@token.command()
def role(
    user: Annotated[str, typer.Argument(help="Name of the person.")],
    give: Annotated[list[str] | None, typer.Option(help="Role of the catalogue; repeatable.")] = None,
    desk: Annotated[str | None, typer.Option(help="Desk of a supervisor.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take all rights away, at the next request.")] = False,
) -> None:
    """Set which roles a person has; these go before what a sign-in provider claims."""
    access = _access()
    if none:
        from app.access import Person

        access.set_person(Person(user_id=user, roles=(), desk=None), active=False)
        typer.echo(f"{user} has no rights any more")
    elif give:
        _grant(access, user, give, desk)
        typer.echo(f"{user}: {', '.join(give)}")
    else:
        person = access.person(user)
        typer.echo(f"{user}: {', '.join(person.roles) if person else 'no rights'}")


def _grant(access: Access, user: str, roles: list[str], desk: str | None) -> None:
    from app.access import Person
    from streaming.catalogue import Catalogue

    known = Catalogue.load().roles
    if unknown := [name for name in roles if name not in known]:
        raise broken(f"no role {', '.join(unknown)}; there are {', '.join(known)}", 2)
    if any(known[name].row_filter and "user.desk" in str(known[name].row_filter) for name in roles) and not desk:
        raise broken("this role sees one desk only: name it with --desk", 2)
    access.set_person(Person(user_id=user, roles=tuple(roles), desk=desk))


def _access() -> Access:
    from app.access import Access

    return Access(read_settings().data / "access")
