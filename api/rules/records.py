"""Statements of rules: an organization's rulebook, the events that its conditions look at, firings and their log."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from sqlalchemy import bindparam, func, select, text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.kernel.changes import expect
from api.kernel.constraints import Problems, unknown
from api.kernel.custom import FieldType
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.bulk import BulkJob
from api.models.company import Company
from api.models.contact import Contact
from api.models.custom_field import CustomField
from api.models.deal import Deal
from api.models.import_job import ImportJob
from api.models.organization import Organization
from api.models.picklist_value import PicklistValue
from api.models.rule import Notification, RuleCall, RuleFigure, RuleRun
from api.models.rule import Rule as RuleRow
from api.models.rule import RuleVersion as VersionRow
from api.models.stage import Stage
from api.rules.document import Document, Mode
from api.rules.facts import Fact
from api.rules.matching import CustomName, Found, Rulebook, RuleVersion
from api.rules.rules import Change, Rule
from contracts import locks

#: How far back figures are kept at hand for events that come late.
_REMEMBERED = timedelta(days=7)

_organization: Any = bindparam("organization_id")
PROBLEMS: Problems = {"fk_rules_owner_id": unknown("owner_id", "active user")}

_rules = rows_of(Rule, RuleRow).where(RuleRow.deleted_at.is_(None))
RULES = Listing(
    _rules,
    filters={
        "id": RuleRow.id == bindparam("id"),
        "mode": RuleRow.mode == bindparam("mode"),
    },
    order=(RuleRow.id,),
    newest_first=True,
)
_LOCKED = compiled(_rules.where(RuleRow.id == bindparam("id")).with_for_update(of=RuleRow))
_NAMES = [
    select(name).where(name.class_.organization_id == _organization, name.class_.id == RuleRun.subject_id)
    for name in (Deal.title, Contact.name, Company.name)
]
_title = func.coalesce(*(one.scalar_subquery() for one in _NAMES)).label("subject_title")
RUNS = Listing(
    select(RuleRun.__table__, _title).where(RuleRun.organization_id == _organization),
    filters={
        "rule_id": RuleRun.rule_id == bindparam("rule_id"),
        "outcome": RuleRun.outcome == bindparam("outcome"),
        "subject_id": RuleRun.subject_id == bindparam("subject_id"),
    },
    order=(RuleRun.id,),
    newest_first=True,
)
NOTIFICATIONS = Listing(
    select(Notification.__table__).where(Notification.organization_id == _organization),
    filters={"user_id": Notification.user_id == bindparam("user_id")},
    order=(Notification.id,),
    newest_first=True,
)
READ = compiled(
    text("""
update notifications set read_at = coalesce(read_at, clock_timestamp())
where organization_id = :organization_id and user_id = :user_id and id = :id returning *
""")
)

#: What tells whether a rulebook is still the present one.
EDITION = compiled(
    text("""
select (select coalesce(sum(version), 0) from rules where organization_id = :organization_id) as rules,
       (select count(*) from stages where organization_id = :organization_id) as stages,
       (select count(*) from picklist_values where organization_id = :organization_id) as labels,
       (select count(*) from imports where organization_id = :organization_id and options ->> 'run_rules' = 'true')
           as imports,
       (select coalesce(sum(version), 0) from custom_fields where organization_id = :organization_id) as fields,
       (select max(created_at) from rule_figures where organization_id = :organization_id) as figures,
       (select count(*) from bulk_jobs where organization_id = :organization_id and not run_rules) as quiet
""")
)
_VERSIONS = compiled(
    select(
        VersionRow.rule_id, VersionRow.version, VersionRow.mode, VersionRow.document, VersionRow.valid_from,
        RuleRow.name, RuleRow.owner_id,
    )
    .join(RuleRow, (RuleRow.organization_id == VersionRow.organization_id) & (RuleRow.id == VersionRow.rule_id))
    .where(VersionRow.organization_id == _organization)
    .order_by(VersionRow.rule_id, VersionRow.version)
)  # fmt: skip
_ZONE = compiled(select(Organization.time_zone).where(Organization.organization_id == _organization))
_STAGES = compiled(select(Stage.id, Stage.name).where(Stage.organization_id == _organization))
_SOURCES = compiled(
    select(PicklistValue.id, PicklistValue.label).where(
        PicklistValue.organization_id == _organization, PicklistValue.picklist == "source"
    )
)
_FIELDS = compiled(
    select(CustomField.id, CustomField.name, CustomField.type, CustomField.choices).where(
        CustomField.organization_id == _organization, CustomField.record_kind == "deal", ~CustomField.is_personal
    )
)
_IMPORTS = compiled(
    select(ImportJob.id).where(
        ImportJob.organization_id == _organization, ImportJob.options["run_rules"].astext == "true"
    )
)

#: Since an instant, and the newest before it.
_FIGURES = compiled(
    text("""
select f.digest, f.created_at, f.value from rule_figures as f
where f.organization_id = :organization_id and (f.created_at >= :since or not exists (
    select from rule_figures as l where l.organization_id = f.organization_id and l.digest = f.digest
        and l.created_at > f.created_at and l.created_at < :since))
order by f.created_at
""")
)
#: When each figure was looked at last, and what it was.
CHECKED = compiled(
    text("""
select distinct on (digest) digest, id, value, checked_at from rule_figures
where organization_id = :organization_id order by digest, created_at desc
""")
)
CHECK = compiled(
    text("""
update rule_figures set checked_at = clock_timestamp() where organization_id = :organization_id and id = :id
""")
)
_QUIET = compiled(select(BulkJob.id).where(BulkJob.organization_id == _organization, ~BulkJob.run_rules))

#: The position, then a `Fact`'s fields in their order: by the million, names cost more than all else.
_COLUMNS = (
    "position, event_id as id, type, aggregate_type, aggregate_id, aggregate_version, occurred_at, recorded_at, actor,"
    " actor_id, depth, correlation_id, data"
)
#: The events of records, and those that speak about a deal or score a contact among them, in the order of the log.
HISTORIES = compiled(
    text(f"""
select {_COLUMNS} from event_log
where organization_id = :organization_id and aggregate_id = any(cast(:ids as uuid[]))
union all
select {_COLUMNS} from event_log
where organization_id = :organization_id and data ->> 'deal_id' = any(cast(:ids as text[]))
  and aggregate_id <> all(cast(:ids as uuid[]))
union all
select {_COLUMNS} from event_log
where organization_id = :organization_id and type = 'lead.scored'
  and data ->> 'contact_id' = any(cast(:ids as text[]))
order by position
""")
)
#: The organization's log, a page at a time.
LOG = compiled(
    text(f"""
select {_COLUMNS} from event_log
where organization_id = :organization_id and position > :after and recorded_at < :before
order by position limit :most
""")
)
_CLAIM = compiled(
    text("""
insert into rule_runs (organization_id, id, rule_id, rule_version, key, mode, subject_type, subject_id, event_id,
                       fired_at, outcome, facts, score, score_model)
values (:organization_id, :id, :rule_id, :rule_version, :key, :mode, :subject_type, :subject_id, :event_id,
        :fired_at, 'running', cast(:facts as jsonb), :score, :score_model)
on conflict on constraint uq_rule_runs_key do nothing returning id
""")
)
#: What decides whether a rule may act on a record now: when it last did, how often in this hour, as it stands.
STANDING = compiled(
    text("""
select r.mode, r.version, r.deleted_at is not null as is_deleted,
       (select max(fired_at) from rule_runs o where o.organization_id = r.organization_id and o.rule_id = r.id
        and o.subject_id = :subject_id and o.outcome in ('done', 'no_change', 'would')) as last_fired_at,
       (select count(*) from rule_runs o where o.organization_id = r.organization_id and o.rule_id = r.id
        and o.created_at > clock_timestamp() - interval '1 hour' and o.outcome in ('done', 'no_change', 'would'))
        as fired_this_hour
from rules r where r.organization_id = :organization_id and r.id = :rule_id
""")
)
ONE_BY_ONE = compiled(text(f"select pg_advisory_xact_lock({locks.RULE_QUOTA}, hashtext(cast(:rule_id as text)))"))
_WAIT = compiled(
    text("""
insert into rule_waits (organization_id, id, rule_id, subject_type, subject_id, event_id, due_at)
values (:organization_id, :id, :rule_id, :subject_type, :subject_id, :event_id, :due_at)
on conflict on constraint uq_rule_waits_subject do update set event_id = excluded.event_id, due_at = excluded.due_at
where rule_waits.due_at < excluded.due_at
""")
)
_FORGET_WAITS = compiled(text("delete from rule_waits where organization_id = :organization_id and rule_id = :rule_id"))
#: What waited long enough, taken away; who is stopped before the commit leaves it there.
TAKE_WAITS = compiled(
    text("""
delete from rule_waits where organization_id = :organization_id and id in (
    select id from rule_waits where organization_id = :organization_id and due_at <= clock_timestamp()
    order by due_at limit :most for update skip locked)
returning rule_id, subject_type, subject_id, event_id, due_at
""")
)
_OPEN = """
select d.id from deals d
where d.organization_id = :organization_id and d.status = 'open' and d.deleted_at is null
  and (cast(:after as uuid) is null or d.id > cast(:after as uuid)) and {}
order by d.id limit :most
"""
#: Open deals whose stay has lasted long enough, since a rule was there to see it, and set it off not yet.
STAYING = compiled(
    text(
        _OPEN.format("""
    d.stage_entered_at between :not_before and :since
    and (cast(:stage_id as uuid) is null or d.stage_id = cast(:stage_id as uuid))
    and not exists (select from rule_runs o where o.organization_id = d.organization_id and o.rule_id = :rule_id
                    and o.subject_id = d.id and o.fired_at > d.stage_entered_at)""")
    )
)
#: Open deals without an event of their own for long enough; somebody may have done something else about them.
SILENT = compiled(text(_OPEN.format("d.last_occurred_at <= :since")))
OPEN_DEALS = compiled(
    text(
        _OPEN.format("""
    d.created_at <= :slot
    and not exists (select from rule_runs o where o.organization_id = d.organization_id and o.rule_id = :rule_id
                    and o.subject_id = d.id and o.fired_at = :slot)""")
    )
)
_FINISH = compiled(
    text("""
update rule_runs set outcome = :outcome, detail = :detail, actions = cast(:actions as jsonb), cause_id = :cause_id
where organization_id = :organization_id and id = :id
""")
)


async def lock_rule(unit: UnitOfWork, rule_id: UUID, *, version: int | None = None) -> Rule:
    """A rule, locked.

    Raises:
        NotFound, PreconditionFailed: as they say.
    """
    found = await unit.fetch(_LOCKED, id=rule_id)
    return expect(as_state(Rule, found[0]) if found else None, "rule", version=version)


async def read_rule(unit: UnitOfWork, rule_id: UUID) -> Rule:
    """A rule.

    Raises:
        NotFound: there is none.
    """
    [found] = await unit.fetch_all(RULES.bind({"id": rule_id}, after=None, limit=1))
    return expect(as_state(Rule, found[0]) if found else None, "rule")


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what was decided about rules, and keep the version."""
    changes = list(changes)
    unit.explain(PROBLEMS)
    write_changes(unit, changes, {Rule: RuleRow})
    for change in changes:
        rule = change.after
        mode = Mode.OFF if rule.deleted_at else rule.mode
        unit.insert(
            VersionRow,
            {
                "id": uuid7(),
                "rule_id": rule.id,
                "version": rule.version,
                "mode": mode,
                "document": rule.document,
                "valid_from": rule.updated_at,
            },
        )
        if mode is Mode.OFF:
            unit.execute(_FORGET_WAITS, rule_id=rule.id)


async def load_book(unit: UnitOfWork, *, since: datetime | None = None) -> Rulebook:
    """The organization's rules, with all their versions, and what figures were since an instant (of the last days)."""
    statements = (_VERSIONS, _ZONE, _STAGES, _SOURCES, _FIELDS, _IMPORTS, _QUIET)
    versions, [zone], stages, sources, fields, imports, quiet, figures = await unit.fetch_all(
        *(one.bind() for one in statements), _FIGURES.bind(since=since or unit.now - _REMEMBERED)
    )
    known: dict[str, list[Found]] = {}
    for row in figures:
        known.setdefault(row.digest, []).append(Found(row.created_at, row.value))
    by_rule: dict[UUID, list[RuleVersion]] = {}
    for row in versions:
        by_rule.setdefault(row.rule_id, []).append(
            RuleVersion(
                rule_id=row.rule_id,
                version=row.version,
                name=row.name,
                owner_id=row.owner_id,
                mode=Mode(row.mode),
                document=Document.model_validate(row.document),
                valid_from=row.valid_from,
            )
        )
    return Rulebook(
        versions=by_rule,
        zone=ZoneInfo(zone.time_zone),
        labels={str(row[0]): row[1] for row in (*stages, *sources)},
        figures=known,
        imports=frozenset(row.id for row in imports),
        quiet=frozenset(row.id for row in quiet),
        custom=_custom_names(fields),
    )


async def custom_samples(unit: UnitOfWork) -> dict[str, Any]:
    """A value of each custom field that conditions may look at, by its name."""
    return {one.name: 1.5 if one.is_number else "" for one in _custom_names(await unit.fetch(_FIELDS))}


def _custom_names(fields: Iterable[Row]) -> list[CustomName]:
    return [
        CustomName(
            str(row.id), row.name, row.type == FieldType.NUMBER, {one["id"]: one["label"] for one in row.choices}
        )
        for row in fields
        if row.type != FieldType.COMPUTED
    ]


def as_fact(row: Row) -> Fact:
    """A row of the event log as conditions look at it."""
    return Fact._make(row[1:])  # its columns after `position`, in their order


async def histories(unit: UnitOfWork, ids: Collection[UUID]) -> list[Fact]:
    """Everything about records, in the order of the log."""
    return [as_fact(row) for row in await unit.fetch(HISTORIES, ids=list(ids))] if ids else []


async def claim_run(unit: UnitOfWork, run_id: UUID, values: Mapping[str, Any]) -> bool:
    """Note that a rule fires, if it has not fired on this before."""
    return bool(await unit.fetch(_CLAIM, id=run_id, **values))


def wait(unit: UnitOfWork, rule_id: UUID, subject: tuple[str, UUID], *, event_id: UUID, due_at: datetime) -> None:
    """Have a rule wait whether something follows an event; one that it waits behind already is forgotten."""
    kind, subject_id = subject
    unit.execute(
        _WAIT, id=uuid7(), rule_id=rule_id, subject_type=kind, subject_id=subject_id, event_id=event_id, due_at=due_at
    )


def keep_figure(unit: UnitOfWork, digest: str, value: float | None) -> None:
    """Note that a figure is another one from now on."""
    unit.insert(RuleFigure, {"id": uuid7(), "digest": digest, "value": value, "checked_at": unit.now})


def finish_run(
    unit: UnitOfWork,
    run_id: UUID,
    *,
    outcome: str,
    detail: str | None,
    actions: Sequence[Mapping[str, Any]],
    cause_id: UUID | None,
) -> None:
    """Note what came of it."""
    done = to_json(actions).decode()
    unit.execute(_FINISH, id=run_id, outcome=outcome, detail=detail, actions=done, cause_id=cause_id)


def notify(
    unit: UnitOfWork, user_id: UUID, message: str, *, rule_id: UUID, subject: tuple[str, UUID] | None = None
) -> None:
    """Tell a person something."""
    kind, subject_id = subject or (None, None)
    unit.insert(
        Notification,
        {
            "id": uuid7(),
            "user_id": user_id,
            "text": message,
            "rule_id": rule_id,
            "subject_type": kind,
            "subject_id": subject_id,
        },
    )


def call(unit: UnitOfWork, rule_id: UUID, url: str, body: Mapping[str, Any]) -> None:
    """Have an address called once this is committed."""
    unit.insert(RuleCall, {"id": uuid7(), "rule_id": rule_id, "url": url, "body": dict(body), "next_at": unit.now})
