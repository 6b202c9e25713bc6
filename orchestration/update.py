"""One update of the warehouse, whoever asks for it: build what is new, check it, publish what is sound, say what came
of it in the status that people read.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.warehouse import Part, Speed
from metrics.status import Check, CheckState, GroupStatus, Refresh, RefreshState, StatusStore
from orchestration.build.database import kept_open
from orchestration.build.dbt import NodeResult
from orchestration.build.lock import build_lock
from orchestration.build.mart_quality import MartFinding
from orchestration.build.parts import EVENTS, Builder
from orchestration.build.project import Project
from orchestration.build.raw_state import RawState, generation_of, read_raw_state
from orchestration.publish import Publication, bytes_of, last_publication, publish
from orchestration.publish.checks import QUICK_CHECKS, Finding, check_build
from orchestration.publish.keeping import Keeping
from orchestration.warehouse import Warehouse

#: How checks begin that hold a part: `expectations of <part>: <what>`.
_HELD = "expectations of "


@dataclass
class Update:
    """What came of an update: why parts `failed`, and which are `unsound`, by this or an earlier failure, and so stay
    as they were published before. `publication` is None where nothing was published.
    """

    raw: RawState | None = None
    nodes: list[NodeResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    tested: Mapping[str, Part] = field(default_factory=dict)
    promises: Mapping[str, str] = field(default_factory=dict)
    failed: dict[Part, str] = field(default_factory=dict)
    unsound: set[Part] = field(default_factory=set)
    publication: Publication | None = None
    judged: list[MartFinding] | None = None
    seconds: float = 0.0
    bytes_published: int = 0


def update(
    warehouse: Warehouse,
    *,
    speed: Speed = Speed.LIVE,
    full_refresh: bool = False,
    may_shrink: bool = False,
    without: Collection[Part] = (),
    holder: str = "the refresh",
) -> Update:
    """Bring the parts of one speed up to date, and publish whatever is sound. Parts `without` stay as they are.

    Raises:
        BuildBusyError: somebody else writes the build.
        DbtError: dbt could not run.
        PublishError: the build lacks a mart.
    """
    with build_lock(warehouse.url, holder=holder, wait_seconds=warehouse.lock_seconds):
        started_at = datetime.now(UTC)
        before = warehouse.status.read().last_refresh
        _say(warehouse.status, RefreshState.RUNNING, started_at, before.error if before else None)
        done = Update()
        try:
            with kept_open(warehouse.url):
                _update(warehouse, done, speed, full_refresh=full_refresh, may_shrink=may_shrink, without=without)
        except BaseException as error:
            told = isinstance(error, Exception)
            why = str(error) or type(error).__name__ if told else "It was stopped; the next one makes up for it."
            _say(warehouse.status, RefreshState.FAILED, started_at, why)
            raise
        _report(warehouse, done, started_at)
        if done.publication is not None:
            done.bytes_published = bytes_of(warehouse.url, done.publication)
        done.seconds = (datetime.now(UTC) - started_at).total_seconds()
        return done


def _update(
    warehouse: Warehouse,
    done: Update,
    speed: Speed,
    *,
    full_refresh: bool,
    may_shrink: bool,
    without: Collection[Part],
) -> None:
    done.raw = read_raw_state(warehouse.url)
    builder = Builder(warehouse.settings, target_path=warehouse.dbt_target_path, without=without)
    built = (builder.build_live if speed is Speed.LIVE else builder.build_settled)(full_refresh=full_refresh)
    done.nodes, done.failed, done.tested = built.nodes, dict(built.failed), builder.project.parts
    done.promises = builder.project.promises
    done.unsound = builder.unsound_parts()
    if EVENTS in built.failed or not built.nodes:
        return
    parts = set(done.tested.values())
    held = held_parts(warehouse.status.read().checks, of=parts)
    if full_refresh or speed is Speed.SETTLED:
        done.judged = judge_marts(warehouse, builder.project, without=done.unsound, only_unusual=not held)
        held = held_parts(warehouse.status.read().checks, of=parts)
    done.failed |= {part: why for part, why in held.items() if part.speed is speed}
    done.unsound |= set(held)
    published, raw_version = last_publication(warehouse.url), done.raw.version if done.raw else None
    done.findings = check_build(
        warehouse.url,
        published,
        now=datetime.now(UTC),
        without=done.unsound,
        may_shrink=may_shrink or _was_rewritten(raw_version, published),
    )
    for finding in done.findings:
        if not finding.passed:
            done.failed[Part(finding.mart.group, finding.mart.speed)] = f"{finding.title}: {finding.message}"
    done.unsound |= set(done.failed)
    if EVENTS not in done.failed:
        done.publication = publish(
            warehouse.url,
            manifest_hash=builder.project.digest,
            now=datetime.now(UTC),
            raw_version=raw_version,
            unsound=done.unsound,
            kept=Keeping(days=warehouse.settings.warehouse_kept_days, forgets=_was_rewritten(raw_version, published)),
            checks=_count_checks(warehouse.status, done),
        )


def _count_checks(store: StatusStore, done: Update) -> dict[str, int]:
    """How many checks stand how, with what this update found."""
    now = datetime.now(UTC)
    checks = merge_checks(store.read().checks, [*_of_tests(done, now), *_of_findings(done, now)])
    return dict(Counter(check.status.value for check in checks))


def judge_marts(
    warehouse: Warehouse,
    project: Project,
    *,
    without: Collection[Part] = (),
    only_unusual: bool = False,
    turn: AbstractContextManager[None] | None = None,
) -> list[MartFinding] | None:
    """Judge the build by its suites, and note what holds: a part that is not as expected is held from now on, until it
    is found to be so again. `turn` is the right to read the build, where the caller has it not; it is held while
    numbers are read, not while they are judged. With `only_unusual` None where all numbers are usual.

    Raises:
        SuiteError: it could not be judged.
    """
    if warehouse.quality is None:
        return []
    with turn or nullcontext():
        values = warehouse.quality.measure(warehouse.url, project, without=without)
    if only_unusual and warehouse.quality.is_usual(values):
        return None
    found = warehouse.quality.judge(values)
    now, checks = datetime.now(UTC), []
    for part in sorted({one.part for one in found}):
        failed = [one for one in found if one.part == part and not one.passed]
        checks += [
            Check(
                name=f"{_HELD}{part}: {one.measure.mart.value} {one.measure.name}",
                status=CheckState.FAILED,
                message=f"{one.measure.mart.value}, {one.measure.name.replace('_', ' ')}: {one.message}",
                finished_at=now,
                holds=one.measure.holds,
            )
            for one in failed
        ]
        if not failed:
            holds = "Its figures are such as they can be, and about as many as there usually are."
            checks.append(Check(name=f"{_HELD}{part}: all", status=CheckState.OK, finished_at=now, holds=holds))
    record_checks(warehouse.status, checks)
    return found


def held_parts(checks: Sequence[Check], *, of: Collection[Part]) -> dict[Part, str]:
    """Parts whose suites did not hold when they were last looked at, and why."""
    named = {str(part): part for part in of}
    held: dict[Part, str] = {}
    for check in checks:
        part = named.get(check.name.removeprefix(_HELD).partition(": ")[0])
        if check.name.startswith(_HELD) and check.status is CheckState.FAILED and part is not None:
            held[part] = f"{held[part]}; {check.message}" if part in held else check.message
    return held


def _was_rewritten(raw_version: str | None, published: Publication | None) -> bool:
    """Whether a person rewrote raw from PostgreSQL since the last publication: what it then holds is the truth."""
    return published is not None and generation_of(raw_version) > generation_of(published.raw_version)


def _say(store: StatusStore, status: RefreshState, started_at: datetime, error: str | None) -> None:
    finished_at = None if status is RefreshState.RUNNING else datetime.now(UTC)
    store.update(last_refresh=Refresh(status=status, started_at=started_at, finished_at=finished_at, error=error))


def _report(warehouse: Warehouse, done: Update, started_at: datetime) -> None:
    known, now = warehouse.status.read(), datetime.now(UTC)
    checks = merge_checks(known.checks, [*_of_tests(done, now), *_of_findings(done, now)])
    groups = _groups(done, {group.name: group for group in known.groups}, last_publication(warehouse.url))
    errors = [f"{group.name}: {group.error}" for group in groups if group.error]
    refresh = Refresh(
        status=RefreshState.FAILED if errors else RefreshState.OK,
        started_at=started_at,
        finished_at=now,
        error="; ".join(errors) or None,
    )
    warehouse.status.update(last_refresh=refresh, checks=checks, groups=groups)


def _groups(done: Update, before: dict[str, GroupStatus], published: Publication | None) -> list[GroupStatus]:
    groups = []
    for part in sorted(set(done.tested.values())):
        name = str(part)
        error = done.failed.get(part)
        if error is None and part in done.unsound and name in before:
            error = before[name].error
        kept = published.parts.get(name) if published else None
        groups.append(
            GroupStatus(
                name=name,
                error=error,
                why=_in_plain_words(done, part, before.get(name)) if error else None,
                version=kept["version"] if kept else None,
                through=kept["through"] if kept else None,
            )
        )
    return groups


def _in_plain_words(done: Update, part: Part, before: GroupStatus | None) -> str | None:
    """Why a part stays as it was, with no row and no count of anybody's."""
    if part not in done.failed:
        return before.why if before else None
    broken = [
        f"the check “{node.name.replace('_', ' ')}” failed"
        if node.resource_type == "test"
        else f"“{node.name.replace('_', ' ')}” could not be built"
        for node in done.nodes
        if not node.is_success and node.status != "skipped" and done.tested.get(node.unique_id) == part
    ]
    broken += [
        f"it is not so that: {one.measure.holds.rstrip('.')}"
        for one in done.judged or []
        if not one.passed and one.part == part
    ]
    broken += [
        f"the check “{one.title}” failed"
        for one in done.findings
        if not one.passed and Part(one.mart.group, one.mart.speed) == part
    ]
    if not broken:  # held since an earlier look
        return before.why if before else None
    told = "; ".join(broken)
    return f"{told[0].upper()}{told[1:]}. The figures stay as they were."


def _of_tests(done: Update, now: datetime) -> list[Check]:
    """The status's entries: per part one for all its tests if they passed, else one for each that did not."""
    by_part: dict[str, list[NodeResult]] = {}
    for node in done.nodes:
        if node.resource_type == "test" and node.status != "skipped":
            by_part.setdefault(str(done.tested[node.unique_id]), []).append(node)
    checks = []
    for part, tests in by_part.items():
        others = [node for node in tests if node.status != "pass"]
        for node in others:
            status = CheckState.WARN if node.status == "warn" else CheckState.FAILED
            message = node.message or f"{node.failures} rows break the test."
            holds = done.promises.get(node.unique_id, "")
            checks.append(
                Check(name=f"{part}: {node.name}", status=status, message=message, finished_at=now, holds=holds)
            )
        if not others:
            message = f"All {len(tests)} tests passed." if len(tests) > 1 else "Its test passed."
            checks.append(
                Check(name=f"{part}: all tests", status=CheckState.OK, message=message, finished_at=now, holds=message)
            )
    return checks


def _of_findings(done: Update, now: datetime) -> list[Check]:
    return [
        Check(
            name=f"new figures: {one.title}",
            status=CheckState.OK if one.passed else CheckState.FAILED,
            message=one.message,
            finished_at=now,
            holds=QUICK_CHECKS[one.name],
        )
        for one in done.findings
    ]


def merge_checks(known: Sequence[Check], new: Sequence[Check]) -> list[Check]:
    """Known checks with the new results in their place. New results replace all of their kind (`kind: name`)."""
    kinds = {_kind(check) for check in new}
    return sorted([*(check for check in known if _kind(check) not in kinds), *new], key=lambda check: check.name)


def _kind(check: Check) -> str:
    """What is judged at once: the expectations of a part, or whatever stands before the colon."""
    is_held = check.name.startswith(_HELD)
    return check.name.rpartition(":")[0] if is_held else check.name.partition(":")[0]


def record_checks(store: StatusStore, checks: Sequence[Check]) -> None:
    """Write results of checks that are not part of an update."""
    store.update(checks=merge_checks(store.read().checks, checks))
