"""What a body calls a number, a boolean or a day is one: what only could be read as one is refused, not stored so."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from typing import Annotated, Any, get_args

from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.main import create_app
from contracts.settings import DatabaseSettings
from tests.factories import api_settings

#: By the type of JSON Schema, values of other types that Python takes for one.
_ALIKE: dict[str, tuple[object, ...]] = {
    "boolean": (0, 1, 1.0, "true", "yes", "1"),
    "integer": ("5", True, "1.0"),
    "number": ("5", False),
    "date": (0, "0", 1_700_000_000, "1700000000", "2026-5-1"),
    "date-time": (0, "0", 1_700_000_000, "1700000000", 1.5),
}
_READ = frozenset({bool, int, float, date, datetime})
_TYPE: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string"}


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    yield from (leaf for one in arguments for leaf in _leaves(one)) if arguments else [annotation]


def _models(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    for leaf in _leaves(annotation):
        if isinstance(leaf, type) and issubclass(leaf, BaseModel) and leaf not in seen:
            seen.add(leaf)
            yield leaf
            for field in leaf.model_fields.values():
                yield from _models(field.annotation, seen)


def _fields() -> Iterator[tuple[str, Any]]:
    """Name and type of each parameter of a path or query that is a day or an instant, and of each field of a body."""
    seen: set[type[BaseModel]] = set()
    for route in create_app(api_settings(), DatabaseSettings(database_url="postgresql://nowhere/x")).routes:
        if not isinstance(route, APIRoute):
            continue
        for parameter in (*route.dependant.path_params, *route.dependant.query_params):
            if {date, datetime} & {*_leaves(parameter.field_info.annotation)}:
                yield f"{route.path} {parameter.name}", _annotated(parameter.field_info)
        for body in route.dependant.body_params:
            for model in _models(body.field_info.annotation, seen):
                yield from ((f"{model.__name__}.{name}", _annotated(f)) for name, f in model.model_fields.items())


def _annotated(field: Any) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _taken(kind: Any) -> list[object]:
    """Values of other types that it takes, though it has no room for those types."""
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    kinds = {one.get("format") or one.get("type", "") for one in schema.get("anyOf", [schema])}
    taken: list[object] = []
    for value in (value for name in kinds for value in _ALIKE.get(name, ())):
        if _TYPE[type(value)] not in {"number" if one == "integer" else one for one in kinds}:
            with suppress(ValidationError):
                taken.append((value, adapter.validate_python(value)))
    return taken


def test_no_json_type_is_taken_for_another() -> None:
    read = (one for one in _fields() if _READ.intersection(_leaves(one[1])))
    found = {name: taken for name, kind in read if (taken := _taken(kind))}
    assert found == {}
