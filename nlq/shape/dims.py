"""The columns that a result is cut by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.state import Dim, Shaper
from nlq.views import has, reach

if TYPE_CHECKING:
    from nlq.understand.reading import Mention


def find_dims(sh: Shaper) -> list[Dim]:
    """Columns that the question names as nouns, and which of them cut the result."""
    out: list[Dim] = []
    for i, mention in enumerate(sh.m):
        names = _nouns(sh, i, mention)
        if not _account_dim(sh, i, mention, out) and not _noun_dim(sh, i, mention, names, out):
            _column_dim(sh, i, mention, out)
    if sh.proposal is not None:
        _learnt_dims(sh, out)
    _algo_dims(sh, out)
    _buckets(sh, out)
    for sql in sh.bound.split:
        if not any(d.sql == sql for d in out):
            out.append(Dim(0, sql, sql.rpartition(".")[2], True, False))
    _contrasted(sh, out)
    _used_group_words(sh, out)
    return out


def _contrasted(sh: Shaper, out: list[Dim]) -> None:
    """ "Buys against sells", "VOW versus VOW3": two values of one column set side by side cut the result by it."""
    marks = [i for i, m in enumerate(sh.m) if m.is_op("versus")]
    for column, found in sh.bound.columns.items():
        said = sorted(i for i, _, negated in found if not negated)
        values = {v for _, vs, negated in found for v in vs if not negated}
        between = [k for k in marks if said and said[0] < k < said[-1] and said[-1] - said[0] <= 5]
        if len(values) < 2 or len(said) < 2 or any(d.sql == column for d in out):
            continue
        if not between and not _apart(sh, said):
            continue
        if not between and any(len(vs) > 1 for _, vs, negated in found if not negated):
            sh.doubts.append("whether each of the values is a line of its own")
        out.append(Dim(said[0], column, column.rpartition(".")[2], True, False, True))
        sh.used |= set(between)


_IMPERATIVE = re.compile(
    r"\s*(?:,|the|what|which|how|whether|for|by|when|who|whose|in|each|every|all|also)\b", re.IGNORECASE
)
"""What follows "state" where it asks to be told something: "state the number of orders"."""


_APART = re.compile(
    r"\b(?:separately|respectively|individually|apart|each on (?:its|their) own|one by one|split|side by side)\b", re.I
)
_AND_FOR = re.compile(r"^\s*(?:accounts?|orders?|side|desks?)?\s*,?\s*and (?:for|in|on|of|by|from) (?:the )?$", re.I)


def _apart(sh: Shaper, said: list[int]) -> bool:
    """ "For BUY and for SELL separately": a figure is asked for once a value."""
    if not any(m.of("agg") for m in sh.m):
        return False
    text = sh.reading.question
    between = text[sh.m[said[0]].span[1] : sh.m[said[1]].span[0]]
    return bool(_APART.search(text) or _AND_FOR.match(between))


def _nouns(sh: Shaper, i: int, mention: Mention) -> list[str]:
    led = (bool(i) and sh.m[i - 1].is_op("group")) or (i + 1 < len(sh.m) and sh.m[i + 1].text.lower() == "x")
    if mention.kind == "filler" and mention.text.lower() in ("hour", "minute", "day") and led:
        return [mention.text.lower()]
    if mention.kind != "sense":
        return []
    if mention.text.lower() == "state" and _IMPERATIVE.match(sh.reading.question[mention.span[1] :]):
        sh.used.add(i)
        return []
    staff = any(s.name.startswith("account_type=EMPLOYEE") for s in mention.of("code"))
    if staff and not has(sh.world.catalogue, sh.view, "account_type") and i not in sh.used:
        return ["trader"]
    return [s.name for s in mention.of("dim")]


def _account_dim(sh: Shaper, i: int, mention: Mention, out: list[Dim]) -> bool:
    """ "Which clients": a kind of account that is asked for stands for the account itself."""
    if mention.kind != "sense" or not any(s.name.startswith("account_type=") for s in mention.of("code")):
        return False
    led = _group_led(sh, i)
    by_type = led and "account" not in mention.text.lower() and sh.m[i - 1].text.lower() == "by"
    sql = reach(sh.world.catalogue, sh.view, "account_id")
    asked = (led or _asked_for(sh, i) or _with_count(sh, i)) and not by_type and not _followed_by_noun(sh, i)
    if not asked or sql is None or "account_id" in sh.bound.filtered:
        return False
    if not any(d.sql == sql for d in out):
        out.append(Dim(i, sql, "account_id", led, True, led))
    return True


def _with_count(sh: Shaper, i: int) -> bool:
    """ "Client accounts with over 20 fills": what has a number of something is asked for itself."""
    after = sh.near(i, 1, 1)
    compare = sh.m[after[0]].compare if after else None
    return (
        compare is not None
        and compare.explicit
        and compare.number.unit in (None, "times")
        and "account" in sh.m[i].text
    )


def _noun_dim(sh: Shaper, i: int, mention: Mention, names: list[str], out: list[Dim]) -> bool:
    for name in names:
        found = _dim_sql(sh, name)
        if found is None:
            continue
        sql, alias = found
        if _describes(sh, i, sql):
            sh.used.add(i)
            return True
        by_day = ("daily", "each day", "per day", "every day", "by day", "day by day")
        led = _group_led(sh, i) or (name == "day" and mention.text.lower() in by_day)
        cuts = led or name in ("hour", "minute", "is_algo")
        if sh.proposal is not None and name not in ("hour", "minute", "day"):
            cuts = sh.role(sql, "group") > (0.12 if cuts else 0.6)
        if i in sh.used and not cuts:
            continue
        known = next((d for d in out if d.sql == sql), None)
        own_noun = any(s.name == sh.view for s in mention.of("view"))
        if known is not None:
            known.grouped |= cuts
            known.led |= led
        elif not (own_noun and not cuts and name in ("trader", "account", "symbol")):
            out.append(Dim(i, sql, alias, cuts, _asked_for(sh, i), led))
        sh.used.add(i)
        return True
    return False


_OF_IT = re.compile(r"\bof (?:the|an?|its|their|his)\s*$", re.IGNORECASE)


def _describes(sh: Shaper, i: int, sql: str) -> bool:
    """Whether a noun only says whose attribute the other one is: "instrument currency", "role of the user"; or is told
    its value: "status REFUSED or FAILED".
    """
    text, m = sh.reading.question, sh.m[i]
    if m.text.lower() in ("who", "whose", "whom"):
        return False
    if i + 1 < len(sh.m) and text[m.span[1] : sh.m[i + 1].span[0]] == " ":
        following = sh.m[i + 1]
        if any(k == i + 1 for k, _, _ in sh.bound.columns.get(sql, ())) and not _group_led(sh, i):
            return True
        if (
            following.kind == "sense"
            and following.of("dim")
            and not following.of("agg")
            and not m.text.lower().endswith("s")
        ):
            other = next((f[0] for s in following.of("dim") if (f := _dim_sql(sh, s.name)) is not None), None)
            return other is not None and other != sql and _attribute(sh, other)
    if i and _OF_IT.search(text[: m.span[0]]):
        before = next((sh.m[j] for j in sh.near(i, -1, 1)), None)
        if before is not None and before.kind == "sense" and before.of("dim") and _group_led(sh, sh.m.index(before)):
            other = next((f[0] for s in before.of("dim") if (f := _dim_sql(sh, s.name)) is not None), None)
            return other is not None and other != sql and _attribute(sh, other)
    return False


def _attribute(sh: Shaper, sql: str) -> bool:
    """Whether a column is a property of things rather than the name of one."""
    return sql.rpartition(".")[2] not in (
        "symbol",
        "issuer_name",
        "trader_id",
        "account_id",
        "order_id",
        "desk",
        "venue",
    )


def _column_dim(sh: Shaper, i: int, mention: Mention, out: list[Dim]) -> None:
    for s in mention.of("col") if mention.kind == "sense" else ():
        sql = reach(sh.world.catalogue, sh.view, s.name)
        if sql and _group_led(sh, i) and _textual(sh, s.name):
            out.append(Dim(i, sql, s.name, True, False, True))
            sh.used.add(i)
            return


def _learnt_dims(sh: Shaper, out: list[Dim]) -> None:
    """Keys that the learnt parser is sure of and no word was read as."""
    assert sh.proposal is not None
    known = {d.sql for d in out}
    for (view, column), roles in sh.proposal.columns.items():
        sql = reach(sh.world.catalogue, sh.view, column)
        wanted = column if view == sh.view else f"{view}.{column}"
        if sql != wanted or sql in known or is_time(sh, column):
            continue
        if roles.get("group", 0) > 0.6 and roles.get("bucket", 0) < 0.5:
            out.append(Dim(-1, sql, column, True, False))


def _algo_dims(sh: Shaper, out: list[Dim]) -> None:
    """ "Per algo": each algorithm is a trader."""
    sql = reach(sh.world.catalogue, sh.view, "trader_id")
    for i, mention in enumerate(sh.m):
        algo = mention.kind == "sense" and any(s.name == "algo" for s in mention.of("cond"))
        led = _group_led(sh, i) or mention.text.lower().startswith(("by ", "per "))
        human = any(p.sql.startswith("NOT ") and p.span == mention.span for p in sh.where)  # "by city, algos excluded"
        if algo and not human and i in sh.used and sql and led and not any(d.sql == sql for d in out):
            out.append(Dim(i, sql, "trader_id", True, False, True))


def _buckets(sh: Shaper, out: list[Dim]) -> None:
    """ "In 5-minute buckets": a key of fixed width over the view's clock."""
    time = sh.world.catalogue.views[sh.view].time
    marks = [i for i, m in enumerate(sh.m) if m.is_op("bucket")]
    if not time or not (marks or (sh.p("time_bucket") > 0.6 and sh.proposal is not None)):
        return
    if any(d.alias in ("hour", "minute", "day") for d in out):
        sh.used |= set(marks)
        return
    for i, m in enumerate(sh.m):
        number = m.compare.number if m.compare is not None else None
        if (
            number is not None
            and sh.free(i)
            and number.unit in ("s", "min", "h")
            and (not marks or min(abs(i - k) for k in marks) <= 3)
        ):
            unit = {"s": "seconds", "min": "minutes", "h": "hours"}[number.unit]
            out.append(Dim(i, f"window({time}, '{number.text} {unit}').start", "bucket", True, False))
            sh.used |= {i, *marks}
            return
    text = sh.reading.question.lower()
    for word, sql in (
        ("half hour", f"window({time}, '30 minutes').start"),
        ("half-hour", f"window({time}, '30 minutes').start"),
        ("quarter hour", f"window({time}, '15 minutes').start"),
        ("hour", f"date_trunc('HOUR', {time})"),
        ("minute", f"date_trunc('MINUTE', {time})"),
        ("day", f"CAST({time} AS DATE)"),
    ):
        if word in text and sh.proposal is not None:
            out.append(Dim(-1, sql, "bucket", True, False))
            sh.used |= set(marks)
            return


def is_time(sh: Shaper, column: str) -> bool:
    """Whether a column is an instant."""
    return any(v.columns[column].type == "TIMESTAMP" for v in sh.world.catalogue.views.values() if column in v.columns)


def _textual(sh: Shaper, name: str) -> bool:
    kinds = {v.columns[name].type for v in sh.world.catalogue.views.values() if name in v.columns}
    return bool(kinds & {"STRING", "BOOLEAN", "DATE"}) and not name.endswith(("_name", "_id"))


_TYPES = ("event_type", "detector", "order_type", "list_type", "error_class", "account_type", "asset_class")
"""What "type" means where nothing says of what."""


def _dim_sql(sh: Shaper, name: str) -> tuple[str, str] | None:
    catalogue, view = sh.world.catalogue, sh.world.catalogue.views[sh.view]
    time = view.time
    if name in ("hour", "minute"):
        return (f"date_trunc('{name.upper()}', {time})", name) if time else None
    if name == "day":
        if has(catalogue, sh.view, "trade_date"):
            return "trade_date", "trade_date"
        return (f"CAST({time} AS DATE)", "day") if time else None
    if name == "reason":
        for column in ("reject_reason", "cancel_reason", "reason", "rationale", "error_class"):
            if has(catalogue, sh.view, column):
                if column == "reject_reason" and "CANCELLED" in str(sh.where):
                    continue
                return column, column
        return None
    if name == "officer":
        for column in ("assigned_to", "approved_by", "added_by"):
            if has(catalogue, sh.view, column):
                return column, column
        return None
    if name == "trader" and sh.view == "restricted_list":
        return "scope_id", "scope_id"
    if name == "trader" and sh.view == "corporate_events":
        return "issuer_name", "issuer_name"
    if name == "type":
        column = next((c for c in _TYPES if has(catalogue, sh.view, c)), "")
        return (column, column) if column else None
    column = sh.world.lexicon.dimensions.get(name, "")
    if name == "issuer" and not has(catalogue, sh.view, column):
        column = "issuer_name"
    found = reach(catalogue, sh.view, column) if column else None
    return (found, column) if found else None


def _group_led(sh: Shaper, i: int) -> bool:
    """Whether a grouping word governs mention `i`: "per desk", "by trader and symbol", "each of our venues"."""
    j = i - 1
    while j >= 0:
        mention = sh.m[j]
        if mention.is_op("group"):
            return True
        text = mention.text.lower()
        plain = (mention.kind == "sign" and text in (",", "/", "&", "+", "-")) or text in (
            "and",
            "the",
            "a",
            "of",
            "our",
            "own",
            "single",
            "different",
            "x",
            "one",
            "separate",
            "distinct",
        )
        narrowed = (
            mention.kind == "value" and j in sh.used and j > 0 and sh.m[j - 1].is_op("group")
        )  # "each Nasdaq name"
        if (
            plain
            or narrowed
            or mention.is_op("own")
            or (mention.kind == "sense" and mention.of("dim") and j in sh.used)
        ):
            j -= 1
            continue
        break
    after = sh.m[i + 1 : i + 3]
    if after and after[0].text.lower() == "x" and after[0].is_op("group"):
        return True  # "hour x venue"
    if after and after[0].is_op("group") and len(after) > 1 and after[1].text.lower() == sh.m[i].text.lower():
        return True
    return bool(after) and after[0].text.lower() in ("level",)


def _followed_by_noun(sh: Shaper, i: int) -> bool:
    """Whether the view's own noun comes next: "which client orders" asks for orders, not for clients."""
    for j in sh.near(i, 1, 1):
        mention = sh.m[j]
        return (any(s.name == sh.view for s in mention.of("view")) and not mention.of("dim")) or (
            mention.is_op("trades") and mention.text.lower().startswith("trade") and mention.text.lower() != "traded"
        )
    return False


def _used_group_words(sh: Shaper, dims: list[Dim]) -> None:
    for d in dims:
        if d.i < 0:
            continue
        j = d.i - 1
        while j >= 0 and j >= d.i - 5:
            if sh.m[j].is_op("group"):
                sh.used.add(j)
                break
            j -= 1
    for i, mention in enumerate(sh.m):
        if mention.is_op("group") and any(d.grouped for d in dims):
            sh.used.add(i)


def _asked_for(sh: Shaper, i: int) -> bool:
    text = sh.m[i].text.lower()
    if text in ("who", "whom", "whose"):
        return True
    for j in range(i - 1, max(-1, i - 6), -1):
        mention = sh.m[j]
        if mention.is_op("top", "bottom", "second", "third"):
            return True
        counted = mention.compare is not None and not mention.compare.explicit and mention.compare.number.unit is None
        if counted and j == i - 1 and mention.compare is not None and 2 <= mention.compare.number.value <= 100:
            return True
        if (
            mention.compare is None
            and mention.kind not in ("filler", "word", "sign")
            and not mention.of("code")
            and not mention.is_op("trades")
        ):
            break
    before = [sh.m[j].text.lower() for j in range(max(0, i - 3), i)]
    return any(
        b in ("which", "what", "list", "name", "identify", "whose", "find", "give", "show", "any", "how many")
        for b in before
    )
