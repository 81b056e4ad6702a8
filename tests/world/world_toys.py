"""Toy nodes for the tests of strategies: what they do depends on the order of what they are given.

A toy has a script of a few entries; its n-th input carries out one of them, and which one depends
on who the input comes from. So different orders lead to different messages and timers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from bus.world.sim import World
from bus.world.strategies import Strategy
from proto.ids import BoardNs, NodeId
from proto.messages import Load, Reply, Wire
from proto.platform import Latencies
from proto.traces import ScenarioEnded
from proto.turn import CancelTimer, Effect, Envelope, Input, Send, SetTimer, Trace, Turn

SINK = NodeId("sink")

Entry = tuple[Effect, ...]
Script = tuple[Entry, ...]
Histories = frozenset[tuple[NodeId, tuple[tuple[Input, int], ...]]]
"""What every node was given, and when."""


class Toy:
    """Carries out its script, one entry for each input, and is silent afterwards."""

    def __init__(self, name: str, script: Script) -> None:
        self.id = NodeId(name)
        self._script = script
        self._inputs = 0

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The first entry."""
        return self._answer(0)

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """An entry that depends on the sender."""
        return self._answer(sum(envelope.id.src.encode()) + envelope.id.seq)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """An entry that depends on the timer."""
        return self._answer(sum(timer.encode()))

    def _answer(self, number: int) -> Entry:
        self._inputs += 1
        if self._inputs > len(self._script):
            return ()
        return self._script[(self._inputs - 1 + number) % len(self._script)]


@dataclass(frozen=True)
class System:
    """Toys by name, and how long their messages take."""

    scripts: dict[str, Script]
    latencies: Latencies

    def world(self, strategy: Strategy, record: Callable[[Turn], None]) -> World:
        """A fresh world of these toys."""
        nodes = {NodeId(name): Toy(name, script) for name, script in self.scripts.items()}
        return World(nodes, self.latencies, strategy, record)


def histories(turns: Sequence[Turn]) -> Histories:
    """What every node was given, and when."""
    given: dict[NodeId, list[tuple[Input, int]]] = {}
    for turn in turns:
        given.setdefault(turn.node, []).append((turn.input, turn.now))
    return frozenset((node, tuple(inputs)) for node, inputs in given.items())


def bursts(senders: int, messages: int) -> System:
    """So many senders that each send a burst to a sink at once; all windows are open together."""
    scripts: dict[str, Script] = {
        f"toy{number}": (tuple(Send(SINK, Reply(tx)) for tx in range(messages)),)
        for number in range(senders)
    }
    return System({**scripts, SINK: ()}, Latencies(reply=(0, 100)))


@st.composite
def systems(draw: st.DrawFn, entries: int = 3, actions: int = 2) -> System:
    """Two or three toys with random scripts, and overlapping latencies."""
    names = [f"toy{number}" for number in range(draw(st.integers(2, 3)))]
    one = st.one_of(_sends(names), _timers(), st.builds(CancelTimer, st.sampled_from("ab")))
    last = st.one_of(one, one, one, st.just(Trace(ScenarioEnded("enough"))))
    script = st.lists(st.lists(last, max_size=actions).map(tuple), max_size=entries).map(tuple)
    ranges = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: (pair[0], sum(pair)))
    latencies = st.builds(Latencies, memory=ranges, reply=ranges, wire=ranges)
    return System({name: draw(script) for name in names}, draw(latencies))


def _sends(names: list[str]) -> st.SearchStrategy[Effect]:
    bodies = st.sampled_from((Load(0, 0), Reply(0), Wire(32, True)))
    return st.builds(Send, st.sampled_from([NodeId(name) for name in names]), bodies)


def _timers() -> st.SearchStrategy[Effect]:
    spans = st.tuples(st.integers(0, 6), st.integers(0, 4))
    return st.builds(
        lambda name, span: SetTimer(name, span[0], sum(span)), st.sampled_from("ab"), spans
    )
