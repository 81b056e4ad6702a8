"""The PSCI that guests see (xen/arch/arm/vpsci.c)."""

from collections.abc import Awaitable, Callable

from proto.el1 import THUMB, reset_state
from proto.hypercall import ShutdownReason
from proto.ids import BOOT_CPU
from proto.image import symbol
from proto.messages import AtomicOp
from proto.psci import (
    AFFINITY_SHIFTS,
    MASK_32,
    MPIDR_MASK_64,
    PSCI_1_1,
    SMCCC_1_1,
    SMCCC_VERSION,
    Affinity,
    MigrateInfo,
    Psci,
    PsciError,
    is_smc64,
)
from proto.scenario import GuestArch, Parking, Trigger
from proto.traces import SuspendPolicy, VpsciCall, VpsciResult
from services.pcpu.pe import Pe
from services.pcpu.xen.context import (
    ResumeContext,
    request_reset,
    store_context,
    store_resume_context,
)
from services.pcpu.xen.continue_hypercall import Continuation, continue_hypercall_on_cpu
from services.pcpu.xen.domain import (
    VPF_DOWN,
    domain_shutdown,
    vcpu_block_unless_event_pending,
    vcpu_sleep_nosync,
    vcpu_wake,
)
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.spinlock import spin_lock, spin_unlock
from services.pcpu.xen.suspend_policy import Policy, suspend_policy
from services.pcpu.xen.tasklet import tasklet_schedule_on_cpu
from services.pcpu.xen.timer import stop_vcpu_timer
from services.pcpu.xen.vgic import vgic_clear_pending
from services.pcpu.xen.watchdog import stop_watchdogs

Args = tuple[int, int, int]


@symbol
async def do_vpsci_call(pe: Pe, vcpu: Vcpu, function: int, args: Args) -> int | None:
    """Answer a guest's call; an SMC32 call uses the low half of each argument.

    Gives a signed return code, or None if the caller does not return but starts at its resume
    entry. Unknown functions give NOT_SUPPORTED.
    """
    handler = HANDLERS.get(function)
    if handler is None or (is_smc64(function) and vcpu.arch is GuestArch.AARCH32):
        return PsciError.NOT_SUPPORTED
    if not is_smc64(function):
        args = (args[0] & MASK_32, args[1] & MASK_32, args[2] & MASK_32)
    pe.trace(VpsciCall(vcpu.domain, vcpu.number, function, args))
    code = await handler(pe, vcpu, args)
    # A caller that does not return has been accepted.
    decision = PsciError.SUCCESS if code is None else code
    pe.trace(VpsciResult(vcpu.domain, vcpu.number, function, decision))
    return code


@symbol
async def do_psci_version(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """VERSION."""
    return PSCI_1_1


@symbol
async def do_psci_features(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """PSCI_FEATURES: 0 for what is implemented."""
    function = args[0] & MASK_32
    known = function in HANDLERS
    if is_smc64(function) and vcpu.arch is GuestArch.AARCH32:
        known = False
    if function in (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32):
        known = known and await system_suspend_supported(pe, vcpu)
    return PsciError.SUCCESS if known else PsciError.NOT_SUPPORTED


@symbol
async def do_smccc_version(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """SMCCC_VERSION."""
    return SMCCC_1_1


def vcpu_of_mpidr(pe: Pe, caller: Vcpu, mpidr: int) -> Vcpu | None:
    """The vCPU of the caller's domain with this affinity: Aff0 is the vCPU's number."""
    siblings = pe.xen.vcpus_of(caller.domain)
    if mpidr & ~MPIDR_MASK_64 or mpidr >= len(siblings):
        return None
    return siblings[mpidr]


@symbol
async def do_psci_cpu_on(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """CPU_ON: start a vCPU that is down, with a fresh state (do_common_cpu_on)."""
    target = vcpu_of_mpidr(pe, vcpu, args[0])
    if target is None:
        return PsciError.INVALID_PARAMETERS
    if not entry_is_valid(vcpu, args[1]):
        return PsciError.INVALID_ADDRESS
    lock = pe.xen.domains[vcpu.domain].lock
    cells = pe.xen.vcpu[target.index]
    await spin_lock(pe, lock)
    if not await pe.load(cells.pause_flags) & VPF_DOWN:
        await spin_unlock(pe, lock)
        return PsciError.ALREADY_ON
    await wait_descheduled(pe, target)
    await stop_vcpu_timer(pe, target.index)
    cntvoff = (await pe.load_burst((cells.context[-1],)))[0]
    registers = pe.board.platform.list_registers
    fresh = reset_state(args[1], args[2], registers, cntvoff, target.arch)
    # Before its list registers are replaced: what they hold has to be deactivated.
    await vgic_clear_pending(pe, target)
    await store_context(pe, target, fresh)
    await pe.atomic(AtomicOp.CLEAR, cells.pause_flags, VPF_DOWN, relaxed=True)
    await spin_unlock(pe, lock)
    await vcpu_wake(pe, target)
    return PsciError.SUCCESS


@symbol
async def wait_descheduled(pe: Pe, vcpu: Vcpu) -> None:
    """A vCPU that is down but still on its pCPU would save its old state over the new one."""
    cell = pe.xen.vcpu[vcpu.index].is_running
    running = await pe.load(cell)
    while running:
        running = await pe.wfe(cell, running)


@symbol
async def wait_descheduled_skipped(pe: Pe, vcpu: Vcpu) -> None:
    """Published Xen looks at _VPF_down and at nothing else (do_common_cpu_on)."""


@symbol
async def do_psci_cpu_off(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """CPU_OFF: mark the vCPU down and ask for its sleep, without waiting."""
    await pe.atomic(AtomicOp.SET, pe.xen.vcpu[vcpu.index].pause_flags, VPF_DOWN)
    await vcpu_sleep_nosync(pe, vcpu)
    return PsciError.SUCCESS


@symbol
async def do_psci_affinity_info(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """AFFINITY_INFO: ON if a vCPU below the affinity instance is; a guest never sees ON_PENDING.

    Fields below the level and bits that are none of an affinity do not count; no match is OFF.
    """
    if args[1] >= len(AFFINITY_SHIFTS):
        return PsciError.INVALID_PARAMETERS
    mask = MPIDR_MASK_64 & -(1 << AFFINITY_SHIFTS[args[1]])
    siblings = pe.xen.vcpus_of(vcpu.domain)
    named = [other for other in siblings if other.number & mask == args[0] & mask]
    if not named:
        return Affinity.OFF
    flags = await pe.load_burst([pe.xen.vcpu[other.index].pause_flags for other in named])
    return Affinity.OFF if all(flag & VPF_DOWN for flag in flags) else Affinity.ON


@symbol
async def do_psci_cpu_suspend(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """CPU_SUSPEND: a standby whatever state was asked for; the caller goes on behind the call."""
    await vcpu_block_unless_event_pending(pe, vcpu)
    return PsciError.SUCCESS


@symbol
async def do_psci_migrate_info_type(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """MIGRATE_INFO_TYPE: guests have no Trusted OS."""
    return MigrateInfo.NOT_NEEDED


@symbol
async def do_psci_system_off(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """SYSTEM_OFF: shut the domain down; the hardware domain takes the machine with it."""
    await domain_shutdown(pe, vcpu.domain, ShutdownReason.POWEROFF)
    return PsciError.SUCCESS


@symbol
async def do_psci_system_reset(pe: Pe, vcpu: Vcpu, args: Args) -> int:
    """SYSTEM_RESET: as SYSTEM_OFF, for another reason."""
    await domain_shutdown(pe, vcpu.domain, ShutdownReason.REBOOT)
    return PsciError.SUCCESS


@symbol
async def system_suspend_supported(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether a domain has SYSTEM_SUSPEND at all; PSCI_FEATURES says the same.

    The policy may forbid it to a domain. Without the configuration option nobody can suspend the
    host, and the domain whose call would do that has no such call.
    """
    if not vcpu.suspend_allowed:
        return False
    return pe.board.scenario.system_suspend or not triggers_host_suspend(pe, vcpu)


def triggers_host_suspend(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether this domain's suspend may be the host's, as the version of the series has it."""
    if pe.board.profile.trigger is Trigger.HARDWARE:
        return vcpu.is_hardware
    return vcpu.is_control


@symbol
async def do_psci_system_suspend(pe: Pe, vcpu: Vcpu, args: Args) -> int | None:
    """SYSTEM_SUSPEND: refusals first, then the domain is parked, and maybe the host suspends.

    Source: xen/arch/arm/vpsci.c, do_psci_1_0_system_suspend; the 2025-03 and 2026-06 series.
    """
    entry, context_id, _ = args
    if not entry_is_valid(vcpu, entry):
        return PsciError.INVALID_ADDRESS
    if not await system_suspend_supported(pe, vcpu):
        return PsciError.NOT_SUPPORTED
    if not await all_other_vcpus_down(pe, vcpu):
        return PsciError.DENIED
    # The context is built here and attached when the domain is down.
    resume = ResumeContext(entry, context_id)
    if pe.board.profile.parking is Parking.SHUTDOWN:
        return await suspend_by_shutdown(pe, vcpu, resume)
    return await suspend_by_blocking(pe, vcpu, resume)


@symbol
async def suspend_by_blocking(pe: Pe, vcpu: Vcpu, resume: ResumeContext) -> int | None:
    """The 2025-03 design: the vCPU blocks, and any interrupt for it ends that."""
    await store_resume_context(pe, vcpu, resume)
    if triggers_host_suspend(pe, vcpu):
        error = await continue_hypercall_on_cpu(
            pe, vcpu, BOOT_CPU, Continuation.SYSTEM_SUSPEND, vcpu.index
        )
        if error:
            return PsciError.DENIED
        await stop_watchdogs(pe, vcpu.domain)
        await vcpu_block_unless_event_pending(pe, vcpu)
        return PsciError.SUCCESS
    await stop_watchdogs(pe, vcpu.domain)
    await pe.point(f"vpsci.SYSTEM_SUSPEND d{vcpu.domain}")
    await vcpu_block_unless_event_pending(pe, vcpu)
    return await domain_suspended(pe, vcpu)


@symbol
async def suspend_by_shutdown(pe: Pe, vcpu: Vcpu, resume: ResumeContext) -> int:
    """Since 2025-09: the domain is shut down with reason suspend until somebody resumes it.

    Policy and shutdown are one critical section: of two control domains that suspend at once the
    second must see the first one parked. The resume context is attached after the shutdown, so a
    resume that comes in between has to wait for this vCPU to stop (`domain_resume`).
    """
    lock = pe.xen.system.suspend_lock
    await spin_lock(pe, lock)
    verdict, why = await suspend_policy(pe, vcpu)
    pe.trace(SuspendPolicy(vcpu.domain, verdict.value, why))
    denied = verdict is Policy.DENIED or await domain_shutdown(
        pe, vcpu.domain, ShutdownReason.SUSPEND
    )
    await spin_unlock(pe, lock)
    if denied:
        return PsciError.DENIED
    await pe.point(f"vpsci.SYSTEM_SUSPEND d{vcpu.domain}")
    await stop_watchdogs(pe, vcpu.domain)
    await store_resume_context(pe, vcpu, resume)
    await pe.store(pe.xen.domains[vcpu.domain].resume_vcpu, vcpu.index + 1)
    if verdict is Policy.HOST:
        await pe.store(pe.xen.suspend_tasklet.data, vcpu.index)
        await tasklet_schedule_on_cpu(pe, pe.xen.suspend_tasklet, BOOT_CPU)
    return PsciError.SUCCESS


@symbol
async def domain_suspended(pe: Pe, vcpu: Vcpu) -> int | None:
    """A domain other than the hardware domain sleeps: it will start at its resume entry."""
    await request_reset(pe, vcpu)
    return None


@symbol
async def domain_suspended_in_place(pe: Pe, vcpu: Vcpu) -> int | None:
    """The 2025-03 series resets the hardware domain only: others go on behind the call."""
    return PsciError.SUCCESS


def entry_is_valid(vcpu: Vcpu, entry: int) -> bool:
    """Whether a domain of this width may start there: only AArch32 has Thumb code."""
    return vcpu.arch is GuestArch.AARCH32 or not entry & THUMB


@symbol
async def all_other_vcpus_down(pe: Pe, vcpu: Vcpu) -> bool:
    """Whether every other vCPU of the caller's domain is off, looked at under the domain lock."""
    lock = pe.xen.domains[vcpu.domain].lock
    await spin_lock(pe, lock)
    down = True
    for other in pe.xen.vcpus_of(vcpu.domain):
        if other is not vcpu:
            flags = await pe.load(pe.xen.vcpu[other.index].pause_flags)
            down = down and bool(flags & VPF_DOWN)
    await spin_unlock(pe, lock)
    return down


Handler = Callable[[Pe, Vcpu, Args], Awaitable[int | None]]

HANDLERS: dict[int, Handler] = {
    Psci.VERSION: do_psci_version,
    Psci.FEATURES: do_psci_features,
    SMCCC_VERSION: do_smccc_version,
    Psci.CPU_SUSPEND: do_psci_cpu_suspend,
    Psci.CPU_SUSPEND_32: do_psci_cpu_suspend,
    Psci.MIGRATE_INFO_TYPE: do_psci_migrate_info_type,
    Psci.CPU_ON: do_psci_cpu_on,
    Psci.CPU_ON_32: do_psci_cpu_on,
    Psci.CPU_OFF: do_psci_cpu_off,
    Psci.AFFINITY_INFO: do_psci_affinity_info,
    Psci.AFFINITY_INFO_32: do_psci_affinity_info,
    Psci.SYSTEM_OFF: do_psci_system_off,
    Psci.SYSTEM_RESET: do_psci_system_reset,
    Psci.SYSTEM_SUSPEND: do_psci_system_suspend,
    Psci.SYSTEM_SUSPEND_32: do_psci_system_suspend,
}
"""Function id to its handler; what is not in here does not exist for guests."""
