"""The endpoints of a plain record: list, read, create and change, all from its declaration.

    router = record_router(COMPANIES, prefix="/companies", body=CompanyCreate)

The body of a change and the answers follow from the body of a creation and from the table.
"""

from collections.abc import Callable, Coroutine, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, create_model, model_validator
from pydantic.fields import FieldInfo

from api.db.statements import as_pattern
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Unit
from api.edge.fields import SearchText, body_like
from api.edge.pages import Page, PageOf, Wished, asked, read_page
from api.edge.routing import problems, slice_router
from api.kernel import alike, records
from api.kernel.binning import put_in_bin
from api.kernel.computed import completed
from api.kernel.constraints import UnknownReference
from api.kernel.custom import BadCustomValue, CustomValueTaken
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.filters import BadFilter
from api.kernel.merged import Merged
from api.kernel.records import ExternalIdTaken, RecordKind
from api.kernel.visibility import owners_seen

Endpoint = Callable[..., Coroutine[Any, Any, Any]]

_Wish = Annotated[
    alike.OnDuplicate,
    Query(
        description="Where one that you see has an address, a domain, or a name (of contacts: at one company) of the"
        " new one. `create`: make another. `refuse`: 409, whose `candidates` name it. `merge`: give it what it lacks,"
        " keep what it has, and answer it; 409 where there are several."
    ),
]
_READ_EXAMPLE = {
    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
    "version": 1,
    "created_at": "2026-05-01T09:30:00Z",
    "updated_at": "2026-05-01T09:30:00Z",
}


def record_router(
    kind: RecordKind, *, prefix: str, body: type[BaseModel], answered: Mapping[str, Any] | None = None
) -> APIRouter:
    """The router of a kind under /v1. `body` is what creates one; `owner_id` is among its fields.

    `answered`: types of the fields that are kept beside its row.
    """
    plural, one = prefix.strip("/"), f"/{{{kind.noun}_id}}"
    router = slice_router(prefix=prefix, tags=[plural])
    read_model = _read_model(kind, body, answered or {})
    page_model = PageOf[read_model]  # type: ignore[valid-type]  # a class made from the declaration
    record_id = Annotated[UUID, Path(alias=f"{kind.noun}_id")]
    bad_references = (UnknownReference, ExternalIdTaken, BadCustomValue, CustomValueTaken, *kind.refusals)

    async def create(
        body: BaseModel, caller: RecordWriter, unit: Unit, response: Response, on_duplicate: _Wish = "create"
    ) -> BaseModel:
        given = body.model_dump()
        if "owner_id" not in body.model_fields_set:
            given["owner_id"] = caller.user_id
        owners = await owners_seen(unit, caller) if on_duplicate != "create" else None
        made, is_new = await alike.make(unit, kind, given, on_duplicate=on_duplicate, owners=owners)
        response.status_code = 201 if is_new else 200
        response.headers["Location"] = f"/v1{prefix}/{made['id']}"
        return read_model.model_validate(made)

    async def list_(
        caller: CurrentCaller,
        unit: Unit,
        page: Page,
        only: Annotated[dict[str, Any], Depends(_filter(kind))],
        wish: Wished,
    ) -> BaseModel:
        given = {**only, "owners": await owners_seen(unit, caller)}
        ask = await asked(unit, wish, kind.noun, kind.fields, kind.model)
        found, next_cursor = await read_page(unit, kind.listing, given, page=page, ask=ask)
        rows = await completed(unit, kind.noun, found)
        return page_model.model_validate({"items": rows, "next_cursor": next_cursor}, from_attributes=True)

    async def read(record_id: UUID, caller: CurrentCaller, unit: Unit) -> BaseModel:
        owners = await owners_seen(unit, caller)
        found = await records.read_record(unit, kind, record_id, owners=owners)
        [found] = await completed(unit, kind.noun, [found])
        return read_model.model_validate(found, from_attributes=True)

    async def update(
        record_id: UUID, body: BaseModel, caller: RecordWriter, unit: Unit, if_match: IfMatch
    ) -> BaseModel:
        given = body.model_dump()
        changed = await records.change_record(
            unit,
            kind,
            record_id,
            owners=await owners_seen(unit, caller),
            expected_version=if_match,
            given={name: given[name] for name in body.model_fields_set},
        )
        return read_model.model_validate(changed)

    def add(path: str, method: str, endpoint: Endpoint, name: str, text: str, **more: Any) -> None:  # noqa: ANN401 # FastAPI's
        router.add_api_route(path, endpoint, methods=[method], name=name, description=text, **more)

    async def delete(record_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> None:
        owners = await owners_seen(unit, caller)
        await put_in_bin(unit, kind, record_id, owners=owners, expected_version=if_match)

    create.__annotations__["body"] = body
    update.__annotations__ |= {"body": change_model(body), "record_id": record_id}
    read.__annotations__["record_id"] = delete.__annotations__["record_id"] = record_id
    add(
        "",
        "POST",
        create,
        f"create_{kind.noun}",
        f"Create a {kind.noun}, unless there is one already and `on_duplicate` says to look.",
        status_code=201,
        response_model=read_model,
        responses={
            200: {"model": read_model, "description": "The one that there is, with what it lacked."},
            **problems(alike.DuplicateFound, *bad_references),
        },
    )
    add(
        "",
        "GET",
        list_,
        f"list_{plural}",
        f"List the {plural} you see, newest first.",
        response_model=page_model,
        responses=problems(BadFilter),
    )
    add(
        one,
        "GET",
        read,
        f"read_{kind.noun}",
        f"Read a {kind.noun}.",
        response_model=read_model,
        responses=problems(NotFound, Merged),
    )
    add(
        one,
        "PATCH",
        update,
        f"update_{kind.noun}",
        f"Change a {kind.noun}.",
        response_model=read_model,
        responses=problems(NotFound, Merged, PreconditionFailed, PreconditionRequired, *bad_references),
    )
    if kind.deleted is not None:
        add(
            one,
            "DELETE",
            delete,
            f"delete_{kind.noun}",
            f"Delete a {kind.noun}. It can be restored for 90 days.",
            status_code=204,
            responses=problems(NotFound, PreconditionFailed, PreconditionRequired),
        )
    return router


def _filter(kind: RecordKind) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
    """A dependency that takes the kind's filters as query parameters."""
    names = " or ".join(column.key.replace("_", " ") for column in kind.searched)
    text = Query(description=f"Part of the {names}, in any case.")
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=UUID | None) for name in kind.filters
    ]
    text_type = Annotated[SearchText | None, text]
    parameters.append(Parameter("q", Parameter.KEYWORD_ONLY, default=None, annotation=text_type))

    async def given(**only: Any) -> dict[str, Any]:  # noqa: ANN401 # as the signature says
        return {**only, "q": as_pattern(only["q"]) if only["q"] else None}

    given.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what FastAPI looks at
    return given


def change_model(body: type[BaseModel]) -> type[BaseModel]:
    """The fields of `body`, each to be left out; one that a creation needs must not be emptied."""
    needed = [name for name, info in body.model_fields.items() if info.is_required() or name == "tags"]

    def keep(model: BaseModel) -> BaseModel:
        for name in needed:
            if name in model.model_fields_set and getattr(model, name) is None:
                raise ValueError(f"{name} must not be null")
        return model

    validator: Any = model_validator(mode="after")(keep)
    fields: dict[str, Any] = {name: (_optional(info), None) for name, info in body.model_fields.items()}
    return create_model(
        body.__name__.replace("Create", "Update"),
        __config__=body_like({"name": "Acme"}),
        __doc__="The fields to change; those left out stay.",
        __validators__={"keep": validator},
        **fields,
    )


def _optional(info: FieldInfo) -> Any:  # noqa: ANN401 # a type
    annotation: Any = info.annotation
    for constraint in info.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation | None


def _read_model(kind: RecordKind, body: type[BaseModel], answered: Mapping[str, Any]) -> type[BaseModel]:
    """The record as it is answered: its id and version, the fields that people fill, and when it was written."""
    columns = kind.model.__table__.c

    def stored(name: str) -> Any:  # noqa: ANN401 # a type
        column = columns[name]
        return column.type.python_type | None if column.nullable else column.type.python_type

    names = [name for name in body.model_fields if name not in kind.labels and name not in answered]
    fields: dict[str, Any] = {name: (stored(name), ...) for name in ("id", "version")}
    fields |= {name: (stored(name) if name in names else str | None, ...) for name in body.model_fields}
    fields |= {name: (type_, ...) for name, type_ in answered.items()}
    fields |= {name: (stored(name), ...) for name in ("created_at", "updated_at")}
    config: Any = body.model_config.get("json_schema_extra") or {}
    [example] = config.get("examples", [{}])
    return create_model(
        body.__name__.replace("Create", "Read"),
        __config__=ConfigDict(from_attributes=True, json_schema_extra={"examples": [_READ_EXAMPLE | example]}),
        __doc__=f"A {kind.noun}.",
        **fields,
    )
