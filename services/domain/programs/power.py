"""Guest suspend as Linux does it, to SYSTEM_SUSPEND and back: in place or at the resume entry."""

from dataclasses import dataclass

from proto.el1 import SYSREGS
from proto.hypercall import PSCI_CALL, Hypercall, SchedOp, ShutdownReason
from proto.image import symbol
from proto.psci import MASK_64, Psci, error_name, from_register
from proto.traces import GuestReturned
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.memory import Kernel, kernel, saved_register, structure
from services.domain.programs.smp import (
    EBUSY,
    linux_bring_up_secondaries,
    linux_take_down_secondaries,
    native,
    psci,
)
from services.domain.programs.tick import start_tick, stop_tick
from services.domain.programs.watchdogd import watchdogd_sleep_hook
from services.domain.programs.workload import check_registers, report, violation

SUSPEND_MAGIC = 0x5353_5044
"""`SUSPEND_MAGIC` while the saved register set is good."""


@dataclass(frozen=True, slots=True)
class Way:
    """How SYSTEM_SUSPEND is called: as Linux does it, or wrong in one respect."""

    function: Psci | None = None
    """Function id; None for the one of the guest's width."""
    entry_bits: int = 0
    """Set in the entry address."""
    junk: int = 0
    """Set in both arguments."""
    leave_on: bool = False
    """The other vCPUs are left on."""
    entry: int | None = None
    """Entry address; None for that of the kernel."""


AS_LINUX = Way()


@symbol
async def linux_pm_suspend(cpu: GuestCpu, way: Way = AS_LINUX) -> int:
    """Write to /sys/power/state: everything down, SYSTEM_SUSPEND, and if it returns all back up.

    A successful suspend does not come back here: the resume entry is a fresh program. Gives the
    error of one that does.
    """
    printk(cpu, "PM: suspend entry (deep)")
    await watchdogd_sleep_hook(cpu)
    cpu.store_word(kernel(Kernel.FROZEN), 1)
    report(cpu)
    if not way.leave_on and await linux_take_down_secondaries(cpu):
        code = EBUSY
        printk(cpu, f"PM: suspend aborted: {EBUSY} EBUSY")
    else:
        code = await linux_system_suspend(cpu, way)
        printk(cpu, f"PM: suspend aborted: {code} {error_name(code)}")
    await linux_pm_finish(cpu)
    return code


@symbol
async def linux_suspend_supported(cpu: GuestCpu) -> bool:
    """Whether PSCI_FEATURES has SYSTEM_SUSPEND (Linux, psci_init_system_suspend)."""
    return await psci(cpu, Psci.FEATURES, native(cpu, Psci.SYSTEM_SUSPEND)) == 0


@symbol
async def linux_system_suspend(cpu: GuestCpu, way: Way = AS_LINUX) -> int:
    """Save the vCPU and call SYSTEM_SUSPEND; gives the signed code of a call that returned."""
    await cpu.irq_disable()
    stop_tick(cpu)
    _save_registers(cpu)
    entry = cpu.address("linux_cpu_resume") if way.entry is None else way.entry
    entry |= way.entry_bits | way.junk
    function = way.function or native(cpu, Psci.SYSTEM_SUSPEND)
    x0 = await cpu.hvc(PSCI_CALL, function, entry, cpu.domain.spec.context_id | way.junk)
    cpu.trace(GuestReturned(cpu.domain.spec.id, cpu.vcpu, x0))
    cpu.store_word(kernel(Kernel.SUSPEND_MAGIC), 0)
    check_registers(cpu)
    start_tick(cpu)
    await cpu.irq_enable()
    return from_register(x0)


@symbol
async def linux_pm_finish(cpu: GuestCpu) -> None:
    """Undo what suspend did, whichever way it ended."""
    await linux_bring_up_secondaries(cpu)
    cpu.store_word(kernel(Kernel.FROZEN), 0)
    report(cpu)
    printk(cpu, "PM: suspend exit")


@symbol
async def linux_xen_suspend(cpu: GuestCpu) -> int:
    """SCHEDOP_shutdown with the reason suspend: no resume entry, it goes on behind the call.

    The other vCPUs stay on; Xen stops them. Source: Linux, drivers/xen/manage.c, xen_suspend.
    """
    printk(cpu, "xen: suspending")
    await watchdogd_sleep_hook(cpu)
    await cpu.irq_disable()
    reason = structure(cpu, ShutdownReason.SUSPEND)
    error = await cpu.hypercall(Hypercall.SCHED_OP, SchedOp.SHUTDOWN, reason)
    check_registers(cpu)
    await cpu.irq_enable()
    report(cpu)
    printk(cpu, f"xen: resumed: {error}")
    return error


@symbol
async def linux_reboot(cpu: GuestCpu) -> None:
    """SYSTEM_RESET; comes back only if it is refused."""
    printk(cpu, "reboot: Restarting system")
    code = await psci(cpu, Psci.SYSTEM_RESET)
    printk(cpu, f"reboot: Reboot failed: {code} {error_name(code)}")


@symbol
async def linux_poweroff(cpu: GuestCpu) -> None:
    """SYSTEM_OFF; comes back only if it is refused."""
    printk(cpu, "reboot: Power down")
    code = await psci(cpu, Psci.SYSTEM_OFF)
    printk(cpu, f"reboot: Power down failed: {code} {error_name(code)}")


def _save_registers(cpu: GuestCpu) -> None:
    for name in SYSREGS:
        cpu.store_word(saved_register(name), cpu.mrs(name))
    cpu.store_word(kernel(Kernel.SUSPEND_CHECKSUM), _saved_checksum(cpu))
    cpu.store_word(kernel(Kernel.SUSPEND_MAGIC), SUSPEND_MAGIC)


def restore_registers(cpu: GuestCpu) -> None:
    """Take the register set back that suspend saved, if it is still good."""
    if cpu.load_word(kernel(Kernel.SUSPEND_MAGIC)) != SUSPEND_MAGIC:
        violation(cpu, "the resume entry was entered without a saved context")
    elif cpu.load_word(kernel(Kernel.SUSPEND_CHECKSUM)) != _saved_checksum(cpu):
        violation(cpu, "the saved context changed while the guest was suspended")
    cpu.store_word(kernel(Kernel.SUSPEND_MAGIC), 0)
    for name in SYSREGS:
        cpu.msr(name, cpu.load_word(saved_register(name)))


def _saved_checksum(cpu: GuestCpu) -> int:
    checksum = 0
    for name in SYSREGS:
        checksum = checksum * 31 + cpu.load_word(saved_register(name)) & MASK_64
    return checksum
