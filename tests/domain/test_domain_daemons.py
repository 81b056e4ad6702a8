"""What runs beside the shell: the watch on the store, the watchdog daemon and its sleep hook."""

import pytest
from domain_bench import FakeXen, HypercallMade

from proto.hypercall import (
    EVTCHN_PPI,
    SHARED_PENDING,
    STORE_PORT,
    STORE_SHUTDOWN,
    WORD,
    DomInfo,
    Errno,
    EvtchnOp,
    Hypercall,
    SchedOp,
    ShutdownReason,
    Sysctl,
    Virq,
)
from proto.platform import DOMAINS_MAX, SHARED_INFO, SHARED_SIZE, XENSTORE
from proto.psci import Psci, PsciError
from proto.scenario import DomainSpec, Role
from proto.units import MS, S
from services.domain.programs.libxc import BUFFER_OFFSET
from services.domain.programs.memory import HYPERCALL_PAGES

PENDING = SHARED_INFO + SHARED_SIZE + SHARED_PENDING
CONTROL_SHUTDOWN = XENSTORE + SHARED_SIZE + STORE_SHUTDOWN
DOM_EXC_PORT = 20
TIMER = 1
"""Id of the watchdog that the fake Xen gives out."""


def booted(spec: DomainSpec) -> FakeXen:
    """A guest that is up; each watchdog that it asks for is number TIMER."""
    xen = FakeXen(spec)
    xen.serve = lambda call: 0 if call.words[0] else TIMER
    xen.boot()
    return xen


def ask(xen: FakeXen, word: int) -> None:
    """Write `control/shutdown` and raise the store's event."""
    xen.shared[CONTROL_SHUTDOWN] = word
    xen.shared[PENDING] = 1 << STORE_PORT
    xen.inject(0, EVTCHN_PPI)


def patted(xen: FakeXen) -> list[tuple[int, int]]:
    """Id and timeout of each SCHEDOP_watchdog."""
    assert all(call[:2] == (Hypercall.SCHED_OP, SchedOp.WATCHDOG) for call in xen.hypercalls)
    return [(call.words[0], call.words[1]) for call in xen.hypercalls]


def waited(xen: FakeXen, duration_ns: int) -> None:
    """Let time pass."""
    end = xen.now + duration_ns
    xen.run(lambda: xen.now >= end)


@pytest.mark.parametrize(
    ("reason", "line", "function"),
    [
        (ShutdownReason.POWEROFF, "reboot: Power down", Psci.SYSTEM_OFF),
        (ShutdownReason.REBOOT, "reboot: Restarting system", Psci.SYSTEM_RESET),
    ],
)
def test_a_guest_does_what_control_shutdown_says(
    reason: ShutdownReason, line: str, function: Psci
) -> None:
    """Once: the word is taken back."""
    xen = booted(DomainSpec(id=1))
    ask(xen, reason + 1)
    xen.run(lambda: line in xen.lines)

    assert xen.shared[CONTROL_SHUTDOWN] == 0
    xen.run(lambda: function in [call[0] for call in xen.calls])


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        (0, []),
        (ShutdownReason.CRASH + 1, [f"Ignoring shutdown request: {ShutdownReason.CRASH.value}"]),
    ],
)
def test_nothing_and_nonsense_in_the_store_change_nothing(word: int, lines: list[str]) -> None:
    """The guest goes on."""
    xen = booted(DomainSpec(id=1))
    before, calls = len(xen.lines), len(xen.calls)
    ask(xen, word)
    waited(xen, 20 * MS)

    assert xen.lines[before:] == lines
    assert len(xen.calls) == calls


def test_another_event_is_no_change_of_the_store() -> None:
    """Only the store's port is."""
    xen = booted(DomainSpec(id=1))
    xen.shared[CONTROL_SHUTDOWN] = ShutdownReason.POWEROFF + 1
    xen.shared[PENDING] = 1 << STORE_PORT + 9
    xen.inject(0, EVTCHN_PPI)
    waited(xen, 20 * MS)

    assert "reboot: Power down" not in xen.lines


def test_the_daemon_pats_its_watchdog_at_half_its_timeout() -> None:
    """It asks for one first; a guest without the daemon asks for none."""
    xen = booted(DomainSpec(id=1, watchdog_s=2, tick_us=100_000))
    waited(xen, 3 * S + 500 * MS)
    assert patted(xen) == [(0, 2), (TIMER, 2), (TIMER, 2), (TIMER, 2)]

    other = booted(DomainSpec(id=1, tick_us=100_000))
    waited(other, 3 * S)
    assert patted(other) == []


def test_a_watchdog_that_is_refused_is_reported() -> None:
    """And asked for again."""
    xen = FakeXen(DomainSpec(id=1, watchdog_s=2, tick_us=100_000))
    xen.serve = lambda call: -Errno.EEXIST
    xen.boot()
    waited(xen, 1500 * MS)

    assert xen.lines.count(f"xenwatchdogd: SCHEDOP_watchdog failed: {-Errno.EEXIST}") == 2
    assert patted(xen) == [(0, 2), (0, 2)]


@pytest.mark.parametrize(
    ("hook", "before", "after"),
    [(True, [(TIMER, 0)], [(0, 2)]), (False, [], [(TIMER, 2)])],
)
def test_the_sleep_hook_stops_the_watchdog_before_a_suspend(
    hook: bool, before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    """Behind it the daemon sets a new one; without the hook it pats the old one, at once."""
    xen = booted(DomainSpec(id=1, watchdog_s=2, watchdog_hook=hook))
    waited(xen, 20 * MS)
    assert patted(xen) == [(0, 2)]
    xen.type("echo mem > /sys/power/state")
    xen.run(lambda: xen.vcpus[0].parked)
    assert patted(xen)[1:] == before

    xen.resume_at_entry(xen.calls[-1][1], 0)
    xen.run(lambda: "PM: suspend exit" in xen.lines)
    waited(xen, 20 * MS)
    assert patted(xen)[1:] == before + after


def test_a_suspend_that_is_refused_brings_the_watchdog_back() -> None:
    """Whichever way a suspend ends, the daemon runs again."""
    xen = booted(DomainSpec(id=1, watchdog_s=2, watchdog_hook=True))
    waited(xen, 20 * MS)
    xen.suspend_answer = PsciError.DENIED
    xen.run_line("echo mem > /sys/power/state", "PM: suspend exit")
    waited(xen, 20 * MS)

    assert patted(xen) == [(0, 2), (TIMER, 0), (0, 2)]


def domain_0(flags: dict[int, int]) -> FakeXen:
    """Domain 0 of a board with domain 1, whose flags Xen gives out; port 20 is VIRQ_DOM_EXC's."""
    xen = FakeXen(DomainSpec(id=0, role=Role.HARDWARE), others=(DomainSpec(id=1, name="web"),))

    def serve(call: HypercallMade) -> int:
        if call.operation == EvtchnOp.BIND_VIRQ:
            assert call.words[0] == Virq.DOM_EXC
            xen.store(HYPERCALL_PAGES + 2 * WORD, DOM_EXC_PORT)
        elif call[::2] == (Hypercall.SYSCTL, (Sysctl.GETDOMAININFOLIST, 0, DOMAINS_MAX)):
            rows = [(domain, bits, 1, 0, 32, 0) for domain, bits in flags.items()]
            xen.store(HYPERCALL_PAGES + BUFFER_OFFSET, *(word for row in rows for word in row))
            xen.store(HYPERCALL_PAGES + 4 * WORD, len(rows))
        return 0

    xen.serve = serve
    xen.boot()
    return xen


def dom_exc(xen: FakeXen) -> list[str]:
    """Raise VIRQ_DOM_EXC; gives the log of the domain called web after that."""
    xen.shared[SHARED_INFO + SHARED_PENDING] = 1 << DOM_EXC_PORT
    xen.inject(0, EVTCHN_PPI)
    waited(xen, 20 * MS)
    seen, prompts = len(xen.lines), len(xen.statuses)
    xen.type("cat /var/log/xen/xl-web.log")
    xen.run(lambda: len(xen.statuses) > prompts)
    return xen.lines[seen + 1 :]


def test_domain_0_hears_of_domains_that_shut_down() -> None:
    """Each shutdown is in the log of xl's daemon once; a resume makes the next one news."""
    flags = {0: DomInfo.RUNNING, 1: DomInfo.RUNNING}
    xen = domain_0(flags)
    begun = ["Waiting for domain web (domid 1) to die"]
    assert dom_exc(xen) == begun

    flags[1] = DomInfo.SHUTDOWN | ShutdownReason.SUSPEND << DomInfo.SHUTDOWN_SHIFT
    suspended = ["Domain 1 has shut down, reason code 2 0x2", "Domain has suspended."]
    assert dom_exc(xen) == begun + suspended
    assert dom_exc(xen) == begun + suspended

    xen.run_line("xl resume web", "xl resume web")
    waited(xen, 20 * MS)
    assert dom_exc(xen) == begun + suspended + suspended
    flags[1] = DomInfo.RUNNING
    assert dom_exc(xen) == begun + suspended + suspended

    flags[1] = DomInfo.SHUTDOWN | ShutdownReason.POWEROFF << DomInfo.SHUTDOWN_SHIFT
    assert dom_exc(xen)[5:] == [
        "Domain 1 has shut down, reason code 0 0x0",
        "Action for shutdown reason code 0 is preserve",
    ]


def test_without_a_port_domain_0_hears_nothing_and_says_so() -> None:
    """The boot goes on."""
    xen = FakeXen(DomainSpec(id=0, role=Role.HARDWARE))
    xen.serve = lambda call: -Errno.ENOSPC
    xen.boot()

    error = -Errno.ENOSPC
    assert f"xenstored: failed to bind to domain exceptional IRQ: {error}" in xen.lines


@pytest.mark.parametrize("name", ["web", "Domain-0", "nobody"])
def test_only_domain_0_has_logs_and_only_of_others(name: str) -> None:
    """There is no daemon for domain 0, for a domain there is none of, or in another domain."""
    xen = booted(DomainSpec(id=1, name="web"))
    xen.run_line(f"cat /var/log/xen/xl-{name}.log", "No such file or directory")


def test_the_structure_of_a_call_lies_in_the_page_of_its_vcpu() -> None:
    """What the fake Xen reads is what the daemon wrote."""
    xen = booted(DomainSpec(id=1, watchdog_s=2))
    waited(xen, 20 * MS)

    assert xen.hypercalls == [HypercallMade(Hypercall.SCHED_OP, SchedOp.WATCHDOG, (0, 2, 0))]
