"""CPU_OFF: denial, the order of its steps, the power-domain tree."""

import msgspec
import pytest
from firmware_bench import BOOT, ENTRY, LATENCIES, Bench, script

from proto.gic import GICC
from proto.messages import PointReached, PowerOff, Rail
from proto.platform import GICC_BASE
from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.traces import AffinityState
from proto.turn import Trace
from services.firmware.gicv2 import GICC_CTLR_BYPASS_DISABLE
from services.firmware.memory import LocalState

OFF = (Psci.CPU_OFF,)
ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 1)
ON_2 = (Psci.CPU_ON, mpidr(1, 0), ENTRY, 2)


def test_does_not_return_and_loses_power():
    """CPU_OFF ends with the rail off and OFF published once."""
    bench = Bench({BOOT: script(ON_1), ENTRY: script(OFF)}).run()

    assert bench.pes[1].codes == []
    assert not bench.pes[1].on
    assert bench.published(1) == ["ON_PENDING", "ON", "OFF"]
    assert len(bench.sends("el3.pe1", PowerOff)) == 1


@pytest.mark.parametrize("injected", [-3, 1])
def test_denied_leaves_the_pe_on(injected):
    """A refusal comes before any power-down work, and the PE goes on as if nothing had been."""
    version = (Psci.VERSION,)
    bench = Bench(
        {BOOT: script(ON_1), ENTRY: script(OFF, version)},
        points={"el3.CPU_OFF pe1": (injected, 100)},
    ).run()

    assert bench.pes[1].codes == [PsciError.DENIED, 0x10003]
    assert bench.pes[1].on
    assert bench.affinity(1) is Affinity.ON
    assert bench.published(1) == ["ON_PENDING", "ON"]
    assert bench.dram.cells[bench.el3s[1].memory.clusters[0].requested[1]] == LocalState.RUN


def test_off_is_published_after_the_power_down_work():
    """The cache flush lies before OFF, the held point and the cut behind it."""
    latencies = msgspec.structs.replace(LATENCIES, cache_flush=(400_000, 400_000))
    bench = Bench(
        {BOOT: script(ON_1), ENTRY: script(OFF)},
        points={"el3.CPU_OFF pe1": (0, 0), "el3.after_CPU_OFF pe1": (0, 700_000)},
        latencies=latencies,
    ).run()
    [(called, _), (after, _)] = bench.sends("el3.pe1", PointReached)
    published = max(
        turn.now for turn in bench.turns if Trace(AffinityState(1, "OFF")) in turn.effects
    )
    [(power_off, _)] = bench.sends("el3.pe1", PowerOff)
    [(cut, _)] = [(at, rail) for at, rail in bench.sends("scp", Rail) if not rail.on]

    assert called + 400_000 <= published <= after
    assert after + 700_000 <= power_off < cut


def test_cpu_interface_is_closed_with_bypass_disabled():
    """Before the last WFI nothing can be signalled to the PE any more."""
    bench = Bench({BOOT: script(ON_1), ENTRY: script(OFF)}).run()
    writes = [
        value
        for src, address, value in bench.gicd.written
        if src == "el3.pe1" and address == GICC_BASE + GICC.CTLR.offset
    ]

    assert writes[-1] == GICC_CTLR_BYPASS_DISABLE


def test_last_man_takes_the_cluster_down():
    """A cluster goes off with its last PE, and comes back with its first."""
    boot = script(ON_1, ON_2, 300_000, ON_1)
    bench = Bench({BOOT: boot, ENTRY: script(OFF)}).run()
    first, second = bench.el3s[0].memory.clusters
    cells = bench.dram.cells

    assert cells[first.local_state] == LocalState.RUN
    assert cells[second.local_state] == LocalState.OFF
    assert cells[bench.el3s[0].memory.system.local_state] == LocalState.RUN
    assert [cells[cell] for cell in second.requested] == [LocalState.OFF] * 4


def test_tree_is_right_whatever_the_order():
    """Both PEs of a cluster go down at once: the cluster ends off, and no lock stays."""
    for seed in range(100):
        boot = script(ON_2, (Psci.CPU_ON, mpidr(1, 1), ENTRY, 3))
        bench = Bench({BOOT: boot, ENTRY: script(OFF)}, seed=seed).run()
        memory = bench.el3s[0].memory
        locks = [memory.system.lock, *(c.lock for c in memory.clusters)]
        locks += [data.cpu_lock for data in memory.cpus]

        assert bench.dram.cells[memory.clusters[1].local_state] == LocalState.OFF
        assert bench.dram.cells[memory.clusters[0].local_state] == LocalState.RUN
        assert not [lock for lock in locks if bench.dram.cells[lock]]
        assert [bench.affinity(cpu) for cpu in (2, 3)] == [Affinity.OFF] * 2
