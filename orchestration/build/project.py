"""The parsed dbt project: the part of each model and test, what tests promise, what decides a part's tables."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dbt.contracts.graph.manifest import Manifest

from contracts.warehouse import Group, Mart, Part, Speed
from orchestration.build.time_zones import database_version


@dataclass(frozen=True)
class Project:
    """The parsed project."""

    manifest: Manifest

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The part that each model and test belongs to; a test's is the one that is built last among those it reads."""
        nodes = self.manifest.nodes
        models = {
            name: Part(Group(str(node.config.group)), Speed(node.config.meta["speed"]))
            for name, node in nodes.items()
            if name.startswith("model.")
        }
        order = list(Group)
        tests = {
            name: max(
                (models[parent] for parent in node.depends_on_nodes if parent in models),
                key=lambda part: (part.speed is Speed.SETTLED, order.index(part.group)),
            )
            for name, node in nodes.items()
            if name.startswith("test.")
        }
        return models | tests

    @cached_property
    def digests(self) -> Mapping[Part, str]:
        """Per part, a hash of what decides its tables' content: the texts of its models, of what they read, and of all
        macros, and the time-zone database.
        """
        macros = {one.unique_id: one.macro_sql for one in self.manifest.macros.values() if one.package_name == "sluice"}
        return {
            part: _hash(self._texts(part) | macros | {"time zones": database_version()})
            for part in set(self.parts.values())
        }

    @property
    def digest(self) -> str:
        """A hash of the whole."""
        return f"sha256:{_hash({str(part): digest for part, digest in self.digests.items()})}"

    @cached_property
    def promises(self) -> Mapping[str, str]:
        """What each test holds, in words."""
        return {name: _promise(node) for name, node in self.manifest.nodes.items() if name.startswith("test.")}

    def news_of(self, part: Part) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """How the types of a part's events begin, and worklists that also mean that there is something to do.

        They are its group's, and those that a model of the part has for itself.
        """
        meta = self._meta_of(part.group)
        own = [self.manifest.nodes[name].config.meta for name, one in self.parts.items() if one == part]
        more = {prefix: None for each in own for prefix in each.get("events", ())}
        return (*meta["events"], *more), tuple(meta.get("worklists", ()))

    def sized_by(self, mart: Mart) -> tuple[str, ...]:
        """How the types of the events begin for which a mart has about as many rows each; none where it has not."""
        model = next(node for name, node in self.manifest.nodes.items() if name == f"model.sluice.{mart.value}")
        if not model.config.meta.get("has_usual_size", True):
            return ()
        return tuple(model.config.meta.get("events") or self._meta_of(mart.group)["events"])

    def _meta_of(self, group: Group) -> Mapping[str, Any]:
        return next(one for one in self.manifest.groups.values() if one.name == group.value).config.meta

    def nodes_of(self, part: Part, *, views: bool) -> set[str]:
        """Models and tests of a part; views only where they are asked for, as they stand until the models change."""
        nodes = self.manifest.nodes
        return {
            name
            for name, one in self.parts.items()
            if one == part and (views or nodes[name].config.materialized != "view")
        }

    def _texts(self, part: Part) -> dict[str, str]:
        reached: dict[str, str] = {}
        waiting = [name for name, one in self.parts.items() if one == part and name.startswith("model.")]
        while waiting:
            name = waiting.pop()
            if name in reached or not name.startswith("model."):
                continue
            node = self.manifest.nodes[name]
            reached[name] = node.checksum.checksum + json.dumps(node.config.meta, sort_keys=True)
            waiting.extend(node.depends_on_nodes)
        return reached


def _promise(node: Any) -> str:  # noqa: ANN401  # dbt's own
    """What a test says of itself; of `sound_rows` what its arguments say."""
    if node.description or not (known := getattr(node, "test_metadata", None)):
        return str(node.description)
    asked = known.kwargs
    parts = [f"One row per {', '.join(asked.get('key', []))}"]
    nullable = asked.get("nullable") or []
    parts.append(f"no nulls but in {', '.join(nullable)}" if nullable else "no nulls")
    parts += [f"{column} is one of {', '.join(values)}" for column, values in (asked.get("accepted") or {}).items()]
    parts += [f"{last} is not before {first}" for first, last in asked.get("ordered") or []]
    return "; ".join(parts) + "."


def _hash(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
