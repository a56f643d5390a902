"""Ask questions in plain English over live trading data.

`Engine.open(catalogue=DIR)` answers in process; `connect(url, token=…)` asks a running service in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlq.client import Client, connect
    from nlq.engine import Engine

__all__ = ["Client", "Engine", "connect"]


def __getattr__(name: str) -> Any:
    # Spark, the model client and the embedding model take seconds to import; `nlq check` needs none of them.
    if name == "Engine":
        from nlq.engine import Engine

        return Engine
    if name in ("Client", "connect"):
        from nlq import client

        return getattr(client, name)
    raise AttributeError(f"module 'nlq' has no attribute {name!r}")
