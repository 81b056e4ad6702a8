"""PCT: an actor has one pace for all it does, and changes it at a few random places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world_toys import System, systems

from bus.world.event import Event
from bus.world.pct import DEPTHS, PctStrategy
from bus.world.strategies import TapeStrategy
from proto.ids import NodeId
from proto.turn import Turn

SHARED = (NodeId("dram"),)
LOW, HIGH = 100, 1_100


def timer(node: str) -> Event:
    """A timer that is due."""
    return Event(0, 0, 0, NodeId(node), None, "tick")


def paces(strategy: PctStrategy, actor: str, times: int) -> list[int]:
    """How long an actor's next accesses take."""
    return [strategy.latency(LOW, HIGH, (actor, "gicd")) for _ in range(times)]


@given(st.integers(0, 1 << 32), st.sampled_from(DEPTHS), st.integers(1, 500))
def test_an_actor_changes_its_pace_at_most_depth_minus_one_times(
    seed: int, depth: int, horizon: int
) -> None:
    """Among all actors together."""
    strategy = PctStrategy(seed, depth, horizon, SHARED)
    taken = [strategy.latency(LOW, HIGH, (f"pe{n % 3}", "gicd")) for n in range(600)]
    changes = sum(taken[n] != taken[n - 3] for n in range(3, len(taken)))

    assert changes <= depth - 1
    assert all(LOW <= value <= HIGH for value in taken)


def test_changes_lie_inside_the_horizon() -> None:
    """Behind it everybody keeps the pace."""
    for seed in range(50):
        strategy = PctStrategy(seed, 5, 40, SHARED)
        paces(strategy, "pe0", 41)

        assert len(set(paces(strategy, "pe0", 100))) == 1


def test_a_turn_makes_the_slow_fast_and_the_fast_slow() -> None:
    """At depth 2 one actor turns round, and is as fast or as slow as can be from there on."""
    turned = 0
    for seed in range(60):
        taken = paces(PctStrategy(seed, 2, 50, SHARED), "pe0", 60)
        before, after = taken[0], taken[-1]
        turned += before != after
        if before != after:
            assert after == (LOW if before - LOW > (HIGH - LOW) / 2 else HIGH)

    assert turned > 50


def test_paces_are_often_extreme() -> None:
    """Most races need somebody who is as slow as can be."""
    first = [paces(PctStrategy(seed, 1, 50, SHARED), "pe0", 1)[0] for seed in range(200)]

    assert first.count(LOW) > 50
    assert first.count(HIGH) > 50
    assert len(set(first)) > 10


@given(st.integers(0, 1 << 32))
def test_an_access_to_a_shared_block_has_the_pace_of_the_actor(seed: int) -> None:
    """Both ways: the block's answer is waited for by the actor at the other end."""
    strategy = PctStrategy(seed, 1, 50, SHARED)
    there = strategy.latency(LOW, HIGH, ("pe1", "dram"))

    assert strategy.latency(LOW, HIGH, ("dram", "pe1")) == there
    assert strategy.latency(LOW, HIGH, ("pe1", "el3.pe1")) == there


def test_the_fastest_comes_first_and_of_two_equals_the_older() -> None:
    """A tie is not drawn for: a schedule is its paces and its turning points."""
    compared = 0
    for seed in range(60):
        strategy = PctStrategy(seed, 1, 50, SHARED)
        one, other = (strategy.latency(LOW, HIGH, (name, "gicd")) for name in ("pe0", "pe1"))
        picked = strategy.pick([timer("pe0"), timer("pe1")])

        assert picked == (0 if one <= other else 1)
        compared += one > other
    assert compared > 10


@given(systems(), st.integers(0, 1 << 32), st.sampled_from(DEPTHS))
def test_a_seed_gives_one_schedule_and_its_tape_the_same(
    system: System, seed: int, depth: int
) -> None:
    """No choice is made that is not on the tape."""
    runs: list[list[Turn]] = [[], [], []]
    worlds = [
        system.world(PctStrategy(seed, depth, 20, SHARED), turns.append) for turns in runs[:2]
    ]
    for world in worlds:
        world.run(1_000)
    tape = TapeStrategy(worlds[0].choices)
    system.world(tape, runs[2].append).run(1_000)

    assert runs[0] == runs[1] == runs[2]
    assert tape.left == 0


@pytest.mark.parametrize("depth", [0, 6])
def test_other_depths_are_refused(depth: int) -> None:
    """They are not what the literature gives a guarantee for."""
    with pytest.raises(AssertionError, match="depths 1 to 5"):
        PctStrategy(0, depth, 10, SHARED)
