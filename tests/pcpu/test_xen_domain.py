"""Domains: shutdown states, resume, and the pauses of a toolstack."""

from collections.abc import Sequence

import pytest
from xen_bench import Bench, board

from proto.hypercall import Errno, ShutdownReason
from proto.ids import DomainId
from proto.traces import DomainShutdown
from services.pcpu.pe import Pe
from services.pcpu.xen.context import ResumeContext, load_context, store_resume_context
from services.pcpu.xen.domain import (
    domain_pause,
    domain_pause_by_systemcontroller,
    domain_resume,
    domain_shutdown,
    domain_unpause_by_systemcontroller,
    shutdown_state,
    vcpu_pause_nosync,
)

DOMU = DomainId(1)
BOARD = board(1, (1, 2))


def states(bench: Bench) -> list[tuple[str, str]]:
    """The shutdown states of the domU, in order."""
    return [(trace.state, trace.code) for trace in bench.traces(DomainShutdown)]


def test_a_shutdown_pauses_every_vcpu_and_is_then_complete() -> None:
    """None, in progress, complete; each vCPU is paused once."""
    counts: list[int] = []

    async def program(pe: Pe) -> None:
        await domain_shutdown(pe, DOMU, ShutdownReason.SUSPEND)
        cells = [pe.xen.vcpu[vcpu.index].pause_count for vcpu in pe.xen.vcpus_of(DOMU)]
        counts.extend(await pe.load_burst(cells))

    bench = Bench(program, of=BOARD)
    assert states(bench) == [("in_progress", "suspend"), ("complete", "suspend")]
    assert counts == [1, 1]


def test_the_first_reason_stays() -> None:
    """A second shutdown changes nothing."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        await domain_shutdown(pe, DOMU, ShutdownReason.SUSPEND)
        await domain_shutdown(pe, DOMU, ShutdownReason.CRASH)
        seen.append(await shutdown_state(pe, DOMU))
        vcpu = pe.xen.vcpus_of(DOMU)[0]
        seen.append(await pe.load(pe.xen.vcpu[vcpu.index].pause_count))

    Bench(program, of=BOARD)
    assert seen == [(True, True, ShutdownReason.SUSPEND), 1]


def test_a_resume_takes_back_the_shutdown_and_nothing_else() -> None:
    """A pause that was there before nests: the vCPU stays paused once."""
    counts: list[int] = []

    async def program(pe: Pe) -> None:
        first = pe.xen.vcpus_of(DOMU)[0]
        await vcpu_pause_nosync(pe, first)
        await domain_pause(pe, DOMU)
        await domain_shutdown(pe, DOMU, ShutdownReason.SUSPEND)
        await domain_resume(pe, DOMU)
        counts.append(await pe.load(pe.xen.vcpu[first.index].pause_count))
        counts.append(await pe.load(pe.xen.domains[DOMU].pause_count))
        assert await shutdown_state(pe, DOMU) == (False, False, None)

    bench = Bench(program, of=BOARD)
    assert counts == [1, 1]
    assert states(bench)[-1] == ("none", "")


@pytest.mark.parametrize("attached", [True, False])
def test_a_resume_starts_at_the_context_that_is_attached(attached: bool) -> None:
    """Without one (suspended by hypercall) the saved state is left alone."""
    seen: list[tuple[int, int]] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus_of(DOMU)[1]
        await domain_shutdown(pe, DOMU, ShutdownReason.SUSPEND)
        await store_resume_context(pe, vcpu, ResumeContext(0x4000_1000, 0x77))
        if attached:
            await pe.store(pe.xen.domains[DOMU].resume_vcpu, vcpu.index + 1)
        await domain_resume(pe, DOMU)
        state = await load_context(pe, vcpu)
        seen.append((state.pc, state.x[0]))
        assert await pe.load(pe.xen.domains[DOMU].resume_vcpu) == 0

    Bench(program, of=BOARD)
    assert seen == [(0x4000_1000, 0x77) if attached else (0, 0)]


def test_resuming_a_domain_that_runs_changes_nothing() -> None:
    """Counts balance, and no vCPU loses a pause that is not the shutdown's."""
    counts: Sequence[int] = ()

    async def program(pe: Pe) -> None:
        nonlocal counts
        await domain_resume(pe, DOMU)
        vcpu = pe.xen.vcpu[pe.xen.vcpus_of(DOMU)[0].index]
        domain = pe.xen.domains[DOMU]
        counts = await pe.load_burst((vcpu.pause_count, domain.pause_count))

    Bench(program, of=BOARD)
    assert counts == (0, 0)


def test_a_toolstack_cannot_take_back_a_pause_that_is_not_its_own() -> None:
    """Unpause gives -EINVAL without one; pauses of Xen itself do not count."""
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        await domain_pause(pe, DOMU)
        codes.append(await domain_unpause_by_systemcontroller(pe, DOMU))
        await domain_pause_by_systemcontroller(pe, DOMU)
        codes.append(await domain_unpause_by_systemcontroller(pe, DOMU))
        codes.append(await domain_unpause_by_systemcontroller(pe, DOMU))
        codes.append(await pe.load(pe.xen.domains[DOMU].pause_count))

    Bench(program, of=BOARD)
    assert codes == [-Errno.EINVAL, 0, -Errno.EINVAL, 1]


@pytest.mark.parametrize(
    ("reason", "words", "ending"),
    [
        (ShutdownReason.POWEROFF, "halted: halting machine", "SYSTEM_OFF"),
        (ShutdownReason.REBOOT, "rebooting machine", "SYSTEM_RESET"),
        (ShutdownReason.CRASH, "crashed", "SYSTEM_OFF"),
        (ShutdownReason.WATCHDOG, "watchdog rebooting machine", "SYSTEM_RESET"),
        (ShutdownReason.SUSPEND, "", ""),
    ],
)
def test_the_machine_ends_with_the_hardware_domain_unless_it_suspends(
    reason: ShutdownReason, words: str, ending: str
) -> None:
    """Switched off, booted again, or left alone."""
    calls: list[str] = []

    def smc(function: int, args: tuple[int, ...]) -> int:
        calls.append({0x8400_0008: "SYSTEM_OFF", 0x8400_0009: "SYSTEM_RESET"}[function])
        return 0

    async def program(pe: Pe) -> None:
        await domain_shutdown(pe, DomainId(0), reason)

    bench = Bench(program, of=BOARD, smc=smc)
    assert calls == ([ending] if ending else [])
    assert words in bench.uart.text
