"""The EL1 and virtual-interface bank of one vCPU while it is loaded into a PE.

It comes with `VcpuLoad`, goes with `VcpuPut` and dies with the PE. Only its virtual timer lives on
while the guest does not run: the comparator drives PPI 27 of the PE that holds the bank. The
maintenance interrupt, PPI 25, is driven inside EL1 alone: the first act of EL2 is to take its
reasons out of GICH_HCR (Xen, xen/arch/arm/gic-vgic.c, `vgic_sync_from_lrs`).
"""

from collections.abc import Callable

from proto import timer
from proto.el1 import GPRS, PSTATE_I, SYSREG_INDEX, SYSREGS
from proto.gic import PPI_MAINTENANCE, PPI_VIRT_TIMER
from proto.ids import GICD_NODE, CpuIndex
from proto.messages import El1State, VirtualDeactivate, Wire
from proto.node import ProtocolError
from proto.platform import Range
from proto.psci import MASK_64
from proto.turn import CancelTimer, Effect, Send, SetTimer
from services.domain import gich
from services.domain.interface import VirtualInterface

Emit = Callable[[Effect], None]


class VcpuBank:
    """One loaded bank. `emit` takes the effects of its wires and of its timer `timer_name`."""

    def __init__(
        self,
        state: El1State,
        cpu: CpuIndex,
        timer_name: str,
        slack: Range,
        emit: Emit,
    ) -> None:
        self.cpu = cpu
        self.pc = state.pc
        self.pstate = state.pstate
        self.x = list(state.x)
        self.interface = VirtualInterface(state.lrs, state.vmcr, state.apr)
        self.cntvoff = state.cntvoff
        self._sysregs = list(state.sysregs)
        self._ctl = state.cntv_ctl
        self._cval = state.cntv_cval
        self._timer_name = timer_name
        self._slack = slack
        self._emit = emit
        self._lines = {PPI_VIRT_TIMER: False, PPI_MAINTENANCE: False}
        self._armed = False
        self._entered = False

    # -- EL1 registers

    @property
    def irq_masked(self) -> bool:
        """PSTATE.I."""
        return bool(self.pstate & PSTATE_I)

    @irq_masked.setter
    def irq_masked(self, masked: bool) -> None:
        self.pstate = self.pstate | PSTATE_I if masked else self.pstate & ~PSTATE_I

    def sysreg(self, name: str) -> int:
        """MRS of a register of the table."""
        return self._sysregs[SYSREG_INDEX[name]]

    def set_sysreg(self, name: str, value: int) -> None:
        """MSR to a register of the table."""
        self._sysregs[SYSREG_INDEX[name]] = value & MASK_64

    def state(self, pc: int) -> El1State:
        """Everything in the bank, with this `pc`."""
        interface = self.interface
        return El1State(
            pc=pc,
            pstate=self.pstate,
            x=tuple(self.x),
            sysregs=tuple(self._sysregs),
            lrs=tuple(interface.lrs),
            vmcr=interface.vmcr,
            apr=interface.apr,
            cntv_ctl=self._ctl,
            cntv_cval=self._cval,
            cntvoff=self.cntvoff,
        )

    # -- virtual interface

    def enter(self, lrs: tuple[int, ...], hcr: int) -> None:
        """ERET to the guest, with the list registers and GICH_HCR as EL2 leaves them."""
        self.interface.lrs = list(lrs)
        self.interface.hcr = hcr
        self._entered = True
        self._drive_maintenance()

    def leave(self) -> None:
        """The guest has left EL1."""
        self._entered = False
        self._drive_maintenance()

    def gicv_read(self, offset: int) -> int:
        """The guest reads its CPU interface."""
        value = self.interface.read(offset)
        self._drive_maintenance()
        return value

    def gicv_write(self, offset: int, value: int) -> None:
        """The guest writes its CPU interface; deactivations with HW=1 are posted to the GIC."""
        self.interface.write(offset, value)
        for intid in self.interface.take_deactivated():
            self._emit(Send(GICD_NODE, VirtualDeactivate(self.cpu, intid)))
        self._drive_maintenance()

    def _drive_maintenance(self) -> None:
        self._drive_wire(PPI_MAINTENANCE, self._entered and gich.maintenance(self.interface))

    # -- virtual timer

    def count(self, now: int) -> int:
        """CNTVCT: the system counter less CNTVOFF."""
        return now - self.cntvoff & MASK_64

    def timer_ctl(self, now: int) -> int:
        """CNTV_CTL with ISTATUS."""
        return timer.read_ctl(self._ctl, self._cval, self.count(now))

    def read(self, register: str, now: int) -> int:
        """EL2 reads CNTV_CTL (with ISTATUS), CNTV_CVAL, CNTV_TVAL, CNTVOFF or a GICH register."""
        match register:
            case "CNTV_CTL":
                return self.timer_ctl(now)
            case "CNTV_CVAL":
                return self._cval
            case "CNTV_TVAL":
                return timer.tval(self._cval, self.count(now))
            case "CNTVOFF":
                return self.cntvoff
        if row := gich.GICH_REGISTERS.get(register):
            return gich.read(self.interface, row.offset)
        raise ProtocolError(f"the EL1 bank has no register {register}")

    def write(self, register: str, value: int, now: int) -> None:
        """EL1 or EL2 writes CNTV_CTL, CNTV_CVAL, CNTV_TVAL or CNTVOFF, or EL2 a GICH register.

        The wire follows at once.
        """
        if register in gich.GICH_REGISTERS and gich.writable(register):
            gich.write(self.interface, gich.GICH_REGISTERS[register].offset, value)
            self._drive_maintenance()
            return
        match register:
            case "CNTV_CTL":
                self._ctl = value & (timer.ENABLE | timer.IMASK)
            case "CNTV_CVAL":
                self._cval = value & MASK_64
            case "CNTV_TVAL":
                self._cval = timer.cval_of(value, self.count(now))
            case "CNTVOFF":
                self.cntvoff = value
            case _:
                raise ProtocolError(f"the EL1 bank has no register {register}")
        self.drive(now)

    def arm(self, ctl: int, cval: int, now: int) -> None:
        """EL1 writes CNTV_CVAL and CNTV_CTL, one after the other."""
        self._cval = cval & MASK_64
        self.write("CNTV_CTL", ctl, now)

    def drive(self, now: int) -> None:
        """Set the wire to the comparator's output, and a timer for its next edge."""
        level = timer.line(self._ctl, self._cval, self.count(now))
        self._drive_wire(PPI_VIRT_TIMER, level)
        edge = timer.next_edge_ns(self._ctl, self._cval, self.count(now))
        at_ns = None if edge is None else edge + self.cntvoff
        if at_ns is None or at_ns >= timer.FOREVER_NS:
            self._disarm()
        else:
            earliest, latest = self._slack
            self._armed = True
            self._emit(SetTimer(self._timer_name, at_ns + earliest, at_ns + latest))

    def expired(self, now: int) -> None:
        """The timer of the next edge has fired."""
        self._armed = False
        self.drive(now)

    def unload(self) -> None:
        """The bank leaves the PE: its comparator is silent and its wires fall."""
        self._disarm()
        self._drive_wire(PPI_VIRT_TIMER, False)
        self.leave()

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._emit(CancelTimer(self._timer_name))

    def _drive_wire(self, ppi: int, level: bool) -> None:
        if level != self._lines[ppi]:
            self._lines[ppi] = level
            self._emit(Send(GICD_NODE, Wire(ppi, level, self.cpu)))


def check_shape(state: El1State, list_registers: int) -> None:
    """Raise ProtocolError unless the tuples of a state have the platform's lengths."""
    lengths = (len(state.x), len(state.sysregs), len(state.lrs))
    if lengths != (GPRS, len(SYSREGS), list_registers):
        raise ProtocolError(f"an EL1 state with {lengths} registers in x, sysregs and lrs")
