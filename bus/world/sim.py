"""The sim world: all nodes in one Python process, virtual time, every choice on the tape.

Each pending event has a window [earliest, latest] of board time: one point that the strategy has
drawn from the event's range, or the whole range if the strategy works with windows. The events that
could come next are those whose earliest time is not behind the least latest time of all, of each
link only the oldest: links are first-in first-out, as they are over ZeroMQ. Delivering an event
moves board time to its earliest time, or leaves it where it is.
"""

from bisect import insort
from collections.abc import Callable, Container, Mapping, Sequence, Sized
from enum import Enum
from typing import Any, Protocol

from bus.world.event import Event, Link
from bus.world.strategies import Diverged, Strategy
from proto.ids import BoardNs, Incarnation, NodeId
from proto.messages import Body
from proto.node import Node, ProtocolError
from proto.permissions import Condition, Rules
from proto.platform import Latencies
from proto.traces import ScenarioEnded
from proto.turn import (
    Effect,
    Envelope,
    Fired,
    Input,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
    Trace,
    Turn,
)


class Outcome(Enum):
    """Why a world stopped."""

    ENDED = "ended"
    """The operator has carried out the scenario."""
    QUIESCENT = "quiescent"
    """Nothing more can happen, and the scenario is not finished."""
    TIME_LIMIT = "time limit"
    """Board time has run out."""


FIRST_LIFE = Incarnation(1)
_START = ""
_NOTHING: frozenset[type] = frozenset()


class Watcher(Protocol):
    """Looks at a run from inside, at the turns that hold something it asks for.

    Most turns move memory and concern no observer. Neither a record of them is built nor a handler
    called, which makes a run with all properties a third shorter than with `record`.
    """

    @property
    def received(self) -> Container[type]:
        """Classes of bodies whose receivers' turns it is shown."""

    @property
    def sent(self) -> Container[type]:
        """Classes of bodies whose senders' turns it is shown."""

    @property
    def traced(self) -> Container[type]:
        """Classes of traces whose turns it is shown."""

    @property
    def waiting(self) -> Sized:
        """While it is not empty, it is shown every turn."""

    def join(self, undelivered: Callable[[NodeId, NodeId], Sequence[int]]) -> None:
        """The run begins; `undelivered` gives the numbers of the messages that a link carries."""

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
        """A turn, the `position`th of the run from 0, and the message it answers, if it does.

        `sent_at` is the position of the turn that sent the message, `first_seq` the number of the
        first message among the effects.
        """

    def count(self, turns: int, messages: int, now: int) -> None:
        """So many turns and messages have been there when the run stopped."""


_Pending = tuple[Any, int, int, NodeId, Envelope | None, str, int]
"""An `Event` as a plain tuple, which is made in a fifth of the time (50 ns and not 240). Its first
item is a `BoardNs`; to say so for each would cost a call."""


_LAST: _Pending = (1 << 63, 0, 1 << 63, NodeId(""), None, "", -1)
"""Stands behind all pending events, so that nobody need ask whether there is another one."""


class _Place:
    """What the world keeps of a node."""

    __slots__ = ("messages", "node", "timers", "turns", "wires")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.turns = 0
        self.messages = 0
        """How many it has sent: the number of its next one."""
        self.timers: dict[str, int] = {}
        """Those that are set, with the order of their events."""
        self.wires: dict[NodeId, _Wire] = {}


class _Wire:
    """What the world keeps of a link."""

    __slots__ = ("kinds", "link", "rules", "until_ns")

    def __init__(self, link: Link, rules: Rules | None) -> None:
        self.link = link
        self.rules = rules
        self.until_ns = 0
        """No message arrives before the one that was sent before it."""
        self.kinds: dict[type, _Kind] = {}


_Kind = tuple[int, int, int, bool, Condition | None]
"""Of a class of messages on a link: the least latency, the range in which more is drawn, or the one
that is left open; whether the sender's turn is shown; the condition that each one has to meet."""


class World:
    """Runs nodes until the scenario ends, nothing is left to happen, or board time runs out.

    `record` receives every turn in the order of delivery, `watch` looks at some. `choices` holds
    the strategy's answers. With `may_send`, a node that sends what it may not is at fault.
    """

    def __init__(
        self,
        nodes: Mapping[NodeId, Node],
        latencies: Latencies,
        strategy: Strategy,
        record: Callable[[Turn], None] | None = None,
        may_send: Callable[[NodeId, NodeId], Rules] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self.now = BoardNs(0)
        self.turns = 0
        """How many turns there have been."""
        self.ended: ScenarioEnded | None = None
        self.choices: list[int] = []
        self._latencies = latencies
        self._strategy = strategy
        self._draw = strategy.latency
        self._note = self.choices.append
        self._windows = strategy.windows
        self._record = record
        self._may_send = may_send
        self._watch = watch
        self._received = _NOTHING if watch is None else watch.received
        self._sent = _NOTHING if watch is None else watch.sent
        self._traced = _NOTHING if watch is None else watch.traced
        self._queue: list[_Pending] = [_LAST]
        """Sorted, the next one first."""
        self._order = 0
        self._places = {name: _Place(node) for name, node in nodes.items()}
        for name, place in self._places.items():
            self._set_timer(name, place, SetTimer(_START, 0, 0))
        if watch is not None:
            watch.join(self.undelivered)

    # -- running

    def run(self, limit_ns: int) -> Outcome:
        """Deliver events until the world stops; `limit_ns` bounds board time."""
        try:
            return self._run(limit_ns)
        finally:
            if self._watch is not None:
                self._watch.count(self.turns, self.messages, self.now)

    def _run(self, limit_ns: int) -> Outcome:
        queue = self._queue
        while self.ended is None:
            event = queue[0]
            if event[0] > limit_ns:
                return Outcome.QUIESCENT if event is _LAST else Outcome.TIME_LIMIT
            if event[4] is None and not self._is_set(event):
                del queue[0]
                continue
            if queue[1][0] > event[2]:
                del queue[0]
            else:
                event = self._choose()
            if event[0] > self.now:
                self.now = event[0]
            self._deliver(event)
        return Outcome.ENDED

    @property
    def due_ns(self) -> int:
        """Board time before which nothing happens."""
        first = self._queue[0]
        return self.now if first is _LAST else max(self.now, first[0])

    @property
    def messages(self) -> int:
        """How many messages have been sent."""
        return sum(place.messages for place in self._places.values())

    def undelivered(self, src: NodeId, dst: NodeId) -> list[int]:
        """Numbers of the messages that are on their way on a link, oldest first."""
        return [
            event.envelope.id.seq
            for event in map(Event._make, self._queue)
            if event.envelope is not None and event.link == (src, dst)
        ]

    def force(self, node: NodeId, answered: Input, now: int) -> Sequence[Effect]:
        """Deliver the one pending event that is this input, at a recorded board time.

        Raises `Diverged` if the event is not pending, or not the oldest of its link.
        """
        event = self._find(node, answered)
        self._queue.remove(event)
        self.now = BoardNs(now)
        return self._deliver(event)

    def is_timer_live(self, event: Event) -> bool:
        """Whether a timer's event has not been replaced or cancelled since it was set."""
        return self._places[event.node].timers.get(event.timer) == event.order

    def _is_set(self, event: _Pending) -> bool:
        return self._places[event[3]].timers.get(event[5]) == event[1]

    # -- choosing

    def _choose(self) -> Event:
        """Take the next event off the queue, whose first event is a message or a timer that is set.

        The strategy is asked if there are several that could come next.
        """
        enabled = self._enabled()
        if len(enabled) == 1:
            chosen = enabled[0]
        else:
            index = self._strategy.pick(enabled)
            self.choices.append(index)
            chosen = enabled[index]
        self._queue.remove(chosen)
        return chosen

    def _enabled(self) -> list[Event]:
        """The events that could come next, oldest first."""
        bound = self._queue[0][2]
        enabled: list[Event] = []
        links: set[Link] = set()
        for event in map(Event._make, self._queue):
            if event.earliest_ns > bound:
                break
            if event.envelope is None:
                if not self.is_timer_live(event):
                    continue
            else:
                link = (event.envelope.id.src, event.node)
                if link in links:
                    continue
                links.add(link)
            bound = min(bound, event.latest_ns)
            enabled.append(event)
        return enabled

    def _find(self, node: NodeId, answered: Input) -> Event:
        for event in map(Event._make, self._queue):
            if event.node != node:
                continue
            match answered:
                case Received(message):
                    if event.envelope is None or event.envelope.id.src != message.src:
                        continue
                    if event.envelope.id != message:
                        raise Diverged(f"{node} is given {message}, but {event.envelope.id} is due")
                    return event
                case Fired(timer):
                    if (
                        event.envelope is None
                        and event.timer == timer
                        and self.is_timer_live(event)
                    ):
                        return event
                case Start():
                    if event.envelope is None and event.timer == _START:
                        return event
        raise Diverged(f"{node} is given {answered}, which is not pending")

    # -- delivering

    def _deliver(self, event: _Pending) -> Sequence[Effect]:
        """Have a node answer, perform the effects in their order, and show the turn."""
        _, _, _, name, envelope, timer, sent_at = event
        place = self._places[name]
        if envelope is not None:
            cause, body = envelope.id, envelope.body
            effects = place.node.on_message(self.now, envelope)
            shown = type(body) in self._received
        else:
            cause, body, shown = None, None, False
            effects = self._fire(place, timer)
        first = seq = place.messages
        for effect in effects:
            if isinstance(effect, Send):
                shown |= self._post(name, place, seq, cause, effect.dst, effect.body)
                seq += 1
            elif isinstance(effect, Trace):
                shown |= type(effect.event) in self._traced
                if isinstance(effect.event, ScenarioEnded):
                    self.ended = effect.event
            elif isinstance(effect, SetTimer):
                self._set_timer(name, place, effect)
            else:
                place.timers.pop(effect.timer, None)
        place.messages = seq
        if self._record is not None:
            self._tell(place, event, first, effects)
        watch = self._watch
        if watch is not None and (shown or watch.waiting):
            watch.look(self.turns, self.now, name, cause, body, sent_at, first, effects)
        self.turns += 1
        return effects

    def _fire(self, place: _Place, timer: str) -> Sequence[Effect]:
        del place.timers[timer]
        node = place.node
        return node.on_start(self.now) if timer == _START else node.on_timer(self.now, timer)

    def _tell(self, place: _Place, event: _Pending, first: int, effects: Sequence[Effect]) -> None:
        """Record a turn."""
        _, _, _, name, envelope, timer, _ = event
        number, place.turns = place.turns, place.turns + 1
        answered: Input
        if envelope is not None:
            answered = Received(envelope.id)
        else:
            answered = Start() if timer == _START else Fired(timer)
        assert self._record is not None
        self._record(Turn(name, FIRST_LIFE, number, answered, self.now, first, tuple(effects)))

    def _post(
        self,
        src: NodeId,
        place: _Place,
        seq: int,
        cause: MessageId | None,
        dst: NodeId,
        body: Body,
    ) -> bool:
        """Put a message into the queue; whether the turn that sends it is shown."""
        try:
            wire = place.wires[dst]
            low, span, slack, shown, condition = wire.kinds[type(body)]
        except KeyError:
            wire = self._connect(src, place, dst, body)
            low, span, slack, shown, condition = self._admit(wire, body)
        if condition is not None and not condition(body):
            raise ProtocolError(f"{src} may not send {type(body).__name__} to {dst}")
        if span:
            drawn = self._draw(low, low + span, wire.link)
            self._note(drawn - low)
            low = drawn
        earliest = self.now + low
        latest = earliest + slack
        if earliest < wire.until_ns:
            earliest = wire.until_ns
            latest = max(latest, earliest)
        wire.until_ns = earliest
        self._order = order = self._order + 1
        envelope = Envelope(MessageId(src, FIRST_LIFE, seq), dst, cause, body)
        insort(self._queue, (earliest, order, latest, dst, envelope, "", self.turns))
        return shown

    def _connect(self, src: NodeId, place: _Place, dst: NodeId, body: Body) -> _Wire:
        """The link that a message goes by, which may be the first one on it."""
        if dst in place.wires:
            return place.wires[dst]
        if dst not in self._places:
            what = type(body).__name__
            raise ProtocolError(f"{src} sends {what} to {dst}, which does not exist")
        rules = None if self._may_send is None else self._may_send(src, dst)
        place.wires[dst] = wire = _Wire((src, dst), rules)
        return wire

    def _admit(self, wire: _Wire, body: Body) -> _Kind:
        """The first message of its class on a link."""
        kind = type(body)
        condition: Condition | None = None
        if wire.rules is not None:
            if kind not in wire.rules:
                src, dst = wire.link
                raise ProtocolError(f"{src} may not send {kind.__name__} to {dst}")
            condition = wire.rules[kind]
        low, high = getattr(self._latencies, body.link)
        span, slack = (0, high - low) if self._windows else (high - low, 0)
        wire.kinds[kind] = known = (low, span, slack, kind in self._sent, condition)
        return known

    def _set_timer(self, name: NodeId, place: _Place, timer: SetTimer) -> None:
        earliest = max(timer.earliest_ns, self.now)
        latest = max(timer.latest_ns, earliest)
        if earliest < latest and not self._windows:
            drawn = self._draw(0, latest - earliest, (name, timer.timer))
            self._note(drawn)
            earliest = latest = earliest + drawn
        self._order = order = self._order + 1
        place.timers[timer.timer] = order
        pending = (earliest, order, latest, name, None, timer.timer, -1)
        insort(self._queue, pending)
