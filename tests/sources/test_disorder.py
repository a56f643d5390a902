"""Trouble on demand: every kind occurs, is counted, and leaves the good messages as they were."""

import json
from collections import Counter

import jsonschema
import pytest

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, encode
from streaming.sources.disorder import FAULTS, HUGE_BYTES, Disorder
from tests.sources.conftest import START_US, simulator

SECONDS = 20


def clean() -> list:
    return list(simulator().run(START_US + SECONDS * 1_000_000))


def identity(message) -> tuple:
    return message.topic, message.key, encode(message.value)


def test_no_trouble_changes_nothing():
    disorder = Disorder()
    assert [identity(m) for m in disorder.apply(clean())] == [identity(m) for m in clean()]
    assert not disorder.expected
    assert disorder.good == len(clean())


def test_same_seed_same_trouble():
    def run(seed: int) -> list:
        return [identity(m) for m in Disorder(seed, duplicates=0.1, late=0.05, late_by_s=2, faults=0.1).apply(clean())]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_good_messages_all_go_through_and_trouble_is_counted():
    disorder = Disorder(duplicates=0.05, late=0.05, late_by_s=2.0, faults=0.05)
    sent = list(disorder.apply(clean()))
    original, arrived = Counter(map(identity, clean())), Counter(map(identity, sent))
    assert not original - arrived, "nothing good is held back"
    assert sum((arrived - original).values()) == disorder.expected.total()
    # What the pipeline must end with: every message is either good or owed as a dead letter.
    assert len(sent) == disorder.good + disorder.expected.total()
    assert disorder.planted["duplicate"] == disorder.expected["DUPLICATE"] > 20
    assert disorder.planted["late"] == disorder.expected["LATE"] > 20
    assert {fault.name for fault in FAULTS} <= set(disorder.planted), "every kind of fault occurs"


def test_late_messages_are_late_by_as_much_as_said():
    newest = late = 0
    for message in Disorder(late=0.1, late_by_s=3.0).apply(clean()):
        if message.event_us <= newest - 3_000_000:
            late += 1
            assert message.topic != ORDERS, "an order's events keep their order"
        newest = max(newest, message.event_us)
    disorder = Disorder(late=0.1, late_by_s=3.0)
    list(disorder.apply(clean()))
    assert late == disorder.expected["LATE"] > 0


def test_shuffled_messages_are_good():
    disorder = Disorder(shuffled=0.3)
    sent = list(disorder.apply(clean()))
    times = [m.event_us for m in sent]
    assert times != sorted(times)
    assert max(b - a for a, b in zip(sorted(times), times, strict=True)) < 2_000_000
    assert not disorder.expected
    assert Counter(map(identity, sent)) == Counter(map(identity, clean()))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_each_fault_breaks_the_schema_or_names_something_unknown(fault, schemas):
    message = next(m for m in clean() if m.topic in fault.topics)
    value = fault.spoil(dict(message.value), message)
    if fault.error_class == "PARSE":
        text = value if value is not None else b""
        try:
            assert not isinstance(json.loads(text), dict)
        except ValueError:
            pass  # not readable at all, as is meant
    elif fault.name == "2 MB message":
        assert len(encode(value)) > HUGE_BYTES
    elif fault.error_class in ("SCHEMA", "MISSING_FIELD") or fault.name in ("negative quantity", "unknown code"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schemas[message.topic])
    else:
        assert value != message.value
    if fault.error_field is not None and isinstance(value, dict):
        assert value.get(fault.error_field) != message.value.get(fault.error_field) or fault.error_field not in value


def test_faults_cover_every_event_topic():
    assert {topic for fault in FAULTS for topic in fault.topics} == {ORDERS, MARKET_TRADES, QUOTES}
    classes = {fault.error_class for fault in FAULTS}
    assert classes == {"PARSE", "SCHEMA", "MISSING_FIELD", "OUT_OF_RANGE", "UNKNOWN_REFERENCE"}
