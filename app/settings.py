"""Every setting of a running system, read once from `NLQ_*` environment variables at an entry point."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlq.record import RecordSettings
from streaming.connection import KafkaConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class SettingError(ValueError):
    """A setting cannot be used; the message names the variable, its value and what is possible."""


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """An OpenID Connect provider."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    roles_claim: str = "roles"
    """Claim that lists roles of the catalogue."""
    desk_claim: str = "desk"
    user_claim: str | None = None
    """Claim that names the person; None is a verified `email`, else `sub`."""
    development: bool = False
    """The embedded provider, where anyone may say who they are; never beyond this machine."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a running system is told from outside."""

    data: Path
    """Everything that is kept: broker log, history, record, access, run state."""
    cache: Path
    host: str = "127.0.0.1"
    port: int = 8600
    """Of the service."""
    ui_port: int = 8601
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    public_url: str = "http://localhost:8601"
    """Address of the chat page as browsers see it; sign-in comes back to it."""
    kafka: KafkaConnection | None = None
    """None starts the embedded broker."""
    kafka_port: int = 29092
    llm: str | None = "embedded"
    """`embedded`, the address of an OpenAI-compatible endpoint, or None."""
    llm_token: str | None = field(default=None, repr=False)
    llm_model: str | None = None
    llm_ca_file: Path | None = None
    """PEM file of the authority that signed the endpoint's certificate; None trusts the public ones."""
    llm_threads: int = 1
    feed: Literal["simulator", "none"] = "simulator"
    feed_rate: float = 200.0
    """Events a second of the simulator."""
    record: RecordSettings = field(default_factory=RecordSettings)
    record_key: str | None = None
    """Fingerprint of the sealing key as written down; `nlq audit verify` compares."""
    oidc: Oidc | None = None
    """None where nobody can sign in to the page, and only API tokens open the service."""
    questions_per_minute: int = 30
    """Of one person."""
    purpose_views: frozenset[str] = frozenset()
    """Views that are read only with a case reference."""
    driver_memory: str = "3g"
    threshold: float | None = None
    """Confidence from which an answer is shown; None is the calibrated default."""

    @property
    def record_dir(self) -> Path:
        """Where the record of questions is kept."""
        return self.data / "record"

    @property
    def url(self) -> str:
        """Address of the service on this machine."""
        scheme = "https" if self.tls_certificate else "http"
        host = self.host if self.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
        return f"{scheme}://{host}:{self.port}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return self.host in LOOPBACK

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingError: a value is of the wrong form, or settings contradict each other.
        """
        read = _Reader(environ)
        data = read.path("NLQ_DATA") or Path.home() / ".local" / "share" / "nlq"
        settings = cls(
            data=data,
            cache=read.path("NLQ_CACHE") or Path.home() / ".cache" / "nlq",
            host=read.text("NLQ_HOST", "127.0.0.1"),
            port=read.number("NLQ_PORT", 8600),
            ui_port=read.number("NLQ_UI_PORT", 8601),
            tls_certificate=read.path("NLQ_TLS_CERT"),
            tls_key=read.path("NLQ_TLS_KEY"),
            public_url=read.text("NLQ_PUBLIC_URL", f"http://localhost:{read.number('NLQ_UI_PORT', 8601)}").rstrip("/"),
            kafka=KafkaConnection.from_environ(environ),
            kafka_port=read.number("NLQ_KAFKA_PORT", 29092),
            llm=_llm(read),
            llm_token=read.optional("NLQ_LLM_TOKEN"),
            llm_model=read.optional("NLQ_LLM_MODEL"),
            llm_ca_file=read.path("NLQ_LLM_CA_FILE"),
            llm_threads=read.number("NLQ_LLM_THREADS", 1),
            feed=_feed(read),
            feed_rate=read.decimal("NLQ_FEED_RATE", 200.0),
            record=_record(read),
            record_key=read.optional("NLQ_RECORD_KEY"),
            oidc=_oidc(read),
            questions_per_minute=read.number("NLQ_QUESTIONS_PER_MINUTE", 30),
            purpose_views=frozenset(read.text("NLQ_PURPOSE_VIEWS", "").replace(",", " ").split()),
            driver_memory=read.text("NLQ_DRIVER_MEMORY", "3g"),
            threshold=read.decimal("NLQ_THRESHOLD", -1.0) if read.optional("NLQ_THRESHOLD") else None,
        )
        settings._refuse_contradictions()
        return settings

    def _refuse_contradictions(self) -> None:
        if not self.on_loopback:
            if self.oidc is not None and self.oidc.development:
                raise SettingError(
                    f"NLQ_HOST={self.host} opens the service to other machines, but sign-in is the development "
                    "provider, where anyone may be anyone. Name your provider in NLQ_OIDC_ISSUER and "
                    "NLQ_OIDC_CLIENT_ID, or set NLQ_DEV_SIGNIN=0 for API tokens only."
                )
            if self.tls_certificate is None:
                raise SettingError(
                    f"NLQ_HOST={self.host} opens the service to other machines and needs NLQ_TLS_CERT and NLQ_TLS_KEY."
                )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError("NLQ_TLS_CERT and NLQ_TLS_KEY belong together; only one of them is set.")
        for name, path in (
            ("NLQ_TLS_CERT", self.tls_certificate),
            ("NLQ_TLS_KEY", self.tls_key),
            ("NLQ_LLM_CA_FILE", self.llm_ca_file),
        ):
            if path is not None and not path.is_file():
                raise SettingError(f"{name}={path} is not a file.")


class _Reader:
    """Typed look-ups with messages that name the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def optional(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def path(self, name: str) -> Path | None:
        value = self.optional(name)
        return Path(value).expanduser() if value else None

    def number(self, name: str, default: int) -> int:
        value = self.optional(name)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError:
            raise SettingError(f"{name}={value!r} is not a whole number.") from None

    def decimal(self, name: str, default: float) -> float:
        value = self.optional(name)
        try:
            return float(value) if value is not None else default
        except ValueError:
            raise SettingError(f"{name}={value!r} is not a number.") from None

    def flag(self, name: str, *, default: bool) -> bool:
        value = (self.optional(name) or "").lower()
        if value and value not in _TRUE + _FALSE:
            raise SettingError(f"{name}={value!r}: say 1 or 0.")
        return value in _TRUE if value else default


def _llm(read: _Reader) -> str | None:
    if url := read.optional("NLQ_LLM_URL"):
        if not url.startswith(("http://", "https://")):
            raise SettingError(f"NLQ_LLM_URL={url!r} is not an http(s) address of an OpenAI-compatible endpoint.")
        return url
    chosen = read.text("NLQ_LLM", "embedded")
    if chosen not in ("embedded", "none"):
        raise SettingError(f"NLQ_LLM={chosen!r}: say embedded or none, or give an address in NLQ_LLM_URL.")
    return None if chosen == "none" else chosen


def _feed(read: _Reader) -> Literal["simulator", "none"]:
    match read.text("NLQ_FEED", "simulator"):
        case "simulator":
            return "simulator"
        case "none":
            return "none"
        case other:
            raise SettingError(f"NLQ_FEED={other!r}: say simulator or none.")


def _oidc(read: _Reader) -> Oidc | None:
    issuer, client = read.optional("NLQ_OIDC_ISSUER"), read.optional("NLQ_OIDC_CLIENT_ID")
    if issuer is None and client is None:
        if not read.flag("NLQ_DEV_SIGNIN", default=True):
            return None
        scheme = "https" if read.optional("NLQ_TLS_CERT") else "http"
        issuer = f"{scheme}://127.0.0.1:{read.number('NLQ_PORT', 8600)}/dev-signin"
        return Oidc(issuer=issuer, client_id="nlq-ui", development=True)
    if issuer is None or client is None:
        raise SettingError("NLQ_OIDC_ISSUER and NLQ_OIDC_CLIENT_ID belong together; only one of them is set.")
    if not issuer.startswith("https://"):
        raise SettingError(f"NLQ_OIDC_ISSUER={issuer!r} must be an https address.")
    return Oidc(
        issuer=issuer.rstrip("/"),
        client_id=client,
        client_secret=read.optional("NLQ_OIDC_CLIENT_SECRET"),
        roles_claim=read.text("NLQ_OIDC_ROLES_CLAIM", "roles"),
        desk_claim=read.text("NLQ_OIDC_DESK_CLAIM", "desk"),
        user_claim=read.optional("NLQ_OIDC_USER_CLAIM"),
    )


def _record(read: _Reader) -> RecordSettings:
    default = RecordSettings()
    shred = read.number("NLQ_RECORD_SHRED_DAYS", default.shred_after.days if default.shred_after else 0)
    return RecordSettings(
        checkpoints=read.path("NLQ_RECORD_SEALS"),
        keep=timedelta(days=read.number("NLQ_RECORD_KEEP_DAYS", default.keep.days)),
        shred_after=timedelta(days=shred) if shred > 0 else None,
    )
