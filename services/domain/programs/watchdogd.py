"""xenwatchdogd: a daemon that pats a watchdog of Xen's, at half its timeout.

It is a process: while the kernel freezes processes for suspend it does not run. With its sleep hook
it stops the watchdog before a suspend and sets a new one behind it.
"""

from proto.hypercall import Hypercall, SchedOp
from proto.image import symbol
from proto.units import S
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.memory import Kernel, kernel, structure


def watchdog_due(cpu: GuestCpu) -> bool:
    """Whether the daemon has something to do."""
    if not cpu.domain.spec.watchdog_s or cpu.load_word(kernel(Kernel.FROZEN)):
        return False
    return cpu.count() >= cpu.load_word(kernel(Kernel.WATCHDOG_DUE))


@symbol
async def watchdogd_pat(cpu: GuestCpu) -> None:
    """Set the watchdog, or pat the one there is."""
    spec = cpu.domain.spec
    timer = cpu.load_word(kernel(Kernel.WATCHDOG_ID))
    answer = await watchdog(cpu, timer, spec.watchdog_s)
    if not timer and answer > 0:
        cpu.store_word(kernel(Kernel.WATCHDOG_ID), answer)
    elif answer < 0:
        printk(cpu, f"xenwatchdogd: SCHEDOP_watchdog failed: {answer}")
    cpu.store_word(kernel(Kernel.WATCHDOG_DUE), cpu.count() + spec.watchdog_s * S // 2)


@symbol
async def watchdogd_sleep_hook(cpu: GuestCpu) -> None:
    """Stop the watchdog before a suspend, if the hook is installed."""
    timer = cpu.load_word(kernel(Kernel.WATCHDOG_ID))
    if cpu.domain.spec.watchdog_hook and timer:
        await watchdog(cpu, timer, 0)
        cpu.store_word(kernel(Kernel.WATCHDOG_ID), 0)
    # Whatever became of it, the daemon looks at it as soon as it runs again.
    cpu.store_word(kernel(Kernel.WATCHDOG_DUE), 0)


async def watchdog(cpu: GuestCpu, timer: int, timeout_s: int) -> int:
    """SCHEDOP_watchdog; gives the new timer's id, 0 or an error."""
    return await cpu.hypercall(
        Hypercall.SCHED_OP, SchedOp.WATCHDOG, structure(cpu, timer, timeout_s)
    )
