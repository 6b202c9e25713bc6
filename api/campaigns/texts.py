"""What a step says to somebody: their fields, the words, and the way out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from uuid import UUID

from api.campaigns import templates
from api.campaigns.document import Step, Variant
from api.conversations.html import safe
from api.kernel.custom import Definition
from api.kernel.unit_of_work import Row
from contracts.channels import Channel


@dataclass(frozen=True)
class Written:
    """One wording for one person."""

    subject: str | None
    text: str
    html: str | None
    missing: list[str]


def values_of(row: Row, *, sender: str | None, custom: Mapping[str, UUID]) -> dict[str, str | None]:
    """The fields that texts may name, of one person; `custom` are the ids of fields by their names."""
    values = {
        "contact.name": row.name,
        "contact.first_name": row.name.split()[0] if row.name.split() else None,
        "contact.email": row.email,
        "contact.phone": row.phone,
        "company.name": row.company_name,
        "company.domain": row.company_domain,
        "deal.title": row.deal_title,
        "sender.name": sender,
    }
    own = {f"{templates.CUSTOM}{name}": row.custom.get(str(one)) for name, one in custom.items()}
    return values | {name: None if value in (None, "", []) else str(value) for name, value in own.items()}


def custom_names(definitions: list[Definition]) -> dict[str, UUID]:
    """Fields that texts may name: those with one value that is a word, a number or a day."""
    simple = {"text", "number", "date", "link"}
    return {one.name: one.id for one in definitions if one.type.value in simple}


def write(variant: Variant, values: Mapping[str, str | None]) -> Written:
    """A variant for somebody, and what of theirs it lacks."""
    subject = None if variant.subject is None else templates.render(variant.subject, values)
    # what people are called is no markup, whatever it looks like
    html = None if variant.html is None else safe(templates.render(variant.html, values, spelled=escape))
    lacking = {name for part in parts_of(variant) for name in templates.missing(part, values)}
    # a subject is one line
    return Written(
        None if subject is None else " ".join(subject.split()),
        templates.render(variant.text, values),
        html,
        sorted(lacking),
    )


def parts_of(variant: Variant) -> list[str]:
    """The texts of a variant that may name fields."""
    return [part for part in (variant.subject, variant.text, variant.html) if part]


def with_way_out(step: Step, written: Written, link: str) -> tuple[Written, dict[str, str]]:
    """A mail with the link that ends it, and the headers that mail programs show a button for (RFC 8058)."""
    if step.channel is not Channel.EMAIL:
        return replace(written, text=f"{written.text}\n\nReply STOP to get no more messages."), {}
    headers = {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    text = f"{written.text}\n\n-- \nTo get no more of these mails: {link}"
    html = written.html and f'{written.html}\n<p><a href="{escape(link)}">Get no more of these mails</a></p>'
    return replace(written, text=text, html=html), headers
