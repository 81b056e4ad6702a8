"""I9 and I10, on hand-made journals."""

import pytest
from hand_made import Script, board, texts
from hand_made_guests import CONTEXT, ENTRY, TTY1, booted_with_guests, call, started

from proto.hypercall import XEN_HYPERCALL, Hypercall
from proto.messages import El1State, ExitReason, VcpuExit, VcpuPut, VcpuRun, VcpuState
from proto.scenario import Parking
from proto.traces import (
    DomainShutdown,
    EventRaised,
    GuestIrq,
    GuestReturned,
    LineEvent,
    PauseCount,
    SuspendPolicy,
    Watchdog,
)
from proto.units import MS

S = 1000 * MS


def watchdog(script: Script, event: str, domain: int = 1, period_ns: int = 0) -> int:
    """The domain's first watchdog does something."""
    deadline_ns = script.now + 1_000 + period_ns if period_ns else 0
    return script.trace("pe0", Watchdog(domain, 1, event, deadline_ns))


def freeze(script: Script) -> None:
    """Both domains stand still."""
    for label, counts in (("S0", ()), ("S1", (PauseCount(0, 1), PauseCount(1, 1)))):
        script.phase(label, "begin")
        script.trace("pe0", *counts)
        script.phase(label, "end")


# -- I9


def test_i9_a_frozen_domain_is_not_killed() -> None:
    """The watchdog counted the time for which the domain could not pat it."""
    script = Script()
    script.boot()
    set_at = watchdog(script, "set", period_ns=1 * S)
    script.now += 300 * MS
    freeze(script)
    script.now += 700 * MS
    fired_at = watchdog(script, "fired")
    script.end()

    verdict = script.judged()

    assert texts(verdict, "I9") == [
        "domain 1: watchdog 1 of 1000 ms fired after 300 ms awake and 700 ms asleep;"
        " the domain was frozen"
    ]
    finding = next(one for one in verdict.findings if one.property == "I9")
    assert {set_at, fired_at} <= set(finding.positions)


def test_i9_a_domain_that_hangs_is_killed_by_right() -> None:
    """It had its whole period awake, with a sleep in between."""
    script = Script()
    script.boot()
    watchdog(script, "set", period_ns=1 * S)
    script.cycle()
    script.now += 1 * S
    watchdog(script, "fired")
    script.end()

    assert script.judged().properties["I9"] == "pass"


@pytest.mark.parametrize("event", ["stopped", "spared"])
def test_i9_a_watchdog_that_is_stopped_or_spared_kills_nobody(event: str) -> None:
    """Xen spares a domain that has shut down."""
    script = Script()
    script.boot()
    watchdog(script, "set", period_ns=1 * S)
    freeze(script)
    script.now += 2 * S
    watchdog(script, event)
    script.end()

    assert texts(script.judged(), "I9") == []


def test_i9_a_suspended_domain_is_not_killed() -> None:
    """Its own sleep counts like the host's, from the acceptance to the start."""
    script = booted_with_guests()
    watchdog(script, "set", period_ns=1 * S)
    call(script, domain=1)
    script.now += 999 * MS
    watchdog(script, "fired")
    script.end()

    assert texts(script.judged(), "I9") == [
        "domain 1: watchdog 1 of 1000 ms fired after 0 ms awake and 999 ms asleep;"
        " the domain was suspended"
    ]


def test_i9_frozen_and_suspended_at_once_is_counted_once() -> None:
    """The host sleeps inside the domain's own sleep, and the domain wakes long after it."""
    script = booted_with_guests()
    watchdog(script, "set", period_ns=1 * S)
    call(script, domain=1)
    script.cycle()
    script.trace("dom1", LineEvent(TTY1, True, 1))
    script.trace("dom1", started(domain=1))
    script.now += 1 * S
    watchdog(script, "fired")
    script.end()

    assert texts(script.judged(), "I9") == []


def test_i9_a_refused_suspend_is_no_sleep() -> None:
    """The domain ran on."""
    script = booted_with_guests()
    watchdog(script, "set", period_ns=1 * S)
    call(script, domain=1, code=-3)
    script.now += 1 * S
    watchdog(script, "fired")
    script.trace("dom1", GuestReturned(1, 0, -3))
    script.end()

    assert texts(script.judged(), "I9") == []


def test_i9_patting_starts_anew() -> None:
    """Only the last countdown counts."""
    script = Script()
    script.boot()
    watchdog(script, "set", period_ns=1 * S)
    script.cycle()
    watchdog(script, "set", period_ns=1 * S)
    script.now += 1 * S
    watchdog(script, "fired")
    script.end()

    assert script.judged().properties["I9"] == "pass"


# -- I10, parking by blocking


def bank(armed: bool = False, lr: int = 0) -> El1State:
    """What a vCPU leaves behind."""
    return El1State(0, 0, (0,) * 31, (0,) * 15, (lr, 0), 0, 0, int(armed), 0, 0)


def put(script: Script, armed: bool = False, lr: int = 0) -> None:
    """Domain 1's vCPU 0 leaves its CPU."""
    script.message("pe1", "dom1", VcpuPut(1, 0, 1))
    script.message("dom1", "pe1", VcpuState(1, bank(armed, lr)))


PENDING_LR = 1 << 28


@pytest.mark.parametrize(
    ("cause", "found"),
    [
        ("nothing", True),
        ("line", False),
        ("line before", False),
        ("line taken before", True),
        ("line of another", True),
        ("event", False),
        ("event of another", True),
        ("timer", False),
        ("list register", False),
    ],
)
def test_i10_a_blocked_domain_wakes_by_its_own_interrupt_only(cause: str, found: bool) -> None:
    """Whatever else ends its sleep was not its rule."""
    script = booted_with_guests()
    if cause.startswith("line") and "before" in cause:
        script.trace("tty1", LineEvent(TTY1, True, 1))
        if "taken" in cause:
            script.trace("dom1", GuestIrq(1, 0, TTY1))
    call(script, domain=1)
    put(script, armed=cause == "timer", lr=PENDING_LR if cause == "list register" else 0)
    if cause in ("line", "line of another"):
        script.trace("tty", LineEvent(TTY1 if cause == "line" else TTY1 - 1, True, 1))
    elif cause.startswith("event"):
        script.trace("pe0", EventRaised(1 if cause == "event" else 0, 4))
    script.trace("dom1", started(domain=1))
    script.end()

    verdict = script.judged()

    assert bool(texts(verdict, "I10")) is found
    assert verdict.properties["I10"] == ("violated" if found else "pass")


def test_i10_a_domain_that_goes_on_behind_its_call_has_woken_too() -> None:
    """The 2025-03 series does not start it at its entry."""
    script = booted_with_guests()
    call(script, domain=1)
    script.trace("dom1", GuestReturned(1, 0, 0))
    script.end()

    assert texts(script.judged(), "I10") == ["domain 1 woke, but no interrupt had come for it"]


def test_i10_outlasting_the_hosts_sleep_is_a_pass() -> None:
    """A domain that slept before and sleeps after."""
    script = booted_with_guests()
    call(script, domain=1)
    script.cycle()
    script.end()

    assert script.judged().properties["I10"] == "pass"


def test_i10_the_hosts_own_domain_is_r9s() -> None:
    """The hardware domain starts whatever woke the host."""
    script = booted_with_guests()
    call(script)
    script.cycle()
    script.trace("dom0", started())
    script.end()

    assert texts(script.judged(), "I10") == []


# -- I10, parking by shutdown


def parked() -> Script:
    """Domain 1 has shut down with reason suspend."""
    script = Script(board(parking=Parking.SHUTDOWN))
    script.boot()
    script.trace("dom1", started(domain=1, entry=0x4000_0000, x0=0))
    call(script, domain=1)
    script.trace("pe0", DomainShutdown(1, "in_progress", "suspend"))
    script.trace("pe0", DomainShutdown(1, "complete", "suspend"))
    return script


def leave(script: Script, domain: int, number: int) -> None:
    """A vCPU leaves for Xen on pe0 with a hypercall."""
    args = (0,) * 5
    body = VcpuExit(0, 1, ExitReason.HVC, args, (), XEN_HYPERCALL, number)
    script.message(f"dom{domain}", "pe0", body)


@pytest.mark.parametrize(
    ("domain", "number", "found"),
    [
        (0, Hypercall.DOMCTL, False),
        (0, Hypercall.SCHED_OP, True),
        (1, Hypercall.DOMCTL, True),
        (None, 0, True),
    ],
)
def test_i10_a_parked_domain_waits_for_the_toolstack(
    domain: int | None, number: int, found: bool
) -> None:
    """A control domain's DOMCTL may resume it, nobody else."""
    script = parked()
    if domain is not None:
        leave(script, domain, number)
    script.trace("pe0", DomainShutdown(1, "none"))
    script.trace("dom1", started(domain=1))
    script.end()

    verdict = script.judged()

    assert bool(texts(verdict, "I10")) is found
    assert verdict.properties["I10"] == ("violated" if found else "pass")


@pytest.mark.parametrize(("initiator", "found"), [(1, False), (0, True)])
def test_i10_r9_resumes_the_initiator_and_nobody_else(initiator: int, found: bool) -> None:
    """Another domain that R9 resumes slept by itself."""
    script = parked()
    script.trace("pe0", SuspendPolicy(initiator, "host"))
    script.cycle()
    script.phase("R9", "begin")
    script.trace("pe0", DomainShutdown(1, "none"))
    script.phase("R9", "end")
    script.trace("dom1", started(domain=1, entry=ENTRY, x0=CONTEXT))
    script.end()

    assert bool(texts(script.judged(), "I10")) is found


def test_i10_who_asks_during_an_attempt_is_not_its_initiator() -> None:
    """Another control domain asks between the thaw and R9: it is the next attempt's."""
    script = parked()
    script.trace("pe0", SuspendPolicy(1, "host"))
    script.cycle()
    script.trace("pe0", SuspendPolicy(0, "host"))
    script.phase("R9", "begin")
    script.trace("pe0", DomainShutdown(1, "none"))
    script.phase("R9", "end")
    script.trace("dom1", started(domain=1, entry=ENTRY, x0=CONTEXT))
    script.end()

    assert texts(script.judged(), "I10") == []


@pytest.mark.parametrize(("after_ns", "found"), [(1 * MS, False), (20 * MS, True)])
def test_i10_nothing_of_a_parked_domain_runs(after_ns: int, found: bool) -> None:
    """A vCPU has a little time to leave its CPU, and no more."""
    script = parked()
    script.now += after_ns
    script.message("pe1", "dom1", VcpuRun(0, 1, ()))
    script.end()

    assert bool(texts(script.judged(), "I10")) is found


# -- I5 beside them


def test_i5_an_interrupt_waits_for_a_parked_domain() -> None:
    """Xen keeps it pending; it is owed only once the domain can run again."""
    script = parked()
    script.trace("tty1", LineEvent(TTY1, True, 1))
    script.now += 5 * S
    script.end()
    assert texts(script.judged(), "I5") == []

    leave(script, 0, Hypercall.DOMCTL)
    script.trace("pe0", DomainShutdown(1, "none"))
    script.now += 2 * S
    script.end()

    assert texts(script.judged(), "I5") == [
        f"assertion 1 of INTID {TTY1} had not been delivered at the end"
    ]
