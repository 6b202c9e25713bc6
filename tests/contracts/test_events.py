"""Events keep their shape: golden examples, generated schemas, and nothing personal in them."""

import json
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from contracts import generate
from contracts.events.deals import DealDeleted, DealEvent
from contracts.events.envelope import Envelope, Event
from contracts.events.registry import EVENTS, UnreadableEventError, parse
from contracts.topics import TOPIC_OF_AGGREGATE

_EXAMPLES = sorted((Path(generate.__file__).parent / "examples").glob("*.json"))
_PERSONAL = {"email", "phone", "first_name", "last_name", "title", "full_name", "text", "body", "address"}


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(path for path in _EXAMPLES if path.stem == name).read_text())
    return found


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_golden_example_reads_back_unchanged(path: Path) -> None:
    message = json.loads(path.read_text())
    event_class = EVENTS[message["type"], message["version"]]
    envelope = Envelope[event_class].model_validate(message)  # type: ignore[valid-type]  # known at run time only
    again = json.loads(envelope.model_dump_json())
    if envelope.version == message["version"]:  # an older one is read as the newest
        assert again == message
    schema = generate.schema_of(EVENTS[message["type"], message["version"]])
    jsonschema.validate(message, schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_w5_every_version_is_read_as_the_newest(path: Path) -> None:
    message = json.loads(path.read_text())
    newest = max(version for kind, version in EVENTS if kind == message["type"])
    assert type(parse(message).data) is EVENTS[message["type"], newest]
    assert all((message["type"], version) in EVENTS for version in range(1, newest))


def test_every_event_has_an_example_and_a_topic() -> None:
    assert {path.stem for path in _EXAMPLES} == {f"{kind}.v{version}" for kind, version in EVENTS}
    assert all(TOPIC_OF_AGGREGATE[event.aggregate_type] == event.topic for event in EVENTS.values())


def test_the_generated_page_matches_the_models() -> None:
    page = Path(generate.__file__).with_name("asyncapi.json").read_text()
    assert page == generate.generated_page()


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_golden_example_fits_its_schema_on_the_page(path: Path) -> None:
    page = generate.asyncapi()
    payload = page["components"]["messages"][path.stem]["payload"]
    schema = {**payload, "components": page["components"]}
    jsonschema.validate(json.loads(path.read_text()), schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: f"{event.type}.v{event.version}")
def test_no_event_carries_personal_data(event: type[Event]) -> None:
    assert not _PERSONAL & set(event.model_fields)
    if event.aggregate_type not in {"pipeline", "stage"}:  # names of configuration are no personal data
        assert "name" not in event.model_fields


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"type": "deal.exploded"}, "unknown event type"),
        ({"version": 99}, "unknown event type"),
        ({"version": "1"}, "unknown event type"),
        ({"data": None}, "data"),
        ({"data": {"surprise": 1}}, "data"),
        ({"aggregate_version": 0}, "aggregate_version"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
        ({"aggregate_type": "contact"}, "aggregate_type"),
        ({"organization_id": "acme"}, "organization_id"),
        ({"extra": 1}, "extra"),
    ],
)
def test_an_unreadable_message_says_why(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnreadableEventError, match=complaint):
        parse({**_example("deal.created.v1"), **change})


def test_an_old_version_is_read_through_the_newer_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class DealDropped(DealEvent):
        type: ClassVar[str] = DealDeleted.type
        version: ClassVar[int] = 2
        reason: str

        @classmethod
        def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "reason": "unknown"}

    monkeypatch.setitem(EVENTS, (DealDropped.type, 2), EVENTS.pop((DealDropped.type, 2)))  # forgotten afterwards
    read = parse(_example("deal.deleted.v1"))
    assert (read.version, read.data) == (2, DealDropped(reason="unknown"))


def test_a_class_that_cannot_be_registered_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"two classes of deal\.deleted version 1"):

        class Twice(DealEvent):
            type: ClassVar[str] = DealDeleted.type

    with pytest.raises(TypeError, match="must say how data of version 1 become its own"):

        class Mute(DealEvent):
            type: ClassVar[str] = DealDeleted.type
            version: ClassVar[int] = 2

    assert ("deal.deleted", 2) not in EVENTS
