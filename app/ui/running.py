"""A question under way: asked on a thread of its own, so that a click elsewhere on the page does not lose it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nlq.client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.conversation import Exchange
    from nlq.contracts import Answer


@dataclass
class Running:
    """One question and how far it is. The page looks at it again and again until it is done."""

    exchange: Exchange
    stages: list[tuple[float, str]] = field(default_factory=list)
    """Seconds from the start, and the stage that began then."""
    done: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    def start(self, ask: Callable[[Callable[[str], None]], Answer]) -> None:
        """Begin; `ask` takes what each stage is told to."""
        threading.Thread(target=self._run, args=(ask,), daemon=True, name="page-question").start()

    def _run(self, ask: Callable[[Callable[[str], None]], Answer]) -> None:
        try:
            self.exchange.answer = ask(lambda stage: self.stages.append((time.monotonic() - self.began, stage)))
        except ServiceError as error:
            self.exchange.error = str(error)
        except Exception as error:  # noqa: BLE001 - the page must end its waiting whatever broke
            self.exchange.error = f"The page could not ask ({type(error).__name__}). Try again."
        finally:
            self.exchange.seconds = time.monotonic() - self.began
            self.exchange.at = datetime.now(UTC)
            self.done.set()
