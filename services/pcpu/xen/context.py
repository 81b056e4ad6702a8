"""The saved EL1 state of a vCPU in `struct vcpu` (xen/arch/arm/domain.c)."""

from typing import NamedTuple

from msgspec.structs import replace

from proto import timer
from proto.el1 import SYSREGS, flatten, reset_state, unflatten, word_index
from proto.ids import DomainId
from proto.image import symbol
from proto.messages import AtomicOp, El1State
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu

RESET_BY_RESUME = ("SCTLR_EL1", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1")
"""EL1 registers that a resume sets, whatever else it leaves alone."""


class ResumeContext(NamedTuple):
    """What SYSTEM_SUSPEND was given: where a domain starts again, and with which x0."""

    entry: int
    context_id: int


@symbol
async def store_resume_context(pe: Pe, vcpu: Vcpu, resume: ResumeContext) -> None:
    """Keep a vCPU's resume context in RAM."""
    cells = pe.xen.vcpu[vcpu.index]
    await pe.store_burst((cells.resume_entry, cells.resume_context_id), resume)


@symbol
async def arch_domain_resume(pe: Pe, domain: DomainId) -> None:
    """Apply the resume context that a domain has attached, if any, to its wake vCPU.

    A domain that was suspended by hypercall has none and goes on behind the call.
    """
    attached = pe.xen.domains[domain].resume_vcpu
    index = await pe.atomic(AtomicOp.SWAP, attached, 0)
    if index:
        await apply_reset(pe, pe.xen.vcpus[index - 1])


@symbol
async def load_context(pe: Pe, vcpu: Vcpu) -> El1State:
    """Read a descheduled vCPU's state."""
    words = await pe.load_burst(pe.xen.vcpu[vcpu.index].context)
    return unflatten(words, pe.board.platform.list_registers)


@symbol
async def saved_words(pe: Pe, vcpu: Vcpu, *names: str) -> tuple[int, ...]:
    """Words of a descheduled vCPU's state, by the names of `word_index`."""
    cells, registers = pe.xen.vcpu[vcpu.index].context, pe.board.platform.list_registers
    return await pe.load_burst([cells[word_index(name, registers)] for name in names])


@symbol
async def store_context(pe: Pe, vcpu: Vcpu, state: El1State) -> None:
    """Write a descheduled vCPU's state."""
    await pe.store_burst(pe.xen.vcpu[vcpu.index].context, flatten(state))


@symbol
async def save_context(pe: Pe, vcpu: Vcpu, state: El1State, generation: int) -> None:
    """Write the state of a vCPU that is switched out, with the number of its last entry."""
    cells = pe.xen.vcpu[vcpu.index]
    await pe.store_burst((*cells.context, cells.generation), (*flatten(state), generation))


@symbol
async def mask_virtual_timer(pe: Pe, vcpu: Vcpu) -> None:
    """Set IMASK in the saved CNTV_CTL of a descheduled vCPU, and touch nothing else of it."""
    position = word_index("cntv_ctl", pe.board.platform.list_registers)
    await pe.atomic(AtomicOp.SET, pe.xen.vcpu[vcpu.index].context[position], timer.IMASK)


@symbol
async def set_return_register(pe: Pe, vcpu: Vcpu, value: int) -> None:
    """Write x0 of a descheduled vCPU (arch_hypercall_tasklet_result)."""
    position = word_index("x0", pe.board.platform.list_registers)
    await pe.store(pe.xen.vcpu[vcpu.index].context[position], value)


@symbol
async def request_reset(pe: Pe, vcpu: Vcpu) -> None:
    """Have a vCPU start at its resume entry when it runs next.

    The reset is applied when the vCPU is switched in: one written into its state now would be
    replaced by what is saved when it is switched out.
    """
    await pe.store(pe.xen.vcpu[vcpu.index].reset_pending, 1)


@symbol
async def apply_reset(pe: Pe, vcpu: Vcpu) -> None:
    """Write the resume context into the state of a vCPU that does not run."""
    cells = pe.xen.vcpu[vcpu.index]
    entry, context_id = await pe.load_burst((cells.resume_entry, cells.resume_context_id))
    await pe.links["restart_watchdogs"](pe, vcpu.domain)
    state = await load_context(pe, vcpu)
    await store_context(pe, vcpu, await reset_vcpu_state(pe, vcpu, state, entry, context_id))


@symbol
async def context_to_run(pe: Pe, vcpu: Vcpu) -> tuple[El1State, int]:
    """The state to switch in, a requested reset applied, and the number of its last entry."""
    cells = pe.xen.vcpu[vcpu.index]
    row = await pe.load_burst(
        (
            *cells.context,
            cells.reset_pending,
            cells.resume_entry,
            cells.resume_context_id,
            cells.generation,
        )
    )
    state = unflatten(row[:-4], pe.board.platform.list_registers)
    pending, entry, context_id, generation = row[-4:]
    if not pending:
        return state, generation
    await pe.store(cells.reset_pending, 0)
    await pe.links["restart_watchdogs"](pe, vcpu.domain)
    return await reset_vcpu_state(pe, vcpu, state, entry, context_id), generation


@symbol
async def reset_vcpu_state(
    pe: Pe, vcpu: Vcpu, state: El1State, entry: int, context_id: int
) -> El1State:
    """The state at a resume entry."""
    return _reset(vcpu, state, entry, context_id)


@symbol
async def reset_vcpu_state_and_keep(
    pe: Pe, vcpu: Vcpu, state: El1State, entry: int, context_id: int
) -> El1State:
    """Since 2025-11 a reset leaves what it does not name as it was saved: VBAR, MAIR, TPIDR, ..."""
    fresh = _reset(vcpu, state, entry, context_id)
    kept = (
        new if name in RESET_BY_RESUME else saved
        for name, new, saved in zip(SYSREGS, fresh.sysregs, state.sysregs, strict=True)
    )
    return replace(fresh, sysregs=tuple(kept))


def _reset(vcpu: Vcpu, state: El1State, entry: int, context_id: int) -> El1State:
    """A reset keeps the virtual interrupt interface: what is pending outlives SYSTEM_SUSPEND."""
    return replace(
        reset_state(entry, context_id, len(state.lrs), state.cntvoff, vcpu.arch),
        lrs=state.lrs,
        vmcr=state.vmcr,
        apr=state.apr,
        cntv_ctl=state.cntv_ctl,
        cntv_cval=state.cntv_cval,
    )
