"""Real firmware bugs come back when a symbol is relinked, and stay away when none is."""

import functools

import msgspec
from firmware_bench import BOOT, ENTRY, LATENCIES, Bench, script

from proto.gic import GICC
from proto.platform import GICC_BASE
from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.traces import PeHalted, SystemSuspendDecision
from services.firmware.gicv2 import GICC_CTLR_BYPASS_DISABLE
from services.firmware.plat_pm import pwr_domain_on
from services.firmware.psci_common import (
    core_of,
    psci_get_aff_info_state,
    psci_save_entry_point,
    psci_set_aff_info_state,
)
from services.firmware.psci_on import REFUSALS, psci_cpu_on_start
from services.firmware.spinlock import spin_lock, spin_unlock

FAST_POWER = msgspec.structs.replace(LATENCIES, power_up=(0, 3_000))
OTHER = ENTRY + 0x100


async def on_pending_after_power_on(el3, target, entry, context_id):
    """TF-A 42cae5a16: the state is written after the power is on."""
    if refusal := REFUSALS.get(await psci_get_aff_info_state(el3, target)):
        return refusal
    await psci_save_entry_point(el3, target, entry, context_id)
    if await pwr_domain_on(el3, target):
        return PsciError.INTERNAL_FAILURE
    await psci_set_aff_info_state(el3, target, Affinity.ON_PENDING)
    return PsciError.SUCCESS


async def entry_filled_before_the_lock(el3, target_mpidr, entry, context_id):
    """The target's context is written by every caller, before any of them has won."""
    target = core_of(el3.platform, target_mpidr)
    await psci_save_entry_point(el3, target, entry, context_id)
    lock = el3.memory.cpus[target].cpu_lock
    await spin_lock(el3, lock)
    code = await psci_cpu_on_start(el3, target, entry, context_id)
    await spin_unlock(el3, lock)
    return code


async def denied_but_marked_off(el3):
    """tf-issues#323: CPU_OFF is refused, and the state is OFF all the same."""
    await psci_set_aff_info_state(el3, el3.cpu, Affinity.OFF)
    return PsciError.DENIED


async def off_written_twice(el3, cpu, state):
    """TF-A 203cdfe26: invalidating the line undoes what another PE wrote meanwhile."""
    cell = el3.memory.cpus[cpu].aff_info_state
    await el3.store(cell, state)
    if state is Affinity.OFF and cpu == el3.cpu:
        await el3.delay(0, 5_000)
        await el3.store(cell, state)


def test_on_pending_set_too_late():
    """The woken PE can find itself OFF; with the steps in order it never does."""
    call = script((Psci.CPU_ON, mpidr(0, 1), ENTRY, 1))
    relinked = {"psci_cpu_on_start": on_pending_after_power_on}
    panics = {True: 0, False: 0}
    for seed in range(200):
        for bug in panics:
            bench = Bench(
                {BOOT: call}, seed=seed, latencies=FAST_POWER, relinked=relinked if bug else None
            ).run()
            panics[bug] += bool(bench.traces(PeHalted))

    assert panics[True] > 0
    assert panics[False] == 0


def started_with_the_winners_arguments(seed, relinked):
    """Race two CPU_ON callers; whether the target got what the winner asked for."""
    programs = {
        BOOT: script(
            (Psci.CPU_ON, mpidr(1, 0), OTHER, 0), 60_000, (Psci.CPU_ON, 1, ENTRY + 0x200, 200)
        ),
        OTHER: script(30_000, (Psci.CPU_ON, mpidr(0, 1), ENTRY + 0x300, 300)),
    }
    bench = Bench(programs, seed=seed, relinked=relinked).run()
    context_id = 200 if bench.pes[0].codes[1] == PsciError.SUCCESS else 300
    return [x0 for _, x0 in bench.pes[1].entered] == [context_id]


def test_stale_entry():
    """A losing caller can overwrite the pending winner's entry; under the lock it cannot."""
    relinked = {"psci_cpu_on": entry_filled_before_the_lock}

    assert not all(started_with_the_winners_arguments(seed, relinked) for seed in range(100))
    assert all(started_with_the_winners_arguments(seed, None) for seed in range(100))


def test_cpu_off_denied_with_the_state_error():
    """A PE that runs but is OFF to firmware lets SYSTEM_SUSPEND pass."""
    boot = script((Psci.CPU_ON, mpidr(0, 1), ENTRY, 0), 300_000, (Psci.SYSTEM_SUSPEND, ENTRY, 0))
    bench = Bench(
        {BOOT: boot, ENTRY: script((Psci.CPU_OFF,))},
        relinked={"psci_cpu_off": denied_but_marked_off},
    ).run()

    [decision] = bench.traces(SystemSuspendDecision)
    assert decision.result == "SUSPEND"
    assert bench.pes[1].on


def test_on_pending_lost_by_invalidate():
    """A CPU_ON that wins while the dying PE still writes is forgotten; the PE then starts OFF."""
    panicked = 0
    for seed in range(100):

        def boot(pe):
            yield Psci.CPU_ON, mpidr(0, 1), ENTRY, 1
            yield 40_000
            for _ in range(50):
                if (yield Psci.CPU_ON, mpidr(0, 1), OTHER, 2) == PsciError.SUCCESS:
                    return

        bench = Bench(
            {BOOT: boot, ENTRY: script((Psci.CPU_OFF,))},
            seed=seed,
            relinked={"psci_set_aff_info_state": off_written_twice},
        ).run()
        panicked += bool(bench.traces(PeHalted))

    assert panicked > 0


STALE: dict[int, Affinity] = {}
"""What each cluster's cache holds of the PEs; emptied before each run."""


async def state_cached_per_cluster(el3, cpu):
    """TF-A 71341d236: a cluster that is out of coherency reads what it saw last."""
    own = el3.platform.cluster_of(el3.cpu)
    if own == el3.platform.cluster_of(cpu):
        return Affinity(await el3.load(el3.memory.cpus[cpu].aff_info_state))
    key = own << 8 | cpu
    if key not in STALE:
        STALE[key] = Affinity(await el3.load(el3.memory.cpus[cpu].aff_info_state))
    return STALE[key]


async def written_to_the_own_cache(el3, cpu, state):
    """The other half of it: a cluster sees at least its own writes."""
    STALE[el3.platform.cluster_of(el3.cpu) << 8 | cpu] = state
    await el3.store(el3.memory.cpus[cpu].aff_info_state, state)


def third_call(relinked):
    """CPU_ON, CPU_OFF, and CPU_ON again of the last PE of another cluster."""
    STALE.clear()
    call = (Psci.CPU_ON, mpidr(1, 0), ENTRY, 0)
    look = (Psci.AFFINITY_INFO, mpidr(1, 0), 0)
    boot = script(call, look, 400_000, call)
    bench = Bench({BOOT: boot, ENTRY: script((Psci.CPU_OFF,))}, relinked=relinked).run()
    return bench.pes[0].codes[2], bench.affinity(2)


def test_stale_affinity_in_other_cluster():
    """CPU_ON is refused for a state that has long been over, or wins as it should."""
    bug = {
        "psci_get_aff_info_state": state_cached_per_cluster,
        "psci_set_aff_info_state": written_to_the_own_cache,
    }

    assert third_call(None) == (PsciError.SUCCESS, Affinity.OFF)
    assert third_call(bug)[0] == PsciError.ON_PENDING


def kill(pe, polls, pause):
    """Start PE 1, which goes away, and take its memory: after a poll for OFF, or at once."""
    yield Psci.CPU_ON, mpidr(0, 1), ENTRY, 0
    yield pause
    while polls and (yield Psci.AFFINITY_INFO, mpidr(0, 1), 0) != Affinity.OFF:
        yield 1_000
    yield Psci.AFFINITY_INFO, mpidr(0, 1), 0


def test_cpu_kill_without_affinity_poll():
    """Without the poll a caller takes a PE for gone that is still at work; with it, never."""
    for polls in (False, True):
        states = set()
        for seed in range(60):
            boot = functools.partial(kill, polls=polls, pause=20_000 + 500 * seed)
            bench = Bench({BOOT: boot, ENTRY: script((Psci.CPU_OFF,))}, seed=seed).run()
            states.add(bench.pes[0].codes[-1])
        assert (Affinity.ON in states) is not polls
        assert not polls or states == {Affinity.OFF}


async def undo_left_out(el3, interface):
    """The power-down is given up, and nothing that was done for it is taken back."""


EARLY = {
    "irqs": [(150_000, 0)],
    "late_abandon": True,
    "latencies": msgspec.structs.replace(LATENCIES, system_power=(300_000, 300_000)),
}


def test_early_wake_reported_as_success():
    """SUCCESS in place for a sleep that never was; without the undo nothing can be signalled."""
    for relinked, reopened in ((None, True), ({"psci_system_suspend_undo": undo_left_out}, False)):
        boot = script((Psci.SYSTEM_SUSPEND, ENTRY, 0))
        bench = Bench({BOOT: boot}, relinked=relinked, **EARLY).run()
        ctlr = [v for _, a, v in bench.gicd.written if a == GICC_BASE + GICC.CTLR.offset]

        assert bench.pes[0].codes == [PsciError.SUCCESS]
        assert bench.pes[0].entered == [(BOOT, 0)]
        assert (ctlr[-1] != GICC_CTLR_BYPASS_DISABLE) is reopened
