"""I3, I5 and the workload on hand-made journals."""

import pytest
from hand_made import Script, texts
from hand_made_guests import (
    CPU_ON,
    ENTRY,
    RTC,
    ZEROS,
    booted_with_guests,
    call,
    started,
)

from proto.gic import GICC
from proto.ids import GICD_NODE
from proto.messages import RegRead
from proto.platform import GICC_BASE
from proto.traces import (
    GuestIrq,
    GuestReturned,
    GuestStarted,
    GuestWork,
    InterruptLost,
    IntState,
    LineEvent,
    SystemPower,
    VpsciCall,
    VpsciResult,
)
from proto.turn import Trace
from proto.units import S


@pytest.fixture
def script() -> Script:
    """A booted board whose guests have started."""
    return booted_with_guests()


def acknowledge(script: Script) -> None:
    """Xen reads GICC_IAR, and the alarm becomes active."""
    read = RegRead(1, GICC_BASE + GICC.IAR.offset)
    script.message("pe0", GICD_NODE, read, Trace(IntState(RTC, -1, True, True)))


def deactivate(script: Script) -> None:
    """The guest's EOI reaches the GIC, where the alarm's line is still high."""
    script.trace(GICD_NODE, IntState(RTC, -1, True, False))


# -- I3


def test_i3_an_accepted_call_starts_at_its_entry(script: Script) -> None:
    """Once, with the registers of the table."""
    call(script)
    script.trace("dom0", started())
    script.end()

    assert script.judged().properties["I3"] == "pass"


def test_i3_an_accepted_call_may_still_sleep(script: Script) -> None:
    """Nobody promised to wake the guest."""
    call(script)
    script.now += 9 * S
    script.end()

    assert texts(script.judged(), "I3") == []


def test_i3_smc32_uses_the_low_half(script: Script) -> None:
    """Bug smc32-upper-bits: the upper half of the arguments is not part of them."""
    call(script, function=0x8400000E, upper=0xDEAD << 32)
    script.trace("dom0", started())
    script.end()

    assert script.judged().properties["I3"] == "pass"


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (started(x0=0), "x0 0x0 instead of 0x77"),
        (started(entry=ENTRY + 4), "PC 0x40000104 instead of 0x40000100"),
        (started(x7=5), "x7 0x5 instead of 0"),
        (started(sctlr=1), "SCTLR_EL1 0x1 instead of 0xc50078"),
        (started(pstate=0x1C5), "PSTATE 0x1c5 instead of 0x3c5"),
        (started(ttbr0=0x4010_0000), "TTBR0_EL1 0x40100000 instead of 0x0"),
        (started(ttbr1=1), "TTBR1_EL1 0x1 instead of 0x0"),
        (started(tcr=0x19), "TCR_EL1 0x19 instead of 0x0"),
    ],
)
def test_i3_names_each_wrong_register(script: Script, event: GuestStarted, what: str) -> None:
    """Every register of the table is compared."""
    call(script)
    script.trace("dom0", event)

    assert texts(script.judged(), "I3") == [f"domain 0 vCPU 0 resumed with {what}"]


def test_i3_going_on_behind_an_accepted_call_is_a_violation(script: Script) -> None:
    """Bug pending-event-skips-vcpu-reset."""
    call(script)
    script.trace("dom0", GuestReturned(0, 0, 0))

    assert "accepted, but continued behind the call" in texts(script.judged(), "I3")[0]


def test_i3_a_refused_call_returns_its_error(script: Script) -> None:
    """In place, with the same code, as a signed or a register value."""
    call(script, code=-3)
    script.trace("dom0", GuestReturned(0, 0, -3 & (1 << 64) - 1))
    script.end()

    assert script.judged().properties["I3"] == "pass"


@pytest.mark.parametrize(
    ("event", "what"),
    [(GuestReturned(0, 0, 0), "returned x0 = 0x0"), (started(), "started at 0x40000100")],
)
def test_i3_a_refused_call_does_nothing_else(script: Script, event: object, what: str) -> None:
    """Neither another code nor a start."""
    call(script, code=-3)
    script.trace("dom0", event)
    (text,) = texts(script.judged(), "I3")

    assert "refused with DENIED" in text
    assert what in text


def test_i3_a_second_start_is_a_violation(script: Script) -> None:
    """Exactly one."""
    call(script)
    script.trace("dom0", started())
    script.trace("dom0", started())

    assert texts(script.judged(), "I3") == ["domain 0 vCPU 0 started at 0x40000100 without a call"]


@pytest.mark.parametrize(("code", "findings"), [(0, 0), (-4, 1)])
def test_i3_cpu_on_earns_one_start(script: Script, code: int, findings: int) -> None:
    """A target may start before its caller has the result, but not if that is a refusal."""
    script.trace("pe0", VpsciCall(1, 0, CPU_ON, (1, ENTRY, 0)))
    if code == 0:
        script.trace("dom1", GuestStarted(1, 1, ENTRY, (0, *ZEROS), 0x3C5, 0xC50078))
    script.trace("pe0", VpsciResult(1, 0, CPU_ON, code))
    if code != 0:
        script.trace("dom1", GuestStarted(1, 1, ENTRY, (0, *ZEROS), 0x3C5, 0xC50078))

    assert len(texts(script.judged(), "I3")) == findings


@pytest.mark.parametrize(("after_ns", "verdict"), [(1000, "inconclusive"), (2 * S, "violated")])
def test_i3_a_refused_call_that_never_returns(script: Script, after_ns: int, verdict: str) -> None:
    """Young it is undecided, old it is a violation."""
    call(script, code=-3)
    script.now += after_ns
    script.end()

    assert script.judged().properties["I3"] == verdict


# -- I5


def test_i5_a_wake_that_is_delivered_once_passes(script: Script) -> None:
    """Asserted in the sleep, seen by the guest, released."""
    script.fall_asleep()
    script.decide()
    script.trace("scp", SystemPower("sleeping"))
    script.trace("rtc", LineEvent(RTC, True, 1))
    script.trace("scp", SystemPower("waking", RTC))
    script.wake_up()
    script.trace("dom0", GuestIrq(0, 0, RTC))
    script.trace("rtc", LineEvent(RTC, False, 1))
    script.end()

    assert script.judged().properties["I5"] == "pass"


def test_i5_a_wake_that_nobody_saw_is_lost(script: Script) -> None:
    """Released without an acknowledgement."""
    script.fall_asleep("S9")
    asserted = script.trace("rtc", LineEvent(RTC, True, 1))
    released = script.trace("rtc", LineEvent(RTC, False, 1))
    verdict = script.judged()

    assert texts(verdict, "I5") == [
        "assertion 1 of INTID 34 during a suspend attempt ended without any guest seeing it"
    ]
    assert verdict.findings[0].positions == (asserted, released)


@pytest.mark.parametrize("released", [False, True])
def test_i5_delivering_twice_is_a_violation(script: Script, released: bool) -> None:
    """Exactly once per assertion, whether or not the handler has made the device release it."""
    asserted = script.trace("rtc", LineEvent(RTC, True, 1))
    acknowledge(script)
    first = script.trace("dom0", GuestIrq(0, 0, RTC))
    if released:
        script.trace("rtc", LineEvent(RTC, False, 1))
    second = script.trace("dom0", GuestIrq(0, 0, RTC))
    verdict = script.judged()

    assert texts(verdict, "I5") == ["assertion 1 of INTID 34 was delivered more than once"]
    assert verdict.findings[0].positions == (asserted, first, second)


def test_i5_each_assertion_may_be_delivered(script: Script) -> None:
    """A new one makes the next delivery a first one again."""
    for count in (1, 2, 3):
        script.trace("rtc", LineEvent(RTC, True, count))
        script.trace("dom0", GuestIrq(0, 0, RTC))
        script.trace("rtc", LineEvent(RTC, False, count))
    script.end()

    assert texts(script.judged(), "I5") == []


@pytest.mark.parametrize("early", [False, True])
def test_i5_what_the_gic_took_again_may_be_delivered_again(script: Script, early: bool) -> None:
    """A level that fell while it was on its way to the GIC; the architecture allows it."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    acknowledge(script)
    script.trace("dom0", GuestIrq(0, 0, RTC))
    deactivate(script)
    if early:
        script.trace("rtc", LineEvent(RTC, False, 1))
    acknowledge(script)
    script.trace("dom0", GuestIrq(0, 0, RTC))
    once_more = len(texts(script.judged(), "I5"))
    script.trace("dom0", GuestIrq(0, 0, RTC))

    assert (once_more, len(texts(script.judged(), "I5"))) == (0, 1)


def test_i5_a_restored_active_bit_is_no_second_interrupt(script: Script) -> None:
    """GICD_ISACTIVER makes it active as an acknowledgement does, but excuses nothing."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    acknowledge(script)
    script.trace("dom0", GuestIrq(0, 0, RTC))
    script.trace(GICD_NODE, IntState(RTC, -1, True, False))
    script.trace(GICD_NODE, IntState(RTC, -1, True, True))
    script.trace("dom0", GuestIrq(0, 0, RTC))

    assert texts(script.judged(), "I5") == ["assertion 1 of INTID 34 was delivered more than once"]


def test_i5_an_interrupt_out_of_nothing_is_a_violation(script: Script) -> None:
    """No assertion, nothing that the GIC gave to Xen."""
    script.trace("dom0", GuestIrq(0, 0, RTC))

    assert texts(script.judged(), "I5") == [
        "INTID 34 was delivered, but its line was never asserted"
    ]


@pytest.mark.parametrize(("after_ns", "verdict"), [(1000, "inconclusive"), (2 * S, "violated")])
def test_i5_an_assertion_at_the_end(script: Script, after_ns: int, verdict: str) -> None:
    """Young it is undecided, old it is lost."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    script.now += after_ns
    script.end()

    assert script.judged().properties["I5"] == verdict


def test_i5_sleeping_through_a_high_line_is_a_violation(script: Script) -> None:
    """It has to end the sleep, whichever came first."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    script.fall_asleep()
    script.decide()
    script.trace("scp", SystemPower("sleeping"))
    script.now += 3 * S
    script.trace("scp", SystemPower("waking", 41))

    assert texts(script.judged(), "I5") == [
        "assertion 1 of INTID 34 did not end the sleep within 1 s"
    ]


def test_i5_reports_what_the_hardware_lost(script: Script) -> None:
    """An edge latched in a block that lost its power."""
    script.trace("gicd", InterruptLost(36, "gicd"))

    assert "lost INTID 36" in texts(script.judged(), "I5")[0]


def test_i5_ignores_lines_that_are_no_wake_sources(script: Script) -> None:
    """Xen's own devices have no guest to see them."""
    script.trace("iommu", LineEvent(36, True, 1))
    script.trace("iommu", LineEvent(36, False, 1))

    assert texts(script.judged(), "I5") == []


# -- workload


def test_workload_reports_what_did_not_hold(script: Script) -> None:
    """With the guest's own words."""
    script.trace("dom1", GuestWork(1, 0, 3, True))
    script.trace("dom1", GuestWork(1, 0, 4, False, "page 2 is torn"))

    assert texts(script.judged(), "workload") == ["domain 1 vCPU 0, round 4: page 2 is torn"]
