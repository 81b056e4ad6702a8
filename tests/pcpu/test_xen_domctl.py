"""DOMCTL: who may call it, what it refuses, what it tells."""

from collections.abc import Sequence

import pytest
from xen_bench import Bench, board

from proto.hypercall import (
    DOMAIN_INFO,
    DOMCTL,
    VCPU_INFO,
    Domctl,
    DomInfo,
    Errno,
    Hypercall,
    ShutdownReason,
)
from proto.ids import DomainId
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import VPF_BLOCKED, VPF_DOWN, domain_pause, domain_shutdown
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.hypercall import do_hypercall

PAGE = 0x4070_0000
BUFFER = PAGE + 0x800
BOARD = board(2, (1, 2))


async def domctl(pe: Pe, caller: int, command: int, domain: int, *args: int) -> int:
    """Make the call from vCPU 0 of a domain."""
    vcpu = pe.xen.vcpus_of(caller)[0]
    words = (command, domain, *args, 0, 0, 0, 0)[: len(DOMCTL)]
    await copy_to_guest(pe, vcpu, PAGE, words)
    return await do_hypercall(pe, vcpu, Hypercall.DOMCTL, (PAGE, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("caller", "call", "code"),
    [
        (0, (Domctl.PAUSEDOMAIN, 1), 0),
        (0, (Domctl.PAUSEDOMAIN, 0), -Errno.EINVAL),
        (0, (Domctl.PAUSEDOMAIN, 7), -Errno.ESRCH),
        (1, (Domctl.PAUSEDOMAIN, 0), -Errno.EPERM),
        (0, (Domctl.UNPAUSEDOMAIN, 1), -Errno.EINVAL),
        (0, (Domctl.RESUMEDOMAIN, 1), 0),
        (0, (Domctl.RESUMEDOMAIN, 0), -Errno.EINVAL),
        (0, (Domctl.SUBSCRIBE, 1, 9), 0),
        (0, (Domctl.SUBSCRIBE, 1, 99), -Errno.EINVAL),
        (0, (Domctl.GETVCPUINFO, 1, 2, BUFFER), -Errno.ESRCH),
        (0, (999, 1), -Errno.ENOSYS),
    ],
)
def test_a_call_gives_its_code(caller: int, call: Sequence[int], code: int) -> None:
    """Permission, operation, domain, then the operation's own refusals."""
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        codes.append(await domctl(pe, caller, call[0], call[1], *call[2:]))

    Bench(program, of=BOARD)
    assert codes == [code]


def test_pause_and_unpause_pair_up() -> None:
    """Two pauses need two unpauses."""
    counts: list[int] = []

    async def program(pe: Pe) -> None:
        for command in (3, 3, 4, 4):
            assert await domctl(pe, 0, command, 1) == 0
            counts.append(await pe.load(pe.xen.domains[DomainId(1)].pause_count))

    Bench(program, of=BOARD)
    assert counts == [1, 2, 1, 0]


def test_getdomaininfo_tells_the_state() -> None:
    """Blocked if all online vCPUs are, paused by a toolstack only, shut down with its reason."""
    flags: list[int] = []

    async def info(pe: Pe) -> dict[str, int]:
        vcpu = pe.xen.vcpus_of(0)[0]
        assert await domctl(pe, 0, Domctl.GETDOMAININFO, 1, BUFFER) == 0
        row = await copy_from_guest(pe, vcpu, BUFFER, len(DOMAIN_INFO))
        return dict(zip(DOMAIN_INFO, row, strict=True))

    async def program(pe: Pe) -> None:
        first, second = (pe.xen.vcpu[vcpu.index] for vcpu in pe.xen.vcpus_of(1))
        await pe.store_burst((first.pause_flags, second.pause_flags), (VPF_BLOCKED, VPF_DOWN))
        row = await info(pe)
        assert (row["nr_online_vcpus"], row["max_vcpu_id"], row["memory_mb"]) == (1, 1, 32)
        flags.append(row["flags"])
        await pe.store(first.pause_flags, 0)
        await domain_pause(pe, DomainId(1))
        flags.append((await info(pe))["flags"])
        await domctl(pe, 0, Domctl.PAUSEDOMAIN, 1)
        flags.append((await info(pe))["flags"])
        await domain_shutdown(pe, DomainId(1), ShutdownReason.SUSPEND)
        flags.append((await info(pe))["flags"])

    Bench(program, of=BOARD)
    suspended = DomInfo.SHUTDOWN | ShutdownReason.SUSPEND << DomInfo.SHUTDOWN_SHIFT
    assert flags == [DomInfo.BLOCKED, 0, DomInfo.PAUSED, DomInfo.PAUSED | suspended]


def test_getvcpuinfo_tells_where_a_vcpu_is() -> None:
    """Online, blocked, running, time, CPU, affinity."""
    rows: list[tuple[int, ...]] = []

    async def program(pe: Pe) -> None:
        caller = pe.xen.vcpus_of(0)[0]
        cells = pe.xen.vcpu[pe.xen.vcpus_of(1)[1].index]
        row = (cells.processor, cells.runtime_ns, cells.hard_affinity)
        await pe.store_burst(row, (1, 5000, 0b10))
        assert await domctl(pe, 0, Domctl.GETVCPUINFO, 1, 1, BUFFER) == 0
        rows.append(await copy_from_guest(pe, caller, BUFFER, len(VCPU_INFO)))

    Bench(program, of=BOARD)
    assert rows == [(1, 0, 0, 5000, 1, 0b10)]
