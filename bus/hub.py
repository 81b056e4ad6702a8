"""The hub: checks, numbers, journals and routes every turn; owns no socket and no clock.

Frames are fed in and frames come out. The journal order is the hub order: the order in which turns
were accepted here. A misaddressed, undecodable or out-of-sequence frame from one of our own
processes stops the run; a frame from anybody else is refused and counted. Clients come and go: a
faulty one is dropped, and what is sent to one that has gone finds no taker.
"""

from collections import Counter, deque
from collections.abc import Callable, Container, Mapping
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
    Ping,
    Pong,
    Refused,
    Unreachable,
    Welcome,
    decode_from_host,
)
from bus.gate import Gate
from bus.journal import HubEvent, HubEventKind, JournalWriter
from bus.keys import Keyring
from bus.refusals import Refusals
from bus.runner import NodeCrash, Runner
from bus.vitals import TEXTS, Sign, Vitals
from proto.codec import Undecodable, encode
from proto.ids import CLIENT, HUB, BoardNs, Incarnation, NodeId, client_node
from proto.messages import VERSION
from proto.permissions import Rules, permits
from proto.traces import ScenarioEnded
from proto.turn import Envelope, MessageId, Received, Send, Trace, Turn

CLIENT_FRAMES = 500
"""Frames that a client may send in a beat; one that sends more is dropped."""

PROCESS_FRAMES = 100_000
"""Frames that a process may send in a beat, which no node can; one that sends more ends the run."""

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
    ring: Keyring | None = None
    """Whose keys are whose; without it anybody who knows the token may say to be anybody."""
    may_send: Callable[[NodeId, NodeId], Rules] | None = None
    """What one node may send to another; without it all may send all."""


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
    pulse: bytes = b""
    """Where its pulse is felt."""
    vitals: Vitals = field(default_factory=Vitals)
    frames: int = 0
    """Frames that it has sent since the last beat."""


@dataclass(slots=True, eq=False)
class _Origin:
    """A node as a sender: who hosts it and what its next turn must look like."""

    peer: _Peer
    number: int = 0
    seq: int = 0
    may: dict[NodeId, Rules] = field(default_factory=dict)
    """What it may send to whom, as far as it has sent."""


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
        gate: Gate | None = None,
    ) -> None:
        self.over: Over | None = None
        self.counts: Counter[str] = Counter()
        self.running = False
        self._plan = plan
        self._journal = journal
        self._local = local
        self._now = now
        self._send = send
        self._gate = gate
        self._waiting: deque[Envelope] = deque()
        self._here = _Peer(HUB, b"", local.incarnation)
        self._peers: dict[bytes, _Peer] = {}
        self._processes: dict[str, _Peer] = {}
        self._clients: dict[NodeId, _Peer] = {}
        self._client_count = 0
        self.refusals = Refusals(self._note_refused)
        self._go = Go(0, 1.0)
        self._origins = {node: _Origin(self._here) for node in local.nodes}

    # -- who is there

    @property
    def connections(self) -> Container[bytes]:
        """The connections of those who have been taken in."""
        return self._peers

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

    def farewell(self) -> None:
        """Tell the processes that the run is over: nobody else ends them."""
        assert self.over is not None, "the run goes on"
        frame = encode(Ended(self.over.reason))
        for peer in self._processes.values():
            with suppress(Unreachable):  # One that has gone need not hear it.
                self._send(peer.connection, frame)

    # -- signs of life

    def beat(self, feel: Callable[[bytes], bool], failed_handshakes: int) -> None:
        """One beat has passed: who lives, who was refused, who sends too much.

        `feel` tells whether a pulse can be felt.
        """
        self._count_refused(failed_handshakes)
        for peer in self._processes.values():
            if self.over is not None:
                return
            peer.frames = 0
            vitals = peer.vitals
            sign = vitals.beat(feel(peer.pulse))
            if sign is not None:
                self._note(sign.value, peer.process, TEXTS[sign])
            if vitals.failed:
                self._stop("died", "peer_down", peer.process, vitals.failed)
            self._hand_over(peer, encode(Ping(vitals.asked)))
        for client in self._clients.values():
            client.frames = 0

    @property
    def unwell(self) -> dict[str, str]:
        """Processes that are slow or paused."""
        signs = {name: peer.vitals.sign for name, peer in self._processes.items()}
        return {name: sign.name.lower() for name, sign in signs.items() if sign is not Sign.WELL}

    def _count_refused(self, failed_handshakes: int) -> None:
        """What was refused before it could send a frame."""
        refused = Counter({("stranger", "it has no key"): failed_handshakes})
        if self._gate is not None:
            refused += self._gate.take_refusals()
        for (who, reason), count in refused.items():
            if count:
                self.refusals.add(who, reason, count)

    # -- frames in

    def feed(self, connection: bytes, data: bytes, key: str = "") -> None:
        """A frame has arrived; `key` is the public key of a connection that is not known yet."""
        if self.over is not None:
            return
        peer = self._peers.get(connection)
        if peer is None:
            self._greet(connection, data, key)
            return
        peer.frames += 1
        if peer.frames > PROCESS_FRAMES:
            text = f"more than {PROCESS_FRAMES} frames in a beat"
            self._stop("crashed", "flood", peer.process, text)
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
                self._stop("died", "undeliverable", peer.process, peer.vitals.loss)
                peer.outbox.clear()
                return True
            # What it said last, why it crashed perhaps, is still on its way in: read that first.
            peer.unreachable = True
            return False

    # -- turns

    def _accept(self, peer: _Peer, turn: Turn, data: bytes) -> None:
        """Check a turn, journal it, and put those of its sends that are allowed on their way."""
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
                if self._is_allowed(origin, envelope):
                    self._route(envelope)
            elif type(effect) is Trace and type(effect.event) is ScenarioEnded:
                ended = effect.event
        origin.seq = seq
        if ended is not None:
            self._finish(Over("ended", ended.outcome))

    def _is_allowed(self, origin: _Origin, envelope: Envelope) -> bool:
        """Whether a node may send this to that; what it may not is refused, and the run goes on."""
        if self._plan.may_send is None:
            return True
        src, dst = envelope.id.src, envelope.dst
        may = origin.may.get(dst)
        if may is None and dst not in self._origins:
            return True  # It goes nowhere, which stops the run.
        if may is None:
            may = origin.may[dst] = self._plan.may_send(src, dst)
        if permits(may, envelope.body):
            return True
        text = f"it may not send {type(envelope.body).__name__} to {dst}"
        self.refusals.add(src, text)
        return False

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

    def _greet(self, connection: bytes, data: bytes, key: str) -> None:
        if self.refusals.ignores(connection):
            return
        try:
            hello = decode_from_host(data)
        except Undecodable:
            self._refuse(connection, "stranger", "the first frame is not a hello")
            return
        if type(hello) is not Hello:
            self._refuse(connection, "stranger", "the first frame is not a hello")
            return
        if (impostor := self._impostor(hello, key)) is not None:
            self._refuse(connection, *impostor)
            return
        if hello.process == CLIENT:
            self._greet_client(connection, hello)
            return
        refusal = self._refusal(hello)
        if refusal is not None:
            self._refuse(connection, hello.process, refusal)
            return
        peer = _Peer(hello.process, connection, hello.incarnation, pulse=hello.pulse)
        self._peers[connection] = self._processes[hello.process] = peer
        for node in hello.nodes:
            self._origins[node] = _Origin(peer)
        self._note("peer_up", hello.process, f"pid {hello.pid}")

    def _impostor(self, hello: Hello, key: str) -> tuple[str, str] | None:
        """Who really says this and how he is refused, if he is not who he says to be."""
        if self._plan.ring is None:
            return None
        owner = self._plan.ring.owner(key) or "stranger"
        return None if owner == hello.process else (owner, f"it says to be {hello.process}")

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
        self.refusals.add(who, reason)
        self.refusals.turn_away(connection)
        with suppress(Unreachable):  # A stranger need not wait for the answer.
            self._send(connection, encode(Refused(reason)))

    def _note_refused(self, who: str, reason: str) -> None:
        self._note("unauthorised", who, reason)

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
        if peer.frames > CLIENT_FRAMES:
            return f"more than {CLIENT_FRAMES} frames in a beat"
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
        if type(frame) is Pong:
            peer.vitals.answered = max(peer.vitals.answered, frame.number)
        elif type(frame) is Crash:
            self._stop("crashed", "peer_down", peer.process, f"{frame.node}: {frame.reason}")
        elif type(frame) is Bye:
            self.stop(f"{peer.process} was told to end")
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
            self.refusals.close(HUB)
            self._note("end", HUB, f"{over.outcome}: {over.reason}")
            farewell = encode(Ended(over.reason))
            for peer in self._clients.values():
                with suppress(Unreachable):  # One that has gone need not hear it.
                    self._send(peer.connection, farewell)

    def _note(self, kind: HubEventKind, who: str, text: str) -> None:
        self.counts[kind] += 1
        self._journal.append(HubEvent(kind, who, text, self._now()))
