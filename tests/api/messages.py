"""The English texts of problems as they stand in the source: what a catalogue translates."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

from api.edge.documentation import error_kinds
from api.kernel.errors import CrmError

API = Path(__file__).parents[2] / "api"


def titles_and_details() -> dict[str, set[str]]:
    """Of each code, the texts that its classes declare."""
    found: dict[str, set[str]] = {code: set() for code in error_kinds()}
    for kind in below(CrmError):
        found[kind.code] |= {kind.title} | ({kind.detail} if kind.detail != CrmError.detail else set())
    found[CrmError.code].add(CrmError.detail)
    return found


def raised() -> set[str]:
    """The texts that are given where an error is raised, values as `{a}`, `{b}` …"""
    names = {kind.__name__ for kind in below(CrmError)} | {CrmError.__name__}
    return {
        text for path in sorted(API.rglob("*.py")) for text in _in_module(ast.parse(path.read_text()), names) if text
    }


def below(kind: type[CrmError]) -> Iterator[type[CrmError]]:
    """All classes of errors below one."""
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def _in_module(module: ast.Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name in names:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _name(call.func) == "__init__":
                    yield from _texts(call)
        elif isinstance(node, ast.Call) and _name(node.func) in names - {"NotFound", "PayloadTooLarge"}:
            yield from _texts(node)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(call: ast.Call) -> Iterator[str]:
    for node in call.args[:1]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            letters = iter(string.ascii_lowercase)
            parts = [one.value if isinstance(one, ast.Constant) else f"{{{next(letters)}}}" for one in node.values]
            text = "".join(str(part) for part in parts)
            if re.search("[A-Za-z]{3} ", text):
                yield text
