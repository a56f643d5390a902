"""Personal data and secrets do not reach logs."""

from __future__ import annotations

import io
import logging

import pytest

from nlq.record.redact import RedactingFilter, redact


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("write to anna.berg@example.org", "anna.berg@example.org"),
        ("Authorization: Bearer abcdefgh.ijklmnop", "abcdefgh.ijklmnop"),
        ("token nlq_0123456789abcdefghijkl", "0123456789abcdefghijkl"),
        ("sasl.password=hunter2 next", "hunter2"),
        ('{"client_secret": "s3cr3t value"}', "s3cr3t value"),
        ("https://bob:pa55@broker.example/x", "pa55"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "3704 0044"),
        ("card 4111 1111 1111 1111", "4111 1111"),
        ("call +49 30 901820 now", "901820"),
        ("ssn 078-05-1120", "078-05-1120"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----", "MIIEv"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
    ],
)
def test_secrets_and_personal_data_go(text: str, gone: str) -> None:
    assert gone not in redact(text)
    assert "[" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "trades of T-0042 on account A-100233 in XBRL between 09:30 and 16:00",
        "order 1234567890123 at 101.25 qty 5000000",
        "Q-20261123-144317-c60db7ed took 412 ms as of 2026-11-23T14:43:17.139874+00:00",
        "more than 3000000 tokens per day",
    ],
)
def test_the_language_of_surveillance_stays(text: str) -> None:
    assert redact(text) == text


def test_a_log_handler_with_the_filter_writes_no_secret() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    log = logging.getLogger("test.redact")
    log.addHandler(handler)
    try:
        log.warning("sign-in of %s with password=%s", "anna@example.org", "hunter2")
        try:
            raise ValueError("bad token=abc123secret")
        except ValueError:
            log.exception("failed")
    finally:
        log.removeHandler(handler)
    written = stream.getvalue()
    assert "failed" in written
    for secret in ("anna@example.org", "hunter2", "abc123secret"):
        assert secret not in written
