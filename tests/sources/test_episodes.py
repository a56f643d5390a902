"""Planted episodes do what their labels say."""

import pytest

from streaming.messages import ORDERS
from streaming.sources.cli import plant_wish
from streaming.sources.episodes import UnknownRecipe, plant
from streaming.sources.recipes import RECIPES
from tests.sources.conftest import START_US, simulator


def played(detector: str, strength: float, seed: int = 7, decoy: bool = False):
    s = simulator(seed)
    plant(s, detector, START_US + 40_000_000, strength=strength, decoy=decoy)
    messages = list(s.run(START_US + 120_000_000))
    label = s.labels[0]
    mine = [m.value for m in messages if m.topic == ORDERS and m.value["order_id"] in label.order_ids]
    return label, mine, messages


def test_every_recipe_plays_and_is_labelled(minutes):
    labels = {label.detector: label for label in minutes[1].labels}
    assert set(labels) == set(RECIPES)
    known = {m.value["order_id"] for m in minutes[0] if m.topic == ORDERS}
    for label in labels.values():
        assert label.order_ids
        assert set(label.order_ids) <= known
        assert label.start_us <= label.end_us


@pytest.mark.parametrize("seed", range(6))
def test_plain_spoofing_reaches_the_thresholds(seed):
    label, mine, messages = played("SPOOFING", 1.5, seed)
    fills = [r for r in mine if r["type"] == "FILL"]
    assert fills, "the small order is filled"
    genuine = {r["order_id"] for r in fills}
    large = [r for r in mine if r["type"] == "NEW" and r["order_id"] not in genuine]
    small_qty = sum(r["last_qty"] for r in fills)
    assert len(large) >= 5
    assert len({r["side"] for r in large}) == 1
    assert large[0]["side"] != fills[0]["side"]
    assert min(r["order_qty"] for r in large) >= 5 * small_qty
    cancels = {r["order_id"]: r["event_us"] for r in mine if r["type"] == "CANCEL"}
    assert set(cancels) == {r["order_id"] for r in large}
    assert any(0.05e6 <= cancels[r["order_id"]] - fills[-1]["event_us"] <= 5e6 for r in large)
    assert max(r["event_us"] for r in mine) - min(r["event_us"] for r in mine) < 30e6
    others = [m.value for m in messages if m.topic == ORDERS and m.value["type"] == "NEW"
              and m.value["trader_id"] == label.trader_id and m.value["symbol"] == label.symbol
              and label.start_us - 30e6 < m.event_us < label.end_us + 30e6
              and m.value["order_id"] not in label.order_ids]  # fmt: skip
    assert not others, "the trader enters nothing else there meanwhile"


def test_weak_spoofing_stays_below_the_thresholds():
    _, mine, _ = played("SPOOFING", 0.5)
    fills = [r for r in mine if r["type"] == "FILL"]
    large = [r for r in mine if r["type"] == "NEW" and r["order_id"] not in {f["order_id"] for f in fills}]
    assert len(large) < 5
    assert max(r["order_qty"] for r in large) < 5 * sum(r["last_qty"] for r in fills)


def test_decoy_has_no_fill_on_the_other_side():
    label, mine, _ = played("SPOOFING", 2.0, decoy=True)
    assert label.decoy
    assert not [r for r in mine if r["type"] == "FILL"]


def test_layering_uses_several_levels():
    _, mine, _ = played("LAYERING", 1.5)
    side = next(r["side"] for r in mine if r["type"] == "CANCEL")
    assert len({r["price"] for r in mine if r["type"] == "NEW" and r["side"] == side}) >= 3


def test_wash_trade_crosses_two_accounts_of_one_owner(minutes):
    messages, s = minutes
    label = next(x for x in s.labels if x.detector == "WASH_TRADE")
    fills = [m.value for m in messages if m.topic == ORDERS and m.value.get("exec_id") in label.exec_ids]
    crossed = [f for f in fills if "counterparty_account_id" in f]
    assert crossed
    owner = {a.account_id: a.owner for a in s.firm.accounts}
    assert all(owner[f["account_id"]] == owner[f["counterparty_account_id"]] for f in crossed)
    assert all(f["account_id"] != f["counterparty_account_id"] for f in crossed)


def test_unknown_recipes_are_named():
    with pytest.raises(UnknownRecipe, match="SPOOFING"):
        plant(simulator(), "SPOOFNIG", START_US)
    with pytest.raises(SystemExit, match="DETECTOR"):
        plant_wish(simulator(), "SPOOFING:strong", START_US)
