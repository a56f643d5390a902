"""Runs the service: `python -m app.serve [--catalogue DIR]`; `nlq up` starts it so. Owns the Spark process."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.access import Access, Person, RateLimit
from app.apply import entitlement, threshold
from app.apply_alert import closing
from app.apply_verified import verified_query
from app.changes import Changes
from app.dev_signin import development_provider
from app.identity import LOCAL_USER, Identities
from app.service import build_app
from app.settings import SettingError, Settings
from app.worlds import directory_world, live_world
from nlq.record.redact import RedactingFilter
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI


LOCAL_TOKEN = "local.token"  # noqa: S105 - a file name


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m app.serve", description=__doc__)
    parser.add_argument("--catalogue", type=Path, help="serve a catalogue directory instead of the live stream")
    chosen = parser.parse_args(arguments)
    try:
        settings = Settings.from_environ(os.environ)
    except (SettingError, ValueError) as error:
        print(f"nlq: {error}", file=sys.stderr)  # noqa: T201
        return 2
    quiet_logs()
    import uvicorn

    config = uvicorn.Config(
        service(settings, chosen.catalogue),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # paths and queries of requests are nobody's business
        server_header=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()
    return 0


def service(settings: Settings, directory: Path | None = None) -> FastAPI:
    """The service over the live stream, or over a catalogue directory."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    world = directory_world(settings, directory) if directory is not None else live_world(settings)
    access = Access(settings.data / "access")
    kinds = {
        "alert": closing(world),
        "entitlement": entitlement(access, world),
        "threshold": threshold(world, settings.kafka if directory is None else None),
        "verified_query": verified_query(world),
    }
    changes = Changes(settings.data / "access", kinds, world.record_event)
    limit = RateLimit(settings.questions_per_minute)
    app = build_app(world, Identities(access, settings.oidc), limit, changes)
    if settings.oidc is not None and settings.oidc.development:
        come_back = (f"{settings.public_url}/oauth2callback", f"http://127.0.0.1:{settings.ui_port}/oauth2callback")
        key = settings.data / "access" / "dev-signin.jwk"
        app.include_router(development_provider(settings.oidc, world.catalogue, key, come_back))
        local_token(access, settings.data, world.catalogue)
    else:
        end_local_token(access, settings.data)
    return app


def local_token(access: Access, data: Path, catalogue: Catalogue) -> Path:
    """A token for the person at this machine, readable by them alone; only where sign-in is the development one."""
    path = data / "access" / LOCAL_TOKEN
    # The development token may take every role; it is gone with NLQ_DEV_SIGNIN=0 or a real provider.
    access.set_person(Person(user_id=LOCAL_USER, roles=tuple(catalogue.roles)))
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(access.new_token(LOCAL_USER, name="this machine"))
    return path


def end_local_token(access: Access, data: Path) -> None:
    """End what an earlier start with the development sign-in left: it opens every role."""
    access.set_person(Person(user_id=LOCAL_USER, roles=()), active=False)
    for token in access.tokens():
        if token.user_id == LOCAL_USER and token.revoked is None:
            access.revoke(token.id)
    (data / "access" / LOCAL_TOKEN).unlink(missing_ok=True)


def quiet_logs(level: int = logging.INFO, filters: Callable[[], logging.Filter] = RedactingFilter) -> None:
    """Log to standard error with personal data and secrets masked."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(filters())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("py4j", "kafka", "httpx", "httpcore", "chromadb"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
