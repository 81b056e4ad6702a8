"""NODE_HW_STATE: what the power switches do, whatever AFFINITY_INFO says."""

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.psci import HwState, Psci, PsciError, mpidr

ON, OFF, STANDBY = HwState.ON, HwState.OFF, HwState.STANDBY
STATE = Psci.NODE_HW_STATE
ON_2 = (Psci.CPU_ON, mpidr(1, 0), ENTRY, 0)
BOTH = ((STATE, mpidr(1, 0), 0), (STATE, mpidr(1, 0), 1))


def after(other, **fields):
    """State of PE 2 and of its cluster long after PE 2 has made a call."""
    boot = script(ON_2, 400_000, *BOTH)
    return Bench({BOOT: boot, ENTRY: script(other)}, **fields).run().pes[0].codes[1:]


@pytest.mark.parametrize(
    ("call", "pe", "cluster"),
    [
        ((Psci.VERSION,), ON, ON),
        ((Psci.CPU_OFF,), OFF, OFF),
        ((Psci.CPU_FREEZE,), STANDBY, ON),
        ((Psci.CPU_SUSPEND, 0, 0, 0), STANDBY, ON),
        ((Psci.CPU_SUSPEND, 0x4000_0003, ENTRY, 0), OFF, ON),
        ((Psci.CPU_SUSPEND, 0x4000_0023, ENTRY, 0), OFF, STANDBY),
        ((Psci.CPU_SUSPEND, 0x4000_0033, ENTRY, 0), OFF, OFF),
    ],
)
def test_states_of_a_pe_and_its_cluster(call, pe, cluster):
    """A PE sleeps as it asked; its cluster as its last PE asked."""
    assert after(call) == [pe, cluster]


def test_on_pending_is_off():
    """A PE whose power-up is withheld is ON_PENDING to AFFINITY_INFO and off in truth."""
    boot = script(ON_2, 400_000, (Psci.AFFINITY_INFO, mpidr(1, 0), 0), *BOTH)
    bench = Bench({BOOT: boot}, holds=[(0, 2, True)]).run()

    assert bench.pes[0].codes == [0, 2, OFF, OFF]
    assert not bench.pes[2].entered


def test_released_after_the_hold():
    """The PE comes up as soon as it is given free."""
    bench = Bench({BOOT: script(ON_2)}, holds=[(0, 2, True), (900_000, 2, False)]).run()
    assert bench.pes[2].entered == [(ENTRY, 0)]


@pytest.mark.parametrize(
    ("target", "level", "expected"),
    [
        (mpidr(0, 3), 1, ON),
        (mpidr(1, 9), 2, ON),
        (mpidr(0, 3), 0, PsciError.INVALID_PARAMETERS),
        (mpidr(2, 0), 1, PsciError.INVALID_PARAMETERS),
        (mpidr(0, 0), 3, PsciError.INVALID_PARAMETERS),
        (1 << 31, 0, PsciError.INVALID_PARAMETERS),
    ],
)
def test_which_nodes_there_are(target, level, expected):
    """Fields below the level do not count; beyond the tree there is nothing."""
    assert Bench({BOOT: script((STATE, target, level))}).run().pes[0].codes == [expected]
