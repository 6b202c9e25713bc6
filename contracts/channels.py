"""Words that the API, its connectors and the dashboards share about channels: accounts, messages and sends."""

from enum import StrEnum


class Channel(StrEnum):
    """Through what people are written to."""

    EMAIL = "email"
    TELEGRAM = "telegram"
    X = "x"
    LINKEDIN = "linkedin"


class AccountState(StrEnum):
    """Where an account stands. Only `active` and `limited` ones send; `flood_wait` ends by itself at an instant."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    LIMITED = "limited"
    FLOOD_WAIT = "flood_wait"
    BANNED = "banned"
    REVOKED = "revoked"


class Direction(StrEnum):
    """Whose message it is: theirs, ours, or a note that never leaves."""

    IN = "in"
    OUT = "out"
    NOTE = "note"


class MessageKind(StrEnum):
    """What a message is: a person's words, or what a machine answered."""

    MESSAGE = "message"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"


class SendState(StrEnum):
    """How far a send came. `unknown`: it was given to the provider, and nobody can say whether it arrived."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


class SendSource(StrEnum):
    """What asked for a message to be sent; `elsewhere` was written in another program, and only seen here."""

    REPLY = "reply"
    DRAFT = "draft"
    CAMPAIGN = "campaign"
    RULE = "rule"
    ELSEWHERE = "elsewhere"


class ConversationStatus(StrEnum):
    """Whether somebody should look at it."""

    OPEN = "open"
    SNOOZED = "snoozed"
    CLOSED = "closed"
