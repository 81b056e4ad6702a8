"""Windows: events keep their ranges, and the order of deliveries decides when they come."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from world_toys import System, bursts, systems

from bus.world.event import Event, Link
from bus.world.sim import World
from bus.world.strategies import RandomStrategy, TapeStrategy
from proto.ids import BoardNs, NodeId
from proto.messages import Load, Reply
from proto.platform import Latencies
from proto.turn import Effect, Envelope, Fired, MessageId, Received, Send, SetTimer, Start, Turn

LIMIT_NS = 1_000


class Orders:
    """A windows strategy that notes what it could pick from, and takes given picks first."""

    windows = True

    def __init__(self, *picks: int) -> None:
        self.picks = list(picks)
        self.asked: list[list[str]] = []

    def latency(self, low: int, high: int, link: Link) -> int:
        raise AssertionError(link)

    def pick(self, enabled: Sequence[Event]) -> int:
        self.asked.append([event.link[1] if event.timer else event.link[0] for event in enabled])
        return self.picks.pop(0) if self.picks else 0


class Alarms:
    """Sets timers at start, and notes when they fire."""

    id = NodeId("alarms")

    def __init__(self, *timers: SetTimer) -> None:
        self.timers = timers
        self.fired: list[tuple[str, int]] = []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return self.timers

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        raise AssertionError(envelope)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        self.fired.append((timer, now))
        return ()


def alarms(strategy: Orders, *timers: SetTimer) -> list[tuple[str, int]]:
    """When which of these timers fires."""
    node = Alarms(*timers)
    World({node.id: node}, Latencies(), strategy).run(LIMIT_NS)
    return node.fired


def test_the_oldest_comes_at_its_earliest_time() -> None:
    """Board time moves no further than the chosen order needs."""
    assert alarms(Orders(), SetTimer("a", 10, 90), SetTimer("b", 30, 40)) == [("a", 10), ("b", 30)]


def test_one_that_is_passed_over_comes_late_but_inside_its_window() -> None:
    """The time of the one that overtook it is now its own."""
    assert alarms(Orders(1), SetTimer("a", 10, 90), SetTimer("b", 30, 40)) == [("b", 30), ("a", 30)]


def test_nothing_overtakes_a_window_that_has_closed() -> None:
    """An event whose earliest time is behind another's latest cannot come first."""
    strategy = Orders(1)
    fired = alarms(strategy, SetTimer("a", 10, 29), SetTimer("b", 30, 40), SetTimer("c", 40, 50))

    assert fired == [("a", 10), ("c", 40), ("b", 40)]
    assert strategy.asked == [["b", "c"]]


def test_a_closing_window_hides_what_lies_behind_it() -> None:
    """The least latest time of all bounds the choice, not that of the oldest event."""
    strategy = Orders()
    alarms(strategy, SetTimer("a", 0, 90), SetTimer("b", 5, 20), SetTimer("c", 30, 80))

    assert strategy.asked[0] == ["a", "b"]


def test_only_the_oldest_message_of_a_link_can_be_picked() -> None:
    """Links are first-in first-out, whatever the windows say."""
    strategy = Orders(1, 1, 0)
    turns: list[Turn] = []
    bursts(2, 2).world(strategy, turns.append).run(LIMIT_NS)

    assert ["toy0", "toy1"] in strategy.asked
    assert all(len(set(asked)) == len(asked) for asked in strategy.asked)


def test_a_message_that_its_link_held_back_comes_at_once() -> None:
    """Its own window has closed while the message before it was on its way."""
    scripts = {
        "toy0": ((Send(NodeId("toy1"), Load(0, 0)), Send(NodeId("toy1"), Reply(1))),),
        "toy1": (),
        "toy2": ((SetTimer("a", 50, 50),),),
    }
    system = System(scripts, Latencies(memory=(0, 100), reply=(0, 10)))
    turns: list[Turn] = []
    # Three starts in the order of their age; then the timer overtakes the first message.
    system.world(Orders(0, 0, 0, 1), turns.append).run(LIMIT_NS)
    late = [(type(turn.input), turn.now) for turn in turns if turn.now]

    assert late == [(Fired, 50), (Received, 50), (Received, 50)]


@given(systems(), st.integers(0, 1 << 32))
def test_every_delivery_lies_in_its_window(system: System, seed: int) -> None:
    """A message comes inside its range, or when the message before it on its link has come."""
    turns: list[Turn] = []
    system.world(RandomStrategy(seed, windows=True), turns.append).run(LIMIT_NS)
    sent: dict[MessageId, tuple[int, int]] = {}
    timers: dict[tuple[NodeId, str], tuple[int, int]] = {}
    links: dict[tuple[NodeId, NodeId], int] = {}
    now = 0
    for turn in turns:
        assert turn.now >= now
        now = turn.now
        match turn.input:
            case Received(message):
                low, high = sent[message]
                held = links.get((message.src, turn.node), 0)
                assert low <= now <= max(high, held)
                links[message.src, turn.node] = now
            case Fired(timer):
                low, high = timers[turn.node, timer]
                assert low <= now <= high
            case Start():
                assert now == 0
        note(turn, system.latencies, sent, timers)


def note(
    turn: Turn,
    latencies: Latencies,
    sent: dict[MessageId, tuple[int, int]],
    timers: dict[tuple[NodeId, str], tuple[int, int]],
) -> None:
    """Note the windows of everything that a turn has sent or set."""
    seq = turn.first_seq
    for effect in turn.effects:
        if isinstance(effect, Send):
            low, high = getattr(latencies, effect.body.link)
            sent[MessageId(turn.node, turn.incarnation, seq)] = turn.now + low, turn.now + high
            seq += 1
        elif isinstance(effect, SetTimer):
            earliest = max(effect.earliest_ns, turn.now)
            timers[turn.node, effect.timer] = earliest, max(effect.latest_ns, earliest)


@given(systems(), st.integers(0, 1 << 32))
def test_a_tape_of_orders_replays(system: System, seed: int) -> None:
    """Only picks are on it, and with `windows` they mean the same again."""
    turns: list[Turn] = []
    world = system.world(RandomStrategy(seed, windows=True), turns.append)
    world.run(LIMIT_NS)
    repeated: list[Turn] = []
    tape = TapeStrategy(world.choices, windows=True)
    system.world(tape, repeated.append).run(LIMIT_NS)

    assert repeated == turns
    assert tape.left == 0
