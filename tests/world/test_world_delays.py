"""Schedules as named delays: the same run, delay by delay."""

import pytest

from bus.world.delays import DelayStrategy, ObservedTape, named
from bus.world.pct import PctStrategy
from bus.world.strategies import FifoStrategy, RandomStrategy, Strategy
from deploy.explore.play import play
from deploy.loading import Overrides, resolve
from proto.ids import DRAM

BOARD = resolve("guest-suspend", Overrides(platform="uni"))


@pytest.mark.sim
@pytest.mark.parametrize(
    "strategy",
    [RandomStrategy(3), RandomStrategy(3, windows=True), PctStrategy(5, 3, 2000, (DRAM,))],
    ids=["random", "orders", "pct"],
)
def test_a_tape_and_its_delays_give_the_same_run(strategy: Strategy) -> None:
    """What a tape does differently from the calmest schedule is the whole of it."""
    first = play(BOARD, strategy, digest=True)
    tape = ObservedTape(first.choices, strategy.windows)
    play(BOARD, tape)

    again = play(BOARD, DelayStrategy(tape.delays, strategy.windows), digest=True)

    assert tape.delays
    assert again.digest == first.digest


@pytest.mark.sim
def test_without_delays_it_is_the_calmest_schedule() -> None:
    """No delay, no difference; a delay that fits nothing has no effect and is not used."""
    strange = DelayStrategy({("nobody", "nowhere", 7): 1_000})

    calm = play(BOARD, FifoStrategy(), digest=True)

    assert play(BOARD, strange, digest=True).digest == calm.digest
    assert strange.used == {}


def test_a_delay_is_cut_to_what_its_link_allows() -> None:
    """A link has a longest time, also for a delay that was noted on a slower board."""
    strategy = DelayStrategy({("a", "b", 1): 500})

    assert strategy.latency(10, 60, ("a", "b")) == 10
    assert strategy.latency(10, 60, ("a", "b")) == 60
    assert strategy.used == {("a", "b", 1): 50}


def test_waits_are_counted_by_their_kind() -> None:
    """The number in a timer's name is its node's; the delay's is its own."""
    asked: dict[tuple[str, str], int] = {}

    names = [named(asked, ("pe0", f"delay.{tx}")) for tx in (4, 9)]

    assert names == [("pe0", "delay", 0), ("pe0", "delay", 1)]
    assert named(asked, ("el3.pe0", "dram")) == ("el3.pe0", "dram", 0)
