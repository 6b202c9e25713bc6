"""`/v1/companies`: the companies a caller sees."""

from api.companies.records import COMPANIES
from api.companies.schemas import CompanyCreate
from api.edge.records import record_router

router = record_router(COMPANIES, prefix="/companies", body=CompanyCreate, answered={"tags": list[str]})
