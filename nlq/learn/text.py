"""What the encoder reads of a question: identifiers and numbers as typed placeholders, and the last turns before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_PLACEHOLDERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[t ]\d{1,2}:\d{2}(?::\d{2})?z?)?\b", re.IGNORECASE), "on that date"),
    (re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? \d{{4}})?\b", re.IGNORECASE), "that date"),
    (re.compile(rf"\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b", re.IGNORECASE), "that date"),
    (re.compile(r"\b\d{1,2}[/.]\d{1,2}[/.]\d{2,4}\b"), "that date"),
    (re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b"), "10:00"),
    # T8921, C-1001, A-2026-000123: one letter class and digits; which column it names is the value index's to say.
    (re.compile(r"\b([A-Za-z]{1,4})-?\d{2,}(?:-\d+)*\b"), r"\g<1> 1"),
    (re.compile(r"\b\d{1,3}(?:,\d{3})+(?:\.\d+)?"), "1000"),
    (re.compile(r"\b\d+\.\d+"), "0.5"),
    (re.compile(r"\b\d{3,}(?=\b|[a-z])"), "1000"),
)


def normalise(question: str) -> str:
    """The question with dates, clock times, identifiers and long numbers replaced; short numbers stay."""
    text = " ".join(question.split())
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text


def earlier(questions: Sequence[str]) -> str | None:
    """The last two questions of the conversation as one text; None when there are none."""
    return " ; ".join(normalise(q) for q in questions[-2:]) or None
