"""The exhaustive search: it reaches what a search without a reduction reaches, and nothing else."""

from collections.abc import Sequence
from math import factorial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world_toys import SINK, Histories, Script, System, bursts, histories, systems

from bus.world.bounded import BoundedStrategy, CutOff, Search
from bus.world.event import Event, Link
from bus.world.sim import World
from bus.world.strategies import TapeStrategy
from proto.ids import NodeId
from proto.messages import Reply
from proto.turn import Received, Send, SetTimer, Turn

LIMIT_NS = 1_000


class Given:
    """The default order but for some picks; notes how many events there were to pick from."""

    windows = True

    def __init__(self, picks: Sequence[int]) -> None:
        self.picks = picks
        self.widths: list[int] = []

    def latency(self, low: int, high: int, link: Link) -> int:
        raise AssertionError(link)

    def pick(self, enabled: Sequence[Event]) -> int:
        number = len(self.widths)
        self.widths.append(len(enabled))
        order = sorted(
            range(len(enabled)),
            key=lambda i: (enabled[i].earliest_ns, enabled[i].node, enabled[i].link),
        )
        return order[self.picks[number] if number < len(self.picks) else 0]


def brute_force(system: System, bound: int) -> tuple[set[Histories], int]:
    """All histories within a bound by running every schedule, and the number of schedules."""
    reached: set[Histories] = set()
    left: list[tuple[int, ...]] = [()]
    schedules = 0
    while left:
        picks = left.pop()
        turns: list[Turn] = []
        strategy = Given(picks)
        system.world(strategy, turns.append).run(LIMIT_NS)
        reached.add(histories(turns))
        schedules += 1
        for place in range(len(picks), len(strategy.widths)):
            prefix = (*picks, *[0] * (place - len(picks)))
            spare = bound - sum(prefix)
            most = min(strategy.widths[place] - 1, spare)
            left.extend((*prefix, delays) for delays in range(1, most + 1))
    return reached, schedules


def run(system: System, strategy: BoundedStrategy) -> tuple[World, list[Turn]] | None:
    """One schedule of a search; None if it was cut off."""
    turns: list[Turn] = []

    def record(turn: Turn) -> None:
        strategy.record(turn)
        turns.append(turn)

    world = system.world(strategy, record)
    try:
        world.run(LIMIT_NS)
    except CutOff:
        return None
    return world, turns


def searched(system: System, search: Search) -> set[Histories]:
    """All histories that a search reaches."""
    ran = [run(system, strategy) for strategy in search.strategies()]
    return {histories(done[1]) for done in ran if done is not None}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(systems(), st.integers(0, 3))
def test_the_reduction_loses_nothing_within_the_bound(system: System, bound: int) -> None:
    """What every node can be given, and when, is the same with and without the reduction."""
    expected, schedules = brute_force(system, bound)
    search = Search(bound)

    assert searched(system, search) == expected
    assert search.is_complete
    assert search.schedules - search.cut_off <= schedules


@pytest.mark.parametrize(("senders", "messages"), [(2, 1), (2, 3), (3, 2), (4, 1)])
def test_every_order_of_bursts_is_reached_once(senders: int, messages: int) -> None:
    """With enough delays all interleavings come, as many as there are by arithmetic."""
    search = Search(bound=64)
    reached = searched(bursts(senders, messages), search)
    orders = {
        tuple(given.message for given, _ in dict(inputs)[SINK] if isinstance(given, Received))
        for inputs in reached
    }

    assert len(orders) == factorial(senders * messages) // factorial(messages) ** senders
    assert search.is_complete


def test_the_same_inputs_at_other_times_are_another_world() -> None:
    """One timer comes at 0 or is overtaken until 50; what follows is tried after both."""
    windows = {"z": (0, 100), "b": (50, 50), "c": (60, 70), "d": (65, 65)}
    scripts: dict[str, Script] = {
        name: ((SetTimer("tick", low, high),),) for name, (low, high) in windows.items()
    }
    system = System(scripts, bursts(1, 1).latencies)
    expected, _ = brute_force(system, bound=3)
    times = {dict(inputs)[NodeId("z")][-1][1] for inputs in expected}

    assert times == {0, 50, 60, 65}
    assert searched(system, Search(bound=3)) == expected


def test_a_search_may_begin_later() -> None:
    """Before the turn that it waits for nothing is delayed."""
    system = bursts(2, 2)
    whole = searched(system, Search(bound=2))
    late = Search(2, lambda turn: turn.node == SINK and isinstance(turn.input, Received))
    never = Search(2, lambda turn: False)

    assert 1 < len(searched(system, late)) < len(whole)
    assert len(searched(system, never)) == 1


def test_without_delays_there_is_one_schedule() -> None:
    """And it is the default order."""
    search = Search(bound=0)

    assert len(searched(bursts(3, 2), search)) == 1
    assert (search.schedules, search.cut_off) == (1, 0)


def test_independent_senders_are_not_tried_in_every_order() -> None:
    """Two pairs that never meet: the reduction leaves less than a search without it."""
    scripts: dict[str, Script] = {"sink-x": (), "sink-y": ()}
    for pair in "xy":
        burst = tuple(Send(NodeId(f"sink-{pair}"), Reply(tx)) for tx in range(2))
        scripts |= {f"one-{pair}": (burst,), f"other-{pair}": (burst,)}
    system = System(scripts, bursts(1, 1).latencies)
    expected, schedules = brute_force(system, bound=4)
    search = Search(bound=4)

    assert searched(system, search) == expected
    assert search.schedules < schedules / 2


def test_a_schedule_of_a_search_replays_from_its_tape() -> None:
    """Picks are indexes into what could come next, as everybody's are."""
    system = bursts(2, 2)
    compared = 0
    for strategy in Search(bound=3).strategies():
        if (done := run(system, strategy)) is None:
            continue
        repeated: list[Turn] = []
        tape = TapeStrategy(done[0].choices, windows=True)
        system.world(tape, repeated.append).run(LIMIT_NS)
        compared += 1
        assert repeated == done[1]

    assert compared > 3


def test_no_latency_is_asked_for() -> None:
    """A search works on windows; to draw a time would be a choice that it does not try."""
    strategy = next(Search(bound=1).strategies())

    assert strategy.windows
    with pytest.raises(AssertionError):
        strategy.latency(0, 1, ("a", "b"))


def test_a_world_is_entered_again_with_more_delays_left() -> None:
    """What was tried with less to spend has not been tried in full."""
    search = Search(bound=3)

    assert search.enter(world=1, cost=2)
    assert not search.enter(world=1, cost=2)
    assert not search.enter(world=1, cost=3)
    assert search.enter(world=1, cost=0)
    assert (search.worlds, search.cut_off) == (1, 2)
