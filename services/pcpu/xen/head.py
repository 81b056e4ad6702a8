"""Entry points with the MMU off: secondaries and resume (xen/arch/arm/arm64/head.S)."""

from proto.ids import CpuIndex
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.cpuerrata import reapply_boot_cpu_errata
from services.pcpu.xen.idle import idle_loop
from services.pcpu.xen.memory import pa
from services.pcpu.xen.setup import start_secondary
from services.pcpu.xen.suspend import (
    finish_system_suspend,
    phase,
    restore_context,
    resume_from_power_down,
)
from services.pcpu.xen.tasklet import do_tasklet_after_sleep


@symbol
async def init_secondary(pe: Pe, context_id: int) -> None:
    """Entry point of a secondary: wait at the gate, take the hand-over, turn the MMU on."""
    system = pe.xen.system
    me = pe.board.platform.mpidrs[pe.cpu]
    while (gate := await pe.load(pa(system.smp_up_cpu))) != me:
        await pe.wfe(pa(system.smp_up_cpu), gate)
    cpu, stack, ttbr = await pe.load_burst(
        (pa(system.init_data_cpuid), pa(system.init_data_stack), pa(system.init_ttbr))
    )
    pe.set_register("SP_EL2", stack)
    await pe.enable_mmu(ttbr)
    await start_secondary(pe, CpuIndex(cpu))


@symbol
async def hyp_resume(pe: Pe, context_id: int) -> None:
    """Entry point after SYSTEM_SUSPEND (R0): from RAM alone back into the step table."""
    phase(pe, "R0", "hyp_resume", "begin")
    await pe.enable_mmu(await pe.load(pa(pe.xen.system.init_ttbr)))
    await restore_context(pe)
    await reapply_boot_cpu_errata(pe)
    phase(pe, "R0", "hyp_resume", "end")
    await finish_system_suspend(pe, await resume_from_power_down(pe))
    await pe.irq_enable()
    await do_tasklet_after_sleep(pe)
    await idle_loop(pe)
