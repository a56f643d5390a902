"""Settings: what is wrong is named, and unsafe combinations are turned down."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from app.settings import SettingError, Settings

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_defaults_stay_on_this_machine() -> None:
    settings = Settings.from_environ({})
    assert settings.on_loopback
    assert settings.url == "http://127.0.0.1:8600"
    assert settings.kafka is None
    assert settings.oidc is not None
    assert settings.oidc.development


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"NLQ_PORT": "eighty"}, "NLQ_PORT"),
        ({"NLQ_FEED": "both"}, "NLQ_FEED"),
        ({"NLQ_LLM": "gpt"}, "NLQ_LLM"),
        ({"NLQ_LLM_URL": "ftp://x"}, "NLQ_LLM_URL"),
        ({"NLQ_DEV_SIGNIN": "maybe"}, "NLQ_DEV_SIGNIN"),
        ({"NLQ_OIDC_ISSUER": "https://sso.example"}, "NLQ_OIDC_CLIENT_ID"),
        ({"NLQ_OIDC_ISSUER": "http://sso.example", "NLQ_OIDC_CLIENT_ID": "x"}, "https"),
        ({"NLQ_TLS_CERT": "/x.pem"}, "NLQ_TLS_KEY"),
        ({"NLQ_TLS_CERT": "/none.pem", "NLQ_TLS_KEY": "/none.key"}, "/none.pem"),
        ({"NLQ_HOST": "0.0.0.0"}, "development"),
        ({"NLQ_HOST": "0.0.0.0", "NLQ_DEV_SIGNIN": "0"}, "NLQ_TLS_CERT"),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        Settings.from_environ(environ)


def test_secrets_do_not_show() -> None:
    settings = Settings.from_environ(
        {
            "NLQ_LLM_URL": "https://llm.example/v1",
            "NLQ_LLM_TOKEN": "sk-topsecret",
            "NLQ_OIDC_ISSUER": "https://sso.example",
            "NLQ_OIDC_CLIENT_ID": "nlq",
            "NLQ_OIDC_CLIENT_SECRET": "oidcsecret",
            "NLQ_KAFKA_BOOTSTRAP": "broker.example:9093",
            "NLQ_KAFKA_SASL_USERNAME": "app",
            "NLQ_KAFKA_SASL_PASSWORD": "kafkasecret",
        }
    )
    for secret in ("topsecret", "oidcsecret", "kafkasecret"):
        assert secret not in repr(settings)


def test_retention_is_read_in_days() -> None:
    settings = Settings.from_environ({"NLQ_RECORD_KEEP_DAYS": "10", "NLQ_RECORD_SHRED_DAYS": "0"})
    assert settings.record.keep == timedelta(days=10)
    assert settings.record.shred_after is None


def test_every_setting_is_documented() -> None:
    import re

    code = (REPOSITORY / "app" / "settings.py").read_text()
    documented = (REPOSITORY / "docs" / "operating.md").read_text()
    names = set(re.findall(r'"(NLQ_[A-Z_]+)"', code)) | {"NLQ_KAFKA_BOOTSTRAP", "NLQ_TOKEN", "NLQ_URL"}
    assert len(names) > 25
    assert [name for name in sorted(names) if f"`{name}`" not in documented] == []
