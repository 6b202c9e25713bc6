"""Waits until the spine has come to rest, then lets the checker look at all of it."""

import time

from tests.faults import checker, evidence
from tests.faults.operations import History, Tenant
from tests.faults.processes import Spine


def _is_at_rest(spine: Spine) -> bool:
    """Whether raw and marts have as many events as the log; only counted, for it is asked often."""
    url = spine.environment["SLUICE_WAREHOUSE_URL"]
    logged = evidence.logged_count(spine.environment["SLUICE_DATABASE_RELAY_URL"])
    return evidence.published_count(url) >= logged and evidence.loaded_count(url) >= logged


def inspect(spine: Spine, history: History, tenants: list[Tenant], *, seconds: float = 600.0) -> checker.Report:
    """Wait (at most so long: then the report says what is missing) and check everything."""
    deadline = time.monotonic() + seconds
    while not _is_at_rest(spine) and time.monotonic() < deadline:
        time.sleep(0.3)
    environment = spine.environment
    events = evidence.logged_events(environment["SLUICE_DATABASE_RELAY_URL"])
    deals = evidence.deal_rows(spine.postgres.url(database="sluice"))
    report = checker.Report()
    checker.check_operations(report, history, events)
    checker.check_log(report, events, deals)
    copies = evidence.published_copies(environment["SLUICE_KAFKA_BOOTSTRAP_SERVERS"])
    checker.check_topics(report, copies, events, is_complete="broker" not in spine.harmed)
    loaded = evidence.loaded_copies(environment["SLUICE_WAREHOUSE_URL"])
    checker.check_raw(report, loaded, events, evidence.epochs(environment["SLUICE_DATABASE_RELAY_URL"]))
    marts = evidence.published_marts(environment["SLUICE_WAREHOUSE_URL"])
    if marts is None:
        report.found("nothing was published", "marts")
        return report
    checker.check_marts(report, marts, events, deals)
    for tenant in tenants:
        checker.check_funnel(report, spine.api_url, tenant, events)
    return report
