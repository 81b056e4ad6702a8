"""SYSTEM_SUSPEND: refusals and their order, pending interrupts, sleep and resume."""

from collections import Counter

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.gic import GICC, GICD
from proto.messages import SystemSleep
from proto.platform import GICC_BASE, GICD_BASE, RTC_SPI, SRAM_BASE
from proto.psci import Affinity, Psci, PsciError, mpidr
from proto.traces import PeHalted, SystemPower, SystemSuspendDecision
from services.firmware.gicv2 import ALL_GROUP_1, GICC_CTLR_BYPASS_DISABLE

JUNK = 0xDEAD_BEEF_0000_0000
RESUME = ENTRY + 0x1000
SUSPEND = (Psci.SYSTEM_SUSPEND, RESUME, 0x1234)
OFF = (Psci.CPU_OFF,)
LATE = {"rtc": [(2_000_000, RTC_SPI, True)]}


def on(cluster, core):
    """The call that brings a PE up."""
    return Psci.CPU_ON, mpidr(cluster, core), ENTRY, 0


def decisions(bench):
    """What EL3 decided, with the affinity states it saw."""
    return [(event.result, event.affinity) for event in bench.traces(SystemSuspendDecision)]


ALONE = ("ON", "OFF", "OFF", "OFF")


def test_sleeps_and_resumes_at_the_entry():
    """The caller restarts at its entry with context id in x0; it was ON all the time."""
    bench = Bench({BOOT: script(SUSPEND), RESUME: script((Psci.VERSION,))}, wakes=LATE).run()

    assert decisions(bench) == [("SUSPEND", ALONE)]
    assert bench.pes[0].entered == [(BOOT, 0), (RESUME, 0x1234)]
    assert bench.pes[0].codes == [0x10003]
    assert bench.published(0) == []
    assert bench.affinity(0) is Affinity.ON
    assert [event.state for event in bench.traces(SystemPower)] == ["sleeping", "waking", "on"]


@pytest.mark.parametrize("wires", [True, False])
def test_the_wake_mask_names_wires_that_are_there(wires):
    """Without wires of their own, wake sources end a sleep through the GIC alone."""
    bench = Bench({BOOT: script(SUSPEND)}, wake_wires=wires).run()

    ((_, sleep),) = bench.sends("el3.pe0", SystemSleep)
    assert (RTC_SPI in sleep.wake_mask) is wires


def test_smc32_drops_the_upper_halves():
    """Entry and context id of the 32-bit call are 32 bits wide."""
    call = (Psci.SYSTEM_SUSPEND_32, JUNK | RESUME, JUNK | 7)
    bench = Bench({BOOT: script(call)}, wakes=LATE).run()

    assert bench.pes[0].entered[1:] == [(RESUME, 7)]


def test_others_stay_off_and_need_cpu_on():
    """After resume only the caller runs, and a secondary can be brought up again."""
    info = (Psci.AFFINITY_INFO, mpidr(0, 1), 0)
    boot = script(on(0, 1), 300_000, info, SUSPEND)
    resume = script(info, on(0, 1), 300_000, info)
    bench = Bench({BOOT: boot, ENTRY: script(OFF), RESUME: resume}, wakes=LATE).run()

    assert bench.pes[0].codes == [0, 1, 1, 0, 1]
    assert len(bench.pes[1].entered) == 2


@pytest.mark.parametrize("entry", [RESUME + 1, RESUME + 2, 0, SRAM_BASE, JUNK | RESUME])
def test_bad_entry(entry):
    """An entry that no PE can start at is INVALID_ADDRESS, and nothing goes down."""
    bench = Bench({BOOT: script((Psci.SYSTEM_SUSPEND, entry, 0))}).run()

    assert bench.pes[0].codes == [PsciError.INVALID_ADDRESS]
    assert decisions(bench) == [("INVALID_ADDRESS", ALONE)]
    assert not bench.sends("el3.pe0", SystemSleep)


def test_denied_comes_before_invalid_address():
    """TF-A looks for the last PE before it looks at the entry."""
    boot = script(on(0, 1), 300_000, (Psci.SYSTEM_SUSPEND, 1, 0))
    bench = Bench({BOOT: boot}).run()

    assert bench.pes[0].codes[-1] == PsciError.DENIED
    assert decisions(bench) == [("DENIED", ("ON", "ON", "OFF", "OFF"))]


def test_denied_while_a_secondary_is_on_pending():
    """A PE on its way up is not OFF."""
    bench = Bench(
        {BOOT: script(on(1, 1), SUSPEND)}, points={"el3.warm_boot pe3": (0, 500_000)}
    ).run()

    assert bench.pes[0].codes == [0, PsciError.DENIED]
    assert decisions(bench) == [("DENIED", ("ON", "OFF", "OFF", "ON_PENDING"))]


def test_denied_while_a_secondary_is_inside_cpu_off():
    """Having called CPU_OFF is not being OFF; firmware does not wait."""
    bench = Bench(
        {BOOT: script(on(0, 1), 300_000, SUSPEND), ENTRY: script(OFF)},
        points={"el3.CPU_OFF pe1": (0, 500_000)},
    ).run()

    assert bench.pes[0].codes == [0, PsciError.DENIED]
    assert decisions(bench) == [("DENIED", ("ON", "ON", "OFF", "OFF"))]


def test_a_call_close_to_cpu_off_is_denied_or_sleeps():
    """In every order the decision follows what was published, and a sleep finds all rails off."""
    seen = Counter()
    for seed in range(300):
        bench = Bench(
            {BOOT: script(on(0, 1), 45_000, SUSPEND), ENTRY: script(OFF), RESUME: script()},
            seed=seed,
            wakes=LATE,
        ).run()
        [(result, affinity)] = decisions(bench)
        seen[result] += 1

        assert (result == "SUSPEND") == (affinity == ALONE)
        assert not bench.traces(PeHalted)
        if result == "SUSPEND":
            assert bench.pes[0].entered == [(BOOT, 0), (RESUME, 0x1234)]
        else:
            assert bench.pes[0].codes[-1] == PsciError.DENIED
        assert not bench.pes[1].on

    assert min(seen["SUSPEND"], seen["DENIED"]) > 20, seen


def test_sleep_waits_for_the_last_wfi_of_a_pe_that_is_off():
    """Power goes only when a secondary that published OFF has really stopped."""
    bench = Bench(
        {BOOT: script(on(0, 1), 300_000, SUSPEND), ENTRY: script(OFF)},
        points={"el3.after_CPU_OFF pe1": (0, 900_000)},
        wakes=LATE,
    ).run()

    assert decisions(bench) == [("SUSPEND", ALONE)]
    assert bench.pes[0].entered[1:] == [(RESUME, 0x1234)]


def test_pending_interrupt_is_success_in_place():
    """The SMC returns 0, the system stays up, locks are free, and the next attempt may sleep."""

    def boot(pe):
        pe.isr = 0x80
        yield SUSPEND
        pe.isr = 0
        yield SUSPEND

    bench = Bench({BOOT: boot}, wakes=LATE).run()

    assert bench.pes[0].codes == [PsciError.SUCCESS]
    assert [result for result, _ in decisions(bench)] == ["PENDING", "SUSPEND"]
    assert bench.pes[0].entered[1:] == [(RESUME, 0x1234)]


@pytest.mark.parametrize(("injected", "name"), [(-3, "DENIED"), (-6, "INTERNAL_FAILURE")])
def test_injected_refusal(injected, name):
    """An armed point decides before anything is looked at; no affinity state was seen."""
    bench = Bench({BOOT: script(SUSPEND)}, points={"el3.SYSTEM_SUSPEND": (injected, 0)}).run()

    assert bench.pes[0].codes == [injected]
    assert decisions(bench) == [(name, ())]


def test_any_pe_may_suspend():
    """The caller is whoever is the last PE, and it is the one that comes back."""
    bench = Bench({BOOT: script(on(1, 0), OFF), ENTRY: script(300_000, SUSPEND)}, wakes=LATE).run()

    assert decisions(bench) == [("SUSPEND", ("OFF", "OFF", "ON", "OFF"))]
    assert bench.pes[2].entered == [(ENTRY, 0), (RESUME, 0x1234)]
    assert not bench.pes[0].on


def test_gic_is_closed_before_and_set_up_again_after():
    """The CPU interface goes down last; warm boot gives every group back to Non-secure."""
    bench = Bench({BOOT: script(SUSPEND)}, wakes=LATE).run()
    ctlr = GICC_BASE + GICC.CTLR.offset
    cold, closed, warm = (value for _, address, value in bench.gicd.written if address == ctlr)
    groups = [
        (address - GICD_BASE, value)
        for _, address, value in bench.gicd.written
        if GICD.IGROUPR.covers(address - GICD_BASE)
    ]

    assert (cold, closed) == (warm, GICC_CTLR_BYPASS_DISABLE)
    assert sorted(groups) == sorted([(0x80 + 4 * word, ALL_GROUP_1) for word in range(3)] * 2)
