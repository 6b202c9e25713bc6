"""Hashes of all definitions that were ever published: what keeps a definition from changing without a new version."""

import json
from pathlib import Path

from metrics.registry import Registry, registry

_PUBLISHED = Path(__file__).with_suffix(".json")


def wrong(known: Registry | None = None, *, published: Path = _PUBLISHED) -> list[str]:
    """What the definitions must not do: change, or go, once they are published; and what is not published yet."""
    kept, hashes = _kept(published), _hashes(known or registry())
    return [
        *(f"{name} is not published yet: ./sluice accept" for name in hashes if name not in kept),
        *(f"{name} is published and gone: keep it in definitions/earlier" for name in kept if name not in hashes),
        *(
            f"{name} is published and changed: raise the version, and keep this one in definitions/earlier"
            for name in kept
            if kept[name] != hashes.get(name, kept[name])
        ),
    ]


def accept(known: Registry | None = None, *, published: Path = _PUBLISHED) -> list[str]:
    """Publish the definitions that are new; answers what stays wrong, because what is published stays as it is."""
    kept, hashes = _kept(published), _hashes(known or registry())
    published.write_text(json.dumps(dict(sorted((hashes | kept).items())), indent=2) + "\n", encoding="utf-8")
    return wrong(known, published=published)


def _kept(published: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads(published.read_text(encoding="utf-8"))
    return kept


def _hashes(known: Registry) -> dict[str, str]:
    every = [definition for name in known.present for definition in known.versions(name).values()]
    return {f"{definition.name}@{definition.version}": definition.definition for definition in every}
