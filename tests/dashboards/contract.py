"""What the API would refuse, by its own OpenAPI document, so that its double refuses it too.

A page that asks for a path, a parameter or a field that is not there works against a double that takes everything, and
nowhere else. Ids are not looked at: the double's are short words.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import SecretStr

from api.main import create_app
from contracts.settings import DatabaseSettings
from metrics.errors import UnknownMetricError
from metrics.parameters import COMMON
from metrics.registry import definition_of
from tests.factories import api_settings

Row = dict[str, Any]

_METRIC = re.compile(r"/v1/metrics/([a-z_]+)(?:/rows(?:\.csv)?|/restatements)?")
#: What every metric takes, whatever its definition names.
_ANY_METRIC = frozenset(
    {"version", "names", "explain", "limit", "cursor", "measure", "stage_id", "group"} | {"from_as_of", "to_as_of"}
)


@cache
def document() -> Row:
    """The API's OpenAPI document. Nothing is connected to."""
    nowhere = DatabaseSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"))
    return create_app(api_settings(), nowhere).openapi()


def refusals(method: str, path: str, query: Mapping[str, str], body: bytes, content_type: str) -> list[tuple[str, str]]:
    """What is wrong with a request: which parameter, or field as a pointer, and why. One may name neither."""
    operation = _operation(method, path)
    if operation is None:
        return [("", f"The API has no {method} {path}")]
    return [*_parameters(operation, query), *_of_metric(path, query), *_body(operation, body, content_type)]


def _operation(method: str, path: str) -> Row | None:
    for pattern, methods in _paths():
        if method.lower() in methods and pattern.fullmatch(path):
            found: Row = methods[method.lower()]
            return found
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], Row]]:
    """Paths as patterns, those with the fewest variables first."""
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\\{.*?\\}", "[^/]+", re.escape(path))), methods) for path, methods in paths]


def _parameters(operation: Row, query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    declared = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
    for name, value in query.items():
        if name not in declared:
            yield name, "There is no such parameter."
        elif problem := _problem(declared[name]["schema"], _read(declared[name]["schema"], value)):
            yield name, problem
    for name, one in declared.items():
        if one.get("required") and name not in query:
            yield name, "This parameter is missing."


def _of_metric(path: str, query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Parameters of metrics are declared by their definitions."""
    asked = _METRIC.fullmatch(path)
    if asked is None:
        return
    try:
        definition = definition_of(asked[1])
    except UnknownMetricError as error:
        yield "", str(error)
        return
    for name in query.keys() - _ANY_METRIC - set(definition.parameters) - COMMON:
        yield name, f"{definition.name} has no such parameter."
    if "group_by" in query and query["group_by"].partition(":")[0] not in definition.offered:
        yield "group_by", f"{definition.name} is not offered by {query['group_by']}."
    if "measure" in query and definition.measure(query["measure"]) is None:
        yield "measure", f"{definition.name} has no such figure."


def _body(operation: Row, body: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    declared = operation.get("requestBody")
    if declared is None or not content_type.startswith("application/json"):
        return
    validator = Draft202012Validator(_rooted(declared["content"]["application/json"]["schema"]))
    for error in validator.iter_errors(json.loads(body or b"null")):
        yield "/" + "/".join(map(str, error.absolute_path)), error.message


def _problem(schema: Row, value: object) -> str | None:
    return next((error.message for error in Draft202012Validator(_rooted(schema)).iter_errors(value)), None)


def _rooted(schema: Row) -> Row:
    """A piece of the document with what it refers to."""
    return {**schema, "components": document()["components"]}


def _read(schema: Row, text: str) -> object:
    """A parameter's text as the type that its schema wants."""
    types = {one.get("type") for one in [schema, *schema.get("anyOf", [])]}
    if types & {"integer", "number"} and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return json.loads(text)
    if "boolean" in types and text in ("true", "false"):
        return text == "true"
    return text
