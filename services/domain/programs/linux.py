"""The Linux-like kernel: boot, secondary and resume entries, and the idle loop.

An entry is a fresh program with nothing but its registers; everything else it knows is in RAM.
"""

from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import linux_tty_startup, printk
from services.domain.programs.irq import (
    linux_gic_cpu_init,
    linux_gic_cpu_restore,
    linux_gic_dist_init,
)
from services.domain.programs.memory import Kernel, PerCpu, kernel, own, set_own
from services.domain.programs.power import linux_pm_finish, restore_registers
from services.domain.programs.shell import command_waits, linux_shell, linux_suspend_here, prompt
from services.domain.programs.smp import (
    is_leaving,
    linux_bring_up_secondaries,
    linux_cpu_die,
    linux_secondary_online,
    online_count,
)
from services.domain.programs.tick import start_tick
from services.domain.programs.watchdogd import watchdog_due, watchdogd_pat
from services.domain.programs.workload import kernel_registers, linux_workload_round, prepare
from services.domain.programs.xenbus import linux_shutdown_handler, store_changed
from services.domain.programs.xl_monitor import domains_changed, xenstored_start, xl_daemons

BOOT_VCPU = 0


@symbol
async def linux_start(cpu: GuestCpu, x0: int) -> None:
    """Boot entry of vCPU 0; x0 is the device tree's address, and `DomainSpec` is the tree."""
    cpu.domain.ram.clear()
    prepare(cpu)
    _set_registers(cpu)
    await linux_gic_dist_init(cpu)
    await linux_gic_cpu_init(cpu)
    await linux_tty_startup(cpu)
    set_own(cpu, PerCpu.ONLINE, 1)
    start_tick(cpu)
    await cpu.irq_enable()
    await linux_bring_up_secondaries(cpu)
    await xenstored_start(cpu)
    printk(cpu, f"dom{cpu.domain.spec.id}: up, {online_count(cpu)} vCPUs")
    prompt(cpu, 0)
    await linux_idle(cpu)


@symbol
async def linux_secondary_start(cpu: GuestCpu, x0: int) -> None:
    """CPU_ON entry of a secondary; x0 is its own number, which its MPIDR says as well."""
    _set_registers(cpu)
    await linux_gic_cpu_init(cpu)
    linux_secondary_online(cpu)
    await cpu.irq_enable()
    await linux_idle(cpu)


@symbol
async def linux_cpu_resume(cpu: GuestCpu, x0: int) -> None:
    """SYSTEM_SUSPEND's resume entry; x0 is the context id."""
    restore_registers(cpu)
    if x0 != cpu.domain.spec.context_id:
        printk(cpu, f"PM: resumed with x0 {x0:#x}, not {cpu.domain.spec.context_id:#x}")
    await linux_gic_cpu_restore(cpu)
    start_tick(cpu)
    await cpu.irq_enable()
    await linux_pm_finish(cpu)
    prompt(cpu, 0)
    await linux_idle(cpu)


@symbol
async def linux_idle(cpu: GuestCpu) -> None:
    """Do what is due, else wait for an interrupt; never ends."""
    while True:
        # Masked: an interrupt between the look and the WFI would be slept through.
        await cpu.irq_disable()
        if is_leaving(cpu):
            await linux_cpu_die(cpu)
        elif cpu.load_word(kernel(Kernel.SUSPEND_ON)) == cpu.vcpu + 1:
            await cpu.irq_enable()
            await linux_suspend_here(cpu)
        elif cpu.vcpu == BOOT_VCPU and store_changed(cpu):
            await cpu.irq_enable()
            await linux_shutdown_handler(cpu)
        elif cpu.vcpu == BOOT_VCPU and domains_changed(cpu):
            await cpu.irq_enable()
            await xl_daemons(cpu)
        elif cpu.vcpu == BOOT_VCPU and watchdog_due(cpu):
            await cpu.irq_enable()
            await watchdogd_pat(cpu)
        elif cpu.vcpu == BOOT_VCPU and command_waits(cpu):
            await cpu.irq_enable()
            await linux_shell(cpu)
        elif own(cpu, PerCpu.WORK_DUE) and not cpu.load_word(kernel(Kernel.FROZEN)):
            await cpu.irq_enable()
            set_own(cpu, PerCpu.WORK_DUE, 0)
            await linux_workload_round(cpu)
        else:
            await cpu.wfi()
            await cpu.irq_enable()


def _set_registers(cpu: GuestCpu) -> None:
    """MMU on, vectors, per-CPU base."""
    for name, value in kernel_registers(cpu).items():
        cpu.msr(name, value)
