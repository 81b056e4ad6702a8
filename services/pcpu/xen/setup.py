"""From the first instruction at EL2 to the idle loop (xen/arch/arm/setup.c, smpboot.c, head.S)."""

from proto.el1 import reset_state
from proto.ids import CpuIndex
from proto.image import symbol
from proto.platform import GUEST_TEXT
from services.pcpu.pe import Pe
from services.pcpu.xen.console import console_init, printk
from services.pcpu.xen.context import store_context
from services.pcpu.xen.cpu import cpu_up
from services.pcpu.xen.cpuerrata import check_local_cpu_errata
from services.pcpu.xen.domain import VPF_DOWN, vcpu_wake
from services.pcpu.xen.event_channel import evtchn_init
from services.pcpu.xen.gic_v2 import (
    gic_init_secondary_cpu,
    gicv2_cpu_init,
    gicv2_dist_init,
    init_ppis,
)
from services.pcpu.xen.idle import idle_loop
from services.pcpu.xen.iommu import iommu_setup
from services.pcpu.xen.memory import initial_processor
from services.pcpu.xen.mm import (
    create_page_tables,
    setup_virt_paging_one,
    update_identity_mapping,
)
from services.pcpu.xen.notifier import CpuEvent, cpu_notifier_call_chain
from services.pcpu.xen.percpu import percpu_init_areas, set_processor_id
from services.pcpu.xen.psci import call_psci_cpu_off, psci_init
from services.pcpu.xen.sched import scheduler_init
from services.pcpu.xen.smpboot import set_cpu_online
from services.pcpu.xen.state import SystemState, set_system_state
from services.pcpu.xen.stop_machine import stopmachine_tasklet_init
from services.pcpu.xen.tasklet import tasklet_init
from services.pcpu.xen.time import init_timers
from services.pcpu.xen.traps import init_traps
from services.pcpu.xen.vtimer import vcpu_vtimer_init
from services.pcpu.xen.watchdog import watchdog_domain_init


@symbol
async def start(pe: Pe, x0: int) -> None:
    """Entry point of Xen on the boot CPU: page tables, MMU, then start_xen."""
    await pe.enable_mmu(await create_page_tables(pe))
    await start_xen(pe)


@symbol
async def start_xen(pe: Pe) -> None:
    """Boot: interrupts, console, secondaries, domains, and the idle loop at last."""
    await update_identity_mapping(pe, False)
    await percpu_init_areas(pe)
    await init_traps(pe)
    await setup_virt_paging_one(pe)
    await gicv2_dist_init(pe)
    await gicv2_cpu_init(pe)
    await init_timers(pe)
    await init_ppis(pe, pe.cpu)
    await set_cpu_online(pe, pe.cpu, True)
    await console_init(pe)
    await psci_init(pe)
    await iommu_setup(pe)
    await pe.irq_enable()
    await check_local_cpu_errata(pe)
    await scheduler_init(pe)
    await stopmachine_tasklet_init(pe, pe.cpu)
    await tasklet_init(pe, pe.xen.suspend_tasklet, "system_suspend_tasklet", 0)
    await smp_init_cpus(pe)
    await set_system_state(pe, SystemState.ACTIVE)
    await create_domains(pe)
    await idle_loop(pe)


@symbol
async def smp_init_cpus(pe: Pe) -> None:
    """Bring every other CPU up."""
    brought_up = 1
    for cpu in pe.board.platform.cpus:
        if cpu != pe.cpu:
            error = await cpu_up(pe, cpu)
            if error:
                await printk(pe, f"Failed to bring up CPU {cpu} (error {error})")
            else:
                brought_up += 1
    await printk(pe, f"Brought up {brought_up} CPUs")


@symbol
async def start_secondary(pe: Pe, cpu: CpuIndex) -> None:
    """What a secondary does once its MMU is on, until it idles."""
    await set_processor_id(pe, cpu)
    await init_traps(pe)
    await setup_virt_paging_one(pe)
    if await gic_init_secondary_cpu(pe):
        await call_psci_cpu_off(pe)
    await cpu_notifier_call_chain(pe, cpu, CpuEvent.STARTING)
    # What this CPU has set up is visible before it is online.
    await pe.smp_wmb()
    await set_cpu_online(pe, cpu, True)
    await pe.irq_enable()
    # request_irq() may allocate, and that is allowed with IRQs on only.
    await init_timers(pe)
    await init_ppis(pe, cpu)
    await check_local_cpu_errata(pe)
    await idle_loop(pe)


@symbol
async def create_domains(pe: Pe) -> None:
    """Build every domain of the device tree; its vCPU 0 starts at the guest's entry."""
    registers = pe.board.platform.list_registers
    for vcpu in pe.xen.vcpus:
        cells = pe.xen.vcpu[vcpu.index]
        state = reset_state(GUEST_TEXT, 0, registers, pe.now, vcpu.arch)
        await store_context(pe, vcpu, state)
        sgis = 0xFFFF
        await pe.store_burst(
            (cells.processor, cells.hard_affinity, cells.pause_flags, cells.vgic_enabled),
            (
                initial_processor(pe.board, vcpu.index),
                (1 << pe.board.platform.pes) - 1,
                VPF_DOWN if vcpu.number else 0,
                sgis,
            ),
        )
        await vcpu_vtimer_init(pe, vcpu, initial_processor(pe.board, vcpu.index))
    for domain in pe.xen.domains:
        await evtchn_init(pe, domain)
        await watchdog_domain_init(pe, domain)
    for vcpu in pe.xen.vcpus:
        await vcpu_wake(pe, vcpu)
    await printk(pe, f"Xen is up with {len(pe.xen.domains)} domains")
