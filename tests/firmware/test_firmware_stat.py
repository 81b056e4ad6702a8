"""STAT_COUNT and STAT_RESIDENCY: per node and local state, entries and the time spent."""

import msgspec
import pytest
from firmware_bench import BOOT, ENTRY, LATENCIES, Bench, script

from proto.psci import Psci, mpidr

RESUME = ENTRY + 0x1000
STANDBY, DOWN, CLUSTER_DOWN = 0x0, 0x4000_0003, 0x4000_0033
COUNTS = tuple((Psci.STAT_COUNT, mpidr(0, 0), state) for state in (STANDBY, DOWN, CLUSTER_DOWN))


@pytest.mark.parametrize(
    ("state", "clusters", "expected"),
    [
        (STANDBY, (2, 2), [1, 0, 0]),
        (DOWN, (2, 2), [0, 1, 0]),
        (CLUSTER_DOWN, (2, 2), [0, 1, 1]),
    ],
)
def test_counts(state, clusters, expected):
    """One sleep counts once, at every level that slept."""

    def asleep(pe):
        yield Psci.CPU_SUSPEND, state, RESUME, 0
        pe.take()
        yield from script(*COUNTS)(pe)

    def resumed(pe):
        pe.take()
        yield from script(*COUNTS)(pe)

    bench = Bench({BOOT: asleep, RESUME: resumed}, clusters=clusters, irqs=[(500_000, 0)]).run()
    assert bench.pes[0].codes[-3:] == expected


def test_a_cluster_that_ran_does_not_count():
    """The PE slept as deeply as it asked, its cluster had to run for the other PE."""
    boot = script(
        (Psci.CPU_ON, mpidr(0, 1), ENTRY, 0), 300_000, (Psci.CPU_SUSPEND, CLUSTER_DOWN, RESUME, 0)
    )
    bench = Bench({BOOT: boot, RESUME: script(*COUNTS)}, irqs=[(900_000, 0)]).run()
    assert bench.pes[0].codes == [0, 0, 1, 0]


def test_a_sleep_that_lasts_counts_without_its_time():
    """Another PE sees the entry at once, and no time before the sleep is over."""
    boot = script(
        (Psci.CPU_ON, mpidr(1, 0), ENTRY, 0),
        400_000,
        *((Psci.STAT_COUNT, mpidr(1, 0), state) for state in (STANDBY, DOWN, CLUSTER_DOWN)),
        (Psci.STAT_RESIDENCY, mpidr(1, 0), DOWN),
    )
    bench = Bench({BOOT: boot, ENTRY: script((Psci.CPU_SUSPEND, CLUSTER_DOWN, RESUME, 0))}).run()
    assert bench.pes[0].codes == [0, 0, 1, 1, 0]


def test_residency_is_in_microseconds():
    """From the WFI, or a little before it, to the wake-up, or a little after it."""
    residency = (Psci.STAT_RESIDENCY, mpidr(0, 0), DOWN)
    boot = script((Psci.CPU_SUSPEND, DOWN, RESUME, 0))
    bench = Bench({BOOT: boot, RESUME: script(residency)}, irqs=[(5_000_000, 0)]).run()
    assert 4_700 <= bench.pes[0].codes[0] <= 5_100


@pytest.mark.parametrize("state", [DOWN, CLUSTER_DOWN])
def test_a_power_down_given_up_behind_its_wfi_does_not_count(state):
    """The interrupt comes before the cut: no level has slept."""

    def boot(pe):
        yield Psci.CPU_SUSPEND, state, RESUME, 0
        pe.take()
        yield from script(*COUNTS)(pe)

    slow = msgspec.structs.replace(LATENCIES, block_power=(300_000, 300_000))
    bench = Bench({BOOT: boot}, irqs=[(150_000, 0)], latencies=slow).run()
    assert bench.pes[0].codes == [0, 0, 0, 0]
    assert bench.pes[0].entered == [(BOOT, 0)]


def test_a_power_down_that_is_not_begun_does_not_count():
    """An interrupt is pending already."""

    def boot(pe):
        yield 100_000
        yield Psci.CPU_SUSPEND, DOWN, RESUME, 0
        yield from script(*COUNTS)(pe)

    bench = Bench({BOOT: boot}, irqs=[(50_000, 0)]).run()
    assert bench.pes[0].codes == [0, 0, 0, 0]


@pytest.mark.parametrize("function", [Psci.STAT_COUNT, Psci.STAT_RESIDENCY, Psci.STAT_COUNT_32])
@pytest.mark.parametrize("args", [(mpidr(0, 5), DOWN), (mpidr(0, 0), 0x99), (1 << 31, DOWN)])
def test_bad_arguments_give_zero(function, args):
    """There is no error code among numbers."""
    assert Bench({BOOT: script((function, *args))}).run().pes[0].codes == [0]
