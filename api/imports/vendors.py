"""How other products head the columns of their exports: per preset and entity, a heading in plain form -> our column.

Headings are facts about those products; an empty column leaves a heading out. What only looks alike is not listed.
"""

from collections.abc import Mapping

from api.imports.presets import Entity

Headings = Mapping[Entity, Mapping[str, str]]

#: What an activity is about, whatever kind it is of.
_HUBSPOT_ABOUT: Mapping[str, str] = {
    "associated_deal_ids": "deal_external_id",
    "associated_contact_ids": "contact_external_id",
    "associated_company_ids": "company_external_id",
}
_SALESFORCE_ABOUT: Mapping[str, str] = {
    "id": "external_id",
    "whatid": "deal_external_id",
    "whoid": "contact_external_id",
    "accountid": "company_external_id",
    "isdeleted": "is_deleted",
}
_PIPEDRIVE_ABOUT: Mapping[str, str] = {
    "id": "external_id",
    "deal_id": "deal_external_id",
    "contact_person_id": "contact_external_id",
    "person_id": "contact_external_id",
    "organization": "company",
    "organization_id": "company_external_id",
}

_HUBSPOT: Headings = {
    Entity.DEALS: {
        "record_id": "external_id",
        "deal_name": "title",
        "deal_stage": "stage",
        "deal_owner": "owner_email",
        "create_date": "created_at",
        "closed_lost_reason": "lost_reason",
        "original_traffic_source": "source",
        "associated_company_(primary)": "company",
        "associated_company": "company",
        "associated_company_ids_(primary)": "company_external_id",
        "associated_company_ids": "company_external_id",
        "is_closed_won": "is_won",
        "is_deal_closed?": "is_closed",
        # the tables that connectors load
        "deal_id": "external_id",
        "deal_pipeline_id": "pipeline",
        "deal_pipeline_stage_id": "stage",
        "property_dealname": "title",
        "property_amount": "amount",
        "property_closedate": "close_date",
        "property_createdate": "created_at",
    },
    Entity.PRODUCTS: {"sku": "code", "active": "is_active", "record_id": ""},
    Entity.DEAL_LINE_ITEMS: {
        "record_id": "",
        "sku": "product_code",
        "net_price": "",
        "line_discount_%": "discount_percent",
        "discount_percentage": "discount_percent",
        "associated_deal_ids": "deal_external_id",
        "deal_id": "deal_external_id",
    },
    Entity.CONTACTS: {
        "record_id": "external_id",
        "phone_number": "phone",
        "contact_owner": "owner_email",
        "original_traffic_source": "source",
        "original_source": "source",
        "primary_company": "company",
        "associated_company": "company",
        "associated_company_ids": "company_external_id",
        "primary_associated_company_id": "company_external_id",
    },
    Entity.COMPANIES: {
        "record_id": "external_id",
        "company_name": "name",
        "company_domain_name": "domain",
        "number_of_employees": "employees",
        "company_owner": "owner_email",
    },
    Entity.DEAL_STAGE_HISTORY: {
        "deal_id": "deal_external_id",
        "record_id": "deal_external_id",
        "object_id": "deal_external_id",
        "value": "stage",
        "date_entered": "entered_at",
        "timestamp": "entered_at",
        "name": "field",
        "property": "field",
        "property_name": "field",
    },
    Entity.NOTES: {
        "record_id": "external_id",
        "note_body": "body",
        "activity_date": "took_place_at",
        "activity_assigned_to": "author_email",
        **_HUBSPOT_ABOUT,
        "engagement_id": "external_id",
        "property_hs_note_body": "body",
        "property_hs_timestamp": "took_place_at",
    },
    Entity.ACTIVITIES: {
        "record_id": "external_id",
        "activity_type": "kind",
        "activity_date": "took_place_at",
        "activity_assigned_to": "author_email",
        "call_title": "subject",
        "call_notes": "body",
        "call_direction": "direction",
        "meeting_name": "subject",
        "meeting_description": "body",
        **_HUBSPOT_ABOUT,
    },
    Entity.TASKS: {
        "record_id": "external_id",
        "task_title": "title",
        "task_notes": "body",
        "due_date": "due_at",
        "create_date": "created_at",
        "completed_at": "completed_at",
        "assigned_to": "assignee_email",
        **_HUBSPOT_ABOUT,
    },
}

_SALESFORCE: Headings = {
    Entity.DEALS: {
        "id": "external_id",
        "opportunity_id": "external_id",
        "name": "title",
        "opportunity_name": "title",
        "stagename": "stage",
        "closedate": "close_date",
        "createddate": "created_at",
        "created_date": "created_at",
        "isclosed": "is_closed",
        "closed": "is_closed",
        "iswon": "is_won",
        "won": "is_won",
        "isdeleted": "is_deleted",
        "accountid": "company_external_id",
        "account_id": "company_external_id",
        "account_name": "company",
        "leadsource": "source",
        "lead_source": "source",
        "currencyisocode": "currency",
        "amount_currency": "currency",
        "opportunity_owner": "owner_email",
        "loss_reason": "lost_reason",
    },
    Entity.CONTACTS: {
        "id": "external_id",
        "contact_id": "external_id",
        "firstname": "first_name",
        "lastname": "last_name",
        "accountid": "company_external_id",
        "account_id": "company_external_id",
        "account_name": "company",
        "leadsource": "source",
        "lead_source": "source",
        "isdeleted": "is_deleted",
        "contact_owner": "owner_email",
    },
    Entity.COMPANIES: {
        "id": "external_id",
        "account_id": "external_id",
        "account_name": "name",
        "website": "domain",
        "numberofemployees": "employees",
        "billingcountrycode": "country",
        "isdeleted": "is_deleted",
        "account_owner": "owner_email",
    },
    Entity.USERS: {"id": "external_id", "full_name": "name", "isactive": ""},
    Entity.PRODUCTS: {
        "productcode": "code",
        "product_code": "code",
        "product_name": "name",
        "isactive": "is_active",
        "active": "is_active",
        "isdeleted": "is_deleted",
        "currencyisocode": "currency",
        "list_price": "unit_price",
    },
    Entity.DEAL_LINE_ITEMS: {
        "opportunityid": "deal_external_id",
        "opportunity_id": "deal_external_id",
        "productcode": "product_code",
        "product_name": "product",
        "unitprice": "unit_price",
        "sales_price": "unit_price",
        "discount": "discount_percent",
        "currencyisocode": "currency",
        "isdeleted": "is_deleted",
    },
    Entity.DEAL_STAGE_HISTORY: {
        "id": "",
        "opportunityid": "deal_external_id",
        "opportunity_id": "deal_external_id",
        "stagename": "stage",
        "newvalue": "stage",
        "new_value": "stage",
        "to_stage": "stage",
        "createddate": "entered_at",
        "edit_date": "entered_at",
        "last_modified": "entered_at",
        "isdeleted": "is_deleted",
    },
    Entity.TASKS: {
        "subject": "title",
        "description": "body",
        "activitydate": "due_at",
        "createddate": "created_at",
        "completeddatetime": "completed_at",
        **_SALESFORCE_ABOUT,
    },
    Entity.ACTIVITIES: {
        "type": "kind",
        "subject": "subject",
        "description": "body",
        "activitydatetime": "took_place_at",
        **_SALESFORCE_ABOUT,
    },
    Entity.NOTES: {
        "id": "external_id",
        "body": "body",
        "createddate": "took_place_at",
        "parentid": "deal_external_id",
        "isdeleted": "is_deleted",
    },
}

_PIPEDRIVE: Headings = {
    Entity.DEALS: {
        "id": "external_id",
        "value": "amount",
        "owner": "owner_email",
        "organization": "company",
        "organization_id": "company_external_id",
        "contact_person_id": "contact_external_id",
        "currency_of_value": "currency",
        "deal_created": "created_at",
        "won_time": "won_at",
        "lost_time": "lost_at",
        "expected_close_date": "close_date",
        "source_channel": "source",
    },
    Entity.CONTACTS: {
        "id": "external_id",
        "organization": "company",
        "organization_id": "company_external_id",
        "owner": "owner_email",
    },
    Entity.COMPANIES: {"id": "external_id", "owner": "owner_email", "number_of_employees": "employees"},
    Entity.USERS: {"id": "external_id"},
    Entity.PRODUCTS: {"product_code": "code", "price": "unit_price", "active": "is_active"},
    Entity.DEAL_LINE_ITEMS: {
        "deal_id": "deal_external_id",
        "product_name": "product",
        "item_price": "unit_price",
        "price": "unit_price",
        "discount": "discount_percent",
    },
    Entity.DEAL_STAGE_HISTORY: {
        "id": "deal_external_id",
        "item_id": "deal_external_id",
        "deal_id": "deal_external_id",
        "field_key": "field",
        "new_value": "stage",
        "log_time": "entered_at",
        "time": "entered_at",
        "timestamp": "entered_at",
        "changed_at": "entered_at",
        "user": "actor_email",
        "changed_by": "actor_email",
    },
    Entity.TASKS: {
        "subject": "title",
        "note": "body",
        "due_date": "due_at",
        "add_time": "created_at",
        "marked_as_done_time": "completed_at",
        "assigned_to_user": "assignee_email",
        **_PIPEDRIVE_ABOUT,
    },
    Entity.NOTES: {
        "content": "body",
        "add_time": "took_place_at",
        "user": "author_email",
        **_PIPEDRIVE_ABOUT,
    },
}
#: Pipedrive puts what a column is of in front of its name: "Deal - Title".
_PREFIXES = {
    Entity.DEALS: "deal_",
    Entity.CONTACTS: "person_",
    Entity.COMPANIES: "organization_",
    Entity.TASKS: "activity_",
    Entity.NOTES: "note_",
}

_PRESETS: Mapping[str, Headings] = {"hubspot": _HUBSPOT, "salesforce": _SALESFORCE, "pipedrive": _PIPEDRIVE}


def column_of(preset: str, entity: Entity, heading: str) -> str | None:
    """What a heading in plain form stands for; None where the preset does not know it."""
    known = _PRESETS.get(preset, {}).get(entity, {})
    if heading in known:
        return known[heading]
    prefix = _PREFIXES.get(entity, "") if preset == "pipedrive" else ""
    if prefix and heading.startswith(prefix):
        bare = heading.removeprefix(prefix)
        return known.get(bare, bare)
    return None
