"""The bus in the live world: round trips against a bare relay, and turns per second of the hub.

A typed request and reply through the hub takes four frames, as does a bare two-hop relay in Python;
what is on top is decoding, checking, journalling and the nodes' turns.
"""

import multiprocessing
import resource
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import zmq

from bus.clock import BoardClock
from bus.gate import Gate
from bus.host import FIRST_LIFE, Host, Identity
from bus.hub import Plan
from bus.interconnect import Control, Interconnect
from bus.journal import Header, JournalWriter, read_journal
from bus.keys import Credentials, make_keys
from bus.link import Lock, Termination, new_keys
from bus.runner import Runner
from proto.board import Board
from proto.ids import DRAM, HUB, BoardNs, NodeId
from proto.messages import Load, Reply
from proto.node import Node
from proto.platform import Platform
from proto.scenario import DomainSpec, Profile, Role, Scenario
from proto.traces import ScenarioEnded
from proto.turn import Effect, Envelope, Send, Trace, Turn

ROUNDS = 4_000
WINDOW = 32
PAIRS = 3
REPEATS = 5
TOKEN = "benchmark"  # the run is private to this process
_FORK = multiprocessing.get_context("fork")


class Client:
    """Keeps `window` loads to a server under way, until `rounds` are answered."""

    def __init__(self, name: str, server: NodeId, window: int, rounds: int) -> None:
        self.id = NodeId(name)
        self.server = server
        self.window = window
        self.rounds = rounds
        self.answered = 0

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Open the window."""
        return [Send(self.server, Load(tx, 0x8000_0000)) for tx in range(self.window)]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Send the next load."""
        self.answered += 1
        if self.answered == self.rounds:
            return [Trace(ScenarioEnded("done"))]
        return [Send(self.server, Load(self.answered, 0x8000_0000))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """No timers."""
        raise AssertionError(timer)


class Server:
    """Answers loads."""

    def __init__(self, name: str) -> None:
        self.id = NodeId(name)

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Nothing to do."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Answer."""
        body = envelope.body
        assert isinstance(body, Load)
        return [Send(envelope.id.src, Reply(body.tx, 1))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """No timers."""
        raise AssertionError(timer)


def run() -> dict[str, float]:
    """All figures; times in microseconds, medians of rounds in which all kinds take turns.

    Taking turns keeps the ratios fair while the machine's speed drifts.
    """
    kinds: tuple[tuple[str, Callable[[], float]], ...] = (
        ("direct", _direct_us),
        ("relay", _relay_us),
        ("hub", lambda: _through_hub(_pair("a", 1, ROUNDS))[0]),
        ("curve", lambda: _through_hub(_pair("a", 1, ROUNDS), curve=True)[0]),
        ("dram", lambda: _through_hub({"a": [Client("a", DRAM, 1, ROUNDS)]})[0]),
    )
    rounds = [{name: measure() for name, measure in kinds} for _ in range(REPEATS)]
    of = {name: median(taken[name] for taken in rounds) for name, _ in kinds}
    many: dict[str, list[Node]] = {}
    for index in range(PAIRS):
        many |= _pair(f"p{index}.", WINDOW, ROUNDS * 2)
    _, turns_per_s, turns_per_cpu_s = _through_hub(many)
    return {
        "direct_round_trip_us": of["direct"],
        "relay_round_trip_us": of["relay"],
        "hub_round_trip_us": of["hub"],
        "hub_curve_round_trip_us": of["curve"],
        "dram_round_trip_us": of["dram"],
        "hub_to_relay_ratio": median(taken["hub"] / taken["relay"] for taken in rounds),
        "curve_call_ratio": median(taken["curve"] / taken["hub"] for taken in rounds),
        "hub_to_direct_ratio": median(taken["hub"] / taken["direct"] for taken in rounds),
        "hub_turns_per_s": turns_per_s,
        "hub_turns_per_cpu_s": turns_per_cpu_s,
    }


def _pair(prefix: str, window: int, rounds: int) -> dict[str, list[Node]]:
    """A client and a server, each in a process of its own."""
    server = Server(f"{prefix}s")
    client = Client(f"{prefix}c", server.id, window, rounds)
    return {f"{prefix}client": [client], f"{prefix}server": [server]}


def _through_hub(
    processes: dict[str, list[Node]], curve: bool = False
) -> tuple[float, float, float]:
    """Microseconds per round of the first client, turns per second, and per CPU second."""
    board = _board()
    ring, private = make_keys(processes, new_keys)
    lock = Lock(private[HUB], Gate(ring)) if curve else None
    hosted = {name: tuple(node.id for node in nodes) for name, nodes in processes.items()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        endpoints = (f"ipc://{folder}/hub.sock", f"ipc://{folder}/pulse.sock")
        for name, nodes in processes.items():
            credentials = Credentials(private[name], ring.hub) if curve else None
            identity = Identity(name, board.composition, TOKEN, credentials=credentials)
            child = _FORK.Process(target=_host, args=(identity, nodes, endpoints))
            child.start()
            stack.callback(child.join)
            stack.callback(child.terminate)
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)
        stack.callback(theirs.close)
        path = Path(folder) / "journal"
        header = Header(world="live", seed=0, composition=board.composition, board=board)
        interconnect = Interconnect(
            Plan(hosted, board.composition, TOKEN, ring=ring if curve else None),
            endpoints,
            JournalWriter(path, header),
            Runner({DRAM: Server(DRAM)}, FIRST_LIFE, "0"),
            BoardClock(1.0),
            Control(theirs),
            lock=lock,
        )
        cpu_s = _cpu_s()
        interconnect.run()
        cpu_s = _cpu_s() - cpu_s
        turns = [record for record in read_journal(path).records if isinstance(record, Turn)]
    elapsed_s = (turns[-1].now - turns[0].now) / 1e9
    rounds = sum(turn.node == turns[-1].node for turn in turns) - 1
    return elapsed_s / rounds * 1e6, len(turns) / elapsed_s, len(turns) / cpu_s


def _host(identity: Identity, nodes: list[Node], endpoints: tuple[str, str]) -> None:
    termination = Termination()
    termination.install()
    Host(identity, {node.id: node for node in nodes}, endpoints, 0, termination=termination).run()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _direct_us() -> float:
    """Microseconds per round of a client and a ROUTER that answers it: one hop each way."""
    with tempfile.TemporaryDirectory() as folder:
        endpoint = f"ipc://{folder}/direct.sock"
        client = _FORK.Process(target=_relay_client, args=(endpoint,))
        client.start()
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.bind(endpoint)
        name, _ = router.recv_multipart()
        router.send_multipart([name, b"go"])
        started = time.perf_counter()
        for _ in range(ROUNDS):
            router.send_multipart(router.recv_multipart())
        elapsed_s = time.perf_counter() - started
        client.join()
        router.close(0)
        context.term()
    return elapsed_s / ROUNDS * 1e6


def _relay_us() -> float:
    """Microseconds per round of a client, a relay and a server without anything of ours."""
    with tempfile.TemporaryDirectory() as folder:
        endpoint = f"ipc://{folder}/relay.sock"
        server = _FORK.Process(target=_relay_server, args=(endpoint,))
        client = _FORK.Process(target=_relay_client, args=(endpoint,))
        server.start()
        client.start()
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.bind(endpoint)
        names = [router.recv_multipart()[0] for _ in range(2)]
        other = dict(zip(names, reversed(names), strict=True))
        router.send_multipart([b"client", b"go"])
        started = time.perf_counter()
        for _ in range(2 * ROUNDS):
            name, frame = router.recv_multipart()
            router.send_multipart([other[name], frame])
        elapsed_s = time.perf_counter() - started
        client.join()
        server.terminate()
        server.join()
        router.close(0)
        context.term()
    return elapsed_s / ROUNDS * 1e6


def _relay_client(endpoint: str) -> None:
    dealer = _relay_peer(endpoint, b"client")
    dealer.recv()
    for _ in range(ROUNDS):
        dealer.send(b"x" * 50)
        dealer.recv()


def _relay_server(endpoint: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    dealer = _relay_peer(endpoint, b"server")
    while True:
        dealer.send(dealer.recv())


def _relay_peer(endpoint: str, name: bytes) -> "zmq.Socket[bytes]":
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.setsockopt(zmq.ROUTING_ID, name)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(endpoint)
    dealer.send(b"here")
    return dealer


def _board() -> Board:
    return Board(
        scenario=Scenario(
            name="benchmark", domains=(DomainSpec(id=0, role=Role.HARDWARE),), steps=()
        ),
        platform=Platform(name="benchmark", clusters=(1,)),
        profile=Profile(
            name="none",
            title="",
            suspend_steps=(),
        ),
        code="",
    )
