"""The hash chain over entries and the Merkle tree over the chain (RFC 9162: leaf 0x00, node 0x01)."""

from __future__ import annotations

import hashlib

GENESIS = bytes(32)
"""What the first entry is chained to."""


def link(previous: bytes, entry: bytes) -> bytes:
    """h_i = SHA-256(0x00 ‖ h_{i−1} ‖ canonical JSON of the entry)."""
    return hashlib.sha256(b"\x00" + previous + entry).digest()


def leaf(head: bytes) -> bytes:
    """Merkle leaf of one chain head."""
    return hashlib.sha256(b"\x00" + head).digest()


class Frontier:
    """The right edge of a growing Merkle tree: O(log n) memory, amortised O(1) a leaf.

    `root` equals RFC 9162's Merkle Tree Hash over all leaves added so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf_hash: bytes) -> None:
        """Append one leaf."""
        height, node = 0, leaf_hash
        while self._peaks and self._peaks[-1][0] == height:
            node = hashlib.sha256(b"\x01" + self._peaks.pop()[1] + node).digest()
            height += 1
        self._peaks.append((height, node))
        self.size += 1

    def root(self) -> bytes:
        """Merkle Tree Hash; that of the empty tree is SHA-256 of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        node = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node

    def copy(self) -> Frontier:
        """An independent copy, to look one leaf ahead."""
        other = Frontier()
        other.size, other._peaks = self.size, list(self._peaks)
        return other
