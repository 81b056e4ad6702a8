"""Guest suspend as Linux does it, to SYSTEM_SUSPEND and back: in place or at the resume entry."""

from proto.el1 import SYSREGS
from proto.hypercall import PSCI_CALL
from proto.image import symbol
from proto.psci import MASK_64, Psci, error_name, from_register
from proto.traces import GuestReturned
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.memory import Kernel, kernel, saved_register
from services.domain.programs.smp import (
    EBUSY,
    linux_bring_up_secondaries,
    linux_take_down_secondaries,
    psci,
)
from services.domain.programs.tick import start_tick, stop_tick
from services.domain.programs.workload import check_registers, report, violation

SUSPEND_MAGIC = 0x5353_5044
"""`SUSPEND_MAGIC` while the saved register set is good."""


@symbol
async def linux_pm_suspend(cpu: GuestCpu) -> None:
    """Write to /sys/power/state: everything down, SYSTEM_SUSPEND, and if it returns all back up.

    A successful suspend does not come back here: the resume entry is a fresh program.
    """
    printk(cpu, "PM: suspend entry (deep)")
    cpu.store_word(kernel(Kernel.FROZEN), 1)
    report(cpu)
    if await linux_take_down_secondaries(cpu):
        printk(cpu, f"PM: suspend aborted: {EBUSY} EBUSY")
    else:
        code = await linux_system_suspend(cpu)
        printk(cpu, f"PM: suspend aborted: {code} {error_name(code)}")
    await linux_pm_finish(cpu)


@symbol
async def linux_system_suspend(cpu: GuestCpu) -> int:
    """Save the vCPU and call SYSTEM_SUSPEND; gives the signed code of a call that returned."""
    await cpu.irq_disable()
    stop_tick(cpu)
    _save_registers(cpu)
    entry = cpu.address("linux_cpu_resume")
    x0 = await cpu.hvc(PSCI_CALL, Psci.SYSTEM_SUSPEND, entry, cpu.domain.spec.context_id)
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
