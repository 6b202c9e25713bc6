"""`/v1/contacts`: the contacts a caller sees."""

from api.contacts.records import CONTACTS
from api.contacts.schemas import ANSWERED, ContactCreate
from api.edge.records import record_router

router = record_router(CONTACTS, prefix="/contacts", body=ContactCreate, answered=ANSWERED)
