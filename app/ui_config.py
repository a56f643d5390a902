"""How the chat page is started: its command line and its sign-in secrets."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nlq.record.seal import replace, write_new

if TYPE_CHECKING:
    from app.settings import Settings

PAGE = Path(__file__).with_name("ui") / "main.py"
THEME = {
    "base": "light",
    "primaryColor": "#1f4e79",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f6f8fa",
    "textColor": "#0b1726",  # captions are drawn at 60 % of it, which must still be readable on grey
    "orangeTextColor": "#8a4b08",
    "redTextColor": "#a32020",
    "greenTextColor": "#17633a",
    "blueTextColor": "#1f4e79",
    "grayTextColor": "#4a5663",
    "borderColor": "#dfe3e8",
    "showWidgetBorder": "true",
    "baseRadius": "6px",
    "font": "sans-serif",
    "baseFontSize": "15",
}


def page_command(settings: Settings) -> list[str]:
    """The command that serves the chat page."""
    options = {
        "server.address": "127.0.0.1" if settings.on_loopback else settings.host,
        "server.port": str(settings.ui_port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": "true",
        "server.maxUploadSize": "1",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "secrets.files": str(secrets_file(settings)),
        **{f"theme.{name}": value for name, value in THEME.items()},
    }
    if settings.tls_certificate is not None:
        options |= {"server.sslCertFile": str(settings.tls_certificate), "server.sslKeyFile": str(settings.tls_key)}
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *flags]


def secrets_file(settings: Settings) -> Path:
    """Where Streamlit reads its secrets."""
    return settings.data / "access" / "page.toml"


def write_secrets(settings: Settings) -> Path:
    """Write the sign-in settings for Streamlit; the cookie key is made once, so that a restart signs nobody out."""
    path = secrets_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    cookie = path.with_name("cookie.key")
    if not cookie.exists():
        write_new(cookie, secrets.token_urlsafe(48).encode())
    lines = []
    if (oidc := settings.oidc) is not None:
        auth = {
            "redirect_uri": f"{settings.public_url}/oauth2callback",
            "cookie_secret": cookie.read_text(encoding="ascii"),
            "client_id": oidc.client_id,
            "client_secret": oidc.client_secret or "none",
            "server_metadata_url": f"{oidc.issuer}/.well-known/openid-configuration",
            "expose_tokens": "id",
        }
        lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in auth.items())]
    replace(path, ("\n".join(lines) + "\n").encode())
    return path
