"""I3, I5 and the workload on hand-made journals."""

import pytest
from hand_made import SYSTEM_SUSPEND, Script, texts

from proto.traces import (
    GuestIrq,
    GuestReturned,
    GuestStarted,
    GuestWork,
    InterruptLost,
    LineEvent,
    SystemPower,
    VpsciCall,
    VpsciResult,
)
from proto.units import S

ENTRY, CONTEXT = 0x4000_0100, 0x77
CPU_ON = 0xC4000003
RTC = 34
ZEROS = (0,) * 30


@pytest.fixture
def script() -> Script:
    """A booted board whose guests have started."""
    booted = Script()
    booted.boot()
    booted.trace("dom0", started(entry=0x4000_0000, x0=0))
    booted.trace("dom1", GuestStarted(1, 0, 0x4000_0000, (0, *ZEROS), 0x3C5, 0xC50078))
    return booted


def started(entry: int = ENTRY, x0: int = CONTEXT, **changes: int) -> GuestStarted:
    """Domain 0 vCPU 0 starts as it should, but for the changes."""
    others = list(ZEROS)
    if "x7" in changes:
        others[6] = changes.pop("x7")
    fields = {"pstate": 0x3C5, "sctlr": 0x00C50078, **changes}
    return GuestStarted(0, 0, entry, (x0, *others), fields["pstate"], fields["sctlr"])


def call(script: Script, code: int = 0, function: int = SYSTEM_SUSPEND, upper: int = 0) -> None:
    """SYSTEM_SUSPEND of domain 0 vCPU 0 with its result."""
    script.trace("pe0", VpsciCall(0, 0, function, (ENTRY | upper, CONTEXT | upper, 0)))
    script.trace("pe0", VpsciResult(0, 0, function, code))


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


def test_i5_delivering_twice_is_a_violation(script: Script) -> None:
    """Exactly once per assertion."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    script.trace("dom0", GuestIrq(0, 0, RTC))
    script.trace("dom0", GuestIrq(0, 0, RTC))

    assert texts(script.judged(), "I5") == ["assertion 1 of INTID 34 was delivered more than once"]


def test_i5_a_late_acknowledgement_of_a_released_line_is_spurious(script: Script) -> None:
    """A level that fell while the interrupt was on its way; the architecture allows it."""
    script.trace("rtc", LineEvent(RTC, True, 1))
    script.trace("dom0", GuestIrq(0, 0, RTC))
    script.trace("rtc", LineEvent(RTC, False, 1))
    script.trace("dom0", GuestIrq(0, 0, RTC))

    assert texts(script.judged(), "I5") == []


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
