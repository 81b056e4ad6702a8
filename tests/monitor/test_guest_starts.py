"""I3 on hand-made journals: starts that are owed, and when."""

import pytest
from hand_made import SYSTEM_SUSPEND, Script, board, texts
from hand_made_guests import (
    CONTEXT,
    CPU_ON,
    ENTRY,
    RTC,
    TTY1,
    booted_with_guests,
    call,
    cpu_on,
    started,
)
from msgspec.structs import replace

from proto.messages import RegWrite
from proto.scenario import Parking, Trigger
from proto.traces import (
    DomainShutdown,
    GuestIrq,
    GuestReturned,
    LineEvent,
    PauseCount,
    SuspendPolicy,
    VpsciCall,
    VpsciResult,
)
from proto.units import S


@pytest.fixture
def script() -> Script:
    """A booted board whose guests have started."""
    return booted_with_guests()


@pytest.mark.parametrize(
    ("after_ns", "paused", "property_verdict"),
    [
        (1000, False, "inconclusive"),
        (2 * S, False, "violated"),
        (2 * S, True, "inconclusive"),
    ],
)
def test_i3_an_accepted_cpu_on_owes_a_start(
    script: Script, after_ns: int, paused: bool, property_verdict: str
) -> None:
    """In one second, of which the time does not count during which the domain is paused."""
    cpu_on(script)
    if paused:
        script.trace("pe0", PauseCount(1, 1))
    script.now += after_ns
    script.end()

    assert script.judged().properties["I3"] == property_verdict


def test_i3_a_pause_that_is_over_makes_no_excuse(script: Script) -> None:
    """The time before the pause and behind it counts together."""
    cpu_on(script)
    script.now += S // 2
    script.trace("pe0", PauseCount(1, 1))
    script.now += 5 * S
    script.trace("pe0", PauseCount(1, 0))
    script.now += S // 2
    script.end()

    assert texts(script.judged(), "I3") == [
        "domain 1 vCPU 1 had not started at the end, 1 s after accepted CPU_ON"
    ]


def test_i3_a_start_in_time_settles_a_cpu_on(script: Script) -> None:
    """Nothing is owed any more, and a second start is one too many."""
    cpu_on(script)
    script.trace("dom1", started(domain=1, vcpu=1))
    script.now += 2 * S
    script.end()
    settled = script.judged()
    script.trace("dom1", started(domain=1, vcpu=1))

    assert (texts(settled, "I3"), settled.undecided) == ([], ())
    assert texts(script.judged(), "I3") == ["domain 1 vCPU 1 started at 0x40000100 without a call"]


def test_i3_a_late_start_is_a_violation(script: Script) -> None:
    """It came, but its caller has long given up."""
    cpu_on(script)
    script.now += 2 * S
    script.trace("dom1", started(domain=1, vcpu=1))
    (text,) = texts(script.judged(), "I3")

    assert text.startswith("domain 1 vCPU 1 started only 2000 ms after accepted CPU_ON")


def test_i3_cpu_on_starts_at_its_own_entry(script: Script) -> None:
    """Bug kvm-cpu-on-payload-lost."""
    cpu_on(script)
    script.trace("dom1", started(domain=1, vcpu=1, entry=0x4000_0200, x0=0))

    assert texts(script.judged(), "I3") == [
        "domain 1 vCPU 1 was started by CPU_ON with PC 0x40000200 instead of 0x40000100, "
        "x0 0x0 instead of 0x77"
    ]


@pytest.mark.parametrize(("second", "findings"), [(0, 0), (-4, 1)])
def test_i3_of_two_callers_one_has_earned_the_start(
    script: Script, second: int, findings: int
) -> None:
    """Both calls are under way when the target starts; a refused one did not cause it."""
    for caller in (0, 1):
        script.trace("pe0", VpsciCall(1, caller, CPU_ON, (1, ENTRY, CONTEXT)))
    script.trace("dom1", started(domain=1, vcpu=1))
    script.trace("pe0", VpsciResult(1, 0, CPU_ON, -4))
    script.trace("pe0", VpsciResult(1, 1, CPU_ON, second))
    script.end()

    assert len(texts(script.judged(), "I3")) == findings


def test_i3_starvation_excuses_a_missed_start() -> None:
    """A host that kept the board waiting proves no violation."""
    script = Script(world="live")
    script.boot()
    cpu_on(script)
    late = script.send("pe0", "rtc", RegWrite(1, 0, 0))
    script.now += 2 * S
    script.deliver("rtc", late)
    script.end()
    verdict = script.judged()

    assert verdict.properties["I3"] == "inconclusive"
    assert any("starved" in text for text in verdict.undecided)


@pytest.mark.parametrize(
    ("after_ns", "starts", "property_verdict"),
    [(1000, False, "inconclusive"), (2 * S, False, "violated"), (2 * S, True, "pass")],
)
def test_i3_the_initiator_is_owed_its_start(
    script: Script, after_ns: int, starts: bool, property_verdict: str
) -> None:
    """From the end of the attempt that it asked for."""
    call(script)
    script.cycle()
    if starts:
        script.trace("dom0", started())
    script.now += after_ns
    script.end()
    verdict = script.judged()

    assert verdict.properties["I3"] == property_verdict
    if property_verdict == "violated":
        assert texts(verdict, "I3") == [
            "domain 0 vCPU 0 had not started at the end, 1 s after the end of attempt 1"
        ]


def test_i3_an_attempt_owes_nothing_to_other_domains(script: Script) -> None:
    """A domain that sleeps by itself sleeps on, as I10 has it."""
    call(script, domain=1)
    script.cycle()
    script.now += 2 * S
    script.end()
    verdict = script.judged()

    assert (texts(verdict, "I3"), verdict.undecided) == ([], ())


@pytest.mark.parametrize("inside_call", [False, True])
@pytest.mark.parametrize(
    ("intid", "after_ns", "property_verdict"),
    [
        (TTY1, 1000, "inconclusive"),
        (TTY1, 2 * S, "violated"),
        (RTC, 2 * S, "not reached"),
    ],
)
def test_i3_its_own_interrupt_wakes_a_domain(
    script: Script, inside_call: bool, intid: int, after_ns: int, property_verdict: str
) -> None:
    """Also one that comes while Xen looks at the call; nobody else's does."""
    if inside_call:
        script.trace("pe0", VpsciCall(1, 0, SYSTEM_SUSPEND, (ENTRY, CONTEXT, 0)))
        script.trace("rtc", LineEvent(intid, True, 1))
        script.trace("pe0", VpsciResult(1, 0, SYSTEM_SUSPEND, 0))
    else:
        call(script, domain=1)
        script.trace("rtc", LineEvent(intid, True, 1))
    script.now += after_ns
    script.end()
    verdict = script.judged()

    assert verdict.properties["I3"] == property_verdict
    if property_verdict == "violated":
        assert texts(verdict, "I3") == [
            "domain 1 vCPU 0 had not started at the end, 1 s after its interrupt 41"
        ]


@pytest.mark.parametrize(("after_ns", "findings"), [(1000, 0), (2 * S, 1)])
def test_i3_a_frozen_domain_is_owed_its_start_from_the_thaw(
    script: Script, after_ns: int, findings: int
) -> None:
    """A host that sleeps long keeps nobody waiting."""
    call(script, domain=1)
    script.fall_asleep()
    script.trace("tty1", LineEvent(TTY1, True, 1))
    script.now += 5 * S
    script.wake_up()
    script.now += after_ns
    script.trace("dom1", started(domain=1))

    assert len(texts(script.judged(), "I3")) == findings


def test_i3_going_on_in_place_is_found_once(script: Script) -> None:
    """Where the published design continues behind the call, that is the finding."""
    call(script, domain=1)
    script.trace("tty1", LineEvent(TTY1, True, 1))
    script.trace("dom1", GuestReturned(1, 0, 0))
    script.trace("dom1", GuestIrq(1, 0, TTY1))
    script.now += 2 * S
    script.end()

    assert len(texts(script.judged(), "I3")) == 1


def parked() -> Script:
    """A booted board that parks domains by shutdown; domain 1's suspend has been accepted."""
    plain = board()
    profile = replace(plain.profile, parking=Parking.SHUTDOWN, trigger=Trigger.CONTROL)
    script = booted_with_guests(replace(plain, profile=profile))
    call(script, domain=1)
    script.trace("pe0", DomainShutdown(1, "complete", "suspend"))
    return script


@pytest.mark.parametrize(
    ("resumed", "property_verdict"), [(False, "not reached"), (True, "violated")]
)
def test_i3_a_parked_domain_is_owed_a_start_when_it_is_resumed(
    resumed: bool, property_verdict: str
) -> None:
    """Its own interrupts wake nobody any more."""
    script = parked()
    script.trace("tty1", LineEvent(TTY1, True, 1))
    if resumed:
        script.trace("pe0", DomainShutdown(1, "none"))
    script.now += 2 * S
    script.end()

    assert script.judged().properties["I3"] == property_verdict


@pytest.mark.parametrize(("domain", "owed"), [(0, []), (1, ["domain 1 vCPU 0"])])
def test_i3_the_end_of_an_attempt_owes_a_start_to_who_asked_for_it(
    domain: int, owed: list[str]
) -> None:
    """Whichever control domain was the last."""
    script = parked()
    script.trace("pe0", SuspendPolicy(domain, "host"))
    script.cycle()
    script.trace("pe0", DomainShutdown(domain, "none"))
    script.now += 2 * S
    script.end()

    assert [text[:15] for text in texts(script.judged(), "I3")] == owed
