# ruff: noqa: ARG002 # each answer takes the session and the request, needed or not
"""Telegram as far as the connector needs it: signing in, private chats, history, updates, waits. Over `mtproto`."""

import inspect
import itertools
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from telethon.tl import functions, types

from tests.channels.mtproto import GENERATOR, PRIME, MtprotoServer, RpcError, Session

_F = functions


@dataclass
class Person:
    """Somebody with an account, and their own copy of each message."""

    id: int
    phone: str
    name: str
    username: str | None = None
    password: str | None = None
    box: dict[int, Any] = field(default_factory=dict)
    pts: int = 1
    updates: list[tuple[int, Any]] = field(default_factory=list)


class TelegramServer:
    """A server with people in it. `refuse` answers the next requests of a kind with an error."""

    code = "12345"

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.refuse: dict[type, list[RpcError]] = defaultdict(list)
        self.calls: list[Any] = []
        self.lost_answers = 0
        self._sessions: list[Session] = []
        self._random_ids: dict[tuple[int, int], int] = {}
        self._ids = itertools.count(1001)
        self._srp: dict[int, tuple[int, bytes, int]] = {}
        self._pairs: dict[tuple[int, int], tuple[int, int]] = {}
        self.mtproto = MtprotoServer(self._answer, self._forget)
        self.port = 0

    async def start(self) -> "TelegramServer":
        """Listen."""
        self.port = await self.mtproto.start()
        return self

    def person(self, phone: str, name: str, *, username: str | None = None, password: str | None = None) -> Person:
        """Somebody new."""
        person = Person(next(self._ids), phone, name, username, password)
        self.people[person.id] = person
        return person

    def say(self, sender: Person, to: Person, text: str) -> int:
        """A message from one to the other; answers its number in the sender's box."""
        number = self._put(sender, to, text, out=True)
        other = self._put(to, sender, text, out=False)
        self._pairs[sender.id, number], self._pairs[to.id, other] = (to.id, other), (sender.id, number)
        return number

    def edit(self, sender: Person, number: int, text: str) -> None:
        """The sender changes a message's words, for both."""
        for owner_id, at in ((sender.id, number), self._pairs[sender.id, number]):
            owner = self.people[owner_id]
            owner.box[at].message, owner.box[at].edit_date = text, datetime.now(UTC)
            self._update(owner, lambda pts, m=owner.box[at]: types.UpdateEditMessage(m, pts, 1))

    def delete(self, sender: Person, number: int) -> None:
        """The sender takes a message back, for both."""
        for owner_id, at in ((sender.id, number), self._pairs[sender.id, number]):
            owner = self.people[owner_id]
            del owner.box[at]
            self._update(owner, lambda pts, at=at: types.UpdateDeleteMessages([at], pts, 1))

    def read(self, reader: Person, sender: Person) -> None:
        """The reader has read all that the sender wrote."""
        newest = max(at for at, one in sender.box.items() if one.out and one.peer_id.user_id == reader.id)
        peer = types.PeerUser(reader.id)
        self._update(sender, lambda pts: types.UpdateReadHistoryOutbox(peer, newest, pts, 0), weight=0)

    def _put(self, owner: Person, other: Person, text: str, *, out: bool) -> int:
        number = max(owner.box, default=0) + 1
        message = types.Message(
            number, types.PeerUser(other.id), datetime.now(UTC).replace(microsecond=0), text, out=out,
            from_id=types.PeerUser(owner.id if out else other.id),
        )  # fmt: skip
        owner.box[number] = message
        self._update(owner, lambda pts: types.UpdateNewMessage(message, pts, 1), is_own=out)
        return number

    def _update(self, owner: Person, make: Any, *, weight: int = 1, is_own: bool = False) -> None:
        owner.pts += weight
        update = make(owner.pts)
        owner.updates.append((owner.pts, update))
        for session in self._sessions:
            if session.user_id == owner.id and not is_own:
                body = types.Updates([update], self._users(owner), [], datetime.now(UTC), 0)
                session.send(bytes(body), is_answer=False)

    def _users(self, viewer: Person) -> list[Any]:
        return [
            types.User(
                one.id, access_hash=one.id * 7, first_name=one.name, username=one.username, phone=one.phone,
                is_self=one is viewer,
            )
            for one in self.people.values()
        ]  # fmt: skip

    def _forget(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.remove(session)

    async def _answer(self, session: Session, request: Any) -> Any:
        self.calls.append(request)
        if waiting := self.refuse[type(request)]:
            raise waiting.pop(0)
        if session not in self._sessions:
            self._sessions.append(session)
        answer = _ANSWERS.get(type(request))
        if answer is None:
            raise RpcError(400, f"METHOD_INVALID_{type(request).__name__.upper()}")
        if isinstance(request, _PUBLIC):
            return answer(self, session, request)
        if session.user_id is None:
            raise RpcError(401, "AUTH_KEY_UNREGISTERED")
        return answer(self, session, request)

    # signing in

    def _config(self, session: Session, request: Any) -> Any:
        return _filled(types.Config, dc_options=[types.DcOption(2, "127.0.0.1", self.port)], this_dc=2)

    def _send_code(self, session: Session, request: Any) -> Any:
        self._by_phone(request.phone_number)
        return types.auth.SentCode(types.auth.SentCodeTypeApp(5), "hash")

    def _sign_in(self, session: Session, request: Any) -> Any:
        person = self._by_phone(request.phone_number)
        if request.phone_code != self.code:
            raise RpcError(400, "PHONE_CODE_INVALID")
        if person.password is not None:
            session.handshake["pending"] = person.id
            raise RpcError(401, "SESSION_PASSWORD_NEEDED")
        return self._let_in(session, person)

    def _get_password(self, session: Session, request: Any) -> Any:
        person = self.people[session.handshake["pending"]]
        assert person.password is not None
        salt = os.urandom(16)
        prime, verifier = int.from_bytes(PRIME, "big"), self._verifier(person.password, salt)
        secret = int.from_bytes(os.urandom(256), "big")
        k = int.from_bytes(sha256(PRIME + GENERATOR.to_bytes(256, "big")).digest(), "big")
        public = (k * verifier + pow(GENERATOR, secret, prime)) % prime
        self._srp[person.id] = (secret, salt, public)
        algorithm = types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            salt, salt, GENERATOR, PRIME
        )
        return types.account.Password(
            types.PasswordKdfAlgoUnknown(), types.SecurePasswordKdfAlgoUnknown(), b"", has_password=True,
            current_algo=algorithm, srp_B=public.to_bytes(256, "big"), srp_id=1,
        )  # fmt: skip

    def _check_password(self, session: Session, request: Any) -> Any:
        """https://core.telegram.org/api/srp"""
        person = self.people[session.handshake["pending"]]
        secret, salt, public = self._srp[person.id]
        assert person.password is not None
        prime, given = int.from_bytes(PRIME, "big"), request.password
        u = int.from_bytes(sha256(given.A + public.to_bytes(256, "big")).digest(), "big")
        verifier = self._verifier(person.password, salt)
        shared = pow(int.from_bytes(given.A, "big") * pow(verifier, u, prime), secret, prime)
        key = sha256(shared.to_bytes(256, "big")).digest()
        hashes = (sha256(PRIME).digest(), sha256(GENERATOR.to_bytes(256, "big")).digest())
        mixed = bytes(one ^ other for one, other in zip(*hashes, strict=True))
        salted = sha256(salt).digest()
        proof = sha256(mixed + salted + salted + given.A + public.to_bytes(256, "big") + key).digest()
        if proof != given.M1:
            raise RpcError(400, "PASSWORD_HASH_INVALID")
        return self._let_in(session, person)

    @staticmethod
    def _verifier(password: str, salt: bytes) -> int:
        def salted(data: bytes) -> bytes:
            return sha256(salt + data + salt).digest()

        slow = pbkdf2_hmac("sha512", salted(salted(password.encode())), salt, 100_000)
        return pow(GENERATOR, int.from_bytes(salted(slow), "big"), int.from_bytes(PRIME, "big"))

    def _let_in(self, session: Session, person: Person) -> Any:
        assert session.key is not None
        self.mtproto.users[session.key.key_id] = session.user_id = person.id
        [me] = [one for one in self._users(person) if one.id == person.id]
        return types.auth.Authorization(me)

    def _by_phone(self, phone: str) -> Person:
        wanted = phone.strip("+ ")
        for person in self.people.values():
            if person.phone.strip("+") == wanted:
                return person
        raise RpcError(400, "PHONE_NUMBER_INVALID")

    def _me(self, session: Session) -> Person:
        assert session.user_id is not None
        return self.people[session.user_id]

    # people, chats and messages

    def _get_users(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        wanted = {me.id if isinstance(one, types.InputUserSelf) else one.user_id for one in request.id}
        return [one for one in self._users(me) if one.id in wanted]

    def _resolve(self, session: Session, request: Any) -> Any:
        name = getattr(request, "username", None)
        for person in self.people.values():
            if (name and person.username == name) or person.phone.strip("+") == getattr(request, "phone", None):
                return types.contacts.ResolvedPeer(types.PeerUser(person.id), [], self._users(self._me(session)))
        raise RpcError(400, "USERNAME_NOT_OCCUPIED" if name else "PHONE_NOT_OCCUPIED")

    def _send(self, session: Session, request: Any) -> Any:
        me, other = self._me(session), self.people[request.peer.user_id]
        if (me.id, request.random_id) in self._random_ids:
            raise RpcError(500, "RANDOM_ID_DUPLICATE")
        number = self.say(me, other, request.message)
        self._random_ids[me.id, request.random_id] = number
        if self.lost_answers:
            self.lost_answers -= 1
            session.writer.transport.abort()
        return types.UpdateShortSentMessage(number, me.pts, 1, datetime.now(UTC), out=True)

    def _dialogs(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        newest = {one.peer_id.user_id: one for _, one in sorted(me.box.items())}
        quiet = types.PeerNotifySettings()
        found = [
            _filled(types.Dialog, peer=m.peer_id, top_message=m.id, notify_settings=quiet) for m in newest.values()
        ]
        if request.offset_id:
            found, newest = [], {}
        return types.messages.Dialogs(found, list(newest.values()), [], self._users(me))

    def _history(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        chat = [one for _, one in sorted(me.box.items(), reverse=True) if one.peer_id.user_id == request.peer.user_id]
        start = next((at for at, one in enumerate(chat) if one.id < request.offset_id), len(chat))
        start = (start if request.offset_id else 0) + request.add_offset
        page = chat[max(0, start) : max(0, start + request.limit)]
        page = [one for one in page if one.id > request.min_id and (not request.max_id or one.id < request.max_id)]
        return types.messages.MessagesSlice(len(chat), page, [], [], self._users(me))

    def _state(self, session: Session, request: Any) -> Any:
        return types.updates.State(self._me(session).pts, 0, datetime.now(UTC), 0, 0)

    def _difference(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        missed = [update for pts, update in me.updates if pts > request.pts]
        if not missed:
            return types.updates.DifferenceEmpty(datetime.now(UTC), 0)
        new = [one.message for one in missed if isinstance(one, types.UpdateNewMessage)]
        others = [one for one in missed if not isinstance(one, types.UpdateNewMessage)]
        return types.updates.Difference(new, [], others, [], self._users(me), self._state(session, request))

    def _nothing(self, session: Session, request: Any) -> Any:
        return True


_PUBLIC = (
    _F.help.GetConfigRequest, _F.auth.SendCodeRequest, _F.auth.SignInRequest, _F.account.GetPasswordRequest,
    _F.auth.CheckPasswordRequest,
)  # fmt: skip
_ANSWERS: dict[type, Any] = {
    _F.help.GetConfigRequest: TelegramServer._config,
    _F.auth.SendCodeRequest: TelegramServer._send_code,
    _F.auth.SignInRequest: TelegramServer._sign_in,
    _F.account.GetPasswordRequest: TelegramServer._get_password,
    _F.auth.CheckPasswordRequest: TelegramServer._check_password,
    _F.users.GetUsersRequest: TelegramServer._get_users,
    _F.contacts.ResolveUsernameRequest: TelegramServer._resolve,
    _F.contacts.ResolvePhoneRequest: TelegramServer._resolve,
    _F.messages.SendMessageRequest: TelegramServer._send,
    _F.messages.GetDialogsRequest: TelegramServer._dialogs,
    _F.messages.GetHistoryRequest: TelegramServer._history,
    _F.updates.GetStateRequest: TelegramServer._state,
    _F.updates.GetDifferenceRequest: TelegramServer._difference,
    _F.auth.LogOutRequest: TelegramServer._nothing,
}


def _filled(kind: Any, **given: Any) -> Any:
    """An object whose other required parts are zero, empty or now."""
    empty = {"int": 0, "str": "", "bool": False, "bytes": b"", "List": [], "datetime": datetime.now(UTC)}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name != "self" and parameter.default is inspect.Parameter.empty and name not in given:
            said = str(parameter.annotation)
            given[name] = next((value for word, value in empty.items() if word in said), None)
    return kind(**given)
