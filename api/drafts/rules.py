"""Rules of drafts: who may do what to one in which state. No I/O.

    generating → generated → (edited) → approved → sent
         └ failed      └────────┴──────────┴ rejected

An approval is of exactly one text, by its hash; whoever changes the text takes it back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict
from contracts.events.drafts import DraftApproved, DraftEdited, DraftGenerated, DraftKind, DraftRejected, DraftSent


class DraftState(StrEnum):
    """How far a draft came."""

    GENERATING = "generating"
    FAILED = "failed"
    GENERATED = "generated"
    EDITED = "edited"
    APPROVED = "approved"
    REJECTED = "rejected"
    SENT = "sent"


_OPEN = frozenset({DraftState.GENERATED, DraftState.EDITED, DraftState.APPROVED})


class DraftClosed(Conflict):
    """Nothing more can be done with it."""

    code = "draft_closed"

    def __init__(self, state: DraftState) -> None:
        super().__init__(f"This draft is {state}: nothing more can be done with it.")


class NotApproved(Conflict):
    """Only approved texts are sent."""

    code, detail = "draft_not_approved", "Nobody has approved this text. Approve it first."


class AnotherText(Conflict):
    """The text is no longer the one that was looked at."""

    code, detail = "draft_changed", "The text is another one than the one you approve. Read it again."


class NothingToSend(Conflict):
    """Only replies are sent."""

    code, detail = "nothing_to_send", "Only drafts of replies can be sent."


@dataclass(frozen=True, kw_only=True)
class Draft(Versioned):
    """One draft. `written` is what the model wrote, `text` what people made of it."""

    request_key: str
    kind: DraftKind
    state: DraftState
    conversation_id: UUID | None = None
    deal_id: UUID | None = None
    author_id: UUID | None = None
    prompt: str
    model: str = ""
    inputs_hash: str = ""
    cited: list[str]
    action: str | None = None
    written: str = ""
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int = 0
    approved_by: UUID | None = None
    approved_hash: str | None = None
    approved_at: datetime | None = None
    message_id: UUID | None = None
    failure: str | None = None

    @property
    def text_hash(self) -> str:
        """SHA-256 of the text: what an approval is of."""
        return hash_of(self.text)


def hash_of(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def generated(draft: Draft, now: datetime, **facts: object) -> Change[Draft]:
    """A model wrote it."""
    after = revised(draft, now, state=DraftState.GENERATED, failure=None, **facts)
    names = ("kind", "conversation_id", "deal_id", "author_id", "prompt", "model", "inputs_hash", "cited")
    figures = ("input_tokens", "output_tokens", "cost_micro")
    values = {name: getattr(after, name) for name in (*names, *figures)}
    return Change(draft, after, DraftGenerated(**values, length=len(after.text)))


def edit(draft: Draft, now: datetime, text: str, *, by: UUID) -> Change[Draft] | None:
    """Another text; an approval of the one before is gone.

    Raises:
        DraftClosed: nothing more can be done with it.
    """
    _require_open(draft)
    if text == draft.text:
        return None
    nobody = {"approved_by": None, "approved_hash": None, "approved_at": None}
    after = revised(draft, now, text=text, state=DraftState.EDITED, **nobody)
    return Change(draft, after, DraftEdited(edited_by=by, length=len(text)))


def approve(draft: Draft, now: datetime, *, by: UUID, text_hash: str) -> Change[Draft] | None:
    """Exactly this text may be sent.

    Raises:
        DraftClosed, AnotherText: as they say.
    """
    _require_open(draft)
    if text_hash != draft.text_hash:
        raise AnotherText
    if draft.state is DraftState.APPROVED and draft.approved_by == by:
        return None
    after = revised(draft, now, state=DraftState.APPROVED, approved_by=by, approved_hash=text_hash, approved_at=now)
    is_edited = draft.text != draft.written
    return Change(
        draft,
        after,
        DraftApproved(approved_by=by, text_hash=text_hash, is_edited=is_edited, length=len(draft.text)),
    )


def reject(draft: Draft, now: datetime, *, by: UUID) -> Change[Draft]:
    """None of it is wanted.

    Raises:
        DraftClosed: nothing more can be done with it.
    """
    _require_open(draft)
    was_approved = draft.state is DraftState.APPROVED
    after = revised(draft, now, state=DraftState.REJECTED)
    return Change(draft, after, DraftRejected(rejected_by=by, was_approved=was_approved))


def require_sendable(draft: Draft) -> None:
    """Refuse what may not be sent.

    Raises:
        DraftClosed, NothingToSend, NotApproved: as they say.
    """
    _require_open(draft)
    if draft.kind is not DraftKind.REPLY:
        raise NothingToSend
    if draft.state is not DraftState.APPROVED or draft.approved_hash != draft.text_hash:
        raise NotApproved


def sent(draft: Draft, now: datetime, message_id: UUID) -> Change[Draft]:
    """It waits to be sent, as this message."""
    require_sendable(draft)
    after = revised(draft, now, state=DraftState.SENT, message_id=message_id)
    return Change(draft, after, DraftSent(message_id=message_id, text_hash=draft.text_hash))


def _require_open(draft: Draft) -> None:
    if draft.state not in _OPEN:
        raise DraftClosed(draft.state)
