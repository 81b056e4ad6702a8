"""SET_SUSPEND_MODE, and who may sleep how deeply when the OS is in charge."""

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.psci import Psci, PsciError, mpidr

MODE = Psci.SET_SUSPEND_MODE
SUSPEND = Psci.CPU_SUSPEND
RESUME = ENTRY + 0x1000
STANDBY, DOWN, CLUSTER_STANDBY, CLUSTER_DOWN = 0x0, 0x4000_0003, 0x4000_0023, 0x4000_0033
DENIED, INVALID = PsciError.DENIED, PsciError.INVALID_PARAMETERS
ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 0)


def codes(*calls, other=(), **fields):
    """What PE 0 gets; PE 1 makes calls of its own when it is on."""
    return Bench({BOOT: script(*calls), ENTRY: script(*other)}, **fields).run().pes[0].codes


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(MODE, 2)], [INVALID]),
        ([(MODE, 0), (MODE, 1), (MODE, 1), (MODE, 0)], [0, 0, 0, 0]),
        ([(MODE, 1 << 32)], [0]),
        ([ON_1, 300_000, (MODE, 1), (MODE, 0)], [0, 0, DENIED]),
        ([ON_1, (MODE, 1)], [0, DENIED]),
    ],
)
def test_when_the_mode_may_change(calls, expected):
    """To OS-initiated while nobody is pending; back only if all others are OFF."""
    fields = {"holds": [(0, 1, True)]} if len(calls) == 2 else {}
    assert codes(*calls, **fields) == expected


def test_a_cpu_suspend_since_the_boot_denies():
    """Firmware does not know what the OS thinks of a PE that has been suspended already."""
    boot = script((SUSPEND, DOWN, RESUME, 0))
    resumed = script((MODE, 1), (MODE, 0))
    bench = Bench({BOOT: boot, RESUME: resumed}, irqs=[(500_000, 0)]).run()
    assert bench.pes[0].codes == [DENIED, 0]


def test_a_cpu_suspend_that_was_refused_does_not_deny():
    """It has put nobody to sleep and told firmware nothing."""
    refused = [(SUSPEND, 1 << 29, RESUME, 0), (SUSPEND, DOWN, 1, 0)]
    assert codes(*refused, (MODE, 1)) == [INVALID, PsciError.INVALID_ADDRESS, 0]


def test_a_pe_in_default_suspend_does_not_deny():
    """Whoever sleeps by CPU_DEFAULT_SUSPEND is no obstacle."""
    sleeper = ((Psci.CPU_DEFAULT_SUSPEND, RESUME, 0),)
    assert codes(ON_1, 500_000, (MODE, 1), other=sleeper) == [0, 0]


def test_absent_mode_is_not_announced():
    """Without SET_SUSPEND_MODE, CPU_SUSPEND does not claim OS-initiated mode."""
    features = (Psci.FEATURES, SUSPEND)
    absent = {"absent": ("SET_SUSPEND_MODE",)}
    assert codes((MODE, 1), features, **absent) == [PsciError.NOT_SUPPORTED, 2]
    assert codes(features) == [3]


@pytest.mark.parametrize(
    ("sleeper", "asked", "expected"),
    [
        (None, CLUSTER_DOWN, DENIED),
        (None, CLUSTER_STANDBY, DENIED),
        (STANDBY, CLUSTER_DOWN, INVALID),
        (DOWN, 1 << 29, INVALID),
    ],
)
def test_os_initiated_refusals(sleeper, asked, expected):
    """A sibling that runs: DENIED; one that sleeps too lightly: INVALID_PARAMETERS."""
    other = () if sleeper is None else (200_000, (SUSPEND, sleeper, RESUME, 0))
    calls = (ON_1, 100_000, (MODE, 1), 500_000, (SUSPEND, asked, RESUME, 0))
    assert codes(*calls, other=other) == [0, 0, expected]


@pytest.mark.parametrize("sleeper", [STANDBY, DOWN, None])
@pytest.mark.parametrize("asked", [STANDBY, DOWN])
def test_os_initiated_core_states_are_free(sleeper, asked):
    """A state of the core alone asks nothing of its siblings."""
    other = () if sleeper is None else (200_000, (SUSPEND, sleeper, RESUME, 0))
    calls = (ON_1, 100_000, (MODE, 1), 500_000, (SUSPEND, asked, RESUME, 0))
    assert codes(*calls, other=other) == [0, 0]


def test_os_initiated_pending_sibling_denies():
    """A PE that is about to come on counts as one that runs."""
    calls = ((MODE, 1), ON_1, (SUSPEND, CLUSTER_DOWN, RESUME, 0))
    assert codes(*calls, holds=[(0, 1, True)]) == [0, 0, DENIED]


def test_os_initiated_last_man_takes_the_cluster():
    """With its sibling OFF or powered down, a PE may take the cluster; another one may look."""
    for other in ((Psci.CPU_OFF,), (SUSPEND, DOWN, RESUME, 0)):
        look = (400_000, (Psci.NODE_HW_STATE, mpidr(1, 0), 1))
        last = (150_000, (SUSPEND, CLUSTER_DOWN, RESUME, 0))
        boot = (
            (MODE, 1),
            (Psci.CPU_ON, mpidr(1, 0), ENTRY, 0),
            (Psci.CPU_ON, mpidr(1, 1), ENTRY + 0x100, 0),
        )
        programs = {
            BOOT: script(*boot, *look),
            ENTRY: script(other),
            ENTRY + 0x100: script(*last),
        }
        bench = Bench(programs).run()
        assert bench.pes[0].codes == [0, 0, 0, 1]
        assert bench.pes[3].codes == []
