"""The watchdogs of domains: numbers, expiry, and what suspend does to what is left of them."""

from typing import Any

import pytest
from xen_bench import Bench, board

from proto.hypercall import Errno, ShutdownReason
from proto.ids import DomainId
from proto.traces import Watchdog
from proto.units import MS, S
from services.pcpu.pe import Pe
from services.pcpu.xen.timer import timer_softirq_action
from services.pcpu.xen.watchdog import (
    domain_watchdog,
    watchdog_domain_freeze,
    watchdog_domain_init,
    watchdog_domain_resume,
    watchdog_domain_suspend,
    watchdog_domain_thaw,
)

DOM0, DOM1 = DomainId(0), DomainId(1)


async def made(pe: Pe) -> None:
    """Both domains' watchdogs."""
    for domain in (DOM0, DOM1):
        await watchdog_domain_init(pe, domain)


async def wait(pe: Pe, duration_ns: int) -> None:
    """Let time pass, then serve the timers as the softirq does."""
    await pe.delay(duration_ns)
    await timer_softirq_action(pe)


class Shutdowns:
    """Takes the place of domain_shutdown."""

    def __init__(self) -> None:
        self.seen: list[tuple[DomainId, ShutdownReason]] = []

    async def __call__(self, pe: Pe, domain: DomainId, reason: ShutdownReason) -> int:
        self.seen.append((domain, reason))
        return 0


def run(program: Any) -> tuple[Bench, Shutdowns]:
    """A program on a board with two domains."""
    shutdowns = Shutdowns()
    bench = Bench(program, of=board(1, (1, 1)), relinked={"domain_shutdown": shutdowns})
    assert bench.halts == []
    return bench, shutdowns


def events(bench: Bench, domain: DomainId = DOM1) -> list[tuple[int, str]]:
    """Which watchdog of a domain, and what became of it."""
    return [(t.timer, t.event) for t in bench.traces(Watchdog) if t.domain == domain]


@pytest.mark.parametrize(
    "calls",
    [
        ((0, 30, 1), (0, 30, 2), (0, 30, -Errno.ENOSPC)),
        ((1, 30, -Errno.EINVAL), (2, 0, -Errno.EINVAL), (3, 30, -Errno.EINVAL)),
        ((0, 30, 1), (1, 5, 0), (2, 5, -Errno.EINVAL), (1, 0, 0), (1, 5, -Errno.EINVAL)),
        ((0, 30, 1), (0, 30, 2), (1, 0, 0), (0, 30, 1), (2, 60, 0)),
    ],
)
def test_numbers_of_watchdogs(calls: tuple[tuple[int, int, int], ...]) -> None:
    """0 asks for a free one, 0 seconds give one back; each call with what it returns."""
    results: list[int] = []

    async def program(pe: Pe) -> None:
        await made(pe)
        for number, timeout_s, _ in calls:
            results.append(await domain_watchdog(pe, DOM1, number, timeout_s))
        results.append(await domain_watchdog(pe, DOM0, 0, 30))

    run(program)

    assert results == [*(code for _, _, code in calls), 1]


def test_a_watchdog_that_is_not_patted_shuts_its_domain_down() -> None:
    """Patting it moves the deadline; one that was given back never fires."""

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 2)
        await domain_watchdog(pe, DOM1, 0, 1)
        await domain_watchdog(pe, DOM1, 2, 0)
        await wait(pe, 1500 * MS)
        await domain_watchdog(pe, DOM1, 1, 2)
        await wait(pe, 1500 * MS)
        assert await pe.load(pe.xen.watchdog_timer[DOM1][0].expires) > pe.now
        await wait(pe, 1 * S)

    bench, shutdowns = run(program)

    assert shutdowns.seen == [(DOM1, ShutdownReason.WATCHDOG)]
    assert "Watchdog timer 0 fired for d1" in bench.uart.text
    assert events(bench)[-1] == (0, "fired")


def test_a_domain_that_shuts_down_is_spared() -> None:
    """The handler looks at is_shutting_down; what expires then is over."""

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 1)
        await pe.store(pe.xen.domains[DOM1].is_shutting_down, 1)
        await wait(pe, 2 * S)
        await pe.store(pe.xen.domains[DOM1].is_shutting_down, 0)
        await wait(pe, 2 * S)

    bench, shutdowns = run(program)

    assert shutdowns.seen == []
    assert events(bench) == [(0, "set"), (0, "spared")]


# -- the series of 2025-03


def test_the_first_series_gives_the_full_period() -> None:
    """Stopped while the domain is suspended; a nearly expired one starts all over."""
    deadlines: list[int] = []

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 10)
        await domain_watchdog(pe, DOM0, 0, 3)
        await wait(pe, 9 * S)
        await watchdog_domain_suspend(pe, DOM1)
        await wait(pe, 5 * S)
        deadlines.append(pe.now)
        await watchdog_domain_resume(pe, DOM1)
        deadlines.append(await pe.load(pe.xen.watchdog_timer[DOM1][0].expires))

    bench, shutdowns = run(program)

    before, deadline = deadlines
    assert 10 * S <= deadline - before < 10 * S + 1 * MS
    assert events(bench) == [(0, "set"), (0, "stopped"), (0, "set")]
    assert shutdowns.seen == [(DOM0, ShutdownReason.WATCHDOG)]


def test_a_suspend_leaves_unused_watchdogs_alone() -> None:
    """Only those in use are stopped and started."""

    async def program(pe: Pe) -> None:
        await made(pe)
        for change in (watchdog_domain_suspend, watchdog_domain_resume):
            await change(pe, DOM1)
        for change in (watchdog_domain_freeze, watchdog_domain_thaw):
            await change(pe, DOM1)

    bench, _ = run(program)

    assert events(bench) == []


# -- frozen domains


def frozen_for(seconds: int, *, freeze: bool) -> list[tuple[DomainId, ShutdownReason]]:
    """Who is shut down when a domain with 2 of 5 seconds left cannot run for a while."""

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 5)
        await wait(pe, 3 * S)
        if freeze:
            await watchdog_domain_freeze(pe, DOM1)
        await wait(pe, seconds * S)
        if freeze:
            await watchdog_domain_thaw(pe, DOM1)
        await wait(pe, 1 * S)
        await domain_watchdog(pe, DOM1, 1, 5)
        await wait(pe, 1500 * MS)

    return run(program)[1].seen


def test_a_frozen_domain_is_not_shut_down_for_hanging() -> None:
    """Without the freeze it is, after a long sleep (frozen-domain-watchdog)."""
    assert frozen_for(8, freeze=True) == []
    assert frozen_for(8, freeze=False) == [(DOM1, ShutdownReason.WATCHDOG)]


def test_a_freeze_keeps_what_was_left() -> None:
    """No more and no less: a nearly expired watchdog does not get a fresh period."""
    left: list[int] = []

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 10)
        await wait(pe, 9 * S)
        await watchdog_domain_freeze(pe, DOM1)
        await wait(pe, 5 * S)
        begin = pe.now
        await watchdog_domain_thaw(pe, DOM1)
        left.append(await pe.load(pe.xen.watchdog_timer[DOM1][0].expires) - begin)

    run(program)

    assert 999 * MS < left[0] <= 1001 * MS


def test_freezes_nest() -> None:
    """A domain that is suspended while the host sleeps stays without its watchdog."""
    left: list[int] = []

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 1)
        await watchdog_domain_freeze(pe, DOM1)
        await watchdog_domain_freeze(pe, DOM1)
        await watchdog_domain_thaw(pe, DOM1)
        await wait(pe, 2 * S)
        left.append(await pe.load(pe.xen.watchdog_timer[DOM1][0].expires))
        await watchdog_domain_thaw(pe, DOM1)
        left.append(await pe.load(pe.xen.watchdog_timer[DOM1][0].expires))

    bench, shutdowns = run(program)

    assert left[0] == 0 < left[1]
    assert shutdowns.seen == []
    assert events(bench) == [(0, "set"), (0, "stopped"), (0, "set")]


def test_one_that_expired_before_the_freeze_fires_after_it() -> None:
    """Its softirq had not run: it is late, not lost; one that had fired stays silent."""

    async def program(pe: Pe) -> None:
        await made(pe)
        await domain_watchdog(pe, DOM1, 0, 1)
        await domain_watchdog(pe, DOM1, 0, 2)
        await wait(pe, 1500 * MS)
        await pe.delay(1 * S)
        await watchdog_domain_freeze(pe, DOM1)
        await timer_softirq_action(pe)
        await watchdog_domain_thaw(pe, DOM1)
        await wait(pe, 1 * MS)

    bench, shutdowns = run(program)

    assert [event for event in events(bench) if event[1] == "fired"] == [(0, "fired"), (1, "fired")]
    assert len(shutdowns.seen) == 2
