"""Which pages there are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from nlq.client import Client

    class Shown(Protocol):
        """A page as Streamlit runs it."""

        def run(self) -> None:
            """Show it."""
            ...


def chosen_page(client: Client, person: Mapping[str, Any]) -> Shown:
    """The navigation bar, with the page that was chosen on it."""
    from app.ui.alerts import alerts_page
    from app.ui.ask import ask_page
    from app.ui.changes import changes_page, waiting

    first = st.Page(
        partial(ask_page, client, person), title="Ask", icon=":material/chat:", url_path="ask", default=True
    )
    pages = [first]
    if "alerts" in person["views"]:
        page = partial(alerts_page, client, person)
        pages.append(st.Page(page, title="Alerts", icon=":material/notifications:", url_path="alerts"))
    count = waiting(client, person)
    title = f"Changes ({count})" if count else "Changes"
    page = partial(changes_page, client, person)
    pages.append(st.Page(page, title=title, icon=":material/fact_check:", url_path="changes"))
    chosen: Shown = st.navigation(pages, position="top")
    return chosen


def safely(call: Callable[[], Any]) -> Any | None:
    """Call the service; None with the reason shown when it says no."""
    from app.ui.view_model import plain
    from nlq.client import ServiceError

    try:
        return call()
    except ServiceError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None
