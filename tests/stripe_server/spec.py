"""Stripe's own OpenAPI document, which lies beside the project, as JSON Schema."""

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.stripe_server.account import Object

SPEC = Path(__file__).parents[2].parent / "shared" / "specs" / "stripe-2026-05-27.openapi.json.gz"


@cache
def document() -> Object:
    """The document; skips the test where it is absent."""
    if not SPEC.exists():
        pytest.skip(f"{SPEC} is absent: Stripe's OpenAPI document is not part of this project")
    with gzip.open(SPEC) as file:
        found: Object = json.load(file)
        return found


@cache
def _schemas() -> Object:
    found: Object = _translated(document()["components"]["schemas"])
    return found


def _translated(value: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: what is nullable may be null."""
    if isinstance(value, list):
        return [_translated(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _translated(one) for name, one in value.items() if name != "nullable"}
    if value.get("nullable") is not True:
        return inner
    return {"anyOf": [{"type": "null"}, inner]}


def problem_of(found: Object, schema: Object) -> str | None:
    """What is wrong with an answer, held against a schema of the document; None: nothing."""
    whole = {**schema, "components": {"schemas": _schemas()}}
    problem = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(whole).iter_errors(found))
    return problem and f"{found.get('object')}: {problem.json_path}: {problem.message}"


def answer_of(verb: str, path: str) -> Object:
    """The schema of what an operation answers when all is well."""
    # a path without parameters is meant before one that has them
    for template in sorted(document()["paths"], key=lambda one: one.count("{")):
        operation = document()["paths"][template].get(verb.lower())
        if operation and re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), path):
            found: Object = _translated(operation["responses"]["200"]["content"]["application/json"]["schema"])
            return found
    raise LookupError(path)
