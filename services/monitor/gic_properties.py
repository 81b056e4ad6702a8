"""The GIC's state machine, priorities and list registers, judged where the accesses arrive.

What a write to an enabled interrupt's configuration, an end of interrupt out of order or any other
UNPREDICTABLE access does is I4's (`host_properties.py`): the GIC itself says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from proto.gic import GICC, GICD, LR, SGI_COUNT, SPI_FIRST
from proto.ids import GICD_NODE, cpu_of, pe_node
from proto.messages import (
    BlockPower,
    IrqOutput,
    Rail,
    RegRead,
    RegWrite,
    VcpuExit,
    VcpuRun,
    VirtualDeactivate,
    Wire,
)
from proto.platform import GICC_BASE, GICD_BASE
from proto.registers import RegisterMap
from proto.traces import IntState, PeHalted, PePower, SystemSuspendDecision
from services.monitor.evidence import Moment, Table
from services.monitor.prop import EVENTUALLY, Ending, Property, names
from services.monitor.shadow import Shadow, domain_of

ACKNOWLEDGES = (GICC.IAR.name, GICC.AIAR.name)
ENDS = (GICC.EOIR.name, GICC.AEOIR.name)
PRIORITIES = (GICC.APR.name, GICC.NSAPR.name)
VIRTUAL_END, WIRE, POWER = "a guest's deactivation", "its wire", "power"
CAUSES: dict[tuple[str, bool], frozenset[str]] = {
    ("pending", True): frozenset(
        {WIRE, GICD.SGIR.name, GICD.ISPENDR.name, GICD.SPENDSGIR.name, GICD.ICFGR.name}
    ),
    ("pending", False): frozenset(
        {WIRE, *ACKNOWLEDGES, GICD.ICPENDR.name, GICD.CPENDSGIR.name, GICD.ICFGR.name}
    ),
    ("active", True): frozenset({*ACKNOWLEDGES, GICD.ISACTIVER.name}),
    ("active", False): frozenset(
        {*ENDS, GICC.DIR.name, GICD.ICACTIVER.name, VIRTUAL_END},
    ),
}
"""What may set or clear each bit; the block's power may do all of it."""

Key = tuple[int, int]
"""CPU (-1 for an SPI) and INTID."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the GIC has just answered: by name, and the PE it came from (-1 for none)."""

    position: int = -1
    what: str = ""
    cpu: int = -1


class Accesses:
    """Names what reaches the GIC, for the properties that ask why its state has changed."""

    def __init__(self) -> None:
        self._moment: Moment | None = None
        self._what = ""
        self._body: RegRead | RegWrite | None = None
        self._distributor, self._interface = RegisterMap(GICD), RegisterMap(GICC)

    def received(self, also: Callable[[Moment, RegWrite], None] | None = None) -> Table:
        """Handlers; `also` is shown register writes after they have been named."""
        self._also = also
        return {
            RegRead: self._on_register,
            RegWrite: self._on_register,
            Wire: lambda moment, body: self._note(moment, WIRE),
            VirtualDeactivate: lambda moment, body: self._note(moment, VIRTUAL_END),
            BlockPower: lambda moment, body: self._note(moment, POWER),
            Rail: lambda moment, body: self._note(moment, POWER),
        }

    @property
    def last(self) -> Access:
        """What has reached the GIC last. Named when somebody asks: nine of ten change nothing."""
        moment, body = self._moment, self._body
        if moment is None:
            return Access()
        if body is None or moment.src is None:
            return Access(moment.position, self._what)
        offset = body.address - GICC_BASE
        row = self._interface.at(offset)
        if offset < 0:
            row = self._distributor.at(body.address - GICD_BASE)
        return Access(moment.position, "" if row is None else row.name, cpu_of(moment.src))

    def _note(self, moment: Moment, what: str) -> None:
        if moment.node == GICD_NODE:
            self._moment, self._what, self._body = moment, what, None

    def _on_register(self, moment: Moment, body: RegRead | RegWrite) -> None:
        if moment.node != GICD_NODE or moment.src is None:
            return
        self._moment, self._body = moment, body
        if self._also is not None and isinstance(body, RegWrite):
            self._also(moment, body)


class GicIsLegal(Property):
    """Judged on each change that the distributor reports, and on what the change answered."""

    name = "gic"
    clause = (
        "An interrupt becomes pending, active and inactive again by the accesses that may do so; "
        "only a PE that it is for acknowledges it, and only while it is pending and enabled "
        "(IHI 0048B, Interrupt handling state machine; GICC_IAR)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._accesses = Accesses()
        self._states: dict[Key, tuple[bool, bool]] = {}
        self._enabled: dict[Key, bool] = {}

    @property
    def traced(self) -> Table:
        """Changes."""
        return {IntState: self._on_state}

    @property
    def received(self) -> Table:
        """Accesses."""
        return self._accesses.received()

    def _on_state(self, moment: Moment, event: IntState) -> None:
        key = (event.cpu, event.intid)
        pending, active = self._states.get(key, (False, False))
        self._states[key] = (event.pending, event.active)
        access = self._accesses.last
        what = access.what if access.position == moment.position else "nothing"
        if what == POWER:
            return
        for bit, was, is_now in (
            ("pending", pending, event.pending),
            ("active", active, event.active),
        ):
            if was is not is_now and what not in CAUSES[bit, is_now]:
                became = bit if is_now else f"no longer {bit}"
                self.find(f"{_who(key)} became {became} by {what}", moment.position)
        if event.active and not active and what in ACKNOWLEDGES:
            self._on_acknowledged(moment, key, access.cpu, pending)

    def _on_acknowledged(self, moment: Moment, key: Key, cpu: int, pending: bool) -> None:
        self.reached = True
        bank, intid = key
        gic, text = self.shadow.gic, f"{_who(key)} was acknowledged by CPU{cpu}"
        if not pending:
            self.find(f"{text}, but was not pending", moment.position)
        if not (gic.targets(intid) >> cpu & 1 if intid >= SPI_FIRST else bank == cpu):
            self.find(f"{text}, but was not for it", moment.position)
        if intid >= SGI_COUNT and not gic.enabled(cpu, intid):
            self.find(f"{text}, but was not enabled", moment.position)


class PrioritiesEnd(Property):
    """Follows what each PE has acknowledged to its end of interrupt."""

    name = "gic_prio"
    clause = (
        "A PE ends what it acknowledged last, has nothing left to end when its power goes, and "
        "wakes with no active priority (IHI 0048B, GICC_EOIR; GICC_APRn; Xen, gicv2_suspend)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._accesses = Accesses()
        self._taken: dict[int, list[tuple[int, int]]] = {
            cpu: [] for cpu in shadow.board.platform.cpus
        }
        """By CPU: INTIDs that were acknowledged and not ended, with the positions."""

    @property
    def traced(self) -> Table:
        """What is acknowledged, and who sleeps or loses power."""
        return {
            IntState: self._on_state,
            SystemSuspendDecision: self._on_decision,
            PePower: self._on_power,
        }

    @property
    def received(self) -> Table:
        """Accesses."""
        return self._accesses.received(self._on_write)

    def _on_state(self, moment: Moment, event: IntState) -> None:
        access = self._accesses.last
        if not event.active or access.position != moment.position:
            return
        if access.what in ACKNOWLEDGES and event.cpu in (-1, access.cpu):
            self._taken[access.cpu].append((event.intid, moment.position))

    def _on_write(self, moment: Moment, body: RegWrite) -> None:
        access = self._accesses.last
        if access.what in ENDS:
            self._on_end(moment, access.cpu, body.value & 0x3FF)
        elif access.what in PRIORITIES and body.value and not self._taken[access.cpu]:
            text = f"CPU{access.cpu} wrote {body.value:#x} to {access.what}"
            self.find(f"{text}, but it was handling nothing", moment.position)

    def _on_end(self, moment: Moment, cpu: int, intid: int) -> None:
        taken = self._taken[cpu]
        if not taken:
            # Ending nothing is UNPREDICTABLE, and the GIC says so.
            return
        self.reached = True
        last, position = taken.pop()
        if last != intid:
            text = f"CPU{cpu} ended INTID {intid}, but had acknowledged INTID {last} last"
            self.find(text, position, moment.position)

    def _on_decision(self, moment: Moment, event: SystemSuspendDecision) -> None:
        if event.result == "SUSPEND":
            self._expect_nothing(moment, event.caller, "suspended the system")

    def _on_power(self, moment: Moment, event: PePower) -> None:
        cpu = cpu_of(moment.node)
        if not event.on:
            self._expect_nothing(moment, cpu, "lost its power")
        self._taken[cpu].clear()

    def _expect_nothing(self, moment: Moment, cpu: int, what: str) -> None:
        taken = self._taken[cpu]
        if taken:
            intids = names([intid for intid, _ in taken])
            text = f"CPU{cpu} {what} without having ended INTID {intids}"
            self.find(text, *(position for _, position in taken), moment.position)
            taken.clear()


@dataclass(slots=True)
class Signal:
    """nIRQ of a PE that has power, since board time and `unheld_ns`."""

    position: int
    now: int
    unheld_ns: int


class InterruptsAreTaken(Property):
    """Follows nIRQ of each PE with power from its rise to its fall."""

    name = "irq_taken"
    kind = EVENTUALLY
    clause = (
        "A PE with power acknowledges what is pending, enabled and targeted at it, or masks it: "
        "nIRQ does not stay high (IHI 0048B, Interrupt signal generation; DDI 0487, PSTATE.I)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._high: set[int] = set()
        self._signals: dict[int, Signal] = {}
        self._halted: set[int] = set()

    @property
    def traced(self) -> Table:
        """Power, and PEs that have stopped for good."""
        return {PePower: self._on_power, PeHalted: self._on_halted}

    @property
    def received(self) -> Table:
        """Levels of nIRQ."""
        return {IrqOutput: self._on_output}

    def _on_output(self, moment: Moment, body: IrqOutput) -> None:
        cpu = cpu_of(moment.node)
        if not body.level:
            self._high.discard(cpu)
            self._end(moment, cpu)
            return
        self._high.add(cpu)
        if self.shadow.pe_power.get(cpu):
            self._begin(moment, cpu)

    def _on_power(self, moment: Moment, event: PePower) -> None:
        cpu = cpu_of(moment.node)
        self._halted.discard(cpu)
        self._signals.pop(cpu, None)
        if event.on and cpu in self._high:
            self._begin(moment, cpu)

    def _on_halted(self, moment: Moment, event: PeHalted) -> None:
        """Why it halted is somebody else's finding."""
        halted = [cpu for cpu in self.shadow.board.platform.cpus if pe_node(cpu) == moment.node]
        self._halted.update(halted)
        for cpu in halted:
            self._signals.pop(cpu, None)

    def _begin(self, moment: Moment, cpu: int) -> None:
        if cpu not in self._halted:
            unheld_ns = self.shadow.unheld_ns(moment.now)
            self._signals[cpu] = Signal(moment.position, moment.now, unheld_ns)

    def _end(self, moment: Moment, cpu: int) -> None:
        signal = self._signals.pop(cpu, None)
        if signal is None:
            return
        self.reached = True
        if self.is_late(moment.now, signal.unheld_ns):
            text = f"nIRQ of CPU{cpu} was high for too long"
            self.miss(text, signal.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """A young signal is nobody's fault: runs end anywhere."""
        for cpu, signal in sorted(self._signals.items()):
            if ending.complete and self.is_late(ending.now, signal.unheld_ns):
                text = f"nIRQ of CPU{cpu} was high at the end, and nobody acknowledged"
                self.miss(text, signal.position, ending.position)


class ListRegistersAreSound(Property):
    """Judged on each entry of a guest, on what Xen leaves in the list registers."""

    name = "lrs"
    clause = (
        "A virtual interrupt is in at most one list register, an SPI of at most one vCPU, and one "
        "with HW=1 stands for a physical interrupt that is active (IHI 0048B, GICH_LRn)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._held: dict[tuple[int, int], dict[int, int]] = {}
        """By domain and vCPU: SPIs in its list registers when last seen, with the positions."""

    @property
    def received(self) -> Table:
        """Entries and exits."""
        return {VcpuRun: self._on_run, VcpuExit: self._on_exit}

    def _on_run(self, moment: Moment, body: VcpuRun) -> None:
        domain = domain_of(moment.node)
        filled = [lr for lr in body.lrs if LR.STATE.get(lr)]
        if not filled:
            self._held.pop((domain, body.vcpu), None)
            return
        self.reached = True
        who = f"domain {domain} vCPU {body.vcpu}"
        seen: set[int] = set()
        for lr in filled:
            intid = LR.VIRTUAL_ID.get(lr)
            # An SGI is another one for each source, which the CPUID field names.
            identity = lr & (LR.VIRTUAL_ID.mask | LR.CPUID.mask) if intid < SGI_COUNT else intid
            if identity in seen:
                text = f"{who} was entered with INTID {intid} in two list registers"
                self.find(text, moment.position)
            seen.add(identity)
            if lr & LR.HW:
                self._check_hardware(moment, who, lr)
        spis = {LR.VIRTUAL_ID.get(lr): moment.position for lr in filled}
        spis = {intid: at for intid, at in spis.items() if intid >= SPI_FIRST}
        self._check_others(moment, domain, body.vcpu, spis)
        self._held[domain, body.vcpu] = spis

    def _check_hardware(self, moment: Moment, who: str, lr: int) -> None:
        physical = LR.PHYSICAL_ID.get(lr)
        cpu = -1 if moment.src is None else cpu_of(moment.src)
        if not self.shadow.gic.active(cpu, physical):
            text = f"{who} was entered with INTID {LR.VIRTUAL_ID.get(lr)} in a list register that"
            self.find(f"{text} stands for INTID {physical}, which is not active", moment.position)

    def _check_others(self, moment: Moment, domain: int, vcpu: int, spis: dict[int, int]) -> None:
        if not spis:
            return
        for (owner, other), held in sorted(self._held.items()):
            if owner != domain or other == vcpu:
                continue
            for intid in sorted(spis.keys() & held.keys()):
                text = f"domain {domain}: INTID {intid} is in list registers of vCPU {other} and"
                self.find(f"{text} of vCPU {vcpu}", held[intid], moment.position)

    def _on_exit(self, moment: Moment, body: VcpuExit) -> None:
        if moment.src is None:
            return
        held = self._held.get((domain_of(moment.src), body.vcpu))
        if held:
            left = {LR.VIRTUAL_ID.get(lr) for lr in body.lrs if LR.STATE.get(lr)}
            for intid in held.keys() - left:
                del held[intid]


def _who(key: Key) -> str:
    cpu, intid = key
    return f"INTID {intid}" if cpu < 0 else f"INTID {intid} of CPU{cpu}"
