"""Recordings of Bitstamp's feed: the raw log (`receive_ms kind {json}` a line) and the same as rows (`orders.csv`)."""

from __future__ import annotations

import csv
import json
import lzma
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING

from streaming.sources.bitstamp import AMOUNT_SCALE, PRICE_SCALE, SIDES, NotBitstamp, Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "id,timestamp,exchange.timestamp,price,volume,action,direction"
US_PER_MS = 1_000


def is_log(path: Path) -> bool:
    """Whether the file is a raw log."""
    with _open(path) as file:
        words = file.readline().split(" ", 2)
    return len(words) == 3 and words[0].isdigit() and words[2].startswith("{")


def is_rows(path: Path) -> bool:
    """Whether the file holds orders as rows."""
    with _open(path) as file:
        return file.readline().strip() == HEADER


def read_log(path: Path) -> Iterator[Record]:
    """Records of a raw log.

    Raises:
        NotBitstamp: a line cannot be read; the message names file and line.
    """
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                receive_ms, kind, text = line.split(" ", 2)
                document = json.loads(text, parse_float=Decimal)
                yield decode(kind, document, int(receive_ms) * US_PER_MS)
            except ValueError as error:
                raise NotBitstamp(f"{path.name}, line {number}: {error}") from error


def read_rows(path: Path) -> Iterator[Record]:
    """Records of a row file. It holds no trades and no quotes: a reduction at an unchanged price counts as a fill.

    Raises:
        NotBitstamp: a row cannot be read; the message names file and line.
    """
    left: dict[int, tuple[int, int]] = {}
    with _open(path) as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                record = Record(
                    f"order_{row['action']}", int(row["timestamp"]) * US_PER_MS, int(row["id"]),
                    SIDES[("bid", "ask").index(row["direction"])], int(Decimal(row["price"]) * PRICE_SCALE),
                    int(Decimal(row["volume"]) * AMOUNT_SCALE / AMOUNT_SCALE),
                )  # fmt: skip
            except (ValueError, ArithmeticError, TypeError) as error:
                raise NotBitstamp(f"{path.name}, line {number}: {error}") from error
            price, amount = left.get(record.order_id, (0, 0))
            if record.kind == "order_changed" and price == record.price and amount > record.amount:
                record.trade = Record("trade", record.at_us, price=price, amount=amount - record.amount)
            left[record.order_id] = (record.price, record.amount)
            yield record


def _open(path: Path) -> IO[str]:
    return lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8")
