"""`Idempotency-Key`: a POST that is repeated with the same key has one effect and answers the same.

The key's row is written in the transaction of the effect: both are there or neither. A key belongs to one user, is
good for 24 hours, and remembers a keyed fingerprint of the request, so neither bodies nor passwords are stored.
Only answers of success are kept; after an error the same key simply tries again.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api.db.statements import Bound, compiled
from api.edge.services import services_of
from api.kernel.errors import Conflict, InvalidRequest, Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork

HEADER = "Idempotency-Key"

_LONGEST_KEY = 255
_KEPT_HEADERS = ("content-type", "etag", "location")

_CLAIM = compiled(text("select * from claim_idempotency_key(:organization_id, :user_id, :key)"))
# old keys go with new ones: a few each time keeps the table as large as a day
_KEEP = compiled(
    text("""
with expired as (
    select organization_id, user_id, key from idempotency_keys
    where organization_id = :organization_id and created_at <= now() - interval '24 hours'
        and not (user_id = :user_id and key = :key)
    order by created_at limit 20
), purged as (
    delete from idempotency_keys as k using expired as e
    where k.organization_id = e.organization_id and k.user_id = e.user_id and k.key = e.key
)
insert into idempotency_keys (organization_id, user_id, key, fingerprint, status, headers, body)
values (:organization_id, :user_id, :key, :fingerprint, :status, :headers, :body)
on conflict (organization_id, user_id, key) do update
    set fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
        body = excluded.body, created_at = now()
""")
)


class IdempotencyKeyReused(Unprocessable):
    """The key was used for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for a different request. Take a new one.")


class RequestInProgress(Conflict):
    """The first request with this key has not finished."""

    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still running.", headers={"Retry-After": "1"})


class Replay(Exception):  # control flow between a dependency and the route, never an answer of error
    """The request was done before: `response` is what it answered."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True)
class Key:
    """The key of a request, and what the request was."""

    user_id: UUID
    key: str
    fingerprint: bytes

    def claim(self) -> Bound:
        """The statement that takes the key until the transaction ends."""
        return _CLAIM.bind(user_id=self.user_id, key=self.key)

    def judge(self, found: Row) -> None:
        """Let the request go on if the key is new.

        Raises:
            Replay: done before.
            RequestInProgress, IdempotencyKeyReused: as they say.
        """
        if found.state == "running":
            raise RequestInProgress
        if found.state == "done":
            if found.fingerprint != self.fingerprint:
                raise IdempotencyKeyReused
            headers = {**found.headers, "Idempotency-Replayed": "true"}
            raise Replay(Response(found.body, status_code=found.status, headers=headers))

    def keep(self, unit: UnitOfWork, response: Response) -> None:
        """Store the answer beside the effect: it goes with COMMIT."""
        unit.execute(_KEEP, **_kept(self, response))


async def key_of(request: Request, *, user_id: UUID) -> Key | None:
    """The request's key, if it is a POST and has one.

    Raises:
        InvalidRequest: it cannot be one.
    """
    key = request.headers.get(HEADER) if request.method == "POST" else None
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise InvalidRequest(f"An Idempotency-Key has 1 to {_LONGEST_KEY} printable characters.")
    return Key(user_id, key, await _fingerprint(request))


def _kept(key: Key, response: Response) -> dict[str, object]:
    return {
        "user_id": key.user_id,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        "body": bytes(response.body),
    }


async def _fingerprint(request: Request) -> bytes:
    # of an upload that is too large to keep in memory, its size has to do
    is_large = not hasattr(request, "_body")
    body = request.headers.get("content-length", "").encode() if is_large else await request.body()
    _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    if boundary:
        # a client draws a new boundary for each attempt
        body = body.replace(boundary.strip('"').encode(), b"")
    head = f"{request.method} {request.scope['path']}?".encode() + request.scope["query_string"]
    message = head + b"\n" + body
    return services_of(request).signer.sign("idempotency", message)
