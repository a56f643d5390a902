"""The page: `streamlit run app/ui/main.py`, which `nlq up` does."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.ui.conversation import signed_in_client, who
from app.ui.pages import chosen_page
from app.ui.sidebar import show_sidebar

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from a font server on the internet

st.set_page_config(page_title="Trade surveillance", page_icon=str(ICON), layout="wide")
client = signed_in_client()
person = who(client)
page = chosen_page(client, person)
show_sidebar(client, person)
page.run()
