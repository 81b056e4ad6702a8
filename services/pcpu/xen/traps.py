"""Guest entry and exit: the loop between ERET and the next exception (xen/arch/arm/traps.c)."""

from proto.hypercall import PSCI_CALL, XEN_HYPERCALL
from proto.image import symbol
from proto.machine import Halt
from proto.messages import ExitReason, VcpuExit
from proto.psci import MASK_64, to_register
from services.pcpu.pe import Pe
from services.pcpu.xen.context import save_context
from services.pcpu.xen.domain import domain_crash, vcpu_block_unless_event_pending
from services.pcpu.xen.hypercall import do_hypercall
from services.pcpu.xen.irq import gic_interrupt
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.sched import ctxt_switch_to
from services.pcpu.xen.softirq import do_softirq
from services.pcpu.xen.vgic import vgic_sync_from_lrs, vgic_sync_to_lrs
from services.pcpu.xen.vgic_v2 import vgic_v2_distr_mmio
from services.pcpu.xen.vpsci import do_vpsci_call

EL2_SETTINGS = {
    "SP_EL2": 0,
    "VBAR_EL2": 0x8020_0800,
    "TPIDR_EL2": 0,
    "MDCR_EL2": 0xE60,
    "HSTR_EL2": 0x8000,
    "CPTR_EL2": 0x33FF,
    "HCR_EL2": 0x8028_3E3F,
    "VTTBR_EL2": 0,
}
"""EL2 registers that every CPU sets up for itself: traps, stage 2, per-CPU offset."""


@symbol
async def init_traps(pe: Pe) -> None:
    """Set up this CPU's vectors and trap controls (init_traps, setup_virt_paging_one)."""
    for name, value in EL2_SETTINGS.items():
        pe.set_register(name, value)
    pe.set_register("TPIDR_EL2", pe.cpu)


@symbol
async def guest_loop(pe: Pe) -> None:
    """Run the current vCPU until the scheduler puts the idle vCPU in its place."""
    while True:
        await leave_hypervisor_to_guest(pe)
        vcpu = pe.current
        if vcpu is None:
            return
        if pe.reload:
            await reload_context(pe, vcpu)
            continue
        await vgic_sync_to_lrs(pe, vcpu)
        result, pe.result = pe.result, None
        exit_ = await pe.run_vcpu(result)
        await enter_hypervisor_from_guest(pe, vcpu, exit_)


@symbol
async def leave_hypervisor_to_guest(pe: Pe) -> None:
    """Serve softirqs with IRQs on, and come back with IRQs masked and none pending."""
    pending = pe.xen.percpu[pe.cpu].softirq_pending
    while True:
        await pe.irq_disable()
        if pe.current is None or not await pe.load(pending):
            return
        await pe.irq_enable()
        await do_softirq(pe)


@symbol
async def enter_hypervisor_from_guest(pe: Pe, vcpu: Vcpu, exit_: VcpuExit) -> None:
    """Handle what made the guest leave EL1; IRQs are masked on entry."""
    await vgic_sync_from_lrs(pe)
    if exit_.reason == ExitReason.IRQ:
        await gic_interrupt(pe)
        return
    await pe.irq_enable()
    match exit_.reason:
        case ExitReason.HVC | ExitReason.SMC:
            await do_trap_hypercall(pe, vcpu, exit_)
        case ExitReason.WFI:
            await vcpu_block_unless_event_pending(pe, vcpu)
        case ExitReason.DATA_ABORT:
            await do_trap_stage2_abort_guest(pe, vcpu, exit_)
        case _:
            raise Halt(f"unexpected guest exit {exit_.reason}")


@symbol
async def do_trap_hypercall(pe: Pe, vcpu: Vcpu, exit_: VcpuExit) -> None:
    """HVC and SMC: PSCI by immediate 0, Xen's hypercalls by 0xEA1."""
    x0, x1, x2, x3, _ = exit_.args
    if exit_.immediate == PSCI_CALL:
        answer = await do_vpsci_call(pe, vcpu, x0, (x1, x2, x3))
        if answer is None:
            pe.reload = True
        else:
            pe.result = to_register(answer)
    elif exit_.immediate == XEN_HYPERCALL:
        pe.result = to_register(await do_hypercall(pe, vcpu, exit_.number, exit_.args))
    else:
        pe.result = MASK_64


@symbol
async def reload_context(pe: Pe, vcpu: Vcpu) -> None:
    """Start the current vCPU at its resume entry: it was woken before it was switched out.

    Called and left with IRQs masked, as a context switch is.
    """
    pe.reload = False
    await save_context(pe, vcpu, await pe.vcpu_put(), pe.generation)
    await ctxt_switch_to(pe, vcpu)


@symbol
async def do_trap_stage2_abort_guest(pe: Pe, vcpu: Vcpu, exit_: VcpuExit) -> None:
    """A guest touched what stage 2 does not map: its distributor, or nothing."""
    address, width, is_write, value = exit_.args
    answer = await vgic_v2_distr_mmio(pe, vcpu, address, width, bool(is_write), value)
    if answer is None:
        await domain_crash(pe, vcpu.domain, f"no device at {address:#x}")
    elif not is_write:
        pe.result = answer
