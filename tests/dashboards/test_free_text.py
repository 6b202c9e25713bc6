"""What people write, and what strangers send, is text on every page: never Markdown, never HTML."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from dashboards.pages import find_views
from dashboards.states import plain
from tests.dashboards.double import Double
from tests.dashboards.double_hostile import HOSTILE
from tests.dashboards.test_analyse import GROUP, ROW, TOTAL

#: Pieces of the hostile text that stand nowhere as they are, except where a widget shows them as they are.
_MARKUP = re.compile(r"!\[x\]\(|\*\*b\*\*|(?<!\\)<img|\$\\alpha\$|:red\[x\]")

#: Turns all of the line that stands after it, in plain text too.
_TURNING = "\u202e"

#: Fields of Streamlit's messages that browsers show as plain text, or that nobody sees.
_PLAIN = {
    "Text": {"body"},
    "Code": {"code_text"},
    "TextInput": {"default", "value", "placeholder"},
    "TextArea": {"default", "value", "placeholder"},
    "Selectbox": {"options", "raw_value", "placeholder"},
    "MultiSelect": {"options", "raw_values"},
    "LinkButton": {"url"},
    "VegaLiteChart": {"spec"},
    "ArrowVegaLiteChart": {"spec"},
}
_UNSEEN = {"id", "key", "alt", "user_key", "element_id", "active_script_hash"}

#: Pages with their details open.
_OPEN: list[tuple[str, dict[str, str]]] = [
    *((view.path.replace("-", "_"), {}) for view in find_views()),
    ("deals", {"id": "d1"}),
    ("contacts", {"id": "ct1"}),
    ("companies", {"id": "co1"}),
    ("funnel", {"by": "owner", "stage": "new-1", "measure": "lost"}),
    ("sources", {"velocity_row": "o1|new-0"}),
]


def strings(message: Message) -> Iterator[tuple[str, str, str]]:
    """All texts of a message: the type of message, the field, the text."""
    for field, value in message.ListFields():
        repeated = value if field.is_repeated else [value]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            repeated = [one for one in value.values() if isinstance(one, Message)]
        for one in repeated:
            if isinstance(one, Message):
                yield from strings(one)
            elif isinstance(one, str):
                yield message.DESCRIPTOR.name, field.name, one


def marked_up(node: Any) -> Iterator[str]:
    """Texts of a page that a browser would read as markup, or from right to left."""
    if isinstance(getattr(node, "proto", None), Message):
        for kind, field, text in strings(node.proto):
            is_plain = field in _UNSEEN or field in _PLAIN.get(kind, ())
            if _TURNING in text or (not is_plain and _MARKUP.search(text)):
                yield f"{kind}.{field}: {text}"
    for child in getattr(node, "children", {}).values():
        yield from marked_up(child)


@pytest.mark.parametrize(
    ("view", "address"), _OPEN, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_r11_free_text_is_text_on_every_page(
    open_page: Callable[..., AppTest], double: Double, view: str, address: dict[str, str]
) -> None:
    double.hostile, double.figures, double.totals = HOSTILE, [ROW], [TOTAL, GROUP]
    page = open_page(view, **address)
    assert not page.exception
    assert list(marked_up(page._tree)) == []


def test_the_sweep_finds_markup_where_there_is_some() -> None:
    script = f"import streamlit as st\nst.tabs([{HOSTILE!r}])\nst.text_input({HOSTILE!r})\nst.text({HOSTILE!r})"
    found = list(marked_up(AppTest.from_string(script).run()._tree))
    assert [text.partition(":")[0] for text in found] == ["Tab.label", "TextInput.label", "Text.body"]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("![x](http://evil) :red[no] *a*", "!\\[x\\](http\\:\u2060//evil) \\:red\\[no\\] \\*a\\*"),
        ("www.evil.example", "www\u2060.evil.example"),
        ("a@evil.example", "a\u2060\\@evil.example"),
        ("- no list", r"\- no list"),
        ("1. no list", r"1\. no list"),
        ("two\n\n# lines", r"two \# lines"),
        (":material/check: :smile:", "\\:\u2060material/check\\: \\:\u2060smile\\:"),
    ],
)
def test_free_text_is_escaped(text: str, escaped: str) -> None:
    assert plain(text) == escaped
