"""What the commands share: settings, client, exit codes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.settings import Settings
    from nlq.client import Client

REFUSED = 5
ANSWER_CODES = {"ANSWERED": 0, "FAILED": 1, "CLARIFY": 3, "UNANSWERABLE": 4, "REFUSED": REFUSED}


def broken(message: str, code: int = 1) -> typer.Exit:
    """Print what is wrong and give the exit to raise."""
    typer.echo(f"nlq: {message}", err=True)
    return typer.Exit(code)


def read_settings() -> Settings:
    """Settings of the environment; ends the command when they cannot be used."""
    from app.settings import Settings

    try:
        return Settings.from_environ(os.environ)
    except ValueError as error:
        raise broken(str(error), 2) from None


def client(role: str | None = None, desk: str | None = None) -> Client:
    """A client of the running service, with NLQ_TOKEN or the token of this machine."""
    from nlq.client import connect

    settings = read_settings()
    own = settings.data / "access" / "local.token"
    token = os.environ.get("NLQ_TOKEN") or (own.read_text().strip() if own.exists() else None)
    try:
        return connect(os.environ.get("NLQ_URL") or settings.url, token, role=role, desk=desk)
    except ValueError as error:
        raise broken(str(error), 2) from None
