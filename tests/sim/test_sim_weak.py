"""Xen on weak memory: its barriers are enough, and each that is missing is found there only."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.explore.hunt import hunt, mutated
from deploy.loading import Overrides, resolve
from proto.board import Board
from proto.codec import encode
from proto.ids import CpuIndex, pe_node
from proto.permissions import permissions
from proto.platform import MemoryModel
from proto.turn import Fired, Turn
from services.monitor.verdict import Judge, Verdict

SILENT = (
    "stop-machine-state-before-done",
    "stop-machine-done-before-result",
    "spin-unlock-without-release",
)
"""Mutants whose barrier costs no message, so that nothing changes without a buffer."""
MUTANTS = (*SILENT, "dead-flag-lost-with-power")


def run(board: Board, seed: int) -> tuple[Verdict, list[Turn]]:
    """The verdict on one random schedule, and its turns."""
    judge, turns = Judge(board, "sim"), []

    def record(turn: Turn) -> None:
        turns.append(turn)
        judge.feed(turn)

    nodes = build_nodes(board)
    strategy = RandomStrategy(seed)
    world = World(nodes, board.platform.latencies, strategy, record, permissions(board))
    world.run(board.scenario.time_limit_ms * 10**6)
    return judge.conclude(False), turns


def unexpected(verdict: Verdict) -> Sequence[object]:
    return [finding for finding in verdict.findings if not finding.expected]


def sequentially_consistent(board: Board) -> Board:
    platform = replace(board.platform, memory_model=MemoryModel.SC)
    return replace(board, platform=platform)


@pytest.mark.parametrize("platform", ["dual-weak", "quad-weak"])
@pytest.mark.parametrize("seed", range(4))
def test_the_barriers_of_xen_are_enough(platform: str, seed: int) -> None:
    """Boot, suspend and resume are clean under every property."""
    verdict, _ = run(resolve("baseline", Overrides(platform=platform)), seed)
    assert unexpected(verdict) == []
    assert verdict.verdict == "pass"


@pytest.mark.parametrize("scenario", ["cpu-hotplug", "toolstack", "two-control-domains"])
def test_other_scenarios_are_clean_too(scenario: str) -> None:
    """What else takes locks, timers and event channels."""
    verdict, _ = run(resolve(scenario, Overrides(platform="quad-weak")), 1)
    assert unexpected(verdict) == []
    assert verdict.verdict == "pass"


def test_stores_overtake_each_other_in_these_runs() -> None:
    """The runs above are no runs of an obedient memory: timers fire in another order than set."""
    _, turns = run(resolve("baseline", Overrides(platform="dual-weak")), 0)
    numbers = [
        int(turn.input.timer.removeprefix("drain."))
        for turn in turns
        if turn.node == pe_node(CpuIndex(0))
        and isinstance(turn.input, Fired)
        and turn.input.timer.startswith("drain.")
    ]
    assert numbers != sorted(numbers)


def test_a_seed_gives_the_same_journal_again() -> None:
    """When a store leaves is a choice of the world, and of nobody else."""
    board = resolve("baseline", Overrides(platform="dual-weak"))
    (_, first), (_, second) = run(board, 7), run(board, 7)
    assert encode(tuple(first)) == encode(tuple(second))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_barrier_is_found(name: str) -> None:
    """By the property that its file names, within some hundred schedules."""
    assert hunt(name, seed=0, limit=400).caught_after is not None


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("seed", range(3))
def test_without_a_buffer_the_missing_barrier_changes_nothing(name: str, seed: int) -> None:
    """The journal is the same to the byte, so no schedule could find it."""
    mutant = sequentially_consistent(mutated(name))
    _, with_bug = run(mutant, seed)
    _, without = run(replace(mutant, patches=()), seed)
    assert encode(tuple(with_bug)) == encode(tuple(without))


@pytest.mark.parametrize("seed", range(3))
def test_without_a_buffer_no_flag_dies_with_its_pe(seed: int) -> None:
    """What is stored is visible before CPU_OFF is called, barrier or not."""
    board = sequentially_consistent(mutated("dead-flag-lost-with-power"))
    verdict, _ = run(board, seed)
    assert unexpected(verdict) == []
