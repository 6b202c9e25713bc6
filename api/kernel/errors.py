"""Errors that callers of the API see, and how they are answered: RFC 9457 problems with a stable `code`.

CrmError                        an answer, not a fault
├── InvalidRequest        400   malformed beyond what a schema says: a tampered cursor, an unusable header
├── Unauthenticated       401   no, expired, forged or revoked credentials
├── Forbidden             403   the caller's role may not do this
├── NotFound              404   no such resource in the caller's organization
├── MethodNotAllowed      405   the path does not have this method
├── RequestTimeout        408   the body came too slowly
├── Conflict              409   the present state does not allow it; slices raise subclasses
├── PreconditionFailed    412   the resource changed since the caller read it
├── PayloadTooLarge       413   the body is larger than this path takes
├── UnsupportedMediaType  415   the body is of a type that this path does not take
├── Unprocessable         422   understood, but its content is wrong; `pointer` names the field
├── PreconditionRequired  428   a change without If-Match
└── Unavailable           503   busy or waiting too long for a lock: safe to try again

Slices subclass these beside their rules and keep the arguments as attributes. `code` is what programs branch on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class CrmError(Exception):
    """Base of all answers that are errors. What is the same each time stands on the class."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    detail: str = "Something went wrong."
    pointer: str | None = None
    #: Each wrong field by itself, where there may be several.
    errors: Sequence[Mapping[str, Any]] = ()

    def __init__(
        self, detail: str | None = None, *, pointer: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.detail, self.pointer, self.headers = detail or self.detail, pointer or self.pointer, headers or {}
        super().__init__(self.detail)

    def problem(self) -> dict[str, Any]:
        """The problem document without its request-specific members."""
        document: dict[str, Any] = {
            "type": f"urn:sluice:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.pointer is not None:
            document["errors"] = [{"pointer": self.pointer, "code": self.code, "detail": self.detail}]
        elif self.errors:
            document["errors"] = self.errors
        return document


class InvalidRequest(CrmError):
    """The request cannot be understood."""

    status, code, title = 400, "invalid_request", "Invalid request"


class InvalidCursor(InvalidRequest):
    """A page cursor that we did not make, or made for another list."""

    code, detail = "invalid_cursor", "This cursor was not made by this list. Start again without one."


class Unauthenticated(CrmError):
    """Credentials are missing or no longer good."""

    status, code, title = 401, "unauthenticated", "Not signed in"
    detail = "Sign in and send the access token as 'Authorization: Bearer …'."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(CrmError):
    """The caller is known and may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(CrmError):
    """No such resource in the caller's organization, or none that the caller may see."""

    status, code, title = 404, "not_found", "Not found"

    def __init__(self, resource: str = "resource") -> None:
        super().__init__(f"There is no such {resource}.")


class MethodNotAllowed(CrmError):
    """The path does not have this method; `Allow` lists those it has."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    detail = "This path does not have this method."


class RequestTimeout(CrmError):
    """The body came too slowly."""

    status, code, title = 408, "request_timeout", "Request timeout"
    detail = "The body came too slowly."


class Conflict(CrmError):
    """The request is fine, the present state is not."""

    status, code, title = 409, "conflict", "Conflict"


class PreconditionFailed(CrmError):
    """The resource is no longer what the caller read."""

    status, code, title = 412, "precondition_failed", "Changed meanwhile"

    def __init__(self) -> None:
        super().__init__("The resource changed since you read it. Read it again, then repeat the change.")


class PayloadTooLarge(CrmError):
    """The body is too large."""

    status, code, title = 413, "payload_too_large", "Body too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body may have at most {limit} bytes.")


class UnsupportedMediaType(CrmError):
    """The body is of a type that this path does not take."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    detail = "The body is of a type that this path does not take."


class Unprocessable(CrmError):
    """A field's content is wrong in a way that the schema cannot say."""

    status, code, title = 422, "unprocessable", "Invalid content"


class ValidationFailed(Unprocessable):
    """The request does not fit the schema; `errors` says where."""

    code, detail = "validation_failed", "The request does not fit the schema; `errors` says where."


class PreconditionRequired(CrmError):
    """A change must say which version it is based on."""

    status, code, title = 428, "precondition_required", "If-Match is missing"

    def __init__(self) -> None:
        super().__init__("Send the ETag that you read as If-Match.")


class Unavailable(CrmError):
    """Busy; the same request may work in a moment."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "The database is busy. Try again in a moment.") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})
