"""A hub with two processes and no sockets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bus.frames import Deliver, Go, Hello, Unreachable, decode_to_host
from bus.gate import Gate
from bus.hub import Hub, Plan
from bus.journal import Header, HubEvent, JournalWriter, Record, read_journal
from bus.keys import Keyring
from bus.runner import Runner
from proto.board import Board
from proto.codec import encode
from proto.ids import DRAM, BoardNs, Incarnation, NodeId
from proto.messages import VERSION, Load, Reply
from proto.node import ProtocolError
from proto.permissions import Rules
from proto.turn import Effect, Envelope, MessageId, Received, Send, SetTimer, Start, Turn

PE0, PE1 = NodeId("pe0"), NodeId("pe1")
ONE = Incarnation(1)
LEFT, RIGHT = b"\x00left", b"\x00right"


class Memory:
    """Answers loads, refuses all else, and ticks once."""

    id = DRAM

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return [SetTimer("tick", 500, 500)]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        if not isinstance(envelope.body, Load):
            raise ProtocolError("only loads")
        return [Send(envelope.id.src, Reply(envelope.body.tx, 42))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        return [Send(PE1, Reply(0, 7))]


class Bench:
    """A hub with two processes, `left` (pe0) and `right` (pe1), and dram of its own."""

    def __init__(
        self,
        folder: Path,
        board: Board,
        clients_reach: tuple[NodeId, ...] = (),
        ring: Keyring | None = None,
        may_send: Callable[[NodeId, NodeId], Rules] | None = None,
    ) -> None:
        self.path = folder / "journal"
        self.now = 0
        self.sent: list[tuple[bytes, bytes]] = []
        self.full: set[bytes] = set()
        self.gone: set[bytes] = set()
        header = Header(world="live", seed=0, composition="c0ffee", board=board)
        self.journal = JournalWriter(self.path, header)
        self.gate = None if ring is None else Gate(ring)
        self.hub = Hub(
            Plan(
                {"left": (PE0,), "right": (PE1,)},
                "c0ffee",
                "secret",
                10,
                clients_reach,
                ring,
                may_send,
            ),
            self.journal,
            Runner({DRAM: Memory()}, ONE, "0"),
            lambda: BoardNs(self.now),
            self._send,
            self.gate,
        )

    def _send(self, connection: bytes, frame: bytes) -> bool:
        if connection in self.gone:
            raise Unreachable
        if connection in self.full:
            return False
        self.sent.append((connection, frame))
        return True

    def go(self) -> "Bench":
        self.hub.feed(LEFT, hello("left", PE0))
        self.hub.feed(RIGHT, hello("right", PE1))
        assert self.hub.complete
        self.hub.start(Go(0, 1.0))
        self.sent.clear()
        return self

    def turn(self, connection: bytes, turn: Turn) -> None:
        self.hub.feed(connection, encode(turn))
        self.hub.flush()

    def delivered(self, connection: bytes) -> list[Envelope]:
        envelopes: list[Envelope] = []
        for to, data in self.sent:
            frame = decode_to_host(data)
            if to == connection and isinstance(frame, Deliver):
                envelopes += frame.envelopes
        return envelopes

    def records(self) -> list[Record]:
        self.journal.flush()
        return read_journal(self.path).records

    def events(self) -> list[tuple[str, str]]:
        return [(r.kind, r.who) for r in self.records() if isinstance(r, HubEvent)]


def hello(process: str, *nodes: NodeId, composition: str = "c0ffee", **other: object) -> bytes:
    token = str(other.get("token", "secret"))
    version = int(str(other.get("version", VERSION)))
    pulse = other.get("pulse", b"")
    assert isinstance(pulse, bytes)
    return encode(Hello(process, nodes, ONE, composition, token, 123, version, pulse))


def turn(
    node: NodeId, number: int, *effects: Effect, seq: int = 0, cause: MessageId | None = None
) -> Turn:
    answered = Start() if cause is None else Received(cause)
    return Turn(node, ONE, number, answered, 10, seq, effects)
