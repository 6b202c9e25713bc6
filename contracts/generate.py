"""Writes the AsyncAPI page, with the JSON Schema of every event in it, from the models; `--check` says if it differs.

Run as `python -m contracts.generate`. The golden examples in `examples/` are written by hand and never generated.
"""

import json
import sys
from pathlib import Path
from typing import Any

from contracts.events.envelope import Envelope, Event
from contracts.events.registry import EVENTS
from contracts.topics import EVENT_TOPICS, PARTITIONS_PER_TOPIC

_PAGE = Path(__file__).with_name("asyncapi.json")
_CLASSES = [EVENTS[key] for key in sorted(EVENTS)]


def schema_of(event_class: type[Event], *, ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """JSON Schema of an event in its envelope."""
    schema = Envelope[event_class].model_json_schema(ref_template=ref_template)  # type: ignore[valid-type]  # known at run time only
    schema["title"] = f"{event_class.type} v{event_class.version}"
    schema["description"] = (event_class.__doc__ or "").strip()
    for name, value in (
        ("type", event_class.type),
        ("version", event_class.version),
        ("aggregate_type", event_class.aggregate_type),
    ):
        schema["properties"][name]["const"] = value
    return schema


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3 document: a channel per topic, a message and a schema per event and version."""
    channels: dict[str, Any] = {
        topic: {
            "address": topic,
            "description": f"{PARTITIONS_PER_TOPIC} partitions, keyed by organization_id:aggregate_id.",
            "messages": {},
        }
        for topic in EVENT_TOPICS
    }
    messages, schemas = dict[str, Any](), dict[str, Any]()
    for event in _CLASSES:
        name = f"{event.type}.v{event.version}"
        schema = schema_of(event, ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs"), name: schema}
        messages[name] = {
            "summary": schema["description"],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
        channels[event.topic]["messages"][name] = {"$ref": f"#/components/messages/{name}"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice events",
            "version": "1.0.0",
            "description": "Every committed write. Ids and facts, never personal data.",
        },
        "channels": channels,
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def generated_page() -> str:
    """The page as it has to be."""
    return json.dumps(asyncapi(), indent=2) + "\n"


def write_page() -> None:
    """Write it."""
    _PAGE.write_text(generated_page())


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say that it differs and return 1."""
    if "--check" not in arguments:
        write_page()
    elif _PAGE.read_text() != generated_page():
        print(f"{_PAGE.name} differs from the models. Run: ./sluice accept")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
