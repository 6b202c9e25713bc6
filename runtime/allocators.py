"""Lets memory that an engine has used go back to the system, so that processes do not grow for days.

glibc keeps an arena for up to eight threads of each processor, and every arena keeps the most it ever held. delta-rs,
Polars and DuckDB each bring a jemalloc of their own, which by default has four arenas for each processor and gives
pages back only as its threads come by to allocate again: with these options a loader holds a sixth less.
"""

import ctypes
import os
from contextlib import suppress

_M_ARENA_MAX, _ARENAS = -8, 2

#: Where each jemalloc looks for its options: those of engines written in Rust, and DuckDB's.
_JEMALLOC = ("_RJEM_MALLOC_CONF", "DUCKDB_JE_MALLOC_CONF")


def give_memory_back() -> None:
    """Tell the allocators, also those of processes started later. To be called before an engine is imported."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    # http://jemalloc.net/jemalloc.3.html#tuning: unused pages go back after a second, by a thread that sees to it
    # (in DuckDB as its threads come by: it has a setting of its own for that)
    options = f"narenas:{os.cpu_count() or 1},dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true"
    for name in _JEMALLOC:
        os.environ.setdefault(name, options)  # os.environ: libraries read it, and a person's own options go first
