"""A view's choices: one store of our own, kept in the page's address, so that a link shows a colleague the same view.

Widgets are drawn from the store and write to it. Streamlit forgets a widget's value where its page is left before it
was drawn, and could bind one to the address by itself, but writes the option's *label*; labels get renamed, ids do not.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import streamlit as st

Value = TypeVar("Value")

_STORE = "choices"

#: How the choice of a panel's row is called, behind the panel's name.
ROW = "_row"


def keep() -> None:
    """Take over what people chose since the last run, whichever page they are on now. Called first in every run."""
    store = _store()
    for key in store:
        if key in st.session_state:
            store[key] = st.session_state[key]


def restore(key: str, default: Value, read: Callable[[str], Value | None]) -> None:
    """Give the widget `key` its value: of an opened address if `read` accepts it, as chosen, or the default."""
    if key not in st.session_state:
        text = st.query_params.get(key)
        value = read(text) if text else None
        st.session_state[key] = _store().get(key, default) if value is None else value
    _store()[key] = st.session_state[key]


def choose(key: str, value: Any) -> None:  # noqa: ANN401  # whatever the widget holds
    """Set a choice for whoever draws it next."""
    st.session_state[key] = _store()[key] = value


def chosen(key: str) -> Any:  # noqa: ANN401  # whatever the widget holds
    """A choice, on any page; None where there is none yet."""
    return st.session_state.get(key, _store().get(key))


def forget(key: str) -> None:
    """Drop a choice that no longer fits."""
    st.session_state.pop(key, None)
    _store().pop(key, None)


def one_of(options: list[str]) -> Callable[[str], str | None]:
    """Reads only what is among the options."""
    return lambda text: text if text in options else None


def publish(choices: Mapping[str, str | None]) -> None:
    """Write the choices into the address; what is None stands for the default and is left out.

    The row that a panel has open stays: whoever draws the panel reads and sets it later.
    """
    opened = {key: text for key, text in st.query_params.items() if key.endswith(ROW)}
    opened |= {key: value for key, value in _store().items() if key.endswith(ROW)}
    wanted = {key: value for key, value in {**opened, **choices}.items() if value}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def _store() -> dict[str, Any]:
    store: dict[str, Any] = st.session_state.setdefault(_STORE, {})
    return store
