"""An organization with something of everything, all called CANARY; and requests made of the OpenAPI document."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from contracts.access import Role
from tests.factories import Account

Row = dict[str, Any]
CANARY = "CANARY"
UNKNOWN = "00000000-0000-7000-8000-000000000000"
#: Fields that hold the id of something with another name.
_CALLED = {
    "owner_id": "user_id", "assignee_id": "user_id", "manager_id": "user_id", "author_id": "user_id",
    "parent_team_id": "team_id", "user_ids": "user_id", "mentions": "user_id", "other_ids": "contact_id",
    "uploaded_by": "user_id", "mentioned_id": "user_id", "actor_id": "user_id",
}  # fmt: skip
#: Bodies of operations whose schema has no example.
_BODIES: Mapping[str, Row] = {
    "win_deal": {},
    "reopen_deal": {},
    "update_company": {"name": "Mine now"},
    "update_contact": {"name": "Mine now"},
    "update_rule": {"name": "Mine now"},
    "update_draft": {"text": "Mine now"},
    "backtest_rule": {"begins": "2026-01-01T00:00:00Z", "ends": "2026-02-01T00:00:00Z"},
    "approve_draft": {"text_hash": "0" * 64},
}


class Operation(NamedTuple):
    """One operation of the API."""

    name: str
    method: str
    path: str
    told: Row

    @property
    def places(self) -> list[str]:
        """The variables of its path."""
        return re.findall(r"{(\w+)}", self.path)


def operations(document: Row) -> Iterator[Operation]:
    """Every operation of the document."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(told["operationId"], method.upper(), path, told)


def body_of(document: Row, operation: Operation) -> Row | None:
    """A body that an operation takes, as its example says; None where it takes none of JSON."""
    schema = _schema(document, operation)
    if schema is None:
        return None
    examples = schema.get("examples") or [{}]
    body: Row = copy.deepcopy(_BODIES.get(operation.name, examples[0]))
    return body


def examples_of(document: Row, operation: Operation) -> list[Any]:
    """What the document shows of its body; of one that takes none of JSON, that."""
    schema = _schema(document, operation)
    return [None] if schema is None else list(schema.get("examples", ()))


def ids_in_body(document: Row, operation: Operation) -> Iterator[tuple[str, bool]]:
    """The fields of a body that hold an id, and whether they hold several."""
    schema = _schema(document, operation) or {}
    for name, told in schema.get("properties", {}).items():
        kinds = [told, *told.get("anyOf", ())]
        if any(one.get("format") == "uuid" for one in kinds):
            yield name, False
        elif any((one.get("items") or {}).get("format") == "uuid" for one in kinds):
            yield name, True


def asked_for(operation: Operation) -> Iterator[str]:
    """The parameters of a query that must be there."""
    for one in operation.told.get("parameters", ()):
        if one["in"] == "query" and one.get("required"):
            yield one["name"]


def ids_in_query(operation: Operation) -> Iterator[str]:
    """The parameters of a query that hold an id."""
    for one in operation.told.get("parameters", ()):
        if one["in"] == "query" and '"uuid"' in json.dumps(one["schema"]):
            yield one["name"]


def meant(ids: Mapping[str, str], name: str) -> str | None:
    """The id that a field of this name holds."""
    return ids.get(_CALLED.get(name, name))


def _schema(document: Row, operation: Operation) -> Row | None:
    content = operation.told.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema: Row = content["schema"]
    if "anyOf" in schema:
        schema = next(one for one in schema["anyOf"] if "$ref" in one)
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


async def something_of_everything(account: Account) -> dict[str, str]:
    """An id of each kind of things, by what paths and bodies call it; all of one organization."""
    made = account.made
    team = await made("/v1/teams", json={"name": "CANARY team"})
    rep = await account.add_user(role=Role.REP, name="CANARY rep")
    await made(f"/v1/teams/{team['id']}/members", json={"user_id": str(rep.user_id)})
    company = await made("/v1/companies", json={"name": "CANARY company"})
    contact = await made("/v1/contacts", json={"name": "CANARY contact", "email": "canary@canary.example"})
    [pipeline] = (await account.read("/v1/pipelines"))["items"]
    deal = await made("/v1/deals", json={"title": "CANARY deal", "pipeline_id": pipeline["id"], "tags": ["CANARY"]})
    about = {"deal_id": deal["id"]}
    note = await made("/v1/notes", json={"body": "CANARY note", **about})
    activity = await made("/v1/activities", json={"kind": "call", "subject": "CANARY call"})
    file = await made("/v1/files", files={"file": ("CANARY.txt", b"CANARY content")}, data=about)
    webhook = await made("/v1/webhooks", json={"url": "https://example.com/CANARY"})
    stalled = (await account.get("/v1/rules/templates")).json()[0]["document"]
    bulk = {"kind": "company", "filter": [], "action": {"do": "company.tag", "with": {"add": ["CANARY"]}}}
    imported = {"companies": ("CANARY.csv", b"name\nCANARY imported\n")}
    [tag] = [one for one in (await account.read("/v1/tags"))["items"] if one["name"] == "CANARY"]
    goal = {"measure": "deals_won", "starts_on": "2026-01-01", "months": 1, "target": 5}
    simple: dict[str, tuple[str, Row]] = {
        "task_id": ("/v1/tasks", {"title": "CANARY task"}),
        "product_id": ("/v1/products", {"name": "CANARY", "unit_price_minor": 1, "currency": "EUR"}),
        "goal_id": ("/v1/goals", {**goal, "team_id": team["id"]}),
        "custom_field_id": ("/v1/custom-fields", {"record_kind": "deal", "name": "CANARY", "type": "number"}),
        "view_id": ("/v1/views", {"name": "CANARY view", "record_kind": "deal"}),
        "watch_id": ("/v1/watches", {"name": "CANARY watch", "metric": "bookings", "measure": "won_amount_minor"}),
        "rule_id": ("/v1/rules", {"name": "CANARY rule", "document": stalled}),
        "key_id": ("/v1/api-keys", {"name": "CANARY key", "scopes": ["deals:read"]}),
        "invitation_id": ("/v1/invitations", {"email": "canary@invited.example"}),
        "job_id": ("/v1/bulk", bulk),
        "canned_reply_id": ("/v1/canned-replies", {"title": "CANARY", "text": "CANARY reply"}),
    }
    return {
        "organization_id": str(account.organization_id),
        "user_id": str(rep.user_id),
        "session_id": (await account.read("/v1/sessions"))["items"][0]["id"],
        "team_id": team["id"],
        "company_id": company["id"],
        "contact_id": contact["id"],
        "record_id": contact["id"],
        "pipeline_id": pipeline["id"],
        "stage_id": pipeline["stages"][0]["id"],
        "deal_id": deal["id"],
        "note_id": note["id"],
        "activity_id": activity["id"],
        "file_id": file["id"],
        "webhook_id": webhook["id"],
        "delivery_id": (await made(f"/v1/webhooks/{webhook['id']}/test"))["id"],
        "tag_id": tag["id"],
        "import_id": (await made("/v1/imports", files=imported))["id"],
        **{name: (await made(path, json=body))["id"] for name, (path, body) in simple.items()},
    }
