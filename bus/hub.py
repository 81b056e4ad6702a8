"""The hub: checks, numbers, journals and routes every turn; owns no socket and no clock.

Frames are fed in and frames come out. The journal order is the hub order: the order in which turns
were accepted here. A misaddressed, undecodable or out-of-sequence frame from one of our own
processes stops the run; a frame from anybody else is refused and counted. Clients come and go: a
faulty one is dropped, and what is sent to one that has gone finds no taker.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from bus.frames import (
    Bye,
    Crash,
    Deliver,
    Ended,
    FromHost,
    Go,
    Hello,
    Refused,
    Unreachable,
    Welcome,
    decode_from_host,
)
from bus.journal import HubEvent, HubEventKind, JournalWriter
from bus.runner import NodeCrash, Runner
from proto.codec import Undecodable, encode
from proto.ids import CLIENT, HUB, BoardNs, Incarnation, NodeId, client_node
from proto.messages import VERSION
from proto.traces import ScenarioEnded
from proto.turn import Envelope, MessageId, Received, Send, Trace, Turn

STRANGERS_JOURNALLED = 100
"""Refusals of strangers that get a record of their own; all are counted."""

TIMERS_AT_ONCE = 64
"""Timers of the hub's own nodes fired before frames get a turn again."""

BATCH = 256
"""Envelopes in one frame at most."""

CLIENTS_MAX = 64
"""Clients that may be there at the same time."""


GONE = "it is gone"
"""Why a client was dropped that its connection has lost."""


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
    clients_reach: tuple[NodeId, ...] = ()
    """The nodes that clients may send to; without any, no client is taken in."""


@dataclass(slots=True, eq=False)
class _Peer:
    """A process that has been taken in, or the hub itself (no connection)."""

    process: str
    connection: bytes
    incarnation: Incarnation
    outbox: list[Envelope] = field(default_factory=list)
    unreachable: bool = False
    """It did not take its last frame because it is gone; its own last frames may still come."""
    is_client: bool = False
    left: bool = False
    """It was a client, and is not there any more."""


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
        self._clients: dict[NodeId, _Peer] = {}
        self._client_count = 0
        self._go = Go(0, 1.0)
        self._origins = {node: _Origin(self._here) for node in local.nodes}

    # -- who is there

    @property
    def complete(self) -> bool:
        """Whether every expected process has said hello."""
        return len(self._processes) == len(self._plan.processes)

    def start(self, go: Go) -> None:
        """Send this frame to all processes and start the hub's own nodes."""
        assert self.complete, "a process is missing"
        self.running = True
        self._go = go
        frame = encode(go)
        for peer in self._processes.values():
            if not self._hand_over(peer, frame) and not peer.unreachable:
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
            if peer.is_client:
                self._drop(peer, str(error))
            else:
                self._stop("crashed", "undecodable", peer.process, str(error))
            return
        if peer.is_client and (reason := self._why_drop(peer, frame)):
            self._drop(peer, reason)
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
        for peer in (*self._processes.values(), *self._clients.values()):
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
            if peer.is_client:
                self._drop(peer, GONE)
                return True
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
        if self._is_out_of_sequence(origin, turn):
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
        elif not target.peer.left:
            outbox = target.peer.outbox
            outbox.append(envelope)
            if len(outbox) <= self._plan.queue_limit:
                return
            if target.peer.is_client:
                self._drop(target.peer, "it does not read")
            else:
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

    def _is_out_of_sequence(self, origin: _Origin, turn: Turn) -> bool:
        return (
            turn.number != origin.number
            or turn.first_seq != origin.seq
            or turn.incarnation != origin.peer.incarnation
            or not self.running
        )

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
        if hello.process == CLIENT:
            self._greet_client(connection, hello)
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

    def _misfit(self, hello: Hello) -> str | None:
        """Why nobody who says this is taken in, or None."""
        plan = self._plan
        if hello.token != plan.token:
            return "it does not belong to this run"
        if hello.version != VERSION:
            return f"it speaks interface version {hello.version}, the hub {VERSION}"
        if hello.composition != plan.composition:
            return f"its composition is {hello.composition}, the hub's {plan.composition}"
        return None

    def _refusal(self, hello: Hello) -> str | None:
        """Why this process is not taken in, or None."""
        if (misfit := self._misfit(hello)) is not None:
            return misfit
        plan = self._plan
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

    # -- clients

    def _greet_client(self, connection: bytes, hello: Hello) -> None:
        """Take a client in under a name of its own; those that have died are noticed now."""
        probe = encode(Deliver([]))
        for peer in list(self._clients.values()):
            self._hand_over(peer, probe)
        refusal = self._client_refusal(hello)
        if refusal is not None:
            self._refuse(connection, CLIENT, refusal)
            return
        self._client_count += 1
        node = client_node(self._client_count)
        peer = _Peer(node, connection, hello.incarnation, is_client=True)
        self._peers[connection] = self._clients[node] = peer
        self._origins[node] = _Origin(peer)
        self._note("client_up", node, f"pid {hello.pid}")
        self._hand_over(peer, encode(Welcome(node, self._go.epoch_ns, self._go.time_scale)))

    def _client_refusal(self, hello: Hello) -> str | None:
        """Why this client is not taken in, or None."""
        if (misfit := self._misfit(hello)) is not None:
            return misfit
        if not self._plan.clients_reach:
            return "clients cannot join this run"
        if not self.running:
            return "the board is not up yet"
        if hello.nodes:
            return "a client is given its node"
        if len(self._clients) >= CLIENTS_MAX:
            return f"there are {CLIENTS_MAX} clients already"
        return None

    def _why_drop(self, peer: _Peer, frame: FromHost) -> str:
        """Why a client that sends this does not stay; empty if it does."""
        if type(frame) is Bye:
            return "it has left"
        if type(frame) is not Turn:
            return f"a client does not say {type(frame).__name__}"
        origin = self._origins[NodeId(peer.process)]
        if frame.node != peer.process:
            return f"sent a turn of {frame.node}"
        if self._is_out_of_sequence(origin, frame):
            return self._out_of_sequence(origin, frame)
        reach = self._plan.clients_reach
        if any(type(effect) is not Send or effect.dst not in reach for effect in frame.effects):
            return f"a client only sends to {', '.join(reach)}"
        return ""

    def _drop(self, peer: _Peer, reason: str) -> None:
        """A client is not there any more; the board goes on."""
        if peer.left:
            return
        peer.left = True
        peer.outbox.clear()
        del self._peers[peer.connection], self._clients[NodeId(peer.process)]
        self._note("client_down", peer.process, reason)
        with suppress(Unreachable):  # One that has gone need not hear it.
            self._send(peer.connection, encode(Refused(reason)))

    # -- the end

    def _control(self, peer: _Peer, frame: FromHost) -> None:
        if type(frame) is Crash:
            self._stop("crashed", "peer_down", peer.process, f"{frame.node}: {frame.reason}")
        else:
            said = type(frame).__name__.lower()
            self._stop("crashed", "unauthorised", peer.process, f"said {said} after its hello")

    def _stop(self, outcome: str, kind: HubEventKind, who: str, text: str) -> None:
        """Something is wrong: journal it and end the run."""
        if self.over is None:
            self._note(kind, who, text)
            self._finish(Over(outcome, f"{who}: {text}", who))

    def _finish(self, over: Over) -> None:
        if self.over is None:
            self.over = over
            self._note("end", HUB, f"{over.outcome}: {over.reason}")
            farewell = encode(Ended(over.reason))
            for peer in self._clients.values():
                with suppress(Unreachable):  # One that has gone need not hear it.
                    self._send(peer.connection, farewell)

    def _note(self, kind: HubEventKind, who: str, text: str) -> None:
        self.counts[kind] += 1
        self._journal.append(HubEvent(kind, who, text, self._now()))
