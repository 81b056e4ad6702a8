"""Two control domains that suspend at once: one is parked, the last one takes the host with it."""

from collections import Counter

import pytest

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from proto.cells import Cell
from proto.ids import CpuIndex, pe_node
from proto.image import Program, defined_in
from proto.traces import SuspendPolicy
from proto.turn import Trace, Turn
from proto.units import S
from services.pcpu.node import XEN_PACKAGE, PeNode
from services.pcpu.pe import Pe

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

SEEDS = range(40)


def decisions(seed: int, relinked: dict[str, Program] | None = None) -> tuple[str, ...]:
    """What the policy decided, sorted: one word for each call."""
    board = resolve("two-control-domains", Overrides(seed=seed))
    nodes = build_nodes(board)
    for cpu in board.platform.cpus:
        nodes[pe_node(cpu)] = PeNode(board, CpuIndex(cpu), relinked)
    found: list[str] = []

    def record(turn: Turn) -> None:
        found.extend(
            effect.event.decision
            for effect in turn.effects
            if isinstance(effect, Trace) and isinstance(effect.event, SuspendPolicy)
        )

    World(nodes, board.platform.latencies, RandomStrategy(seed), record).run(10 * S)
    return tuple(sorted(found))


def test_exactly_one_takes_the_host_with_it() -> None:
    """Whatever the order, and however close the calls."""
    assert {decisions(seed) for seed in SEEDS} == {("host", "parked")}


def test_without_the_lock_both_can_be_parked() -> None:
    """Policy and shutdown must be one critical section: else nobody starts the host suspend."""
    spin_lock = defined_in(XEN_PACKAGE)["spin_lock"]

    async def spin_lock_but_not_for_suspend(pe: Pe, lock: Cell) -> None:
        if lock != pe.xen.system.suspend_lock:
            await spin_lock(pe, lock)

    relinked = {"spin_lock": spin_lock_but_not_for_suspend}
    seen = Counter(decisions(seed, relinked) for seed in SEEDS)

    assert ("parked", "parked") in seen
