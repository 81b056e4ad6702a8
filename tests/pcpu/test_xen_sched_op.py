"""SCHED_OP: a domain's own shutdown, another's, and its watchdogs."""

from collections.abc import Sequence
from typing import Any

import pytest
from xen_bench import Bench, board

from proto.hypercall import Errno, Hypercall, SchedOp, ShutdownReason
from proto.ids import DomainId
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import shutdown_state
from services.pcpu.xen.guest_access import copy_to_guest
from services.pcpu.xen.hypercall import do_hypercall

PAGE = 0x4070_0000
BOARD = board(1, (1, 1, 1))


async def sched_op(pe: Pe, caller: int, operation: int, *words: int) -> int:
    """Make the call from a domain."""
    vcpu = pe.xen.vcpus_of(caller)[0]
    await copy_to_guest(pe, vcpu, PAGE, words or (0,))
    return await do_hypercall(pe, vcpu, Hypercall.SCHED_OP, (operation, PAGE, 0, 0, 0))


@pytest.mark.parametrize(
    ("caller", "call", "code", "reason"),
    [
        (1, (SchedOp.SHUTDOWN, 2), 0, ShutdownReason.SUSPEND),
        (1, (SchedOp.SHUTDOWN, 0), 0, ShutdownReason.POWEROFF),
        (1, (SchedOp.SHUTDOWN, 77), -Errno.EINVAL, None),
        (0, (SchedOp.REMOTE_SHUTDOWN, 1, 1), 0, ShutdownReason.REBOOT),
        (2, (SchedOp.REMOTE_SHUTDOWN, 1, 1), -Errno.EPERM, None),
        (0, (SchedOp.REMOTE_SHUTDOWN, 9, 1), -Errno.ESRCH, None),
        (0, (SchedOp.REMOTE_SHUTDOWN, 1, 9), -Errno.EINVAL, None),
        (1, (SchedOp.YIELD,), 0, None),
        (1, (SchedOp.POLL,), -Errno.ENOSYS, None),
    ],
)
def test_a_call_gives_its_code(
    caller: int, call: Sequence[int], code: int, reason: ShutdownReason | None
) -> None:
    """And shuts domain 1 down for its reason, or does not."""
    seen: list[object] = []

    async def program(pe: Pe) -> None:
        seen.append(await sched_op(pe, caller, *call))
        seen.append((await shutdown_state(pe, DomainId(1)))[2])

    Bench(program, of=BOARD)
    assert seen == [code, reason]


def test_a_watchdog_call_goes_to_the_watchdogs() -> None:
    """With the caller's domain, the timer's id and the timeout in seconds."""
    calls: list[tuple[Any, ...]] = []

    async def domain_watchdog(pe: Pe, domain: DomainId, timer: int, timeout_s: int) -> int:
        calls.append((domain, timer, timeout_s))
        return 1

    async def program(pe: Pe) -> None:
        assert await sched_op(pe, 1, SchedOp.WATCHDOG, 0, 30) == 1
        # Both are uint32_t: what stands above does not count.
        assert await sched_op(pe, 1, SchedOp.WATCHDOG, 1 << 32, 1 << 63 | 30) == 1

    Bench(program, of=BOARD, relinked={"domain_watchdog": domain_watchdog})
    assert calls == [(1, 0, 30), (1, 0, 30)]
