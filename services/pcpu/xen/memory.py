"""Xen's data in DRAM, as field tables: what in Xen are structs and globals are cells here.

Addresses are Xen's virtual ones; `pa` gives the physical address for code that runs with the MMU
off. A field holds 64 bits. Per-CPU, per-domain and per-vCPU data are records of their own.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from proto.board import Board
from proto.cells import CELL_BYTES, Cell, Cells, Layout, Length, Record
from proto.devices import IPMMU
from proto.el1 import words
from proto.ids import CpuIndex, DomainId, NodeId, VcpuIndex, domain_node
from proto.platform import XEN_DATA
from proto.scenario import DomainSpec, GuestArch, Role

XEN_VIRT_OFFSET = 0x0A00_0000_0000
"""Distance between a physical address and Xen's virtual address of it (directmap and fixmap)."""

WORD_BITS = 64
"""Interrupts per cell of a vGIC bitmap."""


def pa(cell: Cell) -> Cell:
    """Physical address of a cell, for code that runs with the MMU off (`virt_to_maddr`)."""
    return Cell(cell - XEN_VIRT_OFFSET)


def ioremap(physical: int) -> int:
    """Virtual address of a device register."""
    return physical + XEN_VIRT_OFFSET


HARDWARE_DOMAIN = DomainId(0)

NR_DOMAIN_WATCHDOG_TIMERS = 2

CONRING_SIZE = 4096
"""Characters in the console ring."""

EVTCHN_PORTS = 16
"""Event channel ports of each domain; port 0 is never used."""
EVTCHN_REMOTE_SHIFT = 8


class SystemCells(Record):
    """Globals that are not per CPU."""

    system_state: Cell
    cpu_online_map: Cell
    cpu_is_dead: Cell
    cpu_hotplug_lock: Cell
    init_ttbr: Cell
    smp_up_cpu: Cell
    init_data_cpuid: Cell
    init_data_stack: Cell
    scheduler_disabled: Cell
    suspend_lock: Cell
    """Serialises the suspend policy with the shutdown it decides about."""
    tasklet_lock: Cell
    percpu_area: Annotated[Cells, Length("cpus")]
    """CPU to `PercpuArea`: what `__per_cpu_offset` says of its area."""


class PercpuArea(IntEnum):
    """States of a CPU's per-CPU area."""

    INVALID = 0
    VALID = 1
    FREEING = 2
    """It waits for the end of an RCU grace period."""


class ConsoleCells(Record):
    """The console and its serial port (xen/drivers/char/console.c, serial.c)."""

    lock: Cell
    sync: Cell
    """Depth of synchronous mode."""
    serial_up: Cell
    """The port takes output: set up and not suspended."""
    conringp: Cell
    """Position behind the last character printed."""
    txbufc: Cell
    """Position of the first character that has not been given to the port."""
    ring: Annotated[Cells, Length("conring_words")]


class IpmmuCells(Record):
    """What the driver of the IPMMU saves of its device."""

    registers: Annotated[Cells, Length("ipmmu_registers")]


class PageTableCells(Record):
    """The page-table record that TTBR0_EL2 points to."""

    magic: Cell
    offset: Cell
    identity: Cell


class StopMachineCells(Record):
    """`struct stopmachine_data` (xen/common/stop_machine.c)."""

    lock: Cell
    state: Cell
    done: Cell
    nr_cpus: Cell
    fn: Cell
    """Physical address of the function to run."""
    fn_cpu: Cell
    result: Cell


class ContinueCells(Record):
    """`struct migrate_info` of a vCPU's continue_hypercall_on_cpu (xen/common/domain.c)."""

    function: Cell
    data: Cell
    cpu: Cell


class TaskletCells(Record):
    """`struct tasklet` (xen/include/xen/tasklet.h)."""

    function: Cell
    """Physical address of the function; 0 before `tasklet_init`."""
    data: Cell
    scheduled_on: Cell
    """CPU plus one; 0 while it is not scheduled."""
    is_running: Cell
    """CPU plus one while its function runs, and where it is to run again; 0 otherwise."""


class RcuCells(Record):
    """`struct rcu_ctrlblk` (xen/common/rcupdate.c)."""

    lock: Cell
    cur: Cell
    """Number of the latest batch, which is under way while `cpumask` is not empty."""
    completed: Cell
    cpumask: Cell
    """CPUs that have not passed a quiescent state in this batch yet."""


class RcuHeadCells(Record):
    """`struct rcu_head`: a callback, and where and for which batch it waits."""

    function: Cell
    data: Cell
    cpu: Cell
    """The CPU that queued it, plus one; 0 while it is not queued."""
    batch: Cell
    """0 until it has one."""


class SuspendCells(Record):
    """What system suspend must remember over power-down, outside the register context."""

    step: Cell
    frozen_cpus: Cell
    initiator: Cell


class ResumeContextCells(Record):
    """`struct cpu_context`: the EL2 registers that prepare_resume_ctx saves (step S12)."""

    registers: Annotated[Cells, Length("el2_registers")]


class GicCells(Record):
    """`struct gicv2_context`: what gic_suspend saves (step S9)."""

    gicc_ctlr: Cell
    gicc_pmr: Cell
    gicc_bpr: Cell
    gicd_ctlr: Cell
    isenabler: Annotated[Cells, Length("intid_words")]
    isactiver: Annotated[Cells, Length("intid_words")]
    ipriorityr: Annotated[Cells, Length("intid_bytes")]
    itargetsr: Annotated[Cells, Length("intid_bytes")]
    icfgr: Annotated[Cells, Length("intid_halves")]


class PerCpuCells(Record):
    """The per-CPU area of one CPU."""

    softirq_pending: Cell
    tasklet_work: Cell
    schedule_lock: Cell
    curr: Cell
    """Index of the current vCPU plus one; 0 is the idle vCPU."""
    timer_running: Cell
    """The timer whose function this CPU runs, by index plus one; 0 for none."""
    tasklet_list: Annotated[Cells, Length("tasklets")]
    runq: Annotated[Cells, Length("vcpus")]
    """The vCPUs that can run and wait for this CPU, in order, by index plus one."""


class TimerCells(Record):
    """`struct timer` (xen/include/xen/timer.h)."""

    expires: Cell
    """Deadline in nanoseconds of board time; 0 while the timer is not set."""
    cpu: Cell
    function: Cell
    """Physical address of the function; 0 before `init_timer`."""
    data: Cell


class DomainCells(Record):
    """`struct domain`."""

    lock: Cell
    pause_count: Cell
    controller_pause_count: Cell
    """How many of the pauses are a toolstack's."""
    shutdown_lock: Cell
    shutdown_code: Cell
    """SHUTDOWN_* plus one; 0 while the domain does not shut down (SHUTDOWN_CODE_INVALID)."""
    is_shutting_down: Cell
    is_shut_down: Cell
    resume_vcpu: Cell
    """The vCPU whose resume context is attached, by index plus one; 0 for none."""
    suspend_evtchn: Cell
    """Port that is raised when the domain has shut down with SHUTDOWN_suspend; 0 for none."""
    dom_exc_port: Cell
    """Port that VIRQ_DOM_EXC is bound to; 0 for none."""
    evtchn_remote: Annotated[Cells, Length("evtchn_ports")]
    """Port to the other end: its domain plus one and, from EVTCHN_REMOTE_SHIFT, its port.

    0 while the port is free.
    """
    vgic_ctlr: Cell
    spi_enabled: Annotated[Cells, Length("vgic_words")]
    spi_config: Annotated[Cells, Length("vgic_words")]
    """A bit for each SPI: set for edge-triggered."""
    spi_priority: Annotated[Cells, Length("vgic_bytes")]
    spi_target: Annotated[Cells, Length("vgic_bytes")]
    """A byte for each SPI: the vCPU it goes to, by number."""


class WatchdogCells(Record):
    """A domain's watchdogs: `watchdog_lock`, `watchdog_inuse_map` and `watchdog_timer`."""

    lock: Cell
    inuse_map: Cell
    timeout_s: Annotated[Cells, Length("watchdogs")]
    frozen: Cell
    """How often they have been stopped because their domain cannot run."""
    left_ns: Annotated[Cells, Length("watchdogs")]
    """What was left when they were; 0 for one that had expired."""


class VcpuCells(Record):
    """`struct vcpu`."""

    pause_flags: Cell
    pause_count: Cell
    processor: Cell
    hard_affinity: Cell
    """Mask of the CPUs it may run on."""
    is_running: Cell
    generation: Cell
    """Number of the last entry into the guest; the next one is higher, on whatever PE."""
    reset_pending: Cell
    """The resume context below is to be applied before the vCPU runs again."""
    resume_entry: Cell
    resume_context_id: Cell
    paused_for_shutdown: Cell
    runtime_ns: Cell
    """How long the vCPU had run when it was last switched out."""
    running_since_ns: Cell
    vgic_pending: Annotated[Cells, Length("vgic_words")]
    vgic_enabled: Cell
    """Its SGIs and PPIs; SPIs are enabled per domain."""
    private_priority: Annotated[Cells, Length("private_bytes")]
    """A byte for each SGI and PPI."""
    sgi_sources: Annotated[Cells, Length("sgi_bytes")]
    """A byte for each SGI: the vCPUs it is pending from."""
    context: Annotated[Cells, Length("context")]


EL2_REGISTERS = (
    "SP_EL2",
    "VBAR_EL2",
    "VTCR_EL2",
    "VTTBR_EL2",
    "TPIDR_EL2",
    "MDCR_EL2",
    "HSTR_EL2",
    "CPTR_EL2",
    "HCR_EL2",
    "CNTHCTL_EL2",
)
"""The hypervisor registers of step S12; x19-x30 live in frames, which do not survive."""


@dataclass(frozen=True, slots=True)
class Vcpu:
    """Names one vCPU: its place in Xen's list of all vCPUs and where its EL1 lives."""

    index: int
    domain: DomainId
    number: VcpuIndex
    node: NodeId
    is_hardware: bool
    is_control: bool = False
    arch: GuestArch = GuestArch.AARCH64
    suspend_allowed: bool = True


def _lengths(board: Board) -> dict[str, int]:
    """How many cells each array of the tables above has on this board."""
    platform = board.platform
    vcpus = sum(spec.vcpus for spec in board.scenario.domains)
    return {
        "el2_registers": len(EL2_REGISTERS),
        "intid_words": platform.intids // 32,
        "intid_bytes": platform.intids // 4,
        "intid_halves": platform.intids // 16,
        "vgic_words": -(-platform.intids // WORD_BITS),
        "vgic_bytes": platform.intids // 8,
        "private_bytes": 32 // 8,
        "sgi_bytes": 16 // 8,
        "context": words(platform.list_registers),
        "evtchn_ports": EVTCHN_PORTS,
        "watchdogs": NR_DOMAIN_WATCHDOG_TIMERS,
        "conring_words": CONRING_SIZE // CELL_BYTES,
        "ipmmu_registers": len(IPMMU.CONTEXT) + len(IPMMU.MICRO_TLBS),
        "cpus": platform.pes,
        "vcpus": vcpus,
        "tasklets": 1 + platform.pes + vcpus,
    }


def _vcpu(spec: DomainSpec, index: int, number: VcpuIndex) -> Vcpu:
    """One vCPU of a domain as the scenario describes it."""
    return Vcpu(
        index,
        DomainId(spec.id),
        number,
        domain_node(DomainId(spec.id)),
        spec.role is Role.HARDWARE,
        spec.is_control,
        spec.arch,
        spec.suspend_allowed,
    )


class XenMemory:
    """The layout of Xen's data for one board."""

    def __init__(self, board: Board) -> None:
        platform = board.platform
        layout = Layout(XEN_DATA + XEN_VIRT_OFFSET)
        sizes = _lengths(board)
        self.system = SystemCells(layout, "xen", sizes)
        self.page_table = PageTableCells(layout, "xen_pgtable")
        self.stop_machine = StopMachineCells(layout, "stopmachine_data")
        self.suspend = SuspendCells(layout, "suspend")
        self.resume_context = ResumeContextCells(layout, "resume_context", sizes)
        self.gic = GicCells(layout, "gicv2_context", sizes)
        self.percpu = tuple(PerCpuCells(layout, f"percpu[{cpu}]", sizes) for cpu in platform.cpus)
        self.domains: dict[DomainId, DomainCells] = {}
        vcpus: list[Vcpu] = []
        cells: list[VcpuCells] = []
        for spec in sorted(board.scenario.domains, key=lambda spec: spec.id):
            domain = DomainId(spec.id)
            self.domains[domain] = DomainCells(layout, f"domain[{domain}]", sizes)
            for number in range(spec.vcpus):
                vcpus.append(_vcpu(spec, len(cells), VcpuIndex(number)))
                cells.append(VcpuCells(layout, f"vcpu[{domain}][{number}]", sizes))
        self.vcpus = tuple(vcpus)
        self.vcpu = tuple(cells)
        each = [f"[{vcpu.domain}][{vcpu.number}]" for vcpu in vcpus]
        self.s_timer = tuple(TimerCells(layout, f"s_timer[{cpu}]") for cpu in platform.cpus)
        """CPU to the timer that ends its time slice."""
        self.virt_timer = tuple(TimerCells(layout, f"virt_timer{of}") for of in each)
        """vCPU index to the timer that stands in for its virtual timer."""
        self.watchdog = {
            domain: WatchdogCells(layout, f"watchdog[{domain}]", sizes) for domain in self.domains
        }
        self.watchdog_timer = {
            domain: tuple(
                TimerCells(layout, f"watchdog_timer[{domain}][{index}]")
                for index in range(NR_DOMAIN_WATCHDOG_TIMERS)
            )
            for domain in self.domains
        }
        watchdogs = (timer for timers in self.watchdog_timer.values() for timer in timers)
        self.timers = (*self.s_timer, *self.virt_timer, *watchdogs)
        """All timers, in the order of their indexes."""
        self.timer_cells = tuple(
            cell for timer in self.timers for cell in (timer.expires, timer.cpu)
        )
        """Deadline and CPU of each."""
        self.continue_info = tuple(ContinueCells(layout, f"continue_info{of}") for of in each)
        self.suspend_tasklet = TaskletCells(layout, "suspend_tasklet")
        self.stopmachine_tasklet = tuple(
            TaskletCells(layout, f"stopmachine_tasklet[{cpu}]") for cpu in platform.cpus
        )
        self.continue_tasklet = tuple(TaskletCells(layout, f"continue_tasklet{of}") for of in each)
        self.tasklets = (self.suspend_tasklet, *self.stopmachine_tasklet, *self.continue_tasklet)
        """All tasklets, in the order of their indexes."""
        self.rcu = RcuCells(layout, "rcu_ctrlblk")
        self.percpu_rcu_head = tuple(
            RcuHeadCells(layout, f"percpu_rcu_head[{cpu}]") for cpu in platform.cpus
        )
        self.rcu_heads = self.percpu_rcu_head
        """All heads, in the order of their indexes."""
        self.ipmmu = IpmmuCells(layout, "ipmmu_backup", sizes)
        self.console = ConsoleCells(layout, "console", sizes)
        self.names = layout.names
        """Virtual address to the name of the cell there."""

    def vcpus_of(self, domain: int) -> tuple[Vcpu, ...]:
        """The vCPUs of a domain, in order."""
        return tuple(vcpu for vcpu in self.vcpus if vcpu.domain == domain)


def initial_processor(board: Board, index: int) -> CpuIndex:
    """The pCPU a vCPU is created on: round robin over all vCPUs."""
    return CpuIndex(index % board.platform.pes)
