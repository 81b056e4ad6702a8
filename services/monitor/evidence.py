"""What the monitor needs a journal to be, and the moments it consists of.

The monitor imports nothing that moves messages: a journal is whatever has these attributes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from proto.board import Board
from proto.ids import Incarnation, NodeId
from proto.turn import MessageId, Received, Send, Trace, Turn


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


@dataclass(frozen=True, slots=True)
class Moment:
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


class Links:
    """How far each link has delivered; links are first-in first-out."""

    def __init__(self) -> None:
        self.messages = 0
        """How many messages have been sent on all links."""
        self._sent: dict[Link, int] = {}
        self._received: dict[Link, int] = {}
        self._waiting: dict[Link, list[tuple[int, Callback]]] = {}

    def send(self, src: NodeId, dst: NodeId, seq: int) -> None:
        """A message has been sent."""
        self.messages += 1
        self._sent[src, dst] = seq

    def receive(self, moment: Moment, src: NodeId, seq: int) -> None:
        """A message has been received, and its receiver's turn has been looked at."""
        link = (src, moment.node)
        self._received[link] = seq
        waiting = self._waiting.get(link)
        while waiting and waiting[0][0] <= seq:
            waiting.pop(0)[1](moment)

    def when_delivered(self, moment: Moment, src: NodeId, dst: NodeId, call: Callback) -> None:
        """Call back once everything sent so far on a link has been received: maybe at once."""
        due = self._sent.get((src, dst), -1)
        if self._received.get((src, dst), -1) >= due:
            call(moment)
        else:
            self._waiting.setdefault((src, dst), []).append((due, call))


class Feed:
    """Shows turns to observers, in the order in which the observers were given."""

    def __init__(self, links: Links, observers: Sequence[Observer]) -> None:
        self._links = links
        self._traced: dict[type, list[Handler]] = {}
        self._received: dict[type, list[Handler]] = {}
        self._sent: dict[type, list[Handler]] = {}
        for observer in observers:
            for merged, table in (
                (self._traced, observer.traced),
                (self._received, observer.received),
                (self._sent, observer.sent),
            ):
                for kind, handler in table.items():
                    merged.setdefault(kind, []).append(handler)
        self._on_the_way: dict[MessageId, tuple[int, Any]] = {}
        """Messages that have not been received, with the position at which they were sent."""

    def turn(self, position: int, turn: Turn) -> None:
        """Show one turn: its input, then its effects in their order."""
        answered = turn.input
        message = answered.message if isinstance(answered, Received) else None
        if message is None:
            moment = Moment(position, turn.now, turn.node)
        else:
            sent_at, body = self._on_the_way.pop(message, (None, None))
            moment = Moment(position, turn.now, turn.node, message.src, sent_at)
            for handler in self._received.get(type(body), ()):
                handler(moment, body)
        seq = turn.first_seq
        for effect in turn.effects:
            if isinstance(effect, Trace):
                for handler in self._traced.get(type(effect.event), ()):
                    handler(moment, effect.event)
            elif isinstance(effect, Send):
                self._send(moment, turn.incarnation, seq, effect)
                seq += 1
        if message is not None:
            self._links.receive(moment, message.src, message.seq)

    def _send(self, moment: Moment, incarnation: Incarnation, seq: int, effect: Send) -> None:
        message = MessageId(moment.node, incarnation, seq)
        self._on_the_way[message] = (moment.position, effect.body)
        self._links.send(moment.node, effect.dst, seq)
        for handler in self._sent.get(type(effect.body), ()):
            handler(moment, effect.body)
