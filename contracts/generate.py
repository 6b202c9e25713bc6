"""Writes the JSON Schema of every event and the AsyncAPI page from the models; `--check` only says what differs.

Run as `python -m contracts.generate`. The golden examples in `examples/` are written by hand and never generated.
"""

import json
import sys
from pathlib import Path
from typing import Any

from contracts.events.envelope import Envelope, Event
from contracts.events.registry import EVENTS
from contracts.topics import EVENT_TOPICS, PARTITIONS_PER_TOPIC

_FOLDER = Path(__file__).parent
_CLASSES = [EVENTS[key] for key in sorted(EVENTS)]


def schema_of(event_class: type[Event]) -> dict[str, Any]:
    """JSON Schema of an event in its envelope."""
    schema = Envelope[event_class].model_json_schema()  # type: ignore[valid-type]  # the class is known at run time only
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
    """AsyncAPI 3 document: a channel per topic, a message per event."""
    messages = {
        f"{event.type}.v{event.version}": {
            "summary": (event.__doc__ or "").strip(),
            "contentType": "application/json",
            "payload": {"$ref": f"schemas/{event.type}.v{event.version}.json"},
        }
        for event in _CLASSES
    }
    channels: dict[str, Any] = {
        topic: {
            "address": topic,
            "description": f"{PARTITIONS_PER_TOPIC} partitions, keyed by organization_id:aggregate_id.",
            "messages": {},
        }
        for topic in EVENT_TOPICS
    }
    for event in _CLASSES:
        name = f"{event.type}.v{event.version}"
        channels[event.topic]["messages"][name] = {"$ref": f"#/components/messages/{name}"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice events",
            "version": "1.0.0",
            "description": "Every committed write. Ids and facts, never personal data.",
        },
        "channels": channels,
        "components": {"messages": messages},
    }


def generated_files() -> dict[Path, str]:
    """Path -> text of everything that is generated."""
    files = {
        _FOLDER / "schemas" / f"{event.type}.v{event.version}.json": json.dumps(schema_of(event), indent=2) + "\n"
        for event in _CLASSES
    }
    files[_FOLDER / "asyncapi.json"] = json.dumps(asyncapi(), indent=2) + "\n"
    return files


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` list those that differ and return 1."""
    files = generated_files()
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    stale += [path for path in (_FOLDER / "schemas").glob("*.json") if path not in files]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} differs from the models. Run: python -m contracts.generate")
        return 1 if stale else 0
    for path in stale:
        if path in files:
            path.write_text(files[path])
        else:
            path.unlink()
    print(f"{len(files)} files, {len(stale)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
