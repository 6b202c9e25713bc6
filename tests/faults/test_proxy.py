"""Each toxic does what its name says, on open connections and new ones, and is gone when it is removed."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

from tests.faults.proxy import Direction, TcpProxy
from tests.faults.toxics import Bandwidth, Down, Latency, LimitData, ResetPeer, Slicer, SlowClose, Timeout


class Echo(threading.Thread):
    """Answers what it hears, and closes when its peer does."""

    def __init__(self) -> None:
        super().__init__(name="echo", daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    echo = Echo()
    echo.start()
    with TcpProxy(echo.port) as running:
        yield running
    echo.close()


def _connect(proxy: TcpProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ask(connection: socket.socket, data: bytes = b"ping") -> bytes:
    connection.sendall(data)
    return _receive(connection, len(data))


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (data := connection.recv(65_536)):
        received += data
    return received


def test_f3_without_toxics_every_byte_passes_unchanged(proxy: TcpProxy) -> None:
    data = random.Random(1).randbytes(2_000_000)
    with closing(_connect(proxy)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        assert hashlib.sha256(_receive(connection, len(data))).digest() == hashlib.sha256(data).digest()
        sender.join()


def test_f3_latency_delays_each_direction_it_is_in(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        with proxy.under(Latency(0.15, jitter=0.05)):
            started = monotonic()
            assert _ask(connection) == b"ping"
            assert monotonic() - started >= 0.2  # twice 0.15 - 0.05
        with proxy.under(Latency(0.1), Direction.DOWN):
            started = monotonic()
            assert _ask(connection) == b"ping"
            assert monotonic() - started >= 0.1


def test_f3_down_ends_connections_and_refuses_new_ones_until_it_is_removed(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        assert _ask(connection) == b"ping"
        with proxy.under(Down()):
            assert connection.recv(10) == b""
            with pytest.raises(ConnectionRefusedError):
                _connect(proxy)
    with closing(_connect(proxy)) as connection:
        assert _ask(connection) == b"ping"


def test_f3_bandwidth_takes_the_time_that_the_line_needs(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection, proxy.under(Bandwidth(100_000), Direction.UP):
        started = monotonic()
        assert _ask(connection, b"x" * 30_000) == b"x" * 30_000
        assert monotonic() - started >= 0.3


def test_f3_slow_close_lets_the_data_through_and_the_end_wait(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection, proxy.under(SlowClose(0.3), Direction.UP):
        assert _ask(connection) == b"ping"
        started = monotonic()
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""
        assert monotonic() - started >= 0.3


def test_f3_timeout_lets_nothing_through_and_then_closes(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        started = monotonic()
        with proxy.under(Timeout(0.3)):
            assert _ask(connection) == b""
        assert monotonic() - started >= 0.3


def test_f3_timeout_without_end_delivers_when_it_is_removed(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        with proxy.under(Timeout(), Direction.DOWN):
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                _ask(connection)
        connection.settimeout(10)
        assert connection.recv(10) == b"ping"


def test_f3_reset_peer_resets(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        assert _ask(connection) == b"ping"
        with proxy.under(ResetPeer()), pytest.raises(ConnectionResetError):
            connection.recv(10)
    with closing(_connect(proxy)) as connection, proxy.under(ResetPeer(0.1)):
        assert _ask(connection) == b"ping"
        with pytest.raises(ConnectionResetError):
            connection.recv(10)


def test_f3_slicer_cuts_into_small_pieces_and_loses_none(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection, proxy.under(Slicer(10, variation=3, delay=0.002), Direction.DOWN):
        connection.sendall(bytes(range(200)))
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < 200:
            pieces.append(connection.recv(65_536))
    assert b"".join(pieces) == bytes(range(200))
    assert len(pieces) > 3


def test_f3_limit_data_ends_the_connection_after_so_many_bytes(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection, proxy.under(LimitData(150), Direction.DOWN):
        connection.sendall(b"x" * 100)
        assert _receive(connection, 100) == b"x" * 100
        connection.sendall(b"y" * 100)
        assert _receive(connection, 100) == b"y" * 50


def test_f3_cut_resets_what_is_open_and_accepts_anew(proxy: TcpProxy) -> None:
    with closing(_connect(proxy)) as connection:
        assert _ask(connection) == b"ping"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with closing(_connect(proxy)) as connection:
        assert _ask(connection) == b"ping"
