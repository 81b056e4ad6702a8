"""The sim world: first-in first-out links, windows, timers, determinism, tapes, forcing."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.world.sim import Outcome, World
from bus.world.strategies import Diverged, FifoStrategy, RandomStrategy, TapeStrategy
from proto.codec import encode
from proto.ids import BoardNs, NodeId
from proto.messages import Load, Reply, Store
from proto.node import Node, ProtocolError
from proto.platform import Latencies
from proto.traces import ScenarioEnded
from proto.turn import CancelTimer, Effect, Envelope, Received, Send, SetTimer, Start, Trace, Turn

ECHO, CALLER = NodeId("echo"), NodeId("caller")


class Echo:
    """Answers every load with the number of loads so far."""

    id = ECHO

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        assert isinstance(envelope.body, Load)
        self.count += 1
        return [Send(envelope.id.src, Reply(envelope.body.tx, self.count))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        raise AssertionError(timer)


class Caller:
    """Sends a burst of loads at once and ends when all are answered."""

    def __init__(self, name: str = "caller", burst: int = 5) -> None:
        self.id = NodeId(name)
        self.burst = burst
        self.answers: list[tuple[int, int]] = []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return [Send(ECHO, Load(tx, 0)) for tx in range(self.burst)]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        assert isinstance(envelope.body, Reply)
        self.answers.append((envelope.body.tx, envelope.body.value))
        if len(self.answers) < self.burst:
            return []
        return [Trace(ScenarioEnded("done"))] if self.id == CALLER else []

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        raise AssertionError(timer)


class Clocked:
    """Sets, replaces and cancels timers, and notes which fire when."""

    id = CALLER

    def __init__(self, *effects: Effect) -> None:
        self.effects = effects
        self.fired: list[tuple[str, int]] = []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return self.effects

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        raise AssertionError(envelope)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        self.fired.append((timer, now))
        return []


def world_of(*nodes: object, seed: int = 0, strategy: object = None) -> tuple[World, list[Turn]]:
    turns: list[Turn] = []
    chosen = strategy or RandomStrategy(seed)
    world = World({node.id: node for node in nodes}, Latencies(), chosen, turns.append)  # type: ignore[attr-defined, arg-type]
    return world, turns


@given(st.integers(0, 1 << 32))
def test_links_are_first_in_first_out(seed: int) -> None:
    """Messages of one sender to one receiver never overtake each other."""
    caller = Caller()
    world, _ = world_of(Echo(), caller, seed=seed)

    assert world.run(10**9) is Outcome.ENDED

    assert caller.answers == [(tx, tx + 1) for tx in range(5)]


def test_senders_interleave_differently_under_different_seeds() -> None:
    """Two senders reach a receiver in more than one order."""
    orders = set()
    for seed in range(40):
        one, other = Caller("caller"), Caller("other")
        world, turns = world_of(Echo(), one, other, seed=seed)
        world.run(10**9)
        order = tuple(
            turn.input.message.src
            for turn in turns
            if turn.node == ECHO and isinstance(turn.input, Received)
        )
        orders.add(order)

    assert len(orders) > 10


def test_same_seed_same_journal() -> None:
    """A run is a function of its seed, to the byte."""
    journals = []
    for _ in range(2):
        world, turns = world_of(Echo(), Caller(), seed=7)
        world.run(10**9)
        journals.append([encode(turn) for turn in turns])

    assert journals[0] == journals[1]


def test_a_tape_gives_the_same_journal() -> None:
    """The choices of a run reproduce it without its strategy."""
    world, turns = world_of(Echo(), Caller(), seed=3)
    world.run(10**9)
    again, repeated = world_of(Echo(), Caller(), strategy=TapeStrategy(world.choices))
    again.run(10**9)

    assert repeated == turns


def test_a_tape_that_is_too_short_is_refused() -> None:
    """A tape says at which choice it stopped fitting."""
    world, _ = world_of(Echo(), Caller(), strategy=TapeStrategy([1, 2]))

    with pytest.raises(Diverged, match="after 2 choices"):
        world.run(10**9)


def test_timers_fire_in_their_window_and_only_the_last_set() -> None:
    """Setting again replaces, cancelling forgets, a window bounds the time."""
    node = Clocked(
        SetTimer("a", 100, 100),
        SetTimer("a", 300, 300),
        SetTimer("b", 50, 90),
        SetTimer("c", 10, 10),
        CancelTimer("c"),
    )
    world, _ = world_of(node)

    assert world.run(1000) is Outcome.QUIESCENT

    assert [name for name, _ in node.fired] == ["b", "a"]
    assert 50 <= node.fired[0][1] <= 90
    assert node.fired[1][1] == 300


def test_board_time_limit_stops_the_world() -> None:
    """Nothing behind the limit is delivered, and nothing is lost: the run can go on."""
    node = Clocked(SetTimer("late", 5_000, 5_000))
    world, _ = world_of(node)

    assert world.run(4_999) is Outcome.TIME_LIMIT
    assert node.fired == []
    assert world.run(5_000) is Outcome.QUIESCENT
    assert node.fired == [("late", 5_000)]


def test_the_recorded_order_can_be_forced() -> None:
    """Forcing a recorded order of inputs gives the same turns."""
    world, turns = world_of(Echo(), Caller(), Caller("other"), seed=11)
    world.run(10**9)
    forced, repeated = world_of(Echo(), Caller(), Caller("other"), strategy=FifoStrategy())
    for turn in turns:
        forced.force(turn.node, turn.input, turn.now)

    assert repeated == turns


def test_forcing_what_is_not_pending_diverges() -> None:
    """An input that was never sent, or that overtakes an older one, is refused."""
    world, turns = world_of(Echo(), Caller(), seed=1)
    world.run(10**9)
    forced, _ = world_of(Echo(), Caller(), strategy=FifoStrategy())
    with pytest.raises(Diverged, match="not pending"):
        forced.force(ECHO, turns[-1].input, 0)
    forced.force(ECHO, Start(), 0)
    forced.force(CALLER, Start(), 0)
    second = next(
        turn.input
        for turn in turns
        if turn.node == ECHO and isinstance(turn.input, Received) and turn.input.message.seq == 1
    )
    with pytest.raises(Diverged, match="is due"):
        forced.force(ECHO, second, 0)


def test_a_message_to_nobody_stops_the_run() -> None:
    """A misaddressed message is an error that is seen."""
    world, _ = world_of(Caller())

    with pytest.raises(ProtocolError, match="echo, which does not exist"):
        world.run(10**9)


@pytest.mark.parametrize(("allowed", "outcome"), [(Load, Outcome.ENDED), (Store, None)])
def test_a_message_without_a_wire_stops_the_run(allowed: type, outcome: Outcome | None) -> None:
    """The sender is at fault, and it is said what it may not."""
    nodes: dict[NodeId, Node] = {ECHO: Echo(), CALLER: Caller()}
    rules: dict[type, None] = dict.fromkeys((allowed, Reply))
    strategy = RandomStrategy(0)
    world = World(nodes, Latencies(), strategy, lambda _turn: None, lambda _src, _dst: rules)

    if outcome is not None:
        assert world.run(10**9) is outcome
        return
    with pytest.raises(ProtocolError, match="caller may not send Load to echo"):
        world.run(10**9)
