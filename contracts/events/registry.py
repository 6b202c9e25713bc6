"""Every event type and version that may be written or read. A change of meaning is a new version with an upcaster."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCloseDateChanged,
    DealCreated,
    DealDeleted,
    DealOwnerChanged,
    DealReopened,
    DealStageChanged,
    DealUpdated,
)
from contracts.events.envelope import Envelope, Event
from contracts.events.identity import (
    OrganizationCreated,
    OrganizationUpdated,
    TeamCreated,
    TeamMemberAdded,
    TeamMemberRemoved,
    TeamUpdated,
    UserCreated,
    UserLoggedIn,
    UserUpdated,
)
from contracts.events.imports import ImportCompleted, ImportStarted
from contracts.events.pipelines import (
    PipelineCreated,
    PipelineUpdated,
    StageCreated,
    StageDeleted,
    StageUpdated,
)
from contracts.events.relations import CompanyCreated, CompanyUpdated, ContactCreated, ContactUpdated

EVENT_CLASSES: tuple[type[Event], ...] = (
    OrganizationCreated,
    OrganizationUpdated,
    UserCreated,
    UserUpdated,
    UserLoggedIn,
    TeamCreated,
    TeamUpdated,
    TeamMemberAdded,
    TeamMemberRemoved,
    ContactCreated,
    ContactUpdated,
    CompanyCreated,
    CompanyUpdated,
    PipelineCreated,
    PipelineUpdated,
    StageCreated,
    StageUpdated,
    StageDeleted,
    DealCreated,
    DealUpdated,
    DealStageChanged,
    DealAmountChanged,
    DealOwnerChanged,
    DealCloseDateChanged,
    DealClosed,
    DealReopened,
    DealDeleted,
    ImportStarted,
    ImportCompleted,
)

EVENTS: dict[tuple[str, int], type[Event]] = {(event.type, event.version): event for event in EVENT_CLASSES}

#: (type, version) -> function that turns that version's data into the next version's.
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


class UnreadableEventError(ValueError):
    """A message that is no event of ours: says what is wrong with it."""


def parse(message: Mapping[str, Any]) -> Envelope[Event]:
    """Read a stored or received message into its typed envelope, upcast to the newest version.

    Raises:
        UnreadableEventError: unknown type or version, or data that breaks the schema.
    """
    kind, version, data = message.get("type"), message.get("version"), message.get("data")
    while (upcast := UPCASTERS.get((str(kind), version if isinstance(version, int) else 0))) is not None:
        if not isinstance(data, dict) or not isinstance(version, int):
            break
        data, version = upcast(dict(data)), version + 1
    event_class = EVENTS.get((str(kind), version if isinstance(version, int) else 0))
    if event_class is None:
        raise UnreadableEventError(f"unknown event type {kind!r} version {version!r}")
    try:
        envelope = _envelope_class(event_class).model_validate({**message, "version": version, "data": data})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableEventError(f"{kind} version {version}: {where}: {first['msg']}") from error
    if envelope.aggregate_type != event_class.aggregate_type:
        raise UnreadableEventError(f"{kind}: aggregate_type {envelope.aggregate_type!r} is not its own")
    return envelope


@cache  # pydantic forgets a class that nobody holds, and making one takes longer than reading a hundred messages
def _envelope_class(event_class: type[Event]) -> type[Envelope[Event]]:
    return Envelope[event_class]  # type: ignore[valid-type]  # the class is known at run time only
