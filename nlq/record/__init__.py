"""The tamper-evident record of every question: written before a query runs, completed after, verifiable by anyone."""

from nlq.record.errors import RecordDamaged, RecordError, RecordUnavailable, UnderHold, UnknownQuery
from nlq.record.record import Record, RecordSettings

__all__ = ["Record", "RecordDamaged", "RecordError", "RecordSettings", "RecordUnavailable", "UnderHold", "UnknownQuery"]
