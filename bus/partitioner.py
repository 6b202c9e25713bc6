"""Which partition a key belongs to: Kafka's standard murmur2, so that every client, in any language, agrees."""

import struct
from functools import lru_cache

from contracts.topics import PARTITIONS_PER_TOPIC

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Unsigned 32-bit murmur2 of `data`, as Kafka's Java client computes it."""
    length = len(data)
    whole = length // 4
    h = (_SEED ^ length) & _MASK
    for k in struct.unpack_from(f"<{whole}I", data):
        k = (k * _M) & _MASK  # noqa: PLW2901  # the algorithm mixes the block in place
        k = ((k ^ (k >> 24)) * _M) & _MASK  # noqa: PLW2901
        h = ((h * _M) & _MASK) ^ k
    rest = data[whole * 4 :]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes) -> int:
    """Partition of a key in any of our topics."""
    return (murmur2(key) & 0x7FFFFFFF) % PARTITIONS_PER_TOPIC
