"""The sim world: all nodes in one Python process, virtual time, every choice on the tape.

Each pending event has a window [earliest, latest] of board time: one point that the strategy has
drawn from the event's range, or the whole range if the strategy works with windows. The events that
could come next are those whose earliest time is not behind the least latest time of all, of each
link only the oldest: links are first-in first-out, as they are over ZeroMQ. Delivering an event
moves board time to its earliest time, or leaves it where it is.
"""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from bus.world.event import Event, Link
from bus.world.strategies import Diverged, Strategy
from proto.ids import BoardNs, Incarnation, NodeId
from proto.node import Node, ProtocolError
from proto.permissions import Rules, permits
from proto.platform import Latencies
from proto.traces import ScenarioEnded
from proto.turn import (
    CancelTimer,
    Effect,
    Envelope,
    Fired,
    Input,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
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


class World:
    """Runs nodes until the scenario ends, nothing is left to happen, or board time runs out.

    `record` receives every turn in the order of delivery. `choices` holds the strategy's answers.
    With `may_send`, a node that sends what it may not is at fault.
    """

    def __init__(
        self,
        nodes: Mapping[NodeId, Node],
        latencies: Latencies,
        strategy: Strategy,
        record: Callable[[Turn], None],
        may_send: Callable[[NodeId, NodeId], Rules] | None = None,
    ) -> None:
        self.now = 0
        self.ended: ScenarioEnded | None = None
        self.choices: list[int] = []
        self._nodes = dict(nodes)
        self._latencies = latencies
        self._ranges: dict[type, tuple[int, int]] = {}
        self._strategy = strategy
        self._windows = strategy.windows
        self._record = record
        self._may_send = may_send
        self._rules: dict[tuple[NodeId, NodeId], Rules] = {}
        self._queue: list[Event] = []
        self._order = 0
        self._timers: dict[tuple[NodeId, str], int] = {}
        self._links: dict[tuple[NodeId, NodeId], int] = {}
        self._turns = dict.fromkeys(self._nodes, 0)
        self._seqs = dict.fromkeys(self._nodes, 0)
        for node in self._nodes:
            self._set_timer(node, SetTimer(_START, 0, 0))

    # -- running

    def run(self, limit_ns: int) -> Outcome:
        """Deliver events until the world stops; `limit_ns` bounds board time."""
        queue = self._queue
        while self.ended is None:
            if not queue:
                return Outcome.QUIESCENT
            if queue[0].earliest_ns > limit_ns:
                return Outcome.TIME_LIMIT
            event = self._next()
            if event is None:
                continue
            if event.earliest_ns > self.now:
                self.now = event.earliest_ns
            self._deliver(event)
        return Outcome.ENDED

    @property
    def due_ns(self) -> int:
        """Board time before which nothing happens."""
        return max(self.now, self._queue[0].earliest_ns) if self._queue else self.now

    def force(self, node: NodeId, answered: Input, now: int) -> Sequence[Effect]:
        """Deliver the one pending event that is this input, at a recorded board time.

        Raises `Diverged` if the event is not pending, or not the oldest of its link.
        """
        event = self._find(node, answered)
        self._queue.remove(event)
        self.now = now
        return self._deliver(event)

    def is_timer_live(self, event: Event) -> bool:
        """Whether a timer's event has not been replaced or cancelled since it was set."""
        return self._timers.get((event.node, event.timer)) == event.order

    # -- choosing

    def _next(self) -> Event | None:
        """Take the next event off the queue; None if it was a timer that is no longer set."""
        queue = self._queue
        first = queue[0]
        if first.envelope is None and not self.is_timer_live(first):
            del queue[0]
            return None
        if len(queue) == 1 or queue[1].earliest_ns > first.latest_ns:
            del queue[0]
            return first
        enabled = self._enabled()
        if len(enabled) == 1:
            chosen = enabled[0]
        else:
            index = self._strategy.pick(enabled)
            self.choices.append(index)
            chosen = enabled[index]
        queue.remove(chosen)
        return chosen

    def _enabled(self) -> list[Event]:
        """The events that could come next, oldest first."""
        bound = self._queue[0].latest_ns
        enabled: list[Event] = []
        links: set[Link] = set()
        for event in self._queue:
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
        for event in self._queue:
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

    def _deliver(self, event: Event) -> Sequence[Effect]:
        target = self._nodes[event.node]
        envelope = event.envelope
        now = BoardNs(self.now)
        answered: Input
        cause: MessageId | None = None
        if envelope is not None:
            cause = envelope.id
            answered = Received(cause)
            effects = target.on_message(now, envelope)
        else:
            del self._timers[event.node, event.timer]
            if event.timer == _START:
                answered = Start()
                effects = target.on_start(now)
            else:
                answered = Fired(event.timer)
                effects = target.on_timer(now, event.timer)
        self._commit(event.node, answered, cause, effects)
        return effects

    def _commit(
        self, node: NodeId, answered: Input, cause: MessageId | None, effects: Sequence[Effect]
    ) -> None:
        """Record the turn, then perform its effects in their order."""
        number = self._turns[node]
        self._turns[node] = number + 1
        first = seq = self._seqs[node]
        for effect in effects:
            if isinstance(effect, Send):
                self._post(node, seq, cause, effect)
                seq += 1
            elif isinstance(effect, SetTimer):
                self._set_timer(node, effect)
            elif isinstance(effect, CancelTimer):
                self._timers.pop((node, effect.timer), None)
            elif isinstance(effect.event, ScenarioEnded):
                self.ended = effect.event
        self._seqs[node] = seq
        self._record(Turn(node, FIRST_LIFE, number, answered, self.now, first, tuple(effects)))

    def _post(self, src: NodeId, seq: int, cause: MessageId | None, send: Send) -> None:
        dst, body = send.dst, send.body
        link = (src, dst)
        if dst not in self._nodes:
            raise ProtocolError(f"{src} sends {type(body).__name__} to {dst}, which does not exist")
        if self._may_send is not None:
            rules = self._rules.get(link)
            if rules is None:
                rules = self._rules[link] = self._may_send(src, dst)
            if not permits(rules, body):
                raise ProtocolError(f"{src} may not send {type(body).__name__} to {dst}")
        limits = self._ranges.get(type(body))
        if limits is None:
            limits = self._ranges[type(body)] = getattr(self._latencies, body.link)
        low, high = limits
        if not self._windows:
            low = high = self._draw(low, high, link)
        earliest, latest = self.now + low, self.now + high
        previous = self._links.get(link, 0)
        if earliest < previous:
            earliest = previous
            latest = max(latest, earliest)
        self._links[link] = earliest
        self._order += 1
        envelope = Envelope(MessageId(src, FIRST_LIFE, seq), dst, cause, body)
        insort(self._queue, Event(earliest, self._order, latest, dst, envelope, ""))

    def _set_timer(self, node: NodeId, timer: SetTimer) -> None:
        earliest = max(timer.earliest_ns, self.now)
        latest = max(timer.latest_ns, earliest)
        if not self._windows:
            earliest += self._draw(0, latest - earliest, (node, timer.timer))
            latest = earliest
        self._order += 1
        self._timers[node, timer.timer] = self._order
        insort(self._queue, Event(earliest, self._order, latest, node, None, timer.timer))

    def _draw(self, low: int, high: int, link: Link) -> int:
        if low >= high:
            return low
        chosen = self._strategy.latency(low, high, link)
        self.choices.append(chosen - low)
        return chosen
