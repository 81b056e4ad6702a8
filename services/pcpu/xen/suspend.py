"""System suspend: a table of steps, each with its undo, and one short interpreter.

The series that brings suspend-to-RAM to Arm is, version by version, an order of these steps; a
profile lists it. The step reached lies in RAM: nothing else survives S13, and `hyp_resume` unwinds
from there. Labels are those of `docs/SPEC_MAP.md`.
"""

from dataclasses import dataclass

from proto import traces
from proto.cells import Cell
from proto.hypercall import Errno
from proto.image import symbol
from proto.messages import AtomicOp
from proto.scenario import Parking
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.context import apply_reset
from services.pcpu.xen.continue_hypercall import finish_continuation
from services.pcpu.xen.domain import (
    VPF_BLOCKED,
    domain_pause,
    domain_resume,
    domain_unpause,
    vcpu_wake,
)
from services.pcpu.xen.memory import EL2_REGISTERS, HARDWARE_DOMAIN, Vcpu
from services.pcpu.xen.mm import update_identity_mapping
from services.pcpu.xen.psci import bug
from services.pcpu.xen.state import SystemState, set_system_state
from services.pcpu.xen.suspend_policy import host_suspend_obstacle
from services.pcpu.xen.watchdog import freeze_watchdogs, thaw_watchdogs


@dataclass(frozen=True, slots=True)
class Step:
    """One row: what is done, and what takes it back.

    A row with `undo_own_failure` is taken back also when it failed half-way.
    """

    name: str
    label: str
    do: str
    undo_label: str = ""
    undo: str = ""
    undo_own_failure: bool = False


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("system_state", "S0", "system_state_suspend", "R8", "system_state_active"),
        Step("freeze_domains", "S1", "freeze_domains", "R8", "thaw_domains"),
        Step("scheduler_disable", "S2", "scheduler_disable", "R8", "scheduler_enable"),
        Step("check_host_suspend", "S2", "check_host_suspend"),
        Step(
            "disable_nonboot_cpus",
            "S3",
            "disable_nonboot_cpus",
            "R7",
            "enable_nonboot_cpus",
            undo_own_failure=True,
        ),
        Step("console_start_sync", "S4", "console_start_sync", "R6", "console_end_sync"),
        Step("iommu_suspend", "S5", "iommu_suspend", "R5", "iommu_resume"),
        Step("console_suspend", "S6", "console_suspend", "R4", "console_resume"),
        Step("local_irq_save", "S7", "local_irq_save", "R4", "local_irq_restore"),
        Step("time_suspend", "S8", "time_suspend", "R3", "time_resume"),
        Step("gic_suspend", "S9", "gic_suspend", "R2", "gic_resume"),
        Step("set_init_ttbr", "S10", "set_init_ttbr"),
        Step("identity_mapping", "S11", "identity_mapping_on", "R1", "identity_mapping_off"),
        Step("prepare_resume_ctx", "S12", "prepare_resume_ctx"),
        Step("system_suspend", "S13", "call_psci_system_suspend"),
    )
}
"""Name to row, in the order of the 2026-06 series; a profile's `suspend_steps` picks and orders."""


def phase(pe: Pe, label: str, name: str, edge: str, error: int = 0) -> None:
    """Trace the beginning, end or failure of a labelled step."""
    pe.trace(traces.Phase(label, name, edge, error))


@symbol
async def system_suspend(pe: Pe, initiator: int) -> int:
    """Suspend the host; gives 0, or the error of the step at which it was abandoned.

    Runs on the boot CPU's idle vCPU. Comes back only when the machine did not sleep: after a sleep
    `hyp_resume` goes on in its place.
    """
    # Its own copy: whoever asks next, while this one is being taken back, is not resumed by it.
    await pe.store(pe.xen.suspend.initiator, initiator)
    order = pe.board.profile.suspend_steps
    for index, name in enumerate(order):
        step = STEPS[name]
        await pe.store(pe.xen.suspend.step, index)
        error = await pe.point(f"before {step.label}")
        phase(pe, step.label, step.name, "begin")
        error = error or await pe.links[step.do](pe)
        if error:
            phase(pe, step.label, step.name, "fail", error)
            return await unwind(pe, index + step.undo_own_failure, error)
        phase(pe, step.label, step.name, "end")
        await pe.point(f"after {step.label}")
    return await unwind(pe, len(order) - 1, 0)


@symbol
async def resume_from_power_down(pe: Pe) -> int:
    """The machine has slept: everything before the step that lies in RAM is taken back."""
    return await unwind(pe, await pe.load(pe.xen.suspend.step), 0)


@symbol
async def finish_system_suspend(pe: Pe, status: int) -> None:
    """Finish the hypercall that was continued to suspend the host, if one was."""
    if pe.board.profile.parking is Parking.BLOCK:
        vcpu = pe.xen.vcpus[await pe.load(pe.xen.suspend.initiator)]
        await finish_continuation(pe, vcpu, status)


@symbol
async def unwind(pe: Pe, completed: int, status: int) -> int:
    """Take the first `completed` steps back, last one first, then resume the initiator (R9)."""
    await set_system_state(pe, SystemState.RESUME)
    for name in reversed(pe.board.profile.suspend_steps[:completed]):
        step = STEPS[name]
        if not step.undo:
            continue
        await pe.point(f"before {step.undo_label}")
        phase(pe, step.undo_label, step.undo, "begin")
        await pe.links[step.undo](pe)
        phase(pe, step.undo_label, step.undo, "end")
    phase(pe, "R9", "domain_resume", "begin")
    await resume_initiator(pe)
    phase(pe, "R9", "domain_resume", "end")
    return status


# -- the steps that are not at home elsewhere


@symbol
async def system_state_suspend(pe: Pe) -> int:
    """Only an active system may be suspended (S0)."""
    state = await pe.load(pe.xen.system.system_state)
    if state != SystemState.ACTIVE:
        await bug(pe, f"system_state is {SystemState(state).name} at system suspend")
    await set_system_state(pe, SystemState.SUSPEND)
    return 0


@symbol
async def system_state_active(pe: Pe) -> None:
    """The system is itself again (end of R8)."""
    await set_system_state(pe, SystemState.ACTIVE)
    await printk(pe, "Resume")


@symbol
async def freeze_domains(pe: Pe) -> int:
    """Pause every domain, in the order of their ids, and wait until none runs (S1)."""
    for domain in pe.xen.domains:
        await domain_pause(pe, domain)
        await freeze_watchdogs(pe, domain)
    return 0


@symbol
async def thaw_domains(pe: Pe) -> None:
    """Take the pause of freeze_domains back; one that was there before stays (R8)."""
    for domain in pe.xen.domains:
        await thaw_watchdogs(pe, domain)
        await domain_unpause(pe, domain)


@symbol
async def local_irq_save(pe: Pe) -> int:
    """Mask IRQs on this CPU (S7)."""
    await pe.irq_disable()
    return 0


@symbol
async def local_irq_restore(pe: Pe) -> None:
    """Unmask IRQs on this CPU (R4)."""
    await pe.irq_enable()


@symbol
async def identity_mapping_on(pe: Pe) -> int:
    """Map hyp_resume at its physical address (S11)."""
    await update_identity_mapping(pe, True)
    return 0


@symbol
async def identity_mapping_off(pe: Pe) -> None:
    """Take that mapping away (R1)."""
    await update_identity_mapping(pe, False)


def _context_cells(pe: Pe) -> tuple[Cell, ...]:
    return pe.xen.resume_context.registers


@symbol
async def prepare_resume_ctx(pe: Pe) -> int:
    """Save the EL2 registers of this CPU into RAM and clean them there (S12)."""
    cells = _context_cells(pe)
    await pe.store_burst(cells, [pe.register(name) for name in EL2_REGISTERS])
    await pe.clean(*cells)
    return 0


@symbol
async def restore_context(pe: Pe) -> None:
    """Write the saved EL2 registers back (R0)."""
    values = await pe.load_burst(_context_cells(pe))
    for name, value in zip(EL2_REGISTERS, values, strict=True):
        pe.set_register(name, value)


@symbol
async def system_suspend_tasklet(pe: Pe, data: int) -> None:
    """Suspend the host for a domain that has shut down for it; its result goes nowhere."""
    await system_suspend(pe, data)


@symbol
async def check_host_suspend(pe: Pe) -> int:
    """Whether the host can suspend, looked at when everything stands still already (2026-04)."""
    obstacle = await host_suspend_obstacle(pe)
    if obstacle:
        await printk(pe, f"System suspend is not possible: {obstacle}")
        return -Errno.ENOSYS
    return 0


@symbol
async def initiating_vcpu(pe: Pe) -> Vcpu:
    """The vCPU whose SYSTEM_SUSPEND suspended the host."""
    return pe.xen.vcpus[await pe.load(pe.xen.suspend.initiator)]


@symbol
async def initiating_vcpu_is_vcpu0(pe: Pe) -> Vcpu:
    """The 2025-03 series takes it for vCPU 0 of the hardware domain, whoever called."""
    return pe.xen.vcpus_of(HARDWARE_DOMAIN)[0]


@symbol
async def resume_initiator(pe: Pe) -> None:
    """The domain that asked for the sleep starts at its resume entry, slept or not (R9)."""
    vcpu = await initiating_vcpu(pe)
    if pe.board.profile.parking is Parking.SHUTDOWN:
        await domain_resume(pe, vcpu.domain)
        return
    await apply_reset(pe, vcpu)
    await pe.atomic(AtomicOp.CLEAR, pe.xen.vcpu[vcpu.index].pause_flags, VPF_BLOCKED)
    await vcpu_wake(pe, vcpu)
