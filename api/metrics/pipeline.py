"""The pipeline's state as Prometheus figures and as alarms, from what its processes report of themselves.

The figures are the installation's, for operators; alarms are told to everybody and count nothing. They are rules over
the same figures that Prometheus collects: deploy/prometheus/alerts.yml holds them once more, for whoever runs one.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import Row, UnitOfWork

#: Events may wait this long, in the outbox or in Kafka, before somebody is told.
LATE_SECONDS = 30.0
SILENT_SECONDS = 60.0

REPORTS = compiled(
    text("""
select process, state, detail,
    cast(extract(epoch from clock_timestamp() - updated_at) as double precision) as silent_seconds
from process_status order by process
""")
)

COMPLETENESS = compiled(text("select channel, missing, failed, overdue from channel_completeness()"))

#: Of each channel, what `channel_completeness` counts.
_OF_CHANNELS = {
    "missing": ("sluice_channel_missing_messages", "Messages of eight days that providers have and that are not here."),
    "failed": ("sluice_channel_failed_messages", "Messages of eight days that could not be taken in."),
    "overdue": ("sluice_channel_overdue_accounts", "Working accounts that nobody compared for ten minutes."),
}
#: (process, key of its report) -> figure's name and meaning.
_FIGURES = {
    ("relay", "pending"): ("sluice_outbox_pending_events", "Events that wait to be published (counted up to 100,001)."),
    ("relay", "oldest_pending_seconds"): ("sluice_outbox_oldest_pending_seconds", "Age of the oldest of them."),
    ("relay", "parked"): ("sluice_outbox_parked_events", "Events that cannot be published, or wait behind such a one."),
    ("relay", "published"): ("sluice_relay_published_events", "Events published since the relay was started."),
    ("loader", "loaded"): ("sluice_loader_loaded_events", "Events loaded since the loader was started."),
    ("loader", "rejected"): ("sluice_loader_rejected_messages", "Messages that went to the dead letters."),
    ("loader", "records_behind"): (
        "sluice_loader_behind_events",
        "Messages of its partitions that are not in the warehouse yet.",
    ),
    ("scorer", "behind_seconds"): ("sluice_scores_behind_seconds", "For how long scores have not followed the deals."),
}


class Report(NamedTuple):
    """What one process last said of itself."""

    process: str
    state: str
    detail: dict[str, Any]
    silent_seconds: float


class Alarm(BaseModel):
    """Something that a person should look at, and what to do."""

    name: str
    message: str = Field(description="What is wrong; how much of it, `/metrics` says to operators.")
    advice: str = Field(description="What to do about it.")


def report_of(row: Row) -> Report:
    """A row of REPORTS."""
    return Report(row.process, row.state, row.detail, row.silent_seconds)


async def read_reports(unit: UnitOfWork) -> list[Report]:
    """The latest report of each process."""
    return [report_of(row) for row in await unit.fetch(REPORTS)]


def alarms(reports: Iterable[Report]) -> list[Alarm]:
    """What is wrong with the pipeline now."""
    found: list[Alarm] = []
    for report in reports:
        if report.process == "relay":
            found += _relay_alarms(report.detail)
        if report.process == "scorer" and report.state != "stopped":
            found += _scorer_alarms(report)
    return found


def _relay_alarms(detail: dict[str, Any]) -> list[Alarm]:
    found = []
    waiting, parked = float(detail.get("oldest_pending_seconds") or 0), int(detail.get("parked") or 0)
    if waiting > LATE_SECONDS:
        found.append(
            Alarm(
                name="events_wait_to_be_published",
                message=f"The oldest event that waits has done so for {waiting:,.0f} seconds.",
                advice="After a large import this passes. Otherwise look at the relay and the broker below.",
            )
        )
    if parked:
        found.append(
            Alarm(
                name="events_are_parked",
                message="Some events cannot be published, or wait behind one that cannot.",
                advice="`./sluice parked` lists them with reasons; `./sluice parked --release` tries them again.",
            )
        )
    return found


def _scorer_alarms(report: Report) -> list[Alarm]:
    if report.silent_seconds <= SILENT_SECONDS and float(report.detail.get("behind_seconds") or 0) <= LATE_SECONDS:
        return []
    return [
        Alarm(
            name="scores_are_not_renewed",
            message="Scores do not follow what changes: the scorer fails, or says nothing.",
            advice="`./sluice status` says why. A key in SLUICE_SCORES_KEYS may have been revoked.",
        )
    ]


def render_figures(reports: Iterable[Report], channels: Iterable[Row]) -> bytes:
    """The figures in Prometheus's text format; `channels` are rows of COMPLETENESS."""
    registry = CollectorRegistry()
    silent = Gauge(
        "sluice_process_silent_seconds", "Since the process last reported itself.", ("process",), registry=registry
    )
    state = Gauge("sluice_process_state", "1 for the state it reported.", ("process", "state"), registry=registry)
    gauges = {key: Gauge(name, meaning, ("process",), registry=registry) for key, (name, meaning) in _FIGURES.items()}
    for report in reports:
        silent.labels(report.process).set(report.silent_seconds)
        state.labels(report.process, report.state).set(1)
        kind = report.process.partition("-")[0]  # the second of several loaders is loader-2
        for (process, key), gauge in gauges.items():
            if process == kind and report.detail.get(key) is not None:
                gauge.labels(report.process).set(float(report.detail[key]))
    by_channel = {
        key: Gauge(name, meaning, ("channel",), registry=registry) for key, (name, meaning) in _OF_CHANNELS.items()
    }
    for row in channels:
        for key, gauge in by_channel.items():
            gauge.labels(row.channel).set(getattr(row, key))
    return generate_latest(registry)
