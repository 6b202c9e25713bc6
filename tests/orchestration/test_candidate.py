from dataclasses import replace
from datetime import UTC, datetime, timedelta

from contracts.warehouse import Mart
from orchestration.candidate import Candidate, check_names, judge
from orchestration.publish import Publication

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = {mart.value: 10 for mart in Mart}
CANDIDATE = Candidate(row_counts=COUNTS, event_count=100, through=NOW)
PUBLISHED = Publication(
    version="v", through=NOW, event_count=100, row_counts=COUNTS, manifest_hash="m", code_version="1"
)


def failed(candidate: Candidate, previous: Publication | None = PUBLISHED, *, may_shrink: bool = False) -> set[str]:
    findings = judge(candidate, previous, now=NOW, may_shrink=may_shrink)
    assert [(finding.name, finding.mart) for finding in findings] == check_names()
    return {f"{finding.name} {finding.mart}" for finding in findings if not finding.passed}


class TestJudge:
    def test_an_equal_or_larger_candidate_passes(self) -> None:
        assert failed(CANDIDATE) == set()
        assert failed(replace(CANDIDATE, row_counts=dict.fromkeys(COUNTS, 11), event_count=101)) == set()

    def test_the_first_candidate_has_nothing_to_be_compared_with(self) -> None:
        assert failed(CANDIDATE, None) == set()

    def test_fewer_facts_than_published_fail_in_their_mart(self) -> None:
        fewer = replace(CANDIDATE, row_counts=COUNTS | {"fct_deals": 9})
        assert failed(fewer) == {"no_fewer_rows fct_deals"}
        assert failed(fewer, may_shrink=True) == set()

    def test_fewer_events_than_published_fail(self) -> None:
        assert failed(replace(CANDIDATE, event_count=99)) == {"no_fewer_events warehouse_freshness"}

    def test_an_event_from_the_future_fails_but_clocks_may_differ_a_little(self) -> None:
        assert failed(replace(CANDIDATE, through=NOW + timedelta(minutes=1))) == set()
        future = replace(CANDIDATE, through=NOW + timedelta(hours=1))
        assert failed(future, may_shrink=True) == {"nothing_from_the_future warehouse_freshness"}
