"""What a contact is."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.contacts import channels
from api.db.statements import Bound, compiled
from api.db.values import JsonList
from api.kernel import tags
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.contact import Contact
from contracts.events.custom_fields import ContactCustomChanged
from contracts.events.relations import ContactCreated, ContactDeleted, ContactRestored, ContactUpdated

# as the page Duplicates sees it: one address, or one name at one company
_SAME = compiled(
    text("""
select c.id, c.name, found.reason from (
    select h.contact_id as id, 'same_' || h.kind as reason
    from jsonb_to_recordset(cast(:keys as jsonb)) as k (kind text, key text)
    join contact_channels as h on h.organization_id = :organization_id and h.kind = k.kind and h.key = k.key
    union all
    select n.id, 'same_name_and_company' from contacts as n
    where n.organization_id = :organization_id and n.company_id = cast(:company_id as uuid)
        and lower(n.name) = lower(cast(:name as text))
) as found join contacts as c on c.organization_id = :organization_id and c.id = found.id
where cast(:owners as uuid[]) is null or c.owner_id = any(:owners)
order by found.reason, c.id limit 10
"""),
    is_prepared=False,
)


class _Contacts(RecordKind):
    """Contacts keep addresses in rows beside their own."""

    def alike(self, values: Mapping[str, Any]) -> dict[str, Any]:
        keys = JsonList({"kind": kind, "key": key} for kind, key in channels.keys_in(values))
        return {"keys": keys, "company_id": values["company_id"], "name": values["name"]}

    def fill(self, before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        return channels.fill(before, given)

    def asking(self, given: Mapping[str, Any]) -> list[Bound]:
        return channels.asking(given)

    def read(self, given: Mapping[str, Any], answers: Sequence[list[Row]]) -> dict[str, Any]:
        return channels.read(given, answers)

    def keep(self, unit: UnitOfWork, record_id: UUID, beside: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in beside.items() if name != "tags"}
        if kept:
            channels.keep(unit, record_id, kept)
        if "tags" in beside:
            tags.put_on(unit, "contact", record_id, beside["tags"])

    def follow(self, state: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        return channels.follow(state, changed)


CONTACTS = _Contacts(
    model=Contact,
    noun="contact",
    created=ContactCreated,
    updated=ContactUpdated,
    custom_changed=ContactCustomChanged,
    deleted=ContactDeleted,
    restored=ContactRestored,
    labels={"source": "source"},
    references={"company_id": "company"},
    searched=(Contact.name, Contact.email),
    filters=("owner_id", "company_id"),
    beside={
        **{name: channels.listed(kind) for name, (kind, _) in channels.LISTS.items()},
        "tags": tags.tags_of("contact", Contact.organization_id, Contact.id),
    },
    refusals=(channels.BadPhone, channels.BadChannels),
    same=_SAME,
)
