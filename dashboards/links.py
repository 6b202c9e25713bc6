"""A view's choices in the page's address, so that a link shows a colleague the same view.

Streamlit can bind a widget to the address by itself, but writes the option's *label*; labels get renamed, ids do not.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import streamlit as st

Value = TypeVar("Value")


def restore(key: str, default: Value, read: Callable[[str], Value | None]) -> None:
    """Give the widget `key` its first value: from the address if `read` accepts it, else the default."""
    if key in st.session_state:
        return
    text = st.query_params.get(key)
    value = read(text) if text else None
    st.session_state[key] = default if value is None else value


def one_of(options: list[str]) -> Callable[[str], str | None]:
    """Reads only what is among the options."""
    return lambda text: text if text in options else None


def publish(choices: Mapping[str, str | None]) -> None:
    """Write the choices into the address; what is None stands for the default and is left out."""
    wanted = {key: value for key, value in choices.items() if value}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
