"""The API's reference as a page: made from its OpenAPI document, of plain HTML that loads nothing from anywhere."""

from html import escape
from itertools import groupby
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a1a1a; }
code, pre { font: 13px/1.4 ui-monospace, monospace; } pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; }
summary { cursor: pointer; padding: .25rem 0; } summary b { display: inline-block; width: 4.5rem; }
h2 { margin-top: 2rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; }
@media (prefers-color-scheme: dark) { body { background: #151515; color: #eee; } pre { background: #242424; } }
"""
#: What the page itself may load: its own style, nothing else.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def reference_page(document: dict[str, Any]) -> str:
    """The page."""
    operations = [
        (operation.get("tags", ["other"])[0], method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=lambda one: one[0])
    parts = [
        f"<h2>{escape(tag)}</h2>" + "".join(_operation(*one) for one in group)
        for tag, group in groupby(operations, key=lambda one: one[0])
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title} API</h1><p>{escape(document['info']['description'])}</p>"
        f'<p>The whole of it, for programs: <a href="/openapi.json">openapi.json</a>.</p>{"".join(parts)}</body></html>'
    )


def _operation(_tag: str, method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<dt><code>{escape(one['name'])}</code> ({escape(one['in'])})</dt>"
        f"<dd>{escape(one.get('description', ''))}</dd>"
        for one in operation.get("parameters", [])
    )
    answers = "".join(
        f"<dt>{escape(status)}</dt><dd>{escape(answer.get('description', ''))}</dd>"
        for status, answer in operation["responses"].items()
    )
    about = escape(operation.get("description", operation.get("summary", "")))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary><p>{about}</p>"
        f"<dl>{parameters}</dl><dl>{answers}</dl></details>"
    )
