"""What a reader sees: every view at one instant, pinned until it is closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self

from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All views at one instant. Use as a context manager; the rows stay as they are until it is closed."""

    catalogue: Catalogue
    as_of: datetime
    """The event-time high mark, aware UTC: what "now" means in every question asked of this snapshot."""
    frames: Mapping[str, Callable[[SparkSession], DataFrame]]
    """View → a function that builds its DataFrame, with exactly the catalogue's columns, in the given Spark session."""
    offsets: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Topic → partition → first offset that is not included."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Delta table → version."""
    generation: int = 0
    """Grows with every published batch; successive answers never go back."""
    release: Callable[[], None] = lambda: None

    def frame(self, view: str, session: SparkSession) -> DataFrame:
        """The rows of one view, in the catalogue's column order.

        Raises:
            KeyError: the catalogue has no such view.
        """
        return self.frames[view](session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class SnapshotSource(Protocol):
    """A world that questions can be asked of: the live pipeline or a catalogue directory."""

    catalogue: Catalogue
    spark: SparkSession

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        """Pin the newest views, or with `as_of` the views as they stood at that instant.

        Raises:
            LookupError: there is no snapshot of that instant; the message says which range there is.
        """
        ...

    def close(self) -> None:
        """Stop what this source started. The Spark session is the caller's."""
        ...
