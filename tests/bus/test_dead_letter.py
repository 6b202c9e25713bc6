"""Dead letters carry their reason and place; the breaker stops a flood of them."""

import pytest

from bus.dead_letter import DeadLetters, InvalidRatioBreaker, TooManyInvalidError
from bus.memory import MemoryBroker
from bus.records import Message, Partition
from contracts.topics import DEAD_LETTER_TOPIC


def test_o5_dead_letter_keeps_the_message_and_says_why() -> None:
    broker = MemoryBroker()
    letters = DeadLetters(broker.producer(), "loader")
    letters.put([(Message("sluice.deals", 3, 41, b"key", b"{", ()), "not JSON")])
    (stored,) = broker.logs[Partition(DEAD_LETTER_TOPIC, 0)]
    assert stored.value == b"{"
    assert stored.key == b"key"
    assert dict(stored.headers) == {
        "reason": b"not JSON",
        "consumer": b"loader",
        "topic": b"sluice.deals",
        "partition": b"3",
        "offset": b"41",
    }


def test_o5_breaker_opens_above_the_ratio_and_recovers_with_time() -> None:
    breaker = InvalidRatioBreaker(max_ratio=0.05, min_invalid=10, window_seconds=60)
    breaker.record(0.0, valid=1000, invalid=9)
    with pytest.raises(TooManyInvalidError):
        breaker.record(1.0, valid=0, invalid=100)
    breaker.record(2.0, valid=1000, invalid=40)
    breaker.record(100.0, valid=0, invalid=9)


def test_o5_breaker_ignores_a_handful() -> None:
    breaker = InvalidRatioBreaker(min_invalid=10)
    breaker.record(0.0, valid=0, invalid=9)
    with pytest.raises(TooManyInvalidError):
        breaker.record(0.0, valid=0, invalid=1)


def test_o5_breaker_looks_back_over_the_whole_window_wherever_it_began() -> None:
    breaker = InvalidRatioBreaker(max_ratio=0.05, min_invalid=10, window_seconds=60)
    breaker.record(59.0, valid=0, invalid=9)
    with pytest.raises(TooManyInvalidError):
        breaker.record(61.0, valid=0, invalid=9)
