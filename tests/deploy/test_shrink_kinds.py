"""Failures of ten kinds shrink to a twentieth of their choices, and still fail alike."""

import pytest

from bus.world.delays import DelayStrategy, ObservedTape
from deploy.explore.explorer import explore
from deploy.explore.hunt import is_caught, mutant_in, mutated
from deploy.explore.play import play
from deploy.shrink.reduce import fewer_delays
from deploy.shrink.trial import Case, Lab, reason_of
from proto.units import MS

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

TRIES = 400

KINDS = {
    "cpu-kill-without-affinity-poll": "I1",
    "domu-wake-without-reset": "I3",
    "config-after-enable": "I4",
    "wake-irq-between-save-and-smc": "I5",
    "offlined-cpu-still-irq-target": "I7",
    "watchdog-fires-right-after-resume": "I9",
    "free-in-cpu-dying": "I11",
    "percpu-area-reinit-busy": "no_panic",
    "on-pending-set-too-late": "psci_state",
    "stale-affinity-in-other-cluster": "psci_info",
}
"""Known bugs with the property that each violates, a different one."""


def test_the_kinds_are_ten_different_ones() -> None:
    """No property stands twice."""
    assert len(set(KINDS.values())) == len(KINDS) == 10


@pytest.mark.parametrize("name", KINDS)
def test_at_most_a_twentieth_of_the_choices_is_left(name: str) -> None:
    """The failure of a random schedule needs few of its choices."""
    mutant, board = mutant_in(name), mutated(name)
    progress = explore(board, "random", 200, stop=lambda result: is_caught(mutant, result))
    failed = progress.failures[-1]
    finding = next(found for found in failed.surprises if found.property == KINDS[name])
    tape = ObservedTape(failed.choices)
    played = play(board, tape, limit_ns=failed.stopped_ns)
    lab = Lab(reason_of(finding), TRIES, max(20 * MS, 2 * played.ended_ns))

    smallest = fewer_delays(Case(board, tape.delays, windows=False), lab)

    assert mutant.property == KINDS[name]
    assert len(smallest.delays) <= len(failed.choices) // 20
    assert lab.fails(board, DelayStrategy(smallest.delays))
