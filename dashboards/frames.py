"""Answers as frames, for charts and tables. Pure; shares and sums are the API's, here they are only arranged."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from contracts.stages import StageKind
from dashboards import money
from dashboards.answers import DealRow, FunnelAnswer, FunnelRow, MetricAnswer, TeamRow
from dashboards.periods import PIECES, month_of

#: How a stage's bar is divided, in drawing order.
WENT_ON, STILL_HERE, LOST_HERE = "Went on", "Still here", "Lost here"

#: How the API is asked for the deals of no owner, team or source.
NO_GROUP = "none"

#: The figure that a part of a bar is.
_MEASURES = {WENT_ON: "entered", STILL_HERE: "still_here", LOST_HERE: "lost"}

Write = Callable[[int], str]


def shown(rows: Sequence[FunnelRow]) -> list[FunnelRow]:
    """The stages of a funnel in order: lost stages are not steps, each step says what it lost."""
    return sorted(
        (row for row in rows if row.kind is not StageKind.LOST),
        key=lambda row: (row.kind is StageKind.WON, row.position),
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a cohort, in deals or minor units."""

    cohort: int
    won: int
    won_share: float | None
    still_open: int
    lost: int


def outcome(answer: FunnelAnswer) -> Outcome:
    """What became of the funnel's whole cohort, as the answer says."""
    if not answer.totals:
        return Outcome(0, 0, None, 0, 0)
    total = answer.totals[0]
    share = total.won / total.cohort if total.cohort else None
    return Outcome(total.cohort, total.won, share, total.still_here, total.lost)


def funnel_parts(answer: FunnelAnswer, write: Write) -> pd.DataFrame:
    """One line per stage and part of its bar, in shares of the cohort, with the texts that the chart prints."""
    lines: list[dict[str, Any]] = []
    for order, row in enumerate(shown(answer.rows)):
        size = answer.size() or 1
        went_on = max(row.entered - row.still_here - row.lost, 0)
        parts = [(WENT_ON, went_on), (STILL_HERE, row.still_here), (LOST_HERE, row.lost)]
        if row.kind is StageKind.WON or went_on + row.still_here + row.lost != row.entered:
            # Won deals stay; and with "falls to its present stage" the parts need not add up: show the whole.
            parts = [(WENT_ON, row.entered)]
        start = 0.0
        for part, value in parts:
            end = start + value / size
            lines.append(
                {
                    "stage_id": row.stage_id,
                    "stage": answer.label(row.stage_id),
                    "order": order,
                    "is_won": row.kind is StageKind.WON,
                    "part": part,
                    "measure": _MEASURES[part],
                    "start": start,
                    "end": end,
                    "value": write(value),
                    "entered": write(row.entered),
                    "of_cohort": money.share(row.share_of_cohort),
                    "of_previous": money.share(row.share_of_previous) if order else "",
                    "time": money.days(row.median_days),
                }
            )
            start = end
    return pd.DataFrame(lines)


def funnel_table(answer: FunnelAnswer) -> pd.DataFrame:
    """One line per stage with every figure; amounts stay in minor units."""
    return pd.DataFrame(
        [
            {
                "stage_id": row.stage_id,
                "Stage": answer.label(row.stage_id),
                "Entered": row.entered,
                "Of cohort": row.share_of_cohort,
                "Of previous": row.share_of_previous,
                "Median days": row.median_days,
                "90 % within": row.p90_days,
                "Still here": row.still_here if row.kind is StageKind.OPEN else None,
                "Lost here": row.lost if row.kind is StageKind.OPEN else None,
                "Moved back": row.moved_back if row.kind is StageKind.OPEN else None,
                "Why lost": reasons(row, answer),
            }
            for row in shown(answer.rows)
        ]
    )


def reasons(row: FunnelRow, answer: FunnelAnswer, *, most: int = 2) -> str:
    """The most frequent reasons for which deals were lost here, with their share of the losses."""
    known = sorted(row.lost_reasons.items(), key=lambda item: (-item[1], answer.label(item[0])))
    total = sum(row.lost_reasons.values())
    words = [f"{answer.label(key) if key else 'No reason given'} {money.share(n / total)}" for key, n in known if n]
    return ", ".join(words[:most]) + (", …" if len(words) > most else "")


def group_cells(answer: FunnelAnswer, write: Write, *, most: int = 20) -> pd.DataFrame:
    """One line per group and stage: the share of the group's own cohort. The largest groups first."""
    groups: dict[str, list[FunnelRow]] = {}
    for row in answer.rows:
        groups.setdefault(row.group or NO_GROUP, []).append(row)
    sizes = {key: answer.size(None if key == NO_GROUP else key) for key in groups}
    by_time = answer.parameters.get("group_by") in PIECES
    ranked = sorted(groups, key=(lambda key: key) if by_time else (lambda key: -sizes[key]))
    names = distinct({key: group_name(answer, key) for key in groups})
    return pd.DataFrame(
        [
            {
                "group": names[key],
                "group_key": key,
                "stage_id": row.stage_id,
                "rank": rank,
                "size": write(sizes[key]),
                "stage": answer.label(row.stage_id),
                "order": order,
                "share": row.share_of_cohort,
                "text": money.share(row.share_of_cohort),
                "entered": write(row.entered),
            }
            for rank, key in enumerate(ranked[:most])
            for order, row in enumerate(shown(groups[key]))
        ]
    )


def group_table(answer: FunnelAnswer, write: Write) -> pd.DataFrame:
    """One line per group, all of them: its cohort, and the share of it that got to each stage."""
    cells = group_cells(answer, write, most=max(len(answer.rows), 1))
    if cells.empty:
        return cells
    stages = distinct(dict(zip(cells["stage_id"], cells["stage"], strict=True)))
    table = cells.pivot_table(index=["rank", "group", "size"], columns="stage_id", values="text", aggfunc="first")
    ordered = table.reindex(columns=list(stages)).rename(columns=stages).reset_index().drop(columns="rank")
    return ordered.rename(columns={"group": "Group", "size": "In the cohort"})


def group_name(answer: MetricAnswer, key: str | None) -> str:
    """What a group is called: an owner's name, a month."""
    if key is None or key == NO_GROUP:
        return "None"
    if answer.parameters.get("group_by") == "month":
        return f"{month_of(key).start:%b %Y}"
    return answer.label(key)


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """The names by id, told apart where several are the same: people of one name are two people."""
    twice = {name for name, count in Counter(names.values()).items() if count > 1}
    return {key: f"{name} · {key[-4:]}" if name in twice else name for key, name in names.items()}


def team_table(rows: Sequence[TeamRow], label: Callable[[object], str], *, by_team: bool) -> pd.DataFrame:
    """One line per owner or team, best first; amounts in minor units."""
    ids = [row.team_id if by_team else row.owner_id for row in rows]
    names = distinct({key or NO_GROUP: label(key) for key in ids})
    frame = pd.DataFrame(
        [
            {
                "id": (row.team_id if by_team else row.owner_id) or NO_GROUP,
                "Name": names[(row.team_id if by_team else row.owner_id) or NO_GROUP],
                "Won amount": row.won_amount_minor,
                "Won": row.deals_won,
                "Lost": row.deals_lost,
                "Win rate": row.win_rate,
                "Created": row.deals_created,
                "Median days to win": row.median_cycle_days,
                "Open": row.open_deals,
                "Open amount": row.open_amount_minor,
            }
            for row in rows
        ]
    )
    return frame if frame.empty else frame.sort_values(["Won amount", "Won", "Name"], ascending=[False, False, True])


def deals_table(deals: Sequence[DealRow], label: Callable[[object], str]) -> pd.DataFrame:
    """One line per deal behind a figure."""
    return pd.DataFrame(
        [
            {
                "Deal": deal.title or f"Deal {deal.deal_id[:8]}",
                "Owner": label(deal.owner_id),
                "Stage": label(deal.stage_id),
                "Status": deal.status.capitalize(),
                "Created": deal.created_at,
                "Closed": deal.closed_at,
                "Age": _age(deal),
                "Reason": label(deal.lost_reason_id) if deal.lost_reason_id else "",
                "Link": f"deals?id={deal.deal_id}",
                "Amount": deal.amount_minor,
                "currency": deal.currency,
            }
            for deal in deals
        ]
    )


def _age(deal: DealRow) -> float | None:
    """Days from creation to closing, or until now."""
    if deal.created_at is None:
        return None
    return ((deal.closed_at or datetime.now(UTC)) - deal.created_at) / timedelta(days=1)


def deals_file(deals: Sequence[DealRow], labels: Mapping[str, str]) -> pd.DataFrame:
    """The deals behind a figure for a file: amounts in whole units beside their currency, ids to look them up by."""
    return pd.DataFrame(
        [
            {
                "deal_id": deal.deal_id,
                "deal": deal.title,
                "owner": labels.get(deal.owner_id or "", ""),
                "stage": labels.get(deal.stage_id or "", ""),
                "status": deal.status,
                "amount": plain_amount(deal.amount_minor, deal.currency),
                "currency": deal.currency,
            }
            for deal in deals
        ]
    )


def team_file(frame: pd.DataFrame, currency: str) -> pd.DataFrame:
    """The team table for a file: amounts in whole units beside their currency."""
    file = frame.drop(columns="id").assign(Currency=currency)
    for column in ("Won amount", "Open amount"):
        file[column] = [plain_amount(int(value), currency) for value in file[column]]
    return file


def plain_amount(amount_minor: int | None, currency: str | None) -> str:
    """An amount for a file, to the last minor unit, without sign and separators: `1240.50`."""
    if amount_minor is None or currency is None:
        return ""
    digits = money.minor_digits(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f}"


def as_csv(frame: pd.DataFrame) -> bytes:
    """The frame as CSV for spreadsheets: UTF-8 with a mark, and no cell that a spreadsheet would run as a formula."""
    safe = frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell)
    return b"\xef\xbb\xbf" + safe.to_csv(index=False).encode()
