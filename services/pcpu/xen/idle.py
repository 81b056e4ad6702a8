"""The idle vCPU of a CPU (xen/arch/arm/domain.c, idle_loop)."""

from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.smpboot import stop_cpu
from services.pcpu.xen.softirq import do_softirq
from services.pcpu.xen.tasklet import do_tasklet
from services.pcpu.xen.traps import guest_loop


@symbol
async def idle_loop(pe: Pe) -> None:
    """Run tasklets, wait for interrupts, serve softirqs; leave for good when offline."""
    percpu = pe.xen.percpu[pe.cpu]
    while True:
        pending, work, online = await pe.load_burst(
            (percpu.softirq_pending, percpu.tasklet_work, pe.xen.system.cpu_online_map)
        )
        if not online >> pe.cpu & 1:
            await stop_cpu(pe)
        if work:
            await do_tasklet(pe)
        elif pending:
            await do_softirq(pe)
            if pe.current is not None:
                await guest_loop(pe)
                await pe.irq_enable()
        else:
            await do_idle(pe)


@symbol
async def do_idle(pe: Pe) -> None:
    """Sleep until an interrupt, unless work came while IRQs were still on."""
    percpu = pe.xen.percpu[pe.cpu]
    await pe.irq_disable()
    cells = (percpu.softirq_pending, percpu.tasklet_work, pe.xen.system.cpu_online_map)
    pending, work, online = await pe.load_burst(cells)
    if not pending and not work and online >> pe.cpu & 1:
        await pe.barrier()
        await pe.wfi()
    await pe.irq_enable()
