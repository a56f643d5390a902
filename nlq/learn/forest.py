"""A forest of decision trees kept as plain numbers: grown with scikit-learn, read with nothing but Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TREES, _LEAST_LEAF, _DEEPEST, _FEATURES_TRIED = 120, 6, 14, 0.3
_SEED = 20261120


@dataclass(frozen=True)
class Tree:
    """Nodes in one list each; `feature` is -1 at a leaf."""

    feature: tuple[int, ...]
    split: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    share: tuple[float, ...]
    """Share of right drafts among those that came here in training."""

    def score(self, values: Sequence[float]) -> float:
        """The share at the leaf that the values lead to."""
        at = 0
        while self.feature[at] >= 0:
            at = self.left[at] if values[self.feature[at]] <= self.split[at] else self.right[at]
        return self.share[at]


@dataclass(frozen=True)
class Forest:
    """Many trees; the score is their mean."""

    trees: tuple[Tree, ...]

    def score(self, values: Sequence[float]) -> float:
        """Mean share over the trees, 0 to 1."""
        return sum(t.score(values) for t in self.trees) / len(self.trees)

    def as_json(self) -> list[list[list[float]]]:
        """Nested lists for a JSON file."""
        return [[list(t.feature), list(t.split), list(t.left), list(t.right), list(t.share)] for t in self.trees]

    @classmethod
    def from_json(cls, raw: Sequence[Sequence[Sequence[float]]]) -> Forest:
        """The inverse of `as_json`.

        Raises:
            ValueError: the lists do not make trees.
        """
        trees = []
        for feature, split, left, right, share in raw:
            size = len(feature)
            if not size or {len(split), len(left), len(right), len(share)} != {size}:
                raise ValueError("a tree's lists differ in length")
            if any(
                f >= 0 and not (i < a < size and i < b < size)
                for i, (f, a, b) in enumerate(zip(feature, left, right, strict=True))
            ):
                raise ValueError("a tree's branch does not lead down")
            trees.append(
                Tree(
                    tuple(map(int, feature)), tuple(map(float, split)), tuple(map(int, left)), tuple(map(int, right)),
                    tuple(map(float, share)),
                )
            )  # fmt: skip
        return cls(tuple(trees))


def grow(table: NDArray[Any], right: NDArray[Any]) -> Forest:
    """Grow a forest on rows of numbers and whether each was right; the same rows give the same forest."""
    # Needed for calibration only; it comes with sentence-transformers.
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAST_LEAF, max_depth=_DEEPEST, max_features=_FEATURES_TRIED, random_state=_SEED, n_jobs=1
    )  # fmt: skip
    model.fit(table, right.astype(int))
    trees = []
    for fitted in model.estimators_:
        inner = fitted.tree_
        # Counts in older releases, shares in newer ones: either way the second column over both.
        shares = inner.value[:, 0, -1] / inner.value[:, 0, :].sum(axis=1)
        trees.append(
            Tree(
                tuple(int(f) if a >= 0 else -1 for f, a in zip(inner.feature, inner.children_left, strict=True)),
                tuple(round(float(s), 5) for s in inner.threshold),
                tuple(map(int, inner.children_left)),
                tuple(map(int, inner.children_right)),
                tuple(round(float(s), 4) for s in shares),
            )
        )
    return Forest(tuple(trees))
