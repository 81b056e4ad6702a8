"""Softirqs: one pending word per CPU, handlers in a table (xen/common/softirq.c)."""

from enum import IntEnum

from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from services.pcpu.pe import Pe
from services.pcpu.xen.gic import send_sgi_event_check


class Softirq(IntEnum):
    """Bits of the pending word; a lower one is served first."""

    TIMER = 0
    RCU = 1
    SCHEDULE = 2


HANDLERS: dict[Softirq, str] = {
    Softirq.TIMER: "timer_softirq_action",
    Softirq.RCU: "rcu_process_callbacks",
    Softirq.SCHEDULE: "schedule",
}
"""Softirq to the symbol of its handler."""


@symbol
async def raise_softirq(pe: Pe, nr: Softirq) -> None:
    """Mark a softirq pending on this CPU."""
    own = pe.xen.percpu[pe.cpu].softirq_pending
    await pe.atomic(AtomicOp.SET, own, 1 << nr, relaxed=True)


@symbol
async def cpu_raise_softirq(pe: Pe, cpu: CpuIndex, nr: Softirq) -> None:
    """Mark a softirq pending on a CPU, and poke it if it is another one that did not know yet."""
    before = await pe.atomic(AtomicOp.SET, pe.xen.percpu[cpu].softirq_pending, 1 << nr)
    if cpu != pe.cpu and not before & 1 << nr:
        await send_sgi_event_check(pe, cpu)


@symbol
async def do_softirq(pe: Pe) -> None:
    """Serve pending softirqs until there are none, or this CPU is offline."""
    await serve_softirqs(pe, 0)


@symbol
async def process_pending_softirqs(pe: Pe) -> None:
    """Serve pending softirqs in the middle of a long wait: all but the scheduler."""
    await serve_softirqs(pe, 1 << Softirq.SCHEDULE)


@symbol
async def serve_softirqs(pe: Pe, ignored: int) -> None:
    """Serve what is pending and not ignored, lowest first (__do_softirq)."""
    pending_cell = pe.xen.percpu[pe.cpu].softirq_pending
    while True:
        pending, online = await pe.load_burst((pending_cell, pe.xen.system.cpu_online_map))
        pending &= ~ignored
        if not pending or not online >> pe.cpu & 1:
            return
        nr = Softirq((pending & -pending).bit_length() - 1)
        await pe.atomic(AtomicOp.CLEAR, pending_cell, 1 << nr, relaxed=True)
        await pe.links[HANDLERS[nr]](pe)
