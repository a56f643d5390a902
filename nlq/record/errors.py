"""What can go wrong with the record, named by what went wrong."""


class RecordError(Exception):
    """Root of the record's errors."""


class RecordUnavailable(RecordError):
    """The record cannot be written, therefore nothing may run. The message says which file and what to do."""


class RecordDamaged(RecordUnavailable):
    """The record on disk is not the one that was written; nothing runs, `nlq audit verify` lists every finding."""


class UnknownQuery(RecordError, LookupError):
    """The record holds no question of this id."""


class UnderHold(RecordError):
    """A legal hold forbids erasing what was asked to be erased."""
