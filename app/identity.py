"""From a bearer token to a person: API tokens of our own, or ID tokens of the OpenID Connect provider."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.access import TOKEN_PREFIX, Access, AccessDenied, Person
from nlq.contracts import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.settings import Oidc
    from streaming.catalogue import Catalogue

LOCAL_USER = "local"
"""Who asks from this machine's own command line; no sign-in may take that name."""
KEYS_TTL_S = 600.0
"""How long the provider's keys are kept; an unknown key id fetches them anew, at most every 10 s."""
LONGEST_SESSION_S = 8 * 3600
LEEWAY_S = 30
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")


class Identities:
    """Knows who a request comes from. Rights are looked up at every request, never kept from sign-in."""

    def __init__(self, access: Access, oidc: Oidc | None, fetch: Callable[[str], Any] | None = None) -> None:
        self._access = access
        self._oidc = oidc
        self._fetch = fetch or _get_json
        self._keys: tuple[float, Any] | None = None
        self._lock = threading.Lock()

    def person(self, authorization: str | None) -> Person:
        """Who the `Authorization` header names.

        Raises:
            AccessDenied: nobody.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AccessDenied("Sign in, or send an API token (`nlq token new`).")
        if token.startswith(TOKEN_PREFIX):
            return self._access.owner(token)
        if self._oidc is None or token.count(".") != 2:
            raise AccessDenied("This token opens nothing here.")
        return self._from_claims(self._claims(token), self._oidc)

    def _from_claims(self, claims: dict[str, Any], oidc: Oidc) -> Person:
        user_id = _user_id(claims, oidc)
        # Rights given here go before the provider's: an administrator can narrow them at once.
        if (known := self._access.person(user_id)) is not None:
            return replace(known, development=oidc.development)
        listed = claims.get(oidc.roles_claim) or ()
        roles = (listed,) if isinstance(listed, str) else tuple(str(role) for role in listed)
        desk = claims.get(oidc.desk_claim)
        return Person(user_id=user_id, roles=roles, desk=str(desk) if desk else None, development=oidc.development)

    def _claims(self, token: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        assert self._oidc is not None
        for fresh in (False, True):
            try:
                decoded = jwt.decode(token, self._key_set(fresh=fresh), algorithms=list(ALGORITHMS))
                break
            except (JoseError, ValueError) as error:
                if fresh:
                    raise AccessDenied("This sign-in is not valid here; sign in again.") from error
        claims, now = dict(decoded.claims), time.time()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        sound = (
            claims.get("iss") == self._oidc.issuer
            and self._oidc.client_id in audiences
            and bool(claims.get("sub"))
            and _number(claims.get("exp")) > now - LEEWAY_S
            and _number(claims.get("nbf", 0)) <= now + LEEWAY_S
            and now - LONGEST_SESSION_S < _number(claims.get("iat")) <= now + LEEWAY_S
        )
        if not sound:
            raise AccessDenied("This sign-in is not valid any more; sign in again.")
        return claims

    def _key_set(self, *, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        assert self._oidc is not None
        with self._lock:
            age = time.monotonic() - self._keys[0] if self._keys else KEYS_TTL_S
            if self._keys is None or age >= KEYS_TTL_S or (fresh and age > 10):
                try:
                    about = self._fetch(f"{self._oidc.issuer}/.well-known/openid-configuration")
                    keys = KeySet.import_key_set(self._fetch(about["jwks_uri"]))
                except (OSError, KeyError, ValueError) as error:
                    raise AccessDenied(f"The sign-in provider {self._oidc.issuer} cannot be reached.") from error
                self._keys = (time.monotonic(), keys)
            return self._keys[1]


def _user_id(claims: dict[str, Any], oidc: Oidc) -> str:
    """What a person is called here.

    Many providers let people write any address or name into their own profile, and rights are looked up by this name:
    an e-mail address counts when the provider says that it checked it, any other claim when an administrator named it.

    Raises:
        AccessDenied: the claim that was named is not there, or the name is no name.
    """
    if oidc.user_claim:
        name = str(claims.get(oidc.user_claim) or "")
    else:
        name = str(claims["email"] if claims.get("email") and claims.get("email_verified") is True else claims["sub"])
    if not name or len(name) > 256 or not name.isprintable() or name == LOCAL_USER:
        raise AccessDenied("This sign-in names nobody who can be known here.")
    return name


def principal_for(
    person: Person,
    catalogue: Catalogue,
    *,
    role: str | None = None,
    desk: str | None = None,
    purpose: str | None = None,
) -> Principal:
    """The rights to ask with: one of the person's roles that the catalogue knows.

    Raises:
        AccessDenied: none, or not the one asked for.
    """
    possible = tuple(name for name in person.roles if name in catalogue.roles)
    if role is not None and role not in possible:
        raise AccessDenied(f"You do not have the role {role!r}." if role in catalogue.roles else "No such role.")
    if not possible:
        raise AccessDenied(f"{person.user_id} has no role here; an administrator can give one.")
    if desk is not None and desk != person.desk and not person.development:
        raise AccessDenied(f"You do not belong to the desk {desk!r}.")
    return Principal(user_id=person.user_id, role=role or possible[0], desk=desk or person.desk, purpose=purpose)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _get_json(url: str) -> Any:
    import httpx

    try:
        response = httpx.get(url, timeout=5.0, follow_redirects=False)
    except httpx.HTTPError as error:
        raise OSError(f"{url}: {error}") from error
    if response.status_code != 200:
        raise ValueError(f"{url} answered {response.status_code}")
    return response.json()
