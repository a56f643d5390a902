"""The one definition of every view, read from `catalogue.yaml`.

Spark schemas, the guard's allow-list, retrieval documents, sqlglot's schema and the docs page are all derived from
the values here. Another file of the same format describes another world; nothing in code names a view's columns twice.
Only the standard library and YAML are imported, so that every other room may import this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

Kind = Literal["fact", "state", "window", "reference", "engine"]
Sensitivity = Literal["pii", "restricted"]

SHIPPED = Path(__file__).with_name("catalogue.yaml")


class CatalogueError(ValueError):
    """The catalogue file is not usable; the message names the file, the place and what is wrong there."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a view."""

    name: str
    type: str
    """Spark SQL type, such as `DOUBLE` or `ARRAY<STRING>`."""
    meaning: str = ""
    codes: tuple[str, ...] = ()
    """Closed set of values; empty where the column is open."""
    unit: str | None = None
    sensitivity: Sensitivity | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """One queryable view."""

    name: str
    kind: Kind
    meaning: str
    key: tuple[str, ...]
    columns: dict[str, Column]
    time: str | None = None
    """The column that "last N minutes" and "today" bind to; None for most reference views."""
    sensitivity: Sensitivity | None = None
    """Set when the whole view is behind a wall."""
    restricted_rows: dict[str, str] = field(default_factory=dict)
    """Sensitivity → SQL condition of the rows that only roles with that right see."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one role may see. Whatever is not listed here is denied."""

    name: str
    meaning: str
    views: frozenset[str]
    row_filter: str | None = None
    """SQL condition over the view's own columns and `user.desk`; holds for every view that has the column."""
    see_pii: bool = False
    see_restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A queryable world: views, glossary and roles."""

    name: str
    version: int
    timezone: str
    views: dict[str, View]
    glossary: dict[str, str]
    roles: dict[str, Role]
    source: Path

    @classmethod
    def load(cls, path: str | Path | None = None) -> Catalogue:
        """Read a catalogue file, or `catalogue.yaml` of a directory; None reads the shipped one.

        Raises:
            CatalogueError: the file is missing or breaks the format.
        """
        source = Path(path) if path is not None else SHIPPED
        if source.is_dir():
            source = source / "catalogue.yaml"
        try:
            raw = yaml.safe_load(source.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise CatalogueError(f"{source}: {error}") from error
        if not isinstance(raw, dict) or not isinstance(raw.get("views"), dict):
            raise CatalogueError(f"{source}: no 'views'")
        views = {name: _view(source, name, body) for name, body in raw["views"].items()}
        return cls(
            name=str(raw.get("name", source.parent.name)),
            version=int(raw.get("version", 1)),
            timezone=str(raw.get("timezone", "UTC")),
            views=views,
            glossary={str(term): str(text) for term, text in (raw.get("glossary") or {}).items()},
            roles={name: _role(source, name, body, views) for name, body in (raw.get("roles") or {}).items()},
            source=source,
        )

    @cached_property
    def sqlglot_schema(self) -> dict[str, dict[str, str]]:
        """View → column → type, in the form that sqlglot's `qualify` takes."""
        return {v.name: {c.name: c.type for c in v.columns.values()} for v in self.views.values()}

    def spark_ddl(self, view: str) -> str:
        """The view's schema as a Spark DDL string."""
        return ", ".join(f"`{c.name}` {c.type}" for c in self.views[view].columns.values())

    def masked_columns(self, view: str, role: str) -> dict[str, Sensitivity]:
        """Columns of `view` whose values `role` may not see, with the reason."""
        rights = self.roles[role]
        seen = {"pii": rights.see_pii, "restricted": rights.see_restricted}
        return {
            c.name: c.sensitivity
            for c in self.views[view].columns.values()
            if c.sensitivity is not None and not seen[c.sensitivity]
        }


def _view(source: Path, name: str, body: Any) -> View:
    if not isinstance(body, dict) or not isinstance(body.get("columns"), dict):
        raise CatalogueError(f"{source}: view {name!r} has no 'columns'")
    columns = {column: _column(source, f"{name}.{column}", column, text) for column, text in body["columns"].items()}
    key = tuple(body.get("key") or ())
    time = body.get("time")
    for needed in (*key, *([time] if time else [])):
        if needed not in columns:
            raise CatalogueError(f"{source}: view {name!r} names {needed!r}, which is not one of its columns")
    return View(
        name=name,
        kind=body.get("kind", "reference"),
        meaning=str(body.get("meaning", "")),
        key=key,
        columns=columns,
        time=time,
        sensitivity=body.get("sensitivity"),
        restricted_rows=dict(body.get("rows") or {}),
    )


def _column(source: Path, place: str, name: str, text: Any) -> Column:
    """Parse `"TYPE | meaning | codes: A, B | unit: x | sensitivity: pii"`."""
    if not isinstance(text, str) or not text.strip():
        raise CatalogueError(f"{source}: {place} needs 'TYPE | meaning'")
    kind, *parts = (part.strip() for part in text.split("|"))
    meaning: list[str] = []
    codes: tuple[str, ...] = ()
    unit: str | None = None
    sensitivity: Sensitivity | None = None
    for part in parts:
        label, _, rest = part.partition(":")
        match label.strip():
            case "codes":
                # "ADDED, REMOVED, AUCTION (ADDED = passive)" and "LOW, HIGH. Words" carry a remark behind the codes.
                listed, _, remark = rest.replace("(", ". ", 1).partition(". ")
                codes = tuple(code.strip().rstrip(".") for code in listed.split(",") if code.strip())
                if remark:
                    meaning.append(remark.rstrip(")"))
            case "unit":
                unit = rest.strip()
            case "sensitivity":
                match rest.strip():
                    case "pii" | "restricted" as known:
                        sensitivity = known
                    case unknown:
                        raise CatalogueError(f"{source}: {place} has the unknown sensitivity {unknown!r}")
            case _:
                meaning.append(part)
    return Column(
        name=name, type=kind.upper(), meaning=". ".join(meaning), codes=codes, unit=unit, sensitivity=sensitivity
    )


def _role(source: Path, name: str, body: Any, views: dict[str, View]) -> Role:
    listed = set(body.get("views") or (set(views) if "views_except" in body else ()))
    if unknown := (listed | set(body.get("views_except") or ())) - set(views):
        raise CatalogueError(f"{source}: role {name!r} names unknown views {sorted(unknown)}")
    return Role(
        name=name,
        meaning=str(body.get("meaning", "")),
        views=frozenset(listed - set(body.get("views_except") or ())),
        row_filter=body.get("row_filter"),
        see_pii=bool(body.get("see_pii", False)),
        see_restricted=bool(body.get("see_restricted", False)),
    )
