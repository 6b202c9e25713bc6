"""What the OpenAPI document says of an operation's errors, derived from the error classes themselves."""

from typing import Any

from api.errors import CrmError


def answers_with(*errors: type[CrmError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of an operation that may raise these: one entry per status, naming the codes."""
    codes: dict[int | str, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(f"`{error.code}`")
    return {
        status: {
            "description": f"A problem (RFC 9457), code {', '.join(dict.fromkeys(found))}",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, found in codes.items()
    }
