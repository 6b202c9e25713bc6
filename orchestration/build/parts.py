"""Brings parts of the build, a group at one speed each, up to date with raw: those for which there is something new.

First come the events: staged once, for all. They tell which groups have something new; the others cost nothing. A part
is confirmed when all its models and tests succeeded; one that fails stops no other, but for those that read it.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.settings import WarehouseSettings
from contracts.warehouse import Group, Part, Speed
from orchestration.build import dbt
from orchestration.build.database import open_build
from orchestration.build.dbt import DbtError, NodeResult, OnNode, Project
from orchestration.build.failures import say_what_failed
from orchestration.build.progress import Progress, confirm, doubt, is_any, newest_types, progress_of, read_progress
from orchestration.build.raw_state import generation_of, read_version
from orchestration.build.time_zones import keep_time_zones

EVENTS = Part(Group.EVENTS, Speed.LIVE)
_SHARED = Part(Group.SHARED, Speed.LIVE)


@dataclass
class Build:
    """What became of a build. `nodes` are in the order in which dbt finished them; a part that `failed` says why."""

    nodes: list[NodeResult] = field(default_factory=list)
    built: set[Part] = field(default_factory=set)
    failed: dict[Part, str] = field(default_factory=dict)
    seconds: float = 0.0


def build(
    warehouse: WarehouseSettings,
    *,
    target_path: Path,
    full_refresh: bool = False,
    tests: bool = True,
    on_node: OnNode | None = None,
) -> Build:
    """Bring everything up to date with raw, live parts and then settled ones, and test it.

    Incremental unless `full_refresh`, or where the models are not those that built a part, or raw was rewritten since.
    Without tests nothing is confirmed: the next build works on the same events again.

    Raises:
        DbtError: a model or test failed (the first one is named), or dbt could not run.
    """
    started = time.monotonic()
    builder = Builder(warehouse, target_path=target_path, tests=tests, on_node=on_node)
    done = builder.build_live(full_refresh=full_refresh)
    settled = builder.build_settled(full_refresh=full_refresh)
    done.nodes += settled.nodes
    dbt.require_success(done.nodes)
    return Build(done.nodes, done.built | settled.built, seconds=time.monotonic() - started)


class Builder:
    """Builds the parts of one warehouse, but for those `without`. Whoever calls holds the build lock."""

    def __init__(
        self,
        warehouse: WarehouseSettings,
        *,
        target_path: Path,
        tests: bool = True,
        without: Collection[Part] = (),
        on_node: OnNode | None = None,
    ) -> None:
        self._warehouse, self._target_path, self._without = warehouse, target_path, without
        self._tests, self._on_node = tests, on_node
        self._url = warehouse.warehouse_url.get_secret_value()

    @property
    def project(self) -> Project:
        """The parsed project."""
        return dbt.load_project(self._warehouse, target_path=self._target_path)

    def build_live(self, *, full_refresh: bool = False) -> Build:
        """Stage what is new in raw, then build the live parts which it concerns.

        Raises:
            DbtError: dbt could not run.
        """
        # read before dbt reads raw: a rewrite in between is then built from once more, not overlooked
        origin = read_version(self._url)
        done = Build()
        progress = read_progress(self._url)
        is_anew = full_refresh or self._is_foreign(EVENTS, origin, progress)
        self._run([EVENTS], origin, done, full_refresh=is_anew)
        if EVENTS not in done.failed:
            is_kept = not is_anew and not self._is_foreign(_SHARED, origin, progress)
            keep_time_zones(self._url, after=progress[_SHARED].batch if is_kept else 0)
            self._build_due(Speed.LIVE, origin, done, full_refresh=is_anew)
        return done

    def build_settled(self, *, full_refresh: bool = False) -> Build:
        """Build the settled parts for which anything came since their last time, of groups whose live part is sound.

        Raises:
            DbtError: dbt could not run.
        """
        done = Build()
        self._build_due(Speed.SETTLED, read_version(self._url), done, full_refresh=full_refresh)
        return done

    def unsound_parts(self) -> set[Part]:
        """Parts whose tables are not what a succeeded build left: of a failure, a crash, or because there was none."""
        progress = read_progress(self._url)
        return {part for part in self.project.parts.values() if part not in progress or not progress[part].is_sound}

    def _build_due(self, speed: Speed, origin: str | None, done: Build, *, full_refresh: bool) -> None:
        due, idle, progress = self._find_due(speed)
        anew = [part for part in due if full_refresh or self._is_foreign(part, origin, progress)]
        for parts, is_anew in ((anew, True), ([part for part in due if part not in anew], False)):
            if parts:
                self._run(parts, origin, done, full_refresh=is_anew)
        # what has nothing new is up to date with the newest batch, too
        confirm(self._url, {part: progress[part].built_from for part in idle} if self._tests else {})

    def _find_due(self, speed: Speed) -> tuple[list[Part], list[Part], dict[Part, Progress]]:
        """Parts with something to do, and those without."""
        with open_build(self._url) as build:
            progress = progress_of(build)
            parts = [
                part for part in sorted(set(self.project.parts.values())) if part.speed is speed and part != EVENTS
            ]
            known = [progress[part].batch for part in parts if part in progress]
            types = newest_types(build, after=min(known, default=0))

            def is_due(part: Part) -> bool:
                if part not in progress or self._digest(part) != progress[part].built_from.partition("@")[0]:
                    return True
                news = [self.project.news_of(one) for one in ([part] if speed is Speed.LIVE else [part, _SHARED])]
                beginnings = tuple(one for prefixes, _worklists in news for one in prefixes)
                batch = progress[part].batch
                return any(newest > batch and kind.startswith(beginnings) for kind, newest in types.items()) or is_any(
                    build, news[0][1]
                )

            due = [part for part in parts if is_due(part)]
            idle = [part for part in parts if part not in due]
            due = [part for part in due if part not in self._without]
            if speed is Speed.SETTLED and self._tests:
                due = [part for part in due if self._is_sound(part, progress)]
        return due, idle, progress

    def _is_sound(self, part: Part, progress: dict[Part, Progress]) -> bool:
        """Whether what a settled part reads has no events to make up for."""
        newest = progress[EVENTS].batch if EVENTS in progress else 0
        read = (_SHARED, Part(part.group, Speed.LIVE))
        parts = set(self.project.parts.values())
        return all(one in progress and progress[one].batch == newest for one in read if one in parts)

    def _run(self, parts: Collection[Part], origin: str | None, done: Build, *, full_refresh: bool) -> None:
        kinds = ("model.", "test.") if self._tests else ("model.",)
        wanted = {
            part: {name for name in self.project.nodes_of(part, views=full_refresh) if name.startswith(kinds)}
            for part in parts
        }
        nodes: list[NodeResult] = []
        if any(wanted.values()):
            doubt(self._url, parts)
            nodes = dbt.run(
                self._warehouse,
                parts,
                target_path=self._target_path,
                full_refresh=full_refresh,
                tests=self._tests,
                on_node=self._on_node,
            )
            nodes = say_what_failed(self._url, nodes)
        done.nodes += nodes
        for part in parts:
            if why := _failure(nodes, wanted[part]):
                done.failed[part] = why
            else:
                done.built.add(part)
        sound = [part for part in parts if part not in done.failed]
        confirm(self._url, {part: self._built_from(part, origin) for part in sound} if self._tests else {})

    def _is_foreign(self, part: Part, origin: str | None, progress: dict[Part, Progress]) -> bool:
        """Whether a part's tables are not what increments may build upon."""
        return part not in progress or progress[part].built_from != self._built_from(part, origin)

    def _built_from(self, part: Part, origin: str | None) -> str:
        """What increments may build upon: the same models, over rows of raw that were added and never replaced."""
        generation = generation_of(origin)
        return f"{self._digest(part)}@{generation}" if generation else self._digest(part)

    def _digest(self, part: Part) -> str:
        return self.project.digests[part]


def _failure(nodes: Iterable[NodeResult], wanted: set[str]) -> str | None:
    """Why not all that is wanted succeeded; None where it did."""
    found = {node.unique_id: node for node in nodes if node.unique_id in wanted}
    for node in found.values():
        if not node.is_success and node.status != "skipped":
            return str(DbtError(node.message or node.status, node=node.name))
    failed = next((node for node in nodes if not node.is_success and node.status != "skipped"), None)
    if any(node.status == "skipped" for node in found.values()) and failed is not None:
        return f"not built, as it reads {failed.name}, which failed"
    missing = sorted(wanted - set(found))
    return f"dbt left out {', '.join(missing)}" if missing else None
