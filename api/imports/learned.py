"""What headings mean to an organization: learned from the maps of imports that were begun, proposed for the next ones.

A heading that a file's own words or the import's own map explain needs no memory. What is remembered becomes part of
the import's map before anything is read, so that a job that is taken up again reads its files as it began.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, delete, select, text

from api.db.statements import compiled
from api.db.values import JsonList
from api.imports.files import ImportFile, open_file
from api.imports.headings import Meaning, means, normal
from api.imports.options import ImportOptions
from api.imports.presets import Entity
from api.imports.problems import FileProblem
from api.imports.source import open_source
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.unit_of_work import UnitOfWork
from api.models.learned_heading import LearnedHeading

_LONGEST = 400
_headings = select(LearnedHeading.__table__).where(LearnedHeading.organization_id == bindparam("organization_id"))
#: What is remembered, the newest first.
LEARNED = Listing(
    _headings,
    filters={"entity": LearnedHeading.entity == bindparam("entity")},
    order=(LearnedHeading.id,),
    newest_first=True,
)
_ALL = compiled(_headings)
_FORGET = compiled(
    delete(LearnedHeading)
    .where(LearnedHeading.organization_id == bindparam("organization_id"), LearnedHeading.id == bindparam("id"))
    .returning(LearnedHeading.id)
)
_LEARN = compiled(
    text("""
insert into learned_headings (organization_id, id, entity, heading, column_name, confirmed_by)
select cast(:organization_id as uuid), uuidv7(), w.entity, w.heading, w.column_name, cast(:confirmed_by as uuid)
from jsonb_to_recordset(cast(:wanted as jsonb)) as w (entity text, heading text, column_name text)
order by w.entity, w.heading
on conflict (organization_id, entity, heading) do update
    set column_name = excluded.column_name, confirmed_at = now(), confirmed_by = excluded.confirmed_by
    where learned_headings.column_name <> excluded.column_name
""")
)


class LearnedRead(BaseModel):
    """A heading whose meaning is remembered."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "entity": "deals",
                    "heading": "auftragswert",
                    "column_name": "amount",
                    "confirmed_at": "2026-05-01T09:30:00Z",
                    "confirmed_by": None,
                }
            ]
        },
    )

    id: UUID
    entity: Entity
    heading: str = Field(description="In plain form: small letters, blanks and dashes as _.")
    column_name: str = Field(description="The column that it stands for; empty where it is left out.")
    confirmed_at: datetime
    confirmed_by: UUID | None


class Known(BaseModel):
    """What is remembered of one heading."""

    column: str
    confirmed_at: datetime


Memory = Mapping[Entity, Mapping[str, Known]]


async def recall(unit: UnitOfWork) -> Memory:
    """All that the organization's imports have taught."""
    found: dict[Entity, dict[str, Known]] = {}
    for row in await unit.fetch(_ALL):
        known = Known(column=row.column_name, confirmed_at=row.confirmed_at)
        found.setdefault(Entity(row.entity), {})[row.heading] = known
    return found


def with_memory(
    files: Sequence[ImportFile], options: ImportOptions, memory: Memory
) -> tuple[ImportOptions, dict[int, list[str]]]:
    """Options whose map says what is remembered of these files' headings too; and per file, what was remembered.

    Raises:
        FileProblem: a file cannot be opened at all.
    """
    asked = {entity: dict(mapping) for entity, mapping in options.map.items()}
    notes: dict[int, list[str]] = {}
    for number, (file, headings, known) in enumerate(_opened(files, options, memory)):
        given = options.map.get(file.entity, {})
        remembered = {heading: one.column for heading, one in known.items()}
        for heading in _of_use(headings, Meaning(file.entity, options.preset, given, file.custom), remembered):
            one = known[normal(heading)]
            asked.setdefault(file.entity, {})[heading] = one.column
            notes.setdefault(number, []).append(_note(file.name, heading, one))
    return options.model_copy(update={"map": asked}), notes


def _opened(
    files: Sequence[ImportFile], options: ImportOptions, memory: Memory
) -> list[tuple[ImportFile, Sequence[str], Mapping[str, Known]]]:
    """Files with their headings, and what is remembered of those that all files of an entity have: they share a map."""
    found: list[tuple[ImportFile, Sequence[str], Mapping[str, Known]]] = []
    for file in files:
        known = memory.get(file.entity, {}) if options.use_memory else {}
        remembered = {heading: one.column for heading, one in known.items()}
        looking = Meaning(file.entity, options.preset, {**remembered, **options.map.get(file.entity, {})}, file.custom)
        headings: Sequence[str] = ()
        if known:
            headings = open_source(file.name, file.path, options=options, recognise=looking.recognise).headings
        found.append((file, headings, known))
    shared: dict[Entity, set[str]] = {}
    for file, headings, _ in found:
        here = {normal(one) for one in headings}
        shared[file.entity] = shared.get(file.entity, here) & here
    return [
        (file, headings, {one: known[one] for one in known.keys() & shared[file.entity]})
        for file, headings, known in found
    ]


def _of_use(headings: Sequence[str], meaning: Meaning, remembered: Mapping[str, str]) -> list[str]:
    """Headings whose memory says what neither the map nor their own words, nor those of another heading, do."""
    asked = means(headings, meaning.mapping)
    explained = {column for column in meaning.mapping.values() if column}
    explained |= {meaning.column(one) for one in headings if normal(one) not in remembered} - {""}
    named = {remembered[normal(one)] for one in headings if normal(one) in remembered}
    found: list[str] = []
    for heading in headings:
        column, own = remembered.get(normal(heading)), meaning.column(heading)
        is_clear = normal(heading) not in asked and headings.count(heading) == 1
        if column is None or not is_clear or column in explained or column == own:
            continue
        if column and column not in meaning.columns:
            continue  # a column that there is no more
        if not column and own not in named:
            continue  # it was left out for another heading, which this file does not have
        explained |= {column} - {""}
        found.append(heading)
    return found


def _note(name: str, heading: str, known: Known) -> str:
    read = f"is read as {known.column}" if known.column else "is left out"
    return (
        f"{name}: {heading!r} {read}, as it was in an import of {known.confirmed_at:%Y-%m-%d} (the map says otherwise)"
    )


def learn(unit: UnitOfWork, files: Sequence[ImportFile], options: ImportOptions, *, confirmed_by: UUID) -> None:
    """Queue that what the map says of these files' headings is remembered."""
    wanted: dict[tuple[str, str], str] = {}
    for file in files:
        mapping = options.map.get(file.entity, {})
        if not mapping or not options.use_memory:
            continue
        try:
            headings = open_file(file, options).source.headings
        except FileProblem:
            continue  # told of elsewhere
        for heading, column in means(headings, mapping).items():
            if 0 < len(heading) <= _LONGEST:
                wanted[file.entity.value, heading] = column
    if wanted:
        rows = [{"entity": entity, "heading": one, "column_name": column} for (entity, one), column in wanted.items()]
        unit.execute(_LEARN, wanted=JsonList(rows), confirmed_by=confirmed_by)


async def forget(unit: UnitOfWork, heading_id: UUID) -> None:
    """Remember a heading no more.

    Raises:
        NotFound: nothing is remembered under this id.
    """
    if not await unit.fetch(_FORGET, id=heading_id):
        raise NotFound("heading")
