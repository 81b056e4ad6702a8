"""The hub: checks, numbers, journals and routes every turn; owns no socket and no clock.

Frames are fed in and frames come out. The journal order is the hub order: the order in which turns
were accepted here. A misaddressed, undecodable or out-of-sequence frame from one of our own
processes stops the run; a frame from anybody else is refused and counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from bus.frames import (
    Crash,
    Deliver,
    FromHost,
    Hello,
    Refused,
    Unreachable,
    decode_from_host,
)
from bus.journal import HubEvent, HubEventKind, JournalWriter
from bus.runner import NodeCrash, Runner
from proto.codec import Undecodable, encode
from proto.ids import HUB, BoardNs, Incarnation, NodeId
from proto.messages import VERSION
from proto.traces import ScenarioEnded
from proto.turn import Envelope, MessageId, Received, Send, Trace, Turn

STRANGERS_JOURNALLED = 100
"""Refusals of strangers that get a record of their own; all are counted."""

TIMERS_AT_ONCE = 64
"""Timers of the hub's own nodes fired before frames get a turn again."""

BATCH = 256
"""Envelopes in one frame at most."""


class Over(msgspec.Struct, frozen=True, tag="over"):
    """Why the hub has stopped.

    `outcome` is `ended` (the scenario has), `crashed` (a node or a frame was faulty), `died` (a
    process is gone) or `stopped` (from outside).
    """

    outcome: str
    reason: str
    process: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who belongs to a run: processes with the nodes they host, besides the hub's own."""

    processes: Mapping[str, tuple[NodeId, ...]]
    composition: str
    token: str
    queue_limit: int = 16_384
    """Envelopes that may wait for one process before the run is stopped."""


@dataclass(slots=True, eq=False)
class _Peer:
    """A process that has been taken in, or the hub itself (no connection)."""

    process: str
    connection: bytes
    incarnation: Incarnation
    outbox: list[Envelope] = field(default_factory=list)
    unreachable: bool = False
    """It did not take its last frame because it is gone; its own last frames may still come."""


@dataclass(slots=True, eq=False)
class _Origin:
    """A node as a sender: who hosts it and what its next turn must look like."""

    peer: _Peer
    number: int = 0
    seq: int = 0


class Hub:
    """Core of the hub.

    `local` runs the nodes hosted in the hub's own process; `now` tells board time. `send` hands a
    frame to a connection: True, or False while that connection's queue is full; it raises
    `Unreachable` when the connection is gone. After `over` is set nothing more is accepted.
    """

    def __init__(
        self,
        plan: Plan,
        journal: JournalWriter,
        local: Runner,
        now: Callable[[], BoardNs],
        send: Callable[[bytes, bytes], bool],
    ) -> None:
        self.over: Over | None = None
        self.counts: Counter[str] = Counter()
        self.running = False
        self._plan = plan
        self._journal = journal
        self._local = local
        self._now = now
        self._send = send
        self._waiting: deque[Envelope] = deque()
        self._here = _Peer(HUB, b"", local.incarnation)
        self._peers: dict[bytes, _Peer] = {}
        self._processes: dict[str, _Peer] = {}
        self._origins = {node: _Origin(self._here) for node in local.nodes}

    # -- who is there

    @property
    def complete(self) -> bool:
        """Whether every expected process has said hello."""
        return len(self._processes) == len(self._plan.processes)

    def start(self, go: bytes) -> None:
        """Send this frame to all processes and start the hub's own nodes."""
        assert self.complete, "a process is missing"
        self.running = True
        for peer in self._processes.values():
            if not self._hand_over(peer, go) and not peer.unreachable:
                self._stop("crashed", "overflow", peer.process, "it does not read")
        try:
            for node in self._local.nodes:
                self._accept_local(self._local.start(node, self._now()))
        except (NodeCrash, Undecodable) as error:
            self._own_fault(error)
        self._run_local()
        self.flush()

    def lose(self, process: str, reason: str) -> None:
        """A process is known to be gone."""
        self._stop("died", "peer_down", process, reason)

    def stop(self, reason: str) -> None:
        """The run is ended from outside."""
        self._finish(Over("stopped", reason))

    # -- frames in

    def feed(self, connection: bytes, data: bytes) -> None:
        """A frame has arrived."""
        if self.over is not None:
            return
        peer = self._peers.get(connection)
        if peer is None:
            self._greet(connection, data)
            return
        try:
            frame = decode_from_host(data)
        except Undecodable as error:
            self._stop("crashed", "undecodable", peer.process, str(error))
            return
        if type(frame) is not Turn:
            self._control(peer, frame)
            return
        self._accept(peer, frame, data)
        if self._waiting:
            self._run_local()

    def fire(self) -> bool:
        """Run the timers of the hub's own nodes that are due; whether there were any."""
        fired = False
        try:
            for _ in range(TIMERS_AT_ONCE):
                turn = self._local.fire(self._now())
                if turn is None or self.over is not None:
                    break
                fired = True
                self._accept_local(turn)
                self._run_local()
        except (NodeCrash, Undecodable) as error:
            self._own_fault(error)
        return fired

    # -- frames out

    def flush(self) -> bool:
        """Hand queued envelopes over; False if a process is not reading and some must wait."""
        clear = True
        for peer in self._processes.values():
            while peer.outbox:
                batch = peer.outbox[:BATCH]
                if not self._hand_over(peer, encode(Deliver(batch))):
                    clear = False
                    break
                del peer.outbox[: len(batch)]
        return clear

    def _hand_over(self, peer: _Peer, frame: bytes) -> bool:
        try:
            return self._send(peer.connection, frame)
        except Unreachable:
            if peer.unreachable:
                self._stop("died", "undeliverable", peer.process, "the process is gone")
                peer.outbox.clear()
                return True
            # What it said last, why it crashed perhaps, is still on its way in: read that first.
            peer.unreachable = True
            return False

    # -- turns

    def _accept(self, peer: _Peer, turn: Turn, data: bytes) -> None:
        """Check a turn, journal it, and put its sends on their way."""
        node = turn.node
        origin = self._origins.get(node)
        if origin is None or origin.peer is not peer:
            self._stop("crashed", "unauthorised", peer.process, f"sent a turn of {node}")
            return
        if (
            turn.number != origin.number
            or turn.first_seq != origin.seq
            or turn.incarnation != peer.incarnation
            or not self.running
        ):
            self._stop("crashed", "stale", node, self._out_of_sequence(origin, turn))
            return
        self._journal.append_raw(data)
        origin.number += 1
        answered = turn.input
        cause = answered.message if type(answered) is Received else None
        ended: ScenarioEnded | None = None
        seq = origin.seq
        for effect in turn.effects:
            if type(effect) is Send:
                envelope = Envelope(
                    MessageId(node, turn.incarnation, seq), effect.dst, cause, effect.body
                )
                seq += 1
                self._route(envelope)
            elif type(effect) is Trace and type(effect.event) is ScenarioEnded:
                ended = effect.event
        origin.seq = seq
        if ended is not None:
            self._finish(Over("ended", ended.outcome))

    def _route(self, envelope: Envelope) -> None:
        target = self._origins.get(envelope.dst)
        if target is None:
            text = f"{type(envelope.body).__name__} to {envelope.dst}, which does not exist"
            self._stop("crashed", "undeliverable", envelope.id.src, text)
        elif target.peer is self._here:
            self._waiting.append(envelope)
        else:
            outbox = target.peer.outbox
            outbox.append(envelope)
            if len(outbox) > self._plan.queue_limit:
                text = f"more than {self._plan.queue_limit} messages wait for it"
                self._stop("crashed", "overflow", target.peer.process, text)

    def _run_local(self) -> None:
        """Let the hub's own nodes answer what waits for them."""
        try:
            while self._waiting and self.over is None:
                envelope = self._waiting.popleft()
                self._accept_local(self._local.deliver(envelope, self._now()))
        except (NodeCrash, Undecodable) as error:
            self._own_fault(error)

    def _accept_local(self, turn: Turn) -> None:
        """A turn of the hub's own passes the same checks, its types included."""
        data = encode(turn)
        frame = decode_from_host(data)
        assert type(frame) is Turn
        self._accept(self._here, frame, data)

    def _own_fault(self, error: NodeCrash | Undecodable) -> None:
        """Faults of the hub's own nodes stop the run like those of any other."""
        kind: HubEventKind = "peer_down" if isinstance(error, NodeCrash) else "undecodable"
        self._stop("crashed", kind, HUB, str(error))

    @staticmethod
    def _out_of_sequence(origin: _Origin, turn: Turn) -> str:
        return (
            f"turn {turn.number} of incarnation {turn.incarnation} from message {turn.first_seq}; "
            f"expected turn {origin.number} of incarnation {origin.peer.incarnation} "
            f"from message {origin.seq}"
        )

    # -- hellos and strangers

    def _greet(self, connection: bytes, data: bytes) -> None:
        try:
            hello = decode_from_host(data)
        except Undecodable:
            self._refuse(connection, "stranger", "the first frame is not a hello")
            return
        if type(hello) is not Hello:
            self._refuse(connection, "stranger", "the first frame is not a hello")
            return
        refusal = self._refusal(hello)
        if refusal is not None:
            self._refuse(connection, hello.process, refusal)
            return
        peer = _Peer(hello.process, connection, hello.incarnation)
        self._peers[connection] = self._processes[hello.process] = peer
        for node in hello.nodes:
            self._origins[node] = _Origin(peer)
        self._note("peer_up", hello.process, f"pid {hello.pid}")

    def _refusal(self, hello: Hello) -> str | None:
        """Why this process is not taken in, or None."""
        plan = self._plan
        if hello.token != plan.token:
            return "it does not belong to this run"
        if hello.version != VERSION:
            return f"it speaks interface version {hello.version}, the hub {VERSION}"
        if hello.composition != plan.composition:
            return f"its composition is {hello.composition}, the hub's {plan.composition}"
        if hello.process not in plan.processes:
            return "no process of this name is expected"
        if hello.process in self._processes:
            return "a process of this name is already there"
        expected = plan.processes[hello.process]
        if hello.nodes != expected:
            return f"it hosts {', '.join(hello.nodes)}, expected {', '.join(expected)}"
        return None

    def _refuse(self, connection: bytes, who: str, reason: str) -> None:
        if self.counts["unauthorised"] < STRANGERS_JOURNALLED:
            self._note("unauthorised", who, reason)
        else:
            self.counts["unauthorised"] += 1
        with suppress(Unreachable):  # A stranger need not wait for the answer.
            self._send(connection, encode(Refused(reason)))

    # -- the end

    def _control(self, peer: _Peer, frame: FromHost) -> None:
        if type(frame) is Crash:
            self._stop("crashed", "peer_down", peer.process, f"{frame.node}: {frame.reason}")
        else:
            self._stop("crashed", "unauthorised", peer.process, "said hello twice")

    def _stop(self, outcome: str, kind: HubEventKind, who: str, text: str) -> None:
        """Something is wrong: journal it and end the run."""
        if self.over is None:
            self._note(kind, who, text)
            self._finish(Over(outcome, f"{who}: {text}", who))

    def _finish(self, over: Over) -> None:
        if self.over is None:
            self.over = over
            self._note("end", HUB, f"{over.outcome}: {over.reason}")

    def _note(self, kind: HubEventKind, who: str, text: str) -> None:
        self.counts[kind] += 1
        self._journal.append(HubEvent(kind, who, text, self._now()))
