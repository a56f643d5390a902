"""Whatever comes on the reference topic ends as a row or a fault with its reason, never as an error of the stream."""

from __future__ import annotations

import json

import pytest

from streaming.catalogue import Catalogue
from streaming.reference import ReferenceFault, arrow_table, decode_reference, reference_views


@pytest.fixture(scope="module")
def views():
    return reference_views(Catalogue.load())


def thresholds(views, **row):
    """A message for the thresholds view, complete but for what the test changes."""
    sample = {"STRING": "x", "DOUBLE": 1.0, "INT": 1, "BIGINT": 1, "BOOLEAN": True, "DATE": "2026-11-20"}
    full = {column.name: sample.get(column.type) for column in views["thresholds"].columns.values()}
    return json.dumps({"view": "thresholds", "row": full | row}).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'"text"', b"[" * 100_000, b'{"view":' * 50_000,
        b'{"view": [], "row": {}}', b'{"view": {}, "row": {}}', b'{"view": null, "row": {}}',
        b'{"view": "no_such", "row": {}}', b'{"view": "thresholds", "row": []}', b'{"view": "thresholds", "row": {}}',
    ],
)  # fmt: skip
def test_broken_message_is_a_fault(views, value):
    with pytest.raises(ReferenceFault):
        decode_reference(views, b"key", value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400, "[1]", '"1"', "true"])
def test_number_that_is_none_is_a_fault(views, number):
    name = next(c.name for c in views["thresholds"].columns.values() if c.type == "DOUBLE")
    text = thresholds(views, **{name: "PUT"}).replace(b'"PUT"', number.encode())
    with pytest.raises(ReferenceFault) as caught:
        decode_reference(views, b"key", text)
    assert caught.value.field == name


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_surrogate_pair_is_a_fault(views, text):
    name = next(c.name for c in views["thresholds"].columns.values() if c.type == "STRING")
    with pytest.raises(ReferenceFault) as caught:
        decode_reference(views, b"key", thresholds(views, **{name: text}))
    assert caught.value.field == name


def test_a_good_message_is_a_row_that_arrow_takes(views):
    view, key, row = decode_reference(views, b"key", thresholds(views))
    assert view == "thresholds"
    assert len(key) == len(views["thresholds"].key)
    assert arrow_table(views["thresholds"], [row]).num_rows == 1


def test_whole_numbers_have_to_fit(views):
    wide = [(v, c) for v in views.values() for c in v.columns.values() if c.type in ("INT", "BIGINT")]
    assert wide
    for view, column in wide:
        row = {"view": view.name, "row": {column.name: 2**63}}
        with pytest.raises(ReferenceFault):
            decode_reference(views, b"key", json.dumps(row).encode())
