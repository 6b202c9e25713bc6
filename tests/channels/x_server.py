"""X as far as direct messages go, made from its official OpenAPI: what is asked and answered is held against it.

State is ours: conversations of two, events with growing ids, tokens that end, a rate limit, answers that get lost.
"""

import gzip
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator

Json = dict[str, Any]

SPEC = Path(__file__).resolve().parents[3] / "shared" / "specs" / "x-2.167.openapi.json.gz"
US, ADA = "100", "200"
USERS = {US: {"id": US, "name": "Us", "username": "us"}, ADA: {"id": ADA, "name": "Ada", "username": "ada"}}


@dataclass
class X:
    """The server's state."""

    spec: Json
    page: int = 100
    access_token: str = "first"
    refresh_token: str = "again"
    busy_until: int = 0
    lose_next: bool = False
    #: Said instead of the next answers.
    garbage: list[bytes] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    events: list[Json] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    #: Files by the number that an upload has, as far as they came; how often X says that it still works on one.
    media: dict[str, Json] = field(default_factory=dict)
    works: int = 0
    refuses: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, sender: str, text: str, *, to: str = US, media: str | None = None) -> Json:
        """Somebody writes, with a file that was uploaded."""
        with self.lock:
            pair = "-".join(sorted((sender, to), key=int))
            event: Json = {
                "id": str(1_000 + len(self.events)),
                "event_type": "MessageCreate",
                "text": text,
                "sender_id": sender,
                "dm_conversation_id": pair,
                "created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            if media is not None:
                event["attachments"] = {"media_keys": [f"3_{media}"]}
                self.media[media]["dm"] = event["id"]
            self.events.append(event)
            return event

    def included(self) -> list[Json]:
        """The files of all messages, as a list of events includes them."""
        place = "https://ton.x.com/1.1/ton/data/dm/{dm}/{id}/{name}"
        return [
            {"media_key": f"3_{id_}", "type": "photo", "url": place.format(dm=one["dm"], id=id_, name=one["name"])}
            for id_, one in self.media.items()
            if "dm" in one
        ]

    def check(self, schema: Json, given: object, what: str) -> None:
        """Hold something against the specification; what is wrong fails the test in the end."""
        whole = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
            "components": self.spec["components"],
        }
        for error in Draft202012Validator(whole).iter_errors(given):
            self.broken.append(f"{what}: {error.message}")


def _handler(x: X) -> type[BaseHTTPRequestHandler]:  # noqa: C901 # a server's answers
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if self._is_refused():
                return
            if url.path == "/2/users/me":
                self._answer(200, {"data": USERS[US]}, "/2/users/me")
            elif url.path.startswith("/2/users/by/username/"):
                named = [one for one in USERS.values() if one["username"] == url.path.rpartition("/")[2]]
                body: Json = (
                    {"data": named[0]} if named else {"errors": [{"title": "Not Found", "type": "about:blank"}]}
                )
                self._answer(200, body, "/2/users/by/username/{username}")
            elif url.path == "/2/dm_events":
                self._list(query)
            elif url.path == "/2/media/upload":
                x.works -= 1
                self._answer(200, self._worked(query["media_id"]), "/2/media/upload")
            elif url.path.startswith("/2/dm_conversations/media/"):
                *_, dm, id_, name = url.path.split("/")
                one = x.media.get(id_, {})
                is_there = (one.get("dm"), one.get("name")) == (dm, name)
                self._say(200 if is_there else 404, one["content"] if is_there else b"", "application/octet-stream")
            else:
                self._answer(404, {"title": "Not Found", "type": "about:blank"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.path == "/2/oauth2/token":
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                if form.get("refresh_token") != x.refresh_token:
                    self._answer(400, {"error": "invalid_request"})
                    return
                x.refresh_token += "!"
                self._answer(200, {"access_token": x.access_token, "refresh_token": x.refresh_token})
                return
            if self._is_refused():
                return
            if self.path.startswith("/2/media/upload/"):
                self._upload(body)
            else:
                self._send(json.loads(body))

        def _upload(self, body: bytes) -> None:
            path = re.sub(r"(?<=upload)/\d+/", "/{id}/", self.path)
            content = x.spec["paths"][path]["post"].get("requestBody", {}).get("content", {})
            if path.endswith("initialize"):
                given = json.loads(body)
                x.check(content["application/json"]["schema"], given, path)
                if x.refuses:
                    self._answer(400, {"title": "Invalid Request", "type": "about:blank"})
                    return
                id_ = str(7_000 + len(x.media))
                x.media[id_] = {"content": b"", "size": given["total_bytes"], "category": given["media_category"]}
                self._answer(200, {"data": {"id": id_, "media_key": f"3_{id_}"}}, path, "post")
                return
            id_ = self.path.split("/")[4]
            if path.endswith("append"):
                head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
                parts = {
                    part.get_param("name", header="content-disposition"): part
                    for part in message_from_bytes(head + body, policy=HTTP).iter_parts()
                }
                words = {"media": "x", "segment_index": int(str(parts["segment_index"].get_payload()))}
                x.check(content["multipart/form-data"]["schema"], words, path)
                x.media[id_]["content"] += parts["media"].get_payload(decode=True)
                x.media[id_]["name"] = parts["media"].get_filename()
                self._answer(200, {"data": {"expires_at": 2_000_000_000}}, path, "post")
            else:
                self._answer(200, self._worked(id_), path, "post")

        def _worked(self, id_: str) -> Json:
            if len(x.media[id_]["content"]) != x.media[id_]["size"]:
                x.broken.append("another size than was said")
            state = "in_progress" if x.works > 0 else "succeeded"
            return {"data": {"id": id_, "processing_info": {"state": state, "check_after_secs": 1}}}

        def _list(self, query: Json) -> None:
            self._check_query(query)
            seen = [one for one in reversed(x.events) if one["id"] not in x.hidden]
            start = int(query.get("pagination_token", "0".zfill(16)))
            page, rest = seen[start : start + x.page], seen[start + x.page :]
            body: Json = {
                "data": page,
                "includes": {"users": list(USERS.values()), "media": x.included()},
                "meta": {"result_count": len(page)},
            }
            if rest:
                body["meta"]["next_token"] = str(start + x.page).zfill(16)
            self._answer(200, body, "/2/dm_events")

        def _check_query(self, query: Json) -> None:
            known = [
                x.spec["components"]["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
                for one in x.spec["paths"]["/2/dm_events"]["get"]["parameters"]
            ]
            schemas = {one["name"]: one["schema"] for one in known}
            for name, value in query.items():
                if name not in schemas:
                    x.broken.append(f"/2/dm_events has no parameter {name}")
                    continue
                kind = schemas[name]["type"]
                given: object = value.split(",") if kind == "array" else int(value) if kind == "integer" else value
                x.check(schemas[name], given, name)

        def _send(self, body: Json) -> None:
            parts = self.path.split("/")
            is_new = parts[3] == "with"
            path = (
                "/2/dm_conversations/with/{participant_id}/messages"
                if is_new
                else "/2/dm_conversations/{dm_conversation_id}/messages"
            )
            operation = x.spec["paths"][path]["post"]
            x.check(operation["requestBody"]["content"]["application/json"]["schema"], body, path)
            others = [parts[4]] if is_new else [one for one in parts[3].split("-") if one != US]
            media = [one["media_id"] for one in body.get("attachments", ())]
            event = x.say(US, body["text"], to=others[0], media=media[0] if media else None)
            if x.lose_next:
                x.lose_next = False
                self.close_connection = True
                self.connection.close()
                return
            data = {"dm_event_id": event["id"], "dm_conversation_id": event["dm_conversation_id"]}
            self._answer(201, {"data": data}, path, "post")

        def _is_refused(self) -> bool:
            if self.headers.get("Authorization") != f"Bearer {x.access_token}":
                self._answer(401, {"title": "Unauthorized", "type": "about:blank"})
                return True
            if time() < x.busy_until:
                self._answer(429, {"title": "Too Many Requests"}, headers={"x-rate-limit-reset": str(x.busy_until)})
                return True
            return False

        def _answer(
            self,
            status: int,
            body: Json,
            path: str | None = None,
            method: str = "get",
            *,
            headers: dict[str, str] | None = None,
        ) -> None:
            if path is not None:
                content = x.spec["paths"][path][method]["responses"][str(status)]["content"]
                x.check(content["application/json"]["schema"], body, path)
            raw = x.garbage.pop(0) if x.garbage else json.dumps(body).encode()
            self._say(status, raw, "application/json", headers)

        def _say(self, status: int, raw: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of five a connector that is killed and begun anew loses some, and waits for a minute


class XServer:
    """The server, in a thread."""

    def __init__(self) -> None:
        self.x = X(json.loads(gzip.decompress(SPEC.read_bytes())))
        self._server = _Server(("127.0.0.1", 0), _handler(self.x))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
