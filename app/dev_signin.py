"""DEVELOPMENT ONLY: an OpenID Connect provider in which anyone may be anyone, so that sign-in works out of the box.

It is mounted only when no real provider is set, answers only to this machine, and says so on its page. It speaks the
same protocol as a real one, so that nothing else in the system knows the difference: discovery, authorization code
with PKCE, token, keys.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from app.identity import LOCAL_USER
from app.settings import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from app.settings import Oidc
    from streaming.catalogue import Catalogue

SESSION_S = 8 * 3600
CODE_S = 60
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Development sign-in</title><style>
body{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1c2733;display:grid;place-items:center;
min-height:100vh;margin:0}
form{background:#fff;border:1px solid #dfe3e8;border-radius:8px;padding:2rem;width:26rem}
h1{font-size:1.15rem;margin:0 0 1rem}p{margin:0 0 1rem;color:#8a4b08;background:#fff6e9;border-radius:4px;
padding:.5rem .75rem;font-size:.875rem}
label{display:block;margin:.75rem 0 .25rem;font-size:.875rem}
input,select{width:100%;box-sizing:border-box;padding:.5rem;font:inherit;border:1px solid #c4cbd3;border-radius:4px}
button{margin-top:1.25rem;width:100%;padding:.6rem;font:inherit;border:0;border-radius:4px;background:#1f4e79;
color:#fff;cursor:pointer}small{color:#5b6773}
</style></head><body><form method="post"><h1>Sign in to trade surveillance</h1>
<p>Development sign-in: nobody checks who you are. Only this machine can reach it.</p>
<label for="user">Name</label><input id="user" name="user" value="dev.officer" maxlength="64" required>
<label for="role">Role</label><select id="role" name="role">ROLES</select>
<label for="desk">Desk <small>(for a supervisor)</small></label><input id="desk" name="desk" maxlength="64">
<button type="submit">Sign in</button></form></body></html>"""


@dataclass(frozen=True, kw_only=True)
class _Grant:
    claims: dict[str, Any]
    redirect_uri: str
    challenge: str | None
    expires: float


def development_provider(oidc: Oidc, catalogue: Catalogue, key_file: Path, redirect_uris: tuple[str, ...]) -> APIRouter:
    """Routes of the provider; `key_file` keeps its signing key, so that a restart signs nobody out."""
    router = APIRouter(prefix="/dev-signin", include_in_schema=False)
    key = _signing_key(key_file)
    grants: dict[str, _Grant] = {}

    @router.get("/.well-known/openid-configuration")
    def discovery(request: Request) -> dict[str, Any]:
        _only_this_machine(request)
        base = oidc.issuer
        return {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email", "profile"],
        }

    @router.get("/keys")
    def keys(request: Request) -> dict[str, Any]:
        _only_this_machine(request)
        return {"keys": [key.as_dict(private=False)]}

    @router.get("/authorize", response_class=HTMLResponse)
    def page(request: Request) -> str:
        _checked_request(request, oidc, redirect_uris)
        roles = "".join(
            f'<option value="{html.escape(role.name)}">{html.escape(role.name)}: {html.escape(role.meaning)}</option>'
            for role in catalogue.roles.values()
        )
        return PAGE.replace("ROLES", roles)

    @router.post("/authorize")
    async def choose(request: Request) -> RedirectResponse:
        asked = _checked_request(request, oidc, redirect_uris)
        form = parse_qs((await request.body())[:4096].decode("utf-8", "replace"))
        user, role = form.get("user", [""])[0].strip()[:64], form.get("role", [""])[0]
        if not user or user == LOCAL_USER or role not in catalogue.roles:
            raise HTTPException(400, "Name and role are needed.")
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": user,
            "preferred_username": user,
            "name": user,
            "roles": [role],
            "iss": oidc.issuer,
        }
        claims |= {"aud": oidc.client_id, "iat": now, "exp": now + SESSION_S}
        if desk := form.get("desk", [""])[0].strip()[:64]:
            claims["desk"] = desk
        if nonce := asked.get("nonce"):
            claims["nonce"] = nonce
        code = secrets.token_urlsafe(24)
        _forget_old(grants)
        grants[code] = _Grant(
            claims=claims,
            redirect_uri=asked["redirect_uri"],
            challenge=asked.get("code_challenge"),
            expires=time.monotonic() + CODE_S,
        )
        back = urlencode({"code": code, **({"state": asked["state"]} if "state" in asked else {})})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", status_code=303)

    @router.post("/token")
    async def token(request: Request) -> JSONResponse:
        _only_this_machine(request)
        form = {k: v[0] for k, v in parse_qs((await request.body())[:8192].decode("utf-8", "replace")).items()}
        grant = grants.pop(form.get("code", ""), None)
        if (
            grant is None
            or grant.expires < time.monotonic()
            or form.get("redirect_uri") != grant.redirect_uri
            or (grant.challenge and grant.challenge != _challenge(form.get("code_verifier", "")))
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        signed = jwt.encode({"alg": "RS256", "kid": key.kid}, grant.claims, key)
        body = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": SESSION_S}
        return JSONResponse({**body, "id_token": signed})

    return router


def _checked_request(request: Request, oidc: Oidc, redirect_uris: tuple[str, ...]) -> dict[str, str]:
    _only_this_machine(request)
    asked = dict(request.query_params)
    if asked.get("client_id") != oidc.client_id or asked.get("redirect_uri") not in redirect_uris:
        raise HTTPException(400, "Unknown client or address to come back to.")
    return asked


def _only_this_machine(request: Request) -> None:
    """Loopback peer and loopback host name: a page elsewhere cannot reach us through a name that it controls."""
    peer = request.client.host if request.client else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if (peer not in LOOPBACK and peer != "testclient") or host not in LOOPBACK:
        raise HTTPException(403, "The development sign-in answers only to this machine.")


def _forget_old(grants: dict[str, _Grant]) -> None:
    for code in [code for code, grant in grants.items() if grant.expires < time.monotonic()]:
        del grants[code]


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _signing_key(path: Path) -> RSAKey:
    from nlq.record.seal import write_new

    if not path.exists():
        made = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new(path, json.dumps(made.as_dict(private=True)).encode())
    return RSAKey.import_key(json.loads(path.read_bytes()))
