"""Answers in which every text that people may write is hostile, whatever the double would say."""

import json
from typing import Any

from fastapi import Response

#: An image, bold, markup, a formula and a coloured word, if it were read as anything but text; what turns the line.
HOSTILE = r"![x](http://a.example/x) **b** <img src=x onerror=1> $\alpha$ :red[x]" + " \u202efdp"

#: Fields that hold what people wrote, or what strangers sent.
_FREE = frozenset(
    "name title subject text body label address sender email description message lost_reason user_agent error answer"
    " detail words url hint source industry domain phone country reason said about".split()
)


async def rewritten(response: Any, hostile: str) -> Response:
    """The answer with `hostile` in every free text."""
    body = b"".join([part async for part in response.body_iterator])
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    if response.headers.get("content-type", "").startswith("application/json") and body:
        body = json.dumps(_with(json.loads(body), hostile)).encode()
    return Response(body, status_code=response.status_code, headers=headers)


def _with(value: Any, hostile: str, name: str = "") -> Any:
    if isinstance(value, dict):
        free = name in ("labels", "custom")
        return {key: hostile if free and isinstance(one, str) else _with(one, hostile, key)
                for key, one in value.items()}  # fmt: skip
    if isinstance(value, list):
        return [_with(one, hostile, name) for one in value]
    return hostile if isinstance(value, str) and name in _FREE else value
