from datetime import UTC, datetime, timedelta

from contracts.warehouse import Mart
from orchestration.publish import Publication
from orchestration.publish.checks import GROWING_MARTS, check_names, judge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = dict.fromkeys(GROWING_MARTS, 10)
PUBLISHED = Publication(
    version="v",
    through=NOW,
    event_count=100,
    row_counts={mart.value: 10 for mart in Mart},
    manifest_hash="m",
    code_version="1",
)


def failed(
    counts: dict[Mart, int] = COUNTS,
    events: int = 100,
    through: datetime = NOW,
    previous: Publication | None = PUBLISHED,
    *,
    may_shrink: bool = False,
) -> set[str]:
    findings = judge(counts, events, through, previous, now=NOW, may_shrink=may_shrink)
    assert [(finding.name, finding.mart) for finding in findings] == check_names()
    return {f"{finding.name} {finding.mart}" for finding in findings if not finding.passed}


class TestJudge:
    def test_an_equal_or_larger_build_passes(self) -> None:
        assert failed() == set()
        assert failed(dict.fromkeys(GROWING_MARTS, 11), 101) == set()

    def test_the_first_build_has_nothing_to_be_compared_with(self) -> None:
        assert failed(previous=None) == set()

    def test_fewer_facts_than_published_fail_in_their_mart(self) -> None:
        fewer = COUNTS | {Mart.FCT_DEALS: 9}
        assert failed(fewer) == {"no_fewer_rows fct_deals"}
        assert failed(fewer, may_shrink=True) == set()

    def test_fewer_events_than_published_fail(self) -> None:
        assert failed(events=99) == {"no_fewer_events warehouse_freshness"}

    def test_an_event_from_the_future_fails_but_clocks_may_differ_a_little(self) -> None:
        assert failed(through=NOW + timedelta(minutes=1)) == set()
        future = failed(through=NOW + timedelta(hours=1), may_shrink=True)
        assert future == {"nothing_from_the_future warehouse_freshness"}
