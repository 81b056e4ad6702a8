"""A judge may watch a world from inside instead of reading its journal: the verdict is the same."""

import pytest

from bus.journal import HubEvent
from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from deploy.run_sim import ENDINGS
from proto.ids import HUB
from proto.permissions import permissions
from proto.turn import Turn
from proto.units import MS
from services.monitor.verdict import Judge, Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]


ENOUGH_NS = 300 * MS
"""A cycle and what follows from it; a published profile may not come to its end by itself."""


def judged(scenario: str, overrides: Overrides, watching: bool) -> tuple[Verdict, list[int]]:
    """The verdict on a run, and the run's tape."""
    board = resolve(scenario, overrides)
    judge = Judge(board, "sim")
    world = World(
        build_nodes(board),
        board.platform.latencies,
        RandomStrategy(board.scenario.seed),
        None if watching else judge.feed,
        permissions(board),
        watch=judge.watch if watching else None,
    )
    outcome = world.run(ENOUGH_NS)
    judge.feed(HubEvent("end", HUB, ENDINGS[outcome], world.now))
    return judge.conclude(torn=False), world.choices


@pytest.mark.parametrize("profile", ["baseline", "seed", "v8", "v11"])
@pytest.mark.parametrize("seed", [1, 2])
def test_watching_finds_what_reading_finds(profile: str, seed: int) -> None:
    """Findings, positions, phases and counts do not depend on how the judge looks."""
    overrides = Overrides(profile=profile, seed=seed)
    read, choices = judged("baseline", overrides, watching=False)
    watched, same_choices = judged("baseline", overrides, watching=True)

    assert same_choices == choices
    assert watched == read
    assert read.turns > 1000
    assert read.messages > 1000


def test_a_watched_run_that_stops_is_judged_at_its_last_turn() -> None:
    """A run that board time cut off is as long for who watched it as for who read it."""
    board = resolve("baseline", Overrides(seed=3))
    turns: list[Turn] = []
    judge = Judge(board, "sim")
    world = World(
        build_nodes(board),
        board.platform.latencies,
        RandomStrategy(3),
        turns.append,
        watch=judge.watch,
    )
    world.run(3 * MS)
    first = judge.watch.turns
    world.run(6 * MS)

    assert 0 < first < judge.watch.turns == len(turns) == world.turns
    assert judge.watch.now == turns[-1].now
