"""What the monitor needs a journal to be, and the moments it consists of.

The monitor imports nothing that moves messages: a journal is whatever has these attributes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from proto.board import Board
from proto.ids import Incarnation, NodeId
from proto.turn import Effect, MessageId, Received, Send, Trace, Turn
from services.monitor.telling import Window


class HubNote(Protocol):
    """A record of what the hub itself saw: `kind`, whom it is about, and a text."""

    @property
    def kind(self) -> str:
        """One of the hub's event kinds, such as `peer_down` or `end`."""

    @property
    def who(self) -> str:
        """The process or node it is about."""

    @property
    def text(self) -> str:
        """One line for people."""

    @property
    def now_ns(self) -> int:
        """Board time."""


class Heading(Protocol):
    """The header of a journal, as far as a judge reads it."""

    @property
    def world(self) -> str:
        """`live` or `sim`."""

    @property
    def board(self) -> Board:
        """The board whose journal it is."""


class Evidence(Protocol):
    """A journal; a record's position is its index."""

    @property
    def header(self) -> Heading:
        """What it is a journal of."""

    @property
    def records(self) -> Sequence[Turn | HubNote]:
        """Everything that crossed the hub, in hub order."""

    @property
    def torn(self) -> bool:
        """Whether the file ends inside a record."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """One turn of one node, at its position in the journal.

    `now` is board time in nanoseconds. If the turn answers a message, `src` sent it at `sent_at`.
    """

    position: int
    now: int
    node: NodeId
    src: NodeId | None = None
    sent_at: int | None = None


Handler = Callable[[Moment, Any], None]
Table = dict[type, Handler]


class Observer(Protocol):
    """Something that looks at traces, at messages as they are received, or as they are sent."""

    @property
    def traced(self) -> Table:
        """Handlers by class of trace."""

    @property
    def received(self) -> Table:
        """Handlers by class of body, called in the turn of the receiver."""

    @property
    def sent(self) -> Table:
        """Handlers by class of body, called in the turn of the sender."""


Link = tuple[NodeId, NodeId]
Callback = Callable[[Moment], None]
Undelivered = Callable[[NodeId, NodeId], Sequence[int]]
"""Numbers of the messages that are on their way from one node to another, oldest first."""


class Links:
    """Waits until links have delivered what is on its way; links are first-in first-out."""

    def __init__(self) -> None:
        self.undelivered: Undelivered = lambda src, dst: ()
        self.sender: NodeId | None = None
        self.next_seq = 0
        """The node whose turn is being looked at, and the number of its next message."""
        self.waiting: dict[Link, list[tuple[int, Callback]]] = {}

    def when_delivered(self, moment: Moment, src: NodeId, dst: NodeId, call: Callback) -> None:
        """Call back once everything sent so far on a link has been received: maybe at once."""
        due = self.undelivered(src, dst)
        if src == self.sender:
            due = [seq for seq in due if seq < self.next_seq]
        if due:
            self.waiting.setdefault((src, dst), []).append((due[-1], call))
        else:
            call(moment)

    def receive(self, moment: Moment, link: Link, seq: int) -> None:
        """A message has been received, and its receiver's turn has been looked at."""
        waiting = self.waiting.get(link, [])
        while waiting and waiting[0][0] <= seq:
            waiting.pop(0)[1](moment)
        if not waiting:
            self.waiting.pop(link, None)


class _Sent(NamedTuple):
    """A message of a journal that has not been received, and the position where it was sent."""

    incarnation: Incarnation
    seq: int
    position: int
    body: Any


class Feed:
    """Shows turns to observers, in the order in which the observers were given.

    The turns of a journal are put into `turn`. A world that is watched calls `look` itself, for the
    turns that concern an observer only, so its messages need no books here.
    """

    def __init__(self, links: Links, observers: Sequence[Observer]) -> None:
        self._links = links
        self.traced: dict[type, list[Handler]] = {}
        self.received: dict[type, list[Handler]] = {}
        self.sent: dict[type, list[Handler]] = {}
        for observer in observers:
            for merged, table in (
                (self.traced, observer.traced),
                (self.received, observer.received),
                (self.sent, observer.sent),
            ):
                for kind, handler in table.items():
                    merged.setdefault(kind, []).append(handler)
        self.waiting = links.waiting
        """By link, who waits for it: every turn counts while somebody does."""
        self.turns = 0
        self.messages = 0
        self.now = 0
        self.window = Window()
        self._on_the_way: dict[Link, deque[_Sent]] = {}
        links.undelivered = self._undelivered

    # -- a journal

    def turn(self, position: int, turn: Turn) -> None:
        """Show one turn: its input, then its effects in their order."""
        message, sent = None, None
        if isinstance(turn.input, Received):
            message = turn.input.message
            sent = self._receive(message, turn.node)
        seq = turn.first_seq
        for effect in turn.effects:
            if isinstance(effect, Send):
                self._on_the_way.setdefault((turn.node, effect.dst), deque()).append(
                    _Sent(turn.incarnation, seq, position, effect.body)
                )
                seq += 1
        body, sent_at = (None, None) if sent is None else (sent.body, sent.position)
        self.look(
            position, turn.now, turn.node, message, body, sent_at, turn.first_seq, turn.effects
        )
        messages = self.messages + seq - turn.first_seq
        self.count(self.turns + 1, messages, max(self.now, turn.now))

    def _receive(self, message: MessageId, dst: NodeId) -> _Sent | None:
        """The message as it was sent, if the journal has it; older ones of its link are lost."""
        waiting = self._on_the_way.get((message.src, dst), ())
        identity = (message.incarnation, message.seq)
        while waiting and waiting[0][:2] <= identity:
            sent = waiting.popleft()
            if sent[:2] == identity:
                return sent
        return None

    def _undelivered(self, src: NodeId, dst: NodeId) -> list[int]:
        return [sent.seq for sent in self._on_the_way.get((src, dst), ())]

    # -- a world that is watched

    def join(self, undelivered: Undelivered) -> None:
        """The run begins."""
        self._links.undelivered = undelivered

    def look(
        self,
        position: int,
        now: int,
        node: NodeId,
        message: MessageId | None,
        body: Any,
        sent_at: int | None,
        first_seq: int,
        effects: Sequence[Effect],
    ) -> None:
        """Show a turn at a position, and the message it answers with where it was sent."""
        links = self._links
        links.sender, links.next_seq = node, first_seq
        shown = False
        src = None if message is None else message.src
        moment = Moment(position, now, node, src, sent_at)
        for handler in self.received.get(type(body), ()):
            shown = True
            handler(moment, body)
        for effect in effects:
            if isinstance(effect, Trace):
                for handler in self.traced.get(type(effect.event), ()):
                    shown = True
                    handler(moment, effect.event)
            elif isinstance(effect, Send):
                links.next_seq += 1
                for handler in self.sent.get(type(effect.body), ()):
                    shown = True
                    handler(moment, effect.body)
        if shown:
            self.window.keep(position, (now, node, src, body, effects))
        if message is not None and links.waiting:
            links.receive(moment, (message.src, node), message.seq)

    def count(self, turns: int, messages: int, now: int) -> None:
        """So many turns and messages have been there, until a board time."""
        self.turns, self.messages, self.now = turns, messages, now
