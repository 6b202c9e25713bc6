"""Problems in the reader's language: texts by gettext catalogues (`api/locales/<language>.po`), English without.

A message id is an English text as it stands in the source, or with `{names}` where the text has values: an answered
text is held against these templates, so nobody who raises an error thinks of languages. Programs branch on `code`.
"""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection

ENGLISH = "en"
_FOLDER = Path(__file__).parent.parent / "locales"
#: The languages there are.
LANGUAGES = (ENGLISH, *sorted(path.stem for path in _FOLDER.glob("*.po")))

_HOLE = re.compile(r"\{\w+\}")
_WISH = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
#: Of a header as long as a novel only the beginning is read.
_LONGEST_WISH = 200


def language_of(request: HTTPConnection) -> str:
    """The language of ours that a request likes best (RFC 9110, 12.5.4)."""
    return _best(request.headers.get("Accept-Language", "")[:_LONGEST_WISH])


@lru_cache(maxsize=256)
def _best(wishes: str) -> str:
    found = [match for wish in wishes.split(",") if (match := _WISH.fullmatch(wish))]
    liked = sorted(found, key=lambda match: -float(match[2] or 1))
    wanted = (match[1].lower() for match in liked if float(match[2] or 1) > 0)
    return next((language for language in wanted if language in LANGUAGES), ENGLISH)


def translated(document: dict[str, Any], language: str) -> dict[str, Any]:
    """A problem document in a language; what has no text there stays English."""
    if language == ENGLISH:
        return document
    texts = {name: translate(document[name], language) for name in ("title", "detail")}
    errors = [one | {"detail": translate(one["detail"], language)} for one in document.get("errors") or ()]
    return document | texts | ({"errors": errors} if errors else {})


def translate(text: str, language: str) -> str:
    """A text in a language, as itself if it has none there."""
    exact, templates = _catalogue(language)
    if text in exact:
        return exact[text]
    for pattern, translation in templates:
        if match := pattern.fullmatch(text):
            values = {name: translate(value, language) for name, value in match.groupdict().items()}
            return translation.format_map(values)
    return text


@cache
def _catalogue(language: str) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Texts as they are, and those with holes, the most telling first."""
    with (_FOLDER / f"{language}.po").open("rb") as file:
        messages = {str(one.id): str(one.string) for one in read_po(file) if one.id and one.string and not one.fuzzy}
    exact = {text: string for text, string in messages.items() if not _HOLE.search(text)}
    holed = sorted((text for text in messages if text not in exact), key=lambda text: -len(_HOLE.sub("", text)))
    return exact, [(_pattern(text), messages[text]) for text in holed]


def _pattern(text: str) -> re.Pattern[str]:
    parts, names = _HOLE.split(text), _HOLE.findall(text)
    holes = [f"(?P<{name[1:-1]}>.+)" for name in names] + [""]
    return re.compile("".join(re.escape(part) + hole for part, hole in zip(parts, holes, strict=True)), re.DOTALL)
