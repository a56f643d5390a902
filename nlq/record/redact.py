"""Personal data and secrets out of texts that leave the engine's walls: logs, errors, the `query_audit` view."""

from __future__ import annotations

import logging
import re

_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)),
    ("token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),  # JSON web token
    ("token", re.compile(r"\bnlq_[A-Za-z0-9_-]{16,}")),
    ("token", re.compile(r"\b(?:sk|ghp|gho|xox[bp])[-_][A-Za-z0-9_-]{16,}")),
    ("token", re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}")),
    ("secret", re.compile(r"(?i)(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")),
    (
        "secret",
        re.compile(
            r"""(?ix)(?<![\w])((?:[\w.-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|token))["']?\s*[=:]\s*)
            ("[^"]*"|'[^']*'|[^\s,;&}\]]+)"""
        ),
    ),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("ssn", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("card", re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{3,4}(?![\w.-])")),
    ("phone", re.compile(r"(?<![\w.])(?:\+|00)\d{1,3}[ ./-]?\(?\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}(?![\w.])")),
)


def redact(text: str) -> str:
    """The text with personal data and secrets replaced by `[kind]`. Trader and account ids are not personal data."""
    for kind, pattern in _RULES:
        if kind == "card":
            text = pattern.sub(lambda found: "[card]" if _is_card(found.group()) else found.group(), text)
        elif pattern.groups:
            text = pattern.sub(rf"\g<1>[{kind}]", text)
        else:
            text = pattern.sub(f"[{kind}]", text)
    return text


def _is_card(text: str) -> bool:
    """Luhn's check, so that order ids and quantities of 13 digits and more stay readable."""
    digits = [int(c) for c in text if c.isdigit()][::-1]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


class RedactingFilter(logging.Filter):
    """Redacts every log line, arguments and traceback included; put it on each handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; never drops it."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        record.msg, record.args = redact(message), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
