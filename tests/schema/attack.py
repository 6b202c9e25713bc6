"""Random and mutated requests to every operation, by what OpenAPI says of it, and files of noise among them.

Half of what is sent is right: ids of things that are there, bodies as the schema asks, a field of them spoilt. Looked
for are answers of 5xx, and values that are stored as others than were sent, without a word.
"""

import json
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from contracts.access import Role
from tests.factories import PASSWORD

_TEXTS = (
    "", " ", "\0", "a\0b", "\u202e5", "１２", "٣", "İnfo@x.example", "e\u0301", "ß" * 300, "x" * 70_000, "\ufeff",
    "'; drop table deals;--", "../../etc/passwd", "%00", "<script>alert(1)</script>", "![x](http://x.example)",
    "NaN", "-0", "1e400", "0x10", "null", "true", "9" * 40, "0001-01-01", "9999-12-31", "2026-02-30", "24:00", "0",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "2026-03-29T02:30:00", "+275760-09-13", "{{7*7}}",
    "http://127.0.0.1:1/", "file:///etc/passwd", "a@b", "@", "00000000-0000-0000-0000-000000000000", "1 == 1",
    "((((((((", "ZZZ", "*", "\U0001f600", "Europe/Nowhere", "EUR", "\r\n",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**18, 10**30, 0.5, -0.0, 1e308, 1e-308, 3.0000000001)
_ODD_VALUES: tuple[Any, ...] = (None, True, [], {}, [None], {"": None}, [[[]]], "", 0)
_RAW_BODIES = (
    b"", b"{", b"[]", b"null", b'"x"', b"1e400", b"NaN", b"[" * 20_000, b'{"a":' * 2_000, b"\xff\xfe{\x00}\x00",
    b'{"title":"\xff"}', b'{"title":"\\ud800"}', b'{"title":1e999}', b'{"title":"a","title":"b"}', b"a=b&c=d",
)  # fmt: skip
_HEADERS = {
    "If-Match": ("*", '"1"', '"2"', 'W/"1"', '"', "1", '"99999999999999999999"', '"1", "2"', "\u00e9"),
    "Idempotency-Key": ("k", "x" * 300, "k" * 255, "a/b?c"),
    "Accept-Language": ("ru", "de;q=0.x", "*", "x" * 500, "en-GB,ru;q=0.1"),
    "X-Correlation-ID": ("not an id", "00000000-0000-7000-8000-000000000001", "x" * 400),
    "Accept": ("application/json", "text/html", "image/png", "*/*;q=0"),
    "Range": ("bytes=0-1", "bytes=-1", "bytes=9-1", "lines=1"),
    "If-None-Match": ("*", '"1"', "x"),
    "Content-Type": ("text/plain", "application/json; charset=utf-16", "multipart/form-data", "application/xml", "x"),
    "Last-Event-ID": ("0", "-1", "x"),
}
#: These end the sign-in that they are sent with, or all of an organization: seldom, or nothing else is tried.
_ENDING = (
    "log_out", "revoke", "change_password", "second_factor", "switch_organization", "update_user", "deactivate",
    "delete_organization",
)  # fmt: skip


@dataclass
class Attack:
    """One attack on an API; `found` says what was wrong."""

    url: str
    random: Random
    samples: list[bytes] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    _tokens: dict[Role, str] = field(default_factory=dict)
    _ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _number: "count[int]" = field(default_factory=count)

    def run(self, requests: int) -> None:
        """Send so many requests, one after the other."""
        with httpx.Client(base_url=self.url, timeout=60) as http:
            document = http.get("/openapi.json").json()
            self._schemas = document.get("components", {}).get("schemas", {})
            operations = [
                (method, path, operation)
                for path, methods in document["paths"].items()
                for method, operation in methods.items()
            ]
            weights = [0.03 if any(word in one[2]["operationId"] for word in _ENDING) else 1.0 for one in operations]
            for number in range(requests):
                if number % 100 == 0:
                    self._renew(http)
                [(method, path, operation)] = self.random.choices(operations, weights)
                self._send(http, method.upper(), path, operation)

    def _renew(self, http: httpx.Client) -> None:
        """Another organization, where people of this one cannot go on."""
        asked = [http.get("/v1/me", headers=_bearer(token)).status_code for token in self._tokens.values()]
        if asked and set(asked) == {200}:
            return
        number = next(self._number)
        body = {"email": f"o{number}@attack.example", "password": PASSWORD, "name": "Robin"}
        http.post("/v1/auth/signup", json=body | {"organization_name": "Acme"}).raise_for_status()
        self._tokens = {Role.OWNER: self._sign_in(http, body["email"])}
        owner = _bearer(self._tokens[Role.OWNER])
        for role in (Role.ADMIN, Role.MANAGER, Role.REP, Role.ANALYST):
            person = body | {"email": f"{role}{number}@attack.example", "role": role}
            http.post("/v1/users", json=person, headers=owner).raise_for_status()
            self._tokens[role] = self._sign_in(http, person["email"])
        self._ids.clear()

    def _sign_in(self, http: httpx.Client, email: str) -> str:
        answer = http.post("/v1/auth/login", json={"email": email, "password": PASSWORD}).raise_for_status()
        return str(answer.json()["access_token"])

    def _send(self, http: httpx.Client, method: str, template: str, operation: dict[str, Any]) -> None:
        headers = self._headers()
        path = template
        query: list[tuple[str, str | int | float | bool | None]] = []
        for parameter in operation.get("parameters", []):
            schema = parameter.get("schema", {})
            if parameter["in"] == "path":
                value = self._path_value(template, parameter["name"], schema)
                path = path.replace(_slot(parameter["name"]), _quoted(value))
            elif parameter["in"] == "query" and self.random.random() < (0.9 if parameter.get("required") else 0.3):
                query.append((parameter["name"], _as_text(self._value(schema, parameter["name"]))))
        options, sent = self._body(operation, headers)
        try:
            answer = http.request(method, path, params=query, headers=headers, **options)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
            return  # not even a request
        except httpx.TransportError as error:
            self.found.append(f"{method} {path}: {type(error).__name__}: {error}")
            return
        self.statuses[answer.status_code] += 1
        self.sent[operation["operationId"]] += 1
        self._judge(answer, f"{method} {template}", sent)

    def _judge(self, answer: httpx.Response, what: str, sent: object) -> None:
        request = answer.request
        if answer.status_code >= 500:
            told = request.content[:400] if not request.headers.get("Content-Type", "").startswith("multipart") else b""
            self.found.append(f"{answer.status_code} {what} {request.url.query[:300]!r} {told!r}: {answer.text[:300]}")
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        if not answer.is_success or not is_json or not answer.content:
            return
        body = answer.json()
        self._remember(what.split()[1], body)
        if isinstance(sent, dict) and isinstance(body, dict):
            for name in sent.keys() & body.keys():
                if differs(sent[name], body[name]):
                    self.found.append(f"{what}: {name} was {sent[name]!r:.200}, is {body[name]!r:.200}")

    def _remember(self, path: str, body: object) -> None:
        kind = path.split("/")[2] if path.count("/") > 1 else ""
        listed = body.get("items") if isinstance(body, dict) else None
        for item in listed if isinstance(listed, list) else [body]:
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                self._ids[kind].append(item["id"])
                for inner in item.get("stages") or ():
                    self._ids["stages"].append(inner["id"])
        for ids in self._ids.values():
            del ids[:-40]

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.random.random() < 0.97:
            role = self.random.choices([*self._tokens], [6.0] + [1.0] * (len(self._tokens) - 1))[0]
            headers |= _bearer(self._tokens[role])
        elif self.random.random() < 0.5:
            headers["Authorization"] = self.random.choice(
                ["Bearer x", "Bearer slk_x", "Basic eDp4", "Bearer", "x" * 9000]
            )
        headers["If-Match"] = f'"{self.random.choice([1, 1, 1, 2, 3])}"'
        for name, values in _HEADERS.items():
            if self.random.random() < 0.04:
                headers[name] = self.random.choice(values)
        return headers

    def _path_value(self, template: str, name: str, schema: Mapping[str, Any]) -> str:
        before = template.split(_slot(name))[0].rstrip("/").rsplit("/", 1)[-1]
        known = self._ids.get(before) or self._ids.get(name.removesuffix("_id") + "s")
        if known and self.random.random() < 0.85:
            return self.random.choice(known)
        return _as_text(self._value(schema, name)) or "x"

    def _body(self, operation: dict[str, Any], headers: dict[str, str]) -> tuple[dict[str, Any], object]:
        content = operation.get("requestBody", {}).get("content", {})
        if "multipart/form-data" in content:
            headers.pop("Content-Type", None)
            return self._form(content["multipart/form-data"]["schema"]), None
        if "application/json" not in content:
            return ({"content": self.random.choice(_RAW_BODIES)} if self.random.random() < 0.02 else {}), None
        headers.setdefault("Content-Type", "application/json")
        if self.random.random() < 0.04:
            return {"content": self.random.choice(_RAW_BODIES)}, None
        body = self._value(content["application/json"]["schema"], "", odd=0.02)
        if isinstance(body, dict) and body and self.random.random() < 0.5:
            name = self.random.choice([*body])
            body[name] = self._odd()
        text = json.dumps(body)
        return {"content": text.encode()}, body

    def _form(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        properties = self._resolved(schema).get("properties", {})
        files, data = [], {}
        for name, each in properties.items():
            shape = json.dumps(each)
            if "binary" in shape or "contentMediaType" in shape or "octet-stream" in shape:
                if self.random.random() < 0.5:
                    files.append(
                        (
                            name,
                            (self.random.choice(["a.csv", "a.xlsx", "a.zip", "ä\u202e.csv", "x" * 300]), self._file()),
                        )
                    )
            elif self.random.random() < 0.7:
                data[name] = self._options() if name == "options" else _as_text(self._value(each, name))
        return {"files": files or [("file", ("a.csv", self._file()))], "data": data}

    def _options(self) -> str:
        options = {
            "encoding": self.random.choice(["auto", "utf-8", "utf-16", "cp1252", "shift_jis", "x"]),
            "preview": self.random.random() < 0.4,
            "create_missing": self.random.random() < 0.7,
        }
        kept = {name: value for name, value in options.items() if self.random.random() < 0.6}
        if self.random.random() < 0.15:
            kept[self.random.choice(["mapping", "delimiter", "day_first", "x"])] = self._odd()
        return json.dumps(kept) if self.random.random() < 0.9 else self.random.choice(["", "{", "[]", "null", '"x"'])

    def _file(self) -> bytes:
        """A file that somebody has, a piece of it spoilt; or noise."""
        if not self.samples or self.random.random() < 0.1:
            return self.random.randbytes(self.random.choice([0, 1, 30, 3_000]))
        body = bytearray(self.random.choice(self.samples))
        for _ in range(self.random.choice([0, 0, 1, 3, 20])):
            place = self.random.randrange(len(body) + 1)
            piece = self.random.choice(
                [b"\0", b'"', b"\n", b";", b",", b"\xff", b"\r", b"\xef\xbb\xbf", b"=1+1", b"9" * 40, b""]
            )
            body[place : place + self.random.choice([0, 1, 5])] = piece
        return bytes(body[: self.random.choice([len(body), len(body), len(body) // 2])])

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def _odd(self) -> Any:
        return self.random.choice([*_TEXTS, *_NUMBERS, *_ODD_VALUES])

    def _value(self, schema: Mapping[str, Any], name: str, *, depth: int = 0, odd: float = 0.12) -> Any:
        """A value of the schema, more or less."""
        schema = self._resolved(schema)
        if self.random.random() < odd or depth > 6:
            return self._odd()
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self._value(self.random.choice(choices), name, depth=depth + 1, odd=odd)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, depth, odd)
        if kind == "array":
            some = range(self.random.choice([0, 1, 1, 2, 5]))
            return [self._value(schema.get("items", {}), name, depth=depth + 1, odd=odd) for _ in some]
        return self._scalar(schema, name, kind)

    def _object(self, schema: Mapping[str, Any], depth: int, odd: float) -> dict[str, Any]:
        required = schema.get("required", ())
        made = {
            name: self._value(each, name, depth=depth + 1, odd=odd)
            for name, each in schema.get("properties", {}).items()
            if (name in required and self.random.random() < 0.98) or self.random.random() < 0.4
        }
        if self.random.random() < 0.03:
            made[self.random.choice(["x", "", "id", "organization_id", "__class__"])] = self._odd()
        return made

    def _scalar(self, schema: Mapping[str, Any], name: str, kind: str | None) -> Any:
        if kind == "null":
            return None
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind in ("integer", "number"):
            low = schema.get("minimum", 0)
            return self.random.choice([low, schema.get("maximum", low + 100), self.random.randint(0, 10_000)])
        form = schema.get("format")
        if form == "uuid" or name.endswith("_id"):
            known = self._ids.get(name.removesuffix("_id") + "s") or self._ids.get("users")
            return self.random.choice(known) if known and self.random.random() < 0.9 else str(UUID(int=7))
        if form in ("date-time", "date"):
            instant = datetime.now(UTC) - timedelta(days=self.random.randint(-30, 400))
            return instant.isoformat() if form == "date-time" else instant.date().isoformat()
        if form == "email" or name == "email":
            return f"p{self.random.randrange(10**6)}@attack.example"
        if name in ("currency", "time_zone"):
            return {"currency": "EUR", "time_zone": "Europe/Berlin"}[name]
        letters = self.random.choices(string.ascii_letters + "  äß東", k=self.random.choice([1, 3, 12, 40]))
        return "".join(letters).strip() or "x"


def differs(sent: object, kept: object) -> bool:
    """Whether what is kept is another value than what was sent, and not only another way to write it."""
    if isinstance(sent, bool) or isinstance(kept, bool) or sent is None or kept is None:
        return isinstance(sent, bool) and isinstance(kept, bool) and sent != kept
    if isinstance(sent, int | float) and isinstance(kept, int | float):
        return sent != kept
    if isinstance(sent, str) and isinstance(kept, str):
        return _meant(sent) != _meant(kept)
    return False


def _meant(text: str) -> object:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def samples(folder: Path) -> list[bytes]:
    """Files that people reported trouble with."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".csv", ".xlsx", ".zip"))
    return [path.read_bytes() for path in found if path.stat().st_size < 200_000]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _slot(name: str) -> str:
    return f"{{{name}}}"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(value: str) -> str:
    return quote(value[:500].encode("utf-8", "replace"), safe="")
