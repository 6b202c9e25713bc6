"""HTML of strangers, made safe to show: no scripts, forms or styles, and nothing that is fetched by looking at it."""

import re
from html import unescape

import nh3

_TAGS = {
    "a", "b", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]*>", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\f\v\xa0]+")
_LINES = re.compile(r"\n\s*\n\s*\n+")


def safe(html: str) -> str:
    """What may be shown of it."""
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags={"script", "style", "head", "title"},
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def as_text(html: str) -> str:
    """Its words, line by line."""
    broken = _BREAK.sub("\n", html)
    bare = nh3.clean(broken, tags=set(), clean_content_tags={"script", "style", "head", "title"})
    lines = "\n".join(_BLANKS.sub(" ", line).strip() for line in unescape(bare).splitlines())
    return _LINES.sub("\n\n", lines).strip()
