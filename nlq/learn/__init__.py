"""The learnt parser: proposes outcome, views, column roles and shape with probabilities; decides nothing.

    parser = Parser.load(catalogue)
    proposal = parser.propose("how many orders did T103 cancel today", history=turns, role="officer")

`Parser.load(catalogue, without_author="cco")` takes the weights of the fold that never saw that author's questions:
every figure measured on the corpus must come from those. `propose` takes less than 60 ms on one CPU thread.
`Confidence.load().score(features)` turns an interpretation's features into the probability that it is right.
Role and shape names are in `nlq.learn.labels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlq.learn.confidence import Confidence
    from nlq.learn.parser import Parser

__all__ = ["Confidence", "Parser"]


def __getattr__(name: str) -> Any:
    """Import torch only for those who use the parser: `Confidence` needs numpy alone."""
    if name == "Parser":
        from nlq.learn.parser import Parser

        return Parser
    if name == "Confidence":
        from nlq.learn.confidence import Confidence

        return Confidence
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
