"""Our unpacking of record batches beside kafka-python's own, record by record."""

import random

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from bus.unpacking import _unpack

_SIZES = [0, 1, 62, 63, 64, 65, 127, 128, 8_190, 8_191, 8_192, 8_193, 70_000, 1_100_000]


def _batch(seed: int, *, compression: int = 0, records: int = 60) -> bytes:
    generator = random.Random(seed)
    builder = DefaultRecordBatchBuilder(2, compression, 0, 1, 1, 1, 1 << 28)
    timestamp = 1_700_000_000_000
    for offset in range(records):
        timestamp += generator.choice([-5, 0, 1, 63, 64, 10_000, 10_000_000])
        key = None if generator.random() < 0.2 else generator.randbytes(generator.choice(_SIZES[:8]))
        value = None if generator.random() < 0.2 else generator.randbytes(generator.choice(_SIZES))
        headers = [("epoch", generator.randbytes(36)), ("ü", b"")][: generator.randrange(3)]
        builder.append(offset * 3, timestamp, key, value, headers)
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_w1_both_ways_unpack_the_same(seed: int, compression: int) -> None:
    content = _batch(seed, compression=compression)
    theirs = [(r.offset, r.key, r.value, list(r.headers)) for r in DefaultRecordBatch(content)]
    ours = [(r.offset, r.key, r.value, list(r.headers)) for r in _unpack(DefaultRecordBatch(content), "t", 1)]
    assert ours == theirs


def test_w1_a_batch_that_was_cut_or_damaged_is_refused() -> None:
    content = _batch(7, records=5)
    with pytest.raises(CorruptRecordError):
        list(_unpack(DefaultRecordBatch(content[:-3]), "t", 1))
    with pytest.raises(CorruptRecordError):
        list(_unpack(DefaultRecordBatch(content + b"123"), "t", 1))
