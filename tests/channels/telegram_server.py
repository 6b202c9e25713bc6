# ruff: noqa: ARG002 # each answer takes the session and the request, needed or not
"""Telegram as far as the connector needs it: signing in, chats and groups, history, updates, waits. Over `mtproto`."""

import inspect
import itertools
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from telethon import utils
from telethon.tl import functions, types

from tests.channels.mtproto import MtprotoServer, RpcError, Session
from tests.channels.telegram_people import Passwords, Person

_F = functions


class TelegramServer(Passwords):
    """A server with people in it. `refuse` answers the next requests of a kind with an error."""

    code = "12345"

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[int, Person] = {}
        self.refuse: dict[type, list[RpcError]] = defaultdict(list)
        self.calls: list[Any] = []
        self.lost_answers = 0
        self.groups: list[Any] = []
        self.connections: dict[str, tuple[Person, Person]] = {}
        self.files: list[tuple[str, bytes]] = []
        self._parts: dict[int, bytes] = {}
        self._sessions: list[Session] = []
        self._random_ids: dict[tuple[int, int], int] = {}
        self._ids = itertools.count(1001)
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

    def bot(self, token: str, name: str) -> Person:
        """A bot, that people may connect to their accounts."""
        made = self.person("", name, username=name.lower())
        made.token = token
        return made

    def connect_bot(self, bot: Person, owner: Person) -> str:
        """Somebody has a bot answer for them; answers what the connection is called."""
        self.connections[name := f"c{owner.id}"] = (bot, owner)
        rights = types.BusinessBotRights(reply=True)
        connection = types.BotBusinessConnection(name, owner.id, 2, datetime.now(UTC), rights=rights)
        self._tell(bot, lambda qts: types.UpdateBotBusinessConnect(connection, qts))
        return name

    def say_in_business(self, connection: str, customer: Person, text: str, *, by_owner: bool = False) -> Any:
        """A message between a customer and whoever connected the bot, who is told of it."""
        bot, owner = self.connections[connection]
        sender, to = (owner, customer) if by_owner else (customer, owner)
        number = self.say(sender, to, text)
        number = number if by_owner else self._pairs[sender.id, number][1]
        return self._tell(bot, lambda qts: types.UpdateBotNewBusinessMessage(connection, owner.box[number], qts))

    def _tell(self, bot: Person, make: Any) -> Any:
        bot.qts += 1
        update = make(bot.qts)
        bot.business.append((bot.qts, update))
        for session in self._sessions:
            if session.user_id == bot.id:
                body = types.Updates([update], self._users(bot), [], datetime.now(UTC), 0)
                session.send(bytes(body), is_answer=False)
        return update

    def group(self, title: str) -> Any:
        """A group that everybody is in."""
        made = types.Chat(500 + len(self.groups), title, types.ChatPhotoEmpty(), len(self.people), datetime.now(UTC), 1)
        self.groups.append(made)
        return made

    def say_in(self, group: Any, sender: Person, text: str) -> int:
        """A message to all in a group; answers its number in the sender's box."""
        numbers = {
            one.id: self._put(one, types.PeerChat(group.id), sender, text, None, out=one is sender)
            for one in self.people.values()
        }
        return numbers[sender.id]

    def say(self, sender: Person, to: Person, text: str, *, file: tuple[str, bytes] | None = None) -> int:
        """A message from one to the other; answers its number in the sender's box."""
        media = self._media(*file) if file else None
        number = self._put(sender, types.PeerUser(to.id), sender, text, media, out=True)
        other = self._put(to, types.PeerUser(sender.id), sender, text, media, out=False)
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
        newest = max(at for at, one in sender.box.items() if one.out and one.peer_id == types.PeerUser(reader.id))
        peer = types.PeerUser(reader.id)
        self._update(sender, lambda pts: types.UpdateReadHistoryOutbox(peer, newest, pts, 0), weight=0)

    def _media(self, name: str, content: bytes) -> Any:
        self.files.append((name, content))
        named = [types.DocumentAttributeFilename(name)]
        document = types.Document(
            len(self.files), 7, b"reference", datetime.now(UTC), "application/pdf", len(content), 2, named
        )
        return types.MessageMediaDocument(document=document)

    def _put(self, owner: Person, peer: Any, sender: Person, text: str, media: Any, *, out: bool) -> int:
        number = max(owner.box, default=0) + 1
        message = types.Message(
            number, peer, datetime.now(UTC).replace(microsecond=0), text, out=out,
            from_id=types.PeerUser(sender.id), media=media,
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
                body = types.Updates([update], self._users(owner), self.groups, datetime.now(UTC), 0)
                session.send(bytes(body), is_answer=False)

    def _users(self, viewer: Person) -> list[Any]:
        return [
            types.User(
                one.id, access_hash=one.id * 7, first_name=one.name, username=one.username, phone=one.phone,
                is_self=one is viewer, bot=one.token is not None, bot_info_version=1 if one.token else None,
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

    def _sign_in_bot(self, session: Session, request: Any) -> Any:
        for person in self.people.values():
            if person.token == request.bot_auth_token:
                return self._let_in(session, person)
        raise RpcError(400, "ACCESS_TOKEN_INVALID")

    def _in_business(self, session: Session, request: Any) -> Any:
        _, owner = self.connections[request.connection_id]
        asked, known = request.query, (owner.id, request.query.random_id)
        if known in self._random_ids:
            raise RpcError(500, "RANDOM_ID_DUPLICATE")
        update = self.say_in_business(
            request.connection_id, self.people[asked.peer.user_id], asked.message, by_owner=True
        )
        self._random_ids[known] = update.message.id
        return types.Updates([update], self._users(owner), [], datetime.now(UTC), 0)

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
        me = self._me(session)
        if (me.id, request.random_id) in self._random_ids:
            raise RpcError(500, "RANDOM_ID_DUPLICATE")
        media = getattr(request, "media", None)
        file = (media.attributes[0].file_name, self._parts.pop(media.file.id)) if media else None
        if isinstance(request.peer, types.InputPeerChat):
            group = next(one for one in self.groups if one.id == request.peer.chat_id)
            number = self.say_in(group, me, request.message)
        else:
            number = self.say(me, self.people[request.peer.user_id], request.message, file=file)
        self._random_ids[me.id, request.random_id] = number
        if self.lost_answers:
            self.lost_answers -= 1
            session.writer.transport.abort()
        if media:
            update = types.UpdateNewMessage(me.box[number], me.pts, 1)
            named = types.UpdateMessageID(number, request.random_id)
            return types.Updates([named, update], self._users(me), [], datetime.now(UTC), 0)
        return types.UpdateShortSentMessage(number, me.pts, 1, datetime.now(UTC), out=True)

    def _save_part(self, session: Session, request: Any) -> Any:
        self._parts[request.file_id] = self._parts.get(request.file_id, b"") + request.bytes
        return True

    def _file(self, session: Session, request: Any) -> Any:
        _, content = self.files[request.location.id - 1]
        part = content[request.offset : request.offset + request.limit]
        return types.upload.File(types.storage.FilePdf(), 0, part)

    def _dialogs(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        newest = {utils.get_peer_id(one.peer_id): one for _, one in sorted(me.box.items())}
        quiet = types.PeerNotifySettings()
        found = [
            _filled(types.Dialog, peer=m.peer_id, top_message=m.id, notify_settings=quiet) for m in newest.values()
        ]
        if request.offset_id:
            found, newest = [], {}
        return types.messages.Dialogs(found, list(newest.values()), self.groups, self._users(me))

    def _history(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        wanted = utils.get_peer_id(request.peer)
        chat = [one for _, one in sorted(me.box.items(), reverse=True) if utils.get_peer_id(one.peer_id) == wanted]
        start = next((at for at, one in enumerate(chat) if one.id < request.offset_id), len(chat))
        start = (start if request.offset_id else 0) + request.add_offset
        page = chat[max(0, start) : max(0, start + request.limit)]
        page = [one for one in page if one.id > request.min_id and (not request.max_id or one.id < request.max_id)]
        return types.messages.MessagesSlice(len(chat), page, [], self.groups, self._users(me))

    def _messages(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        found = [me.box.get(one.id) or types.MessageEmpty(one.id, None) for one in request.id]
        return types.messages.Messages(found, [], [], self._users(me))

    def _state(self, session: Session, request: Any) -> Any:
        return types.updates.State(self._me(session).pts, self._me(session).qts, datetime.now(UTC), 0, 0)

    def _difference(self, session: Session, request: Any) -> Any:
        me = self._me(session)
        missed = [update for pts, update in me.updates if pts > request.pts]
        missed += [update for qts, update in me.business if qts > request.qts]
        if not missed:
            return types.updates.DifferenceEmpty(datetime.now(UTC), 0)
        new = [one.message for one in missed if isinstance(one, types.UpdateNewMessage)]
        others = [one for one in missed if not isinstance(one, types.UpdateNewMessage)]
        return types.updates.Difference(new, [], others, [], self._users(me), self._state(session, request))

    def _nothing(self, session: Session, request: Any) -> Any:
        return True


_PUBLIC = (
    _F.help.GetConfigRequest, _F.auth.SendCodeRequest, _F.auth.SignInRequest, _F.account.GetPasswordRequest,
    _F.auth.CheckPasswordRequest, _F.auth.ImportBotAuthorizationRequest,
)  # fmt: skip
_ANSWERS: dict[type, Any] = {
    _F.help.GetConfigRequest: TelegramServer._config,
    _F.auth.SendCodeRequest: TelegramServer._send_code,
    _F.auth.SignInRequest: TelegramServer._sign_in,
    _F.account.GetPasswordRequest: TelegramServer._get_password,
    _F.auth.CheckPasswordRequest: TelegramServer._check_password,
    _F.auth.ImportBotAuthorizationRequest: TelegramServer._sign_in_bot,
    _F.InvokeWithBusinessConnectionRequest: TelegramServer._in_business,
    _F.users.GetUsersRequest: TelegramServer._get_users,
    _F.contacts.ResolveUsernameRequest: TelegramServer._resolve,
    _F.contacts.ResolvePhoneRequest: TelegramServer._resolve,
    _F.messages.SendMessageRequest: TelegramServer._send,
    _F.messages.SendMediaRequest: TelegramServer._send,
    _F.upload.SaveFilePartRequest: TelegramServer._save_part,
    _F.upload.GetFileRequest: TelegramServer._file,
    _F.messages.GetDialogsRequest: TelegramServer._dialogs,
    _F.messages.GetHistoryRequest: TelegramServer._history,
    _F.messages.GetMessagesRequest: TelegramServer._messages,
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
