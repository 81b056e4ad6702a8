"""The virtual timer: hardware while a vCPU is loaded, a Xen timer otherwise (arch/arm/vtimer.c)."""

from proto import timer
from proto.gic import PPI_VIRT_TIMER
from proto.image import symbol
from proto.messages import BankRead, BankWrite, El1State
from services.pcpu.pe import Pe
from services.pcpu.xen.context import mask_virtual_timer
from services.pcpu.xen.memory import Vcpu
from services.pcpu.xen.timer import INACTIVE, init_timer, set_timer
from services.pcpu.xen.vgic import vgic_inject_irq


@symbol
async def vcpu_vtimer_init(pe: Pe, vcpu: Vcpu, processor: int) -> None:
    """Make the timer that stands in for a vCPU's virtual timer."""
    timer_of = pe.xen.virt_timer[vcpu.index]
    await init_timer(pe, timer_of, "virt_timer_expired", vcpu.index, processor)


@symbol
async def virt_timer_save(pe: Pe, vcpu: Vcpu, state: El1State) -> None:
    """A vCPU is switched out: a Xen timer takes over if its timer is armed and not masked.

    A compare value that never comes needs none, and one at the very beginning is a deadline too.
    """
    armed = state.cntv_ctl & timer.ENABLE and not state.cntv_ctl & timer.IMASK
    deadline_ns = state.cntv_cval + state.cntvoff
    if armed and deadline_ns < timer.FOREVER_NS:
        await set_timer(pe, pe.xen.virt_timer[vcpu.index], max(deadline_ns, INACTIVE + 1))


@symbol
async def virt_timer_restore(pe: Pe, vcpu: Vcpu) -> None:
    """A vCPU is switched in: its own comparator counts again, and the Xen timer comes along.

    stop_timer and migrate_timer in one burst: a timer that is not set moves by a store.
    """
    stand_in = pe.xen.virt_timer[vcpu.index]
    await pe.store_burst((stand_in.expires, stand_in.cpu), (INACTIVE, pe.cpu))
    await pe.smp_mb()


@symbol
async def virt_timer_expired(pe: Pe, index: int) -> None:
    """The Xen timer fired: mask the saved timer and inject its interrupt."""
    vcpu = pe.xen.vcpus[index]
    await mask_virtual_timer(pe, vcpu)
    await vgic_inject_irq(pe, vcpu, PPI_VIRT_TIMER)


@symbol
async def vtimer_interrupt(pe: Pe) -> None:
    """Virtual timer PPI: mask the timer and inject its interrupt into the loaded vCPU."""
    vcpu = pe.loaded
    if vcpu is None:
        # The line was still high when the vCPU was switched out: nothing to do.
        return
    number = vcpu.number
    ctl = await pe.transact(vcpu.node, lambda tx: BankRead(tx, number, "CNTV_CTL"))
    if not ctl & timer.ISTATUS or ctl & timer.IMASK:
        return
    masked = timer.ENABLE | timer.IMASK
    await pe.transact(vcpu.node, lambda tx: BankWrite(tx, number, "CNTV_CTL", masked))
    await vgic_inject_irq(pe, vcpu, PPI_VIRT_TIMER)
