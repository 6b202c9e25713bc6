"""Texts with `{{fields}}`: each is replaced by what it names, and nothing else happens. Pure.

    Hello {{contact.first_name | there}}        what stands after the bar is for people who lack the field

What a text names and a recipient lacks is said with both names, before anybody is written to.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from api.kernel.errors import Unprocessable

#: What may be named.
FIELDS = (
    "contact.name",
    "contact.first_name",
    "contact.email",
    "contact.phone",
    "company.name",
    "company.domain",
    "deal.title",
    "sender.name",
)
#: Fields of contacts that people made: `contact.custom.<name>`.
CUSTOM = "contact.custom."

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_BRACES = re.compile(r"\{\{|\}\}")


class BadTemplate(Unprocessable):
    """The text has a field that cannot be filled in."""

    code, pointer = "bad_template", "/steps"


def check(text: str, custom: Mapping[str, object] | None = None) -> None:
    """Refuse a text that names what there is not.

    Raises:
        BadTemplate: it says what and which there are.
    """
    known = {*FIELDS, *(f"{CUSTOM}{name}" for name in custom or ())}
    for name, _ in places(text):
        if name not in known:
            raise BadTemplate(f"There is no field {{{{{name}}}}}. There are: {', '.join(sorted(known))}.")
    if _BRACES.search(_PLACE.sub("", text)):
        raise BadTemplate("Some braces do not match: a field is written {{contact.name}}.")


def places(text: str) -> Iterator[tuple[str, str | None]]:
    """The fields that a text names, with what stands for those who lack them."""
    for inside in _PLACE.findall(text):
        name, bar, instead = inside.partition("|")
        yield name.strip(), instead.strip() if bar else None


def missing(text: str, values: Mapping[str, str | None]) -> list[str]:
    """The fields of a text that somebody lacks."""
    return sorted({name for name, instead in places(text) if not values.get(name) and instead is None})


def render(text: str, values: Mapping[str, str | None], *, spelled: Callable[[str], str] = str) -> str:
    """The text for somebody, with each field as `spelled` has it.

    What they lack is what stands instead, or nothing: `missing` has said so before.
    """

    def filled(place: re.Match[str]) -> str:
        name, _, instead = place[1].partition("|")
        value = values.get(name.strip())
        return spelled(value) if value else instead.strip()

    return _PLACE.sub(filled, text)
