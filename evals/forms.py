"""How much the forms of the learnt writer lose: gold SQL → form → SQL again, filled from the question, on all worlds."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from evals.quick import AS_OF, cases_of, fill, interpreter, right


def main() -> None:
    """Print by author how many golds keep their rows."""
    from nlq.bind import World
    from nlq.learn.forms import FormError, fill_form, form_of
    from nlq.learn.slots import ReadingSlots

    args = argparse.ArgumentParser()
    args.add_argument("authors", nargs="+")
    engine: Any = interpreter()
    types = {c.name: c.type.upper() for v in engine.catalogue.views.values() for c in v.columns.values()}
    world = World(engine.catalogue, engine.lexicon, engine.values, AS_OF)
    for author in args.parse_args().authors:
        asked = [c for c in cases_of(author) if c["expect"] == "answer"]
        kept = 0
        for case in asked:
            slots = ReadingSlots(world, engine.extractor.read(case["question"]))
            try:
                sql = fill(fill_form(form_of(case["sql"][0], slots, types), slots))
            except FormError:
                continue
            kept += right({**case, "sql": case["sql"][:1]}, sql)
        sys.stdout.write(f"{author} {kept}/{len(asked)}\n")


if __name__ == "__main__":
    main()
