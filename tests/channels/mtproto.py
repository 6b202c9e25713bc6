"""MTProto 2.0 as a server speaks it (https://core.telegram.org/mtproto): keys, encryption, three transports.

Telethon's TL classes write and read objects; what is done with them here follows the protocol's documents. Nothing is
known here of chats and people: `telegram_server` answers requests.
"""

import asyncio
import os
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any
from zlib import crc32

from cryptography.hazmat.primitives.asymmetric import rsa as keys
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from telethon import helpers
from telethon.crypto import AES, AuthKey, rsa
from telethon.extensions import BinaryReader
from telethon.network.mtprotostate import MTProtoState
from telethon.tl import functions, types
from telethon.tl.core import GzipPacked, MessageContainer, TLMessage

_RPC_RESULT, _VECTOR, _TRUE, _FALSE = 0xF35C6D01, 0x1CB5C415, 0x997275B5, 0xBC799737
#: The prime of Telegram's own servers; clients accept it without testing it anew.
PRIME = bytes.fromhex(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa33"
    "6f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96"
    "bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b410dba74d8a84b"
    "2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4e418fc15e83ebea0"
    "f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119c"
    "d8e3b92fcc5b"
)
GENERATOR = 3
#: Say how a request is meant, and change nothing of what is asked.
_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
    functions.InvokeWithoutUpdatesRequest,
)


class RpcError(Exception):
    """What a request is refused with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Session:
    """A client's connection; `user_id` once it is known who that is."""

    writer: asyncio.StreamWriter
    encode: Callable[[bytes], bytes]
    key: AuthKey | None = None
    session_id: int = 0
    user_id: int | None = None
    last_id: int = 0
    handshake: dict[str, Any] = field(default_factory=dict)

    def send_plain(self, body: bytes) -> None:
        """Answer a part of the exchange of keys."""
        self.writer.write(self.encode(struct.pack("<qqi", 0, self._next_id(1), len(body)) + body))

    def send(self, body: bytes, *, is_answer: bool) -> None:
        """Send a message under the session's key."""
        assert self.key is not None
        head = struct.pack("<qqqii", 0, self.session_id, self._next_id(1 if is_answer else 3), 1, len(body))
        plain = head + body
        plain += os.urandom(-(len(plain) + 12) % 16 + 12)
        msg_key = sha256(self.key.key[96:128] + plain).digest()[8:24]
        aes_key, aes_iv = MTProtoState._calc_key(self.key.key, msg_key, False)
        self.writer.write(
            self.encode(struct.pack("<Q", self.key.key_id) + msg_key + AES.encrypt_ige(plain, aes_key, aes_iv))
        )

    def _next_id(self, rest: int) -> int:
        self.last_id = max(self.last_id + 4, (int(time.time() * 2**32) & ~3))
        return self.last_id | rest


Answer = Callable[[Session, Any], Awaitable[Any]]


class MtprotoServer:
    """A server that exchanges keys, and hands decrypted requests to `answer`."""

    def __init__(self, answer: Answer, forget: Callable[[Session], None]) -> None:
        self._answer, self._forget = answer, forget
        self._private = keys.generate_private_key(65537, 2048)
        self.public_pem = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
        self._fingerprint = rsa._compute_fingerprint(rsa.rsa.PublicKey.load_pkcs1(self.public_pem))
        self.keys: dict[int, AuthKey] = {}
        self.users: dict[int, int] = {}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen on a free port of loopback; answers it."""
        rsa.add_key(self.public_pem, old=False)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Drop all connections, as a network does."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        """Stop listening, and drop all connections."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        session: Session | None = None
        try:
            read, encode = await _transport(reader)
            session = Session(writer, encode)
            while packet := await read():
                await self._packet(session, packet)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            if session is not None:
                self._forget(session)
            writer.close()

    async def _packet(self, session: Session, packet: bytes) -> None:
        [key_id] = struct.unpack("<Q", packet[:8])
        if key_id == 0:
            with BinaryReader(packet[20:]) as reader:
                self._exchange(session, reader.tgread_object())
            return
        key = self.keys[key_id]
        session.key, session.user_id = key, self.users.get(key_id)
        msg_key = packet[8:24]
        plain = AES.decrypt_ige(packet[24:], *MTProtoState._calc_key(key.key, msg_key, True))
        assert sha256(key.key[88:120] + plain).digest()[8:24] == msg_key
        _, session.session_id, message_id, _, length = struct.unpack("<qqqii", plain[:32])
        with BinaryReader(plain[32 : 32 + length]) as reader:
            await self._message(session, message_id, reader.tgread_object())

    async def _message(self, session: Session, message_id: int, body: Any) -> None:
        if isinstance(body, MessageContainer):
            for inner in body.messages:
                assert isinstance(inner, TLMessage)
                await self._message(session, inner.msg_id, inner.obj)
        elif isinstance(body, GzipPacked):
            with BinaryReader(body.data) as reader:
                await self._message(session, message_id, reader.tgread_object())
        elif isinstance(body, functions.PingRequest | functions.PingDelayDisconnectRequest):
            session.send(bytes(types.Pong(message_id, body.ping_id)), is_answer=True)
        elif not isinstance(body, types.MsgsAck):
            await self._request(session, message_id, body)

    async def _request(self, session: Session, message_id: int, request: Any) -> None:
        while isinstance(request, _WRAPPERS):
            request = request.query
        try:
            answer = await self._answer(session, request)
        except RpcError as error:
            answer = types.RpcError(error.code, error.message)
        session.send(struct.pack("<Iq", _RPC_RESULT, message_id) + _written(answer), is_answer=True)

    def _exchange(self, session: Session, request: Any) -> None:
        """https://core.telegram.org/mtproto/auth_key"""
        known = session.handshake
        if isinstance(request, functions.ReqPqMultiRequest):
            known["server_nonce"] = int.from_bytes(os.urandom(16), "little", signed=True)
            pq = rsa.get_byte_array(1_229_739_323 * 1_402_015_859)  # the example of the documents
            found: Any = types.ResPQ(request.nonce, known["server_nonce"], pq, [self._fingerprint])
        elif isinstance(request, functions.ReqDHParamsRequest):
            found = self._parameters(known, request)
        elif isinstance(request, functions.SetClientDHParamsRequest):
            found = self._agreed(known, request)
        else:
            raise AssertionError(f"not a part of the exchange of keys: {request}")
        session.send_plain(bytes(found))

    def _parameters(self, known: dict[str, Any], request: Any) -> Any:
        numbers = self._private.private_numbers()
        decrypted = pow(int.from_bytes(request.encrypted_data, "big"), numbers.d, numbers.public_numbers.n)
        inner = _unpadded(decrypted.to_bytes(256, "big"))
        with BinaryReader(inner) as reader:
            known["new_nonce"] = reader.tgread_object().new_nonce
        known["a"] = int.from_bytes(os.urandom(256), "big")
        prime = int.from_bytes(PRIME, "big")
        answer = bytes(
            types.ServerDHInnerData(
                request.nonce,
                request.server_nonce,
                GENERATOR,
                PRIME,
                rsa.get_byte_array(pow(GENERATOR, known["a"], prime)),
                int(time.time()),
            )
        )
        known["aes"] = helpers.generate_key_data_from_nonce(known["server_nonce"], known["new_nonce"])
        hashed = sha1(answer).digest() + answer  # noqa: S324 # the protocol
        hashed += os.urandom(-len(hashed) % 16)
        return types.ServerDHParamsOk(request.nonce, request.server_nonce, AES.encrypt_ige(hashed, *known["aes"]))

    def _agreed(self, known: dict[str, Any], request: Any) -> Any:
        with BinaryReader(AES.decrypt_ige(request.encrypted_data, *known["aes"])[20:]) as reader:
            g_b = int.from_bytes(reader.tgread_object().g_b, "big")
        shared = pow(g_b, known["a"], int.from_bytes(PRIME, "big"))
        key = AuthKey(shared.to_bytes(256, "big"))
        self.keys[key.key_id] = key
        return types.DhGenOk(request.nonce, request.server_nonce, key.calc_new_nonce_hash(known["new_nonce"], 1))


def _unpadded(block: bytes) -> bytes:
    """What the client encrypted: after a hash, as older clients pad, or as RSA_PAD does."""
    if block[0] == 0:
        return block[21:]
    temp = bytes(one ^ other for one, other in zip(block[:32], sha256(block[32:]).digest(), strict=True))
    padded: bytes = AES.decrypt_ige(block[32:], temp, bytes(32))
    return padded[:192][::-1]


def _written(answer: Any) -> bytes:
    if isinstance(answer, bool):
        return struct.pack("<I", _TRUE if answer else _FALSE)
    if isinstance(answer, list):
        return struct.pack("<Ii", _VECTOR, len(answer)) + b"".join(bytes(one) for one in answer)
    return bytes(answer)


async def _transport(
    reader: asyncio.StreamReader,
) -> tuple[Callable[[], Awaitable[bytes]], Callable[[bytes], bytes]]:
    """How the client frames its packets: abridged, intermediate or full."""
    first = await reader.readexactly(1)
    if first == b"\xef":
        return lambda: _read_abridged(reader), _abridged
    head = first + await reader.readexactly(3)
    if head == b"\xee" * 4:
        return lambda: _read_intermediate(reader), lambda packet: struct.pack("<i", len(packet)) + packet
    waiting = [head]
    sent = iter(range(2**31))

    async def read() -> bytes:
        [length] = struct.unpack("<i", waiting.pop() if waiting else await reader.readexactly(4))
        return (await reader.readexactly(length - 4))[4:-4]

    def encode(packet: bytes) -> bytes:
        framed = struct.pack("<ii", len(packet) + 12, next(sent)) + packet
        return framed + struct.pack("<I", crc32(framed))

    return read, encode


async def _read_abridged(reader: asyncio.StreamReader) -> bytes:
    [length] = await reader.readexactly(1)
    if length == 0x7F:
        length = int.from_bytes(await reader.readexactly(3), "little")
    return await reader.readexactly(4 * length)


def _abridged(packet: bytes) -> bytes:
    words = len(packet) // 4
    head = bytes([words]) if words < 0x7F else b"\x7f" + words.to_bytes(3, "little")
    return head + packet


async def _read_intermediate(reader: asyncio.StreamReader) -> bytes:
    [length] = struct.unpack("<i", await reader.readexactly(4))
    return await reader.readexactly(length)
