"""Everything that can travel on the bus, as frozen, typed, array-like MessagePack structs.

The bus carries what an Arm interconnect carries: loads and stores, device register accesses,
interrupt wires, secure monitor calls, power requests, guest entry and exit. "Suspend yourself" is
not a message. `docs/PROTOCOL.md` lists who sends what to whom.

Every class names in `link` the row of the platform's latency table that it travels under. A field
`tx` is the sender's transaction number; the answer repeats it.
"""

from enum import IntEnum
from typing import ClassVar

import msgspec

from proto.ids import NodeId
from proto.scenario import Step

VERSION = 2
"""Interface version, carried by every envelope; a change of any message's fields raises it."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """Base of all bodies."""

    link: ClassVar[str] = "bus"


class Attributes(IntEnum):
    """Memory attributes of an access (DDI 0487, Memory types and attributes)."""

    NORMAL_WB = 0
    NORMAL_NC = 1
    DEVICE_NGNRE = 2


# -- memory: a PE, an EL3 context or a device to `dram`


class Load(Message, frozen=True):
    """Read one cell; answered by `Reply`."""

    tx: int
    address: int
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class LoadBurst(Message, frozen=True):
    """Read several cells at one point of the memory order; answered by `Replies`."""

    tx: int
    addresses: tuple[int, ...]
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class Store(Message, frozen=True):
    """Write one cell; answered by `Reply`."""

    tx: int
    address: int
    value: int
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class StoreBurst(Message, frozen=True):
    """Write several cells at one point of the memory order; answered by `Reply`."""

    tx: int
    addresses: tuple[int, ...]
    values: tuple[int, ...]
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class AtomicOp(IntEnum):
    """Single-copy atomic read-modify-write operations (DDI 0487, Large System Extensions)."""

    ADD = 0
    SET = 1
    CLEAR = 2
    SWAP = 3


class Atomic(Message, frozen=True):
    """Read-modify-write of one cell; `Reply` carries the value before it."""

    tx: int
    op: AtomicOp
    address: int
    operand: int
    link: ClassVar[str] = "memory"


class CompareAndSwap(Message, frozen=True):
    """Write `desired` if the cell holds `expected`; `Reply` carries the value before it."""

    tx: int
    address: int
    expected: int
    desired: int
    link: ClassVar[str] = "memory"


class Watch(Message, frozen=True):
    """Ask for `Reply` with the value as soon as it is not `seen`: WFE on a monitored cell."""

    tx: int
    address: int
    seen: int
    link: ClassVar[str] = "memory"


class WatchCancel(Message, frozen=True):
    """Forget the `Watch` of this transaction; not answered."""

    tx: int
    link: ClassVar[str] = "memory"


class Clean(Message, frozen=True):
    """Clean cells to the point of coherency (DC CVAC); answered by `Reply`."""

    tx: int
    addresses: tuple[int, ...]
    link: ClassVar[str] = "memory"


class Barrier(Message, frozen=True):
    """Complete every posted write this sender made to this node (DSB); answered by `Reply`."""

    tx: int
    link: ClassVar[str] = "device"


class TlbInvalidate(Message, frozen=True):
    """A PE tells another to drop its cached EL2 translations (TLBI ALLE2IS); answered by `Reply`.

    The interconnect answers for a PE without power.
    """

    tx: int
    link: ClassVar[str] = "bus"


class Reply(Message, frozen=True):
    """The answer to a transaction."""

    tx: int
    value: int = 0
    link: ClassVar[str] = "reply"


class Replies(Message, frozen=True):
    """The answer to a burst."""

    tx: int
    values: tuple[int, ...]
    link: ClassVar[str] = "reply"


class Abort(Message, frozen=True):
    """The access was refused: the sender takes an external abort."""

    tx: int
    reason: str
    link: ClassVar[str] = "reply"


# -- device registers: a PE, an EL3 context or a domain (pass-through) to a device or `gicd`


class RegRead(Message, frozen=True):
    """Read a device register; `width` in bytes, 1 or 4; answered by `Reply` or `Abort`."""

    tx: int
    address: int
    width: int = 4
    secure: bool = False
    link: ClassVar[str] = "device"


class RegWrite(Message, frozen=True):
    """Write a device register; answered by `Reply`, or by nothing when `posted` (Device-nGnRE)."""

    tx: int
    address: int
    value: int
    width: int = 4
    posted: bool = False
    secure: bool = False
    link: ClassVar[str] = "device"


class FifoWrite(Message, frozen=True):
    """A burst of byte stores to a serial port's data register; posted, not answered."""

    address: int
    data: bytes
    link: ClassVar[str] = "device"


class FifoRead(Message, frozen=True):
    """A burst of byte loads that empties a serial port's receive FIFO; answered by `FifoData`."""

    tx: int
    address: int
    link: ClassVar[str] = "device"


class FifoData(Message, frozen=True):
    """The bytes a receive FIFO held, oldest first."""

    tx: int
    data: bytes
    link: ClassVar[str] = "reply"


# -- interrupt wires


class Wire(Message, frozen=True):
    """An interrupt line into `gicd`: `cpu` is the PE of a PPI and -1 for an SPI."""

    intid: int
    level: bool
    cpu: int = -1
    link: ClassVar[str] = "wire"


class IrqOutput(Message, frozen=True):
    """nIRQCPU of one CPU interface: `gicd` to a PE."""

    level: bool
    link: ClassVar[str] = "wire"


class WakeLine(Message, frozen=True):
    """A wake source's own always-on line, or the GIC's wake request, into `scp`.

    `cpu` is the PE whose wakeup output the GIC raises; -1 for a source's own line, which names no
    PE.
    """

    intid: int
    level: bool
    cpu: int = -1
    link: ClassVar[str] = "wire"


class VirtualDeactivate(Message, frozen=True):
    """A guest's deactivation of a list register with HW=1: a domain's posted write to `gicd`."""

    cpu: int
    intid: int
    link: ClassVar[str] = "device"


# -- secure monitor


class Smc(Message, frozen=True):
    """SMC from a PE to its own EL3 context (DEN0028): function id and x1-x3.

    `secure` callers come from the Secure world (SCR_EL3.NS clear), `aarch32` ones from an EL that
    uses AArch32.
    """

    tx: int
    function: int
    args: tuple[int, int, int]
    secure: bool = False
    aarch32: bool = False
    link: ClassVar[str] = "smc"


class SmcReturn(Message, frozen=True):
    """ERET to the instruction after the SMC, with x0-x3."""

    tx: int
    results: tuple[int, int, int, int]
    link: ClassVar[str] = "smc"


class Eret(Message, frozen=True):
    """First entry of a PE below EL3 after reset: physical entry address and x0."""

    entry: int
    x0: int
    link: ClassVar[str] = "smc"


class SysregRead(Message, frozen=True):
    """EL3 reads a system register of its PE, by name; answered by `Reply`."""

    tx: int
    register: str
    link: ClassVar[str] = "smc"


# -- power


class ResetReason(IntEnum):
    """Why the power controller released a PE from reset (PSYSR wake reason)."""

    COLD = 0
    POWER_ON_REQUEST = 1
    WAKE = 2


class PowerOn(Message, frozen=True):
    """EL3 asks `scp` to power a PE up; answered by `Reply`: 0 accepted, 1 failed."""

    tx: int
    cpu: int
    link: ClassVar[str] = "power"


class PowerOff(Message, frozen=True):
    """EL3 of `cpu` executes its final WFI with power-off requested; not answered."""

    cpu: int
    link: ClassVar[str] = "power"


class SystemSleep(Message, frozen=True):
    """EL3 of `cpu` executes its final WFI with system power-down requested; not answered.

    `wake_mask` lists the wake lines (by INTID) that may end the sleep. With a `tx`, `Reply` says
    that the power-down was given up because an interrupt came.
    """

    cpu: int
    wake_mask: tuple[int, ...]
    tx: int = 0
    link: ClassVar[str] = "power"


class CpuSleep(Message, frozen=True):
    """EL3 of `cpu` executes the WFI of CPU_SUSPEND.

    With `power_down` the rail goes off, and a wake-up resets the PE. Answered by `Reply` if an
    interrupt ends the WFI while the PE has power: in standby always, else before the cut only.
    """

    tx: int
    cpu: int
    power_down: bool
    link: ClassVar[str] = "power"


class CpuFreeze(Message, frozen=True):
    """EL3 of `cpu` executes the WFI of CPU_FREEZE, which only `PowerOn` ends; not answered."""

    cpu: int
    link: ClassVar[str] = "power"


class PowerQuery(Message, frozen=True):
    """EL3 asks what the rail of a PE does; answered by `Reply` with a `proto.psci.HwState`."""

    tx: int
    cpu: int
    link: ClassVar[str] = "power"


class WakeEnable(IntEnum):
    """Which signal of the GIC may wake a PE (PWKUPR.WEN)."""

    NONE = 0
    INTERFACE = 1
    """nIRQCPU, for a PE in WFI with its CPU interface open."""
    WAKEUP = 2
    """The wakeup output, which looks past the CPU interface."""


class WakeRequests(Message, frozen=True):
    """`scp` tells `gicd` which signal of a PE it wants as `WakeLine` with `cpu`."""

    cpu: int
    enable: WakeEnable
    link: ClassVar[str] = "wire"


class SystemReset(Message, frozen=True):
    """EL3 asks `scp` for a reset of the whole system, which keeps DRAM; not answered."""

    warm: bool = False
    link: ClassVar[str] = "power"


class MemoryScrub(Message, frozen=True):
    """Firmware overwrites a range of memory with zeros (MEM_PROTECT); answered by `Reply`."""

    tx: int
    base: int
    size: int
    link: ClassVar[str] = "memory"


class PowerHold(Message, frozen=True):
    """The bench withholds power-up of a PE, or gives it free: `scp` obeys as a debugger's latch."""

    cpu: int
    on: bool
    link: ClassVar[str] = "operator"


class SystemPowerOff(Message, frozen=True):
    """EL3 asks `scp` to switch the whole system off; not answered."""

    link: ClassVar[str] = "power"


class Rail(Message, frozen=True):
    """`scp` switches the power of a PE; `pe<N>` passes it on to its own EL3 context.

    It goes to `gicd` as well where the CPU interface lies in the PE's power domain. With `report`
    the EL3 context answers `scp` by `BlockPowered` when it has lost its power.
    """

    on: bool
    reason: ResetReason = ResetReason.COLD
    report: bool = False
    link: ClassVar[str] = "power"


class BlockPower(Message, frozen=True):
    """`scp` switches the power of a block (`gicd`, a device); answered by `BlockPowered`.

    `reset` belongs to a system reset: the block loses its state whatever the power model says.
    """

    on: bool
    reset: bool = False
    link: ClassVar[str] = "power"


class BlockPowered(Message, frozen=True):
    """A block reports that it has reached the asked power state.

    So does an EL3 context that has lost its power, if `Rail` asked for it.
    """

    block: NodeId
    on: bool
    link: ClassVar[str] = "power"


# -- guest entry and exit: a PE and a domain


class El1State(Message, frozen=True):
    """The EL1 and virtual-interface bank of one vCPU, as `struct vcpu` keeps it.

    `pc` is an entry address, or a token of the domain for a program that was interrupted (tokens
    have bit 63 set and carry a generation). `lrs` are GICH_LRn words.
    """

    pc: int
    pstate: int
    x: tuple[int, ...]
    sysregs: tuple[int, ...]
    lrs: tuple[int, ...]
    vmcr: int
    apr: int
    cntv_ctl: int
    cntv_cval: int
    cntvoff: int


class VcpuLoad(Message, frozen=True):
    """Put a vCPU's bank into the PE's EL1; answered by `Reply`."""

    tx: int
    vcpu: int
    generation: int
    state: El1State
    link: ClassVar[str] = "guest"


class VcpuRun(Message, frozen=True):
    """ERET to the guest until `VcpuExit` of the same generation.

    `lrs` are the list registers as Xen leaves them; `result`, if any, goes to x0 (and a load's
    target for a trapped device read). `hcr` is GICH_HCR: bit 0 enables the virtual interface, the
    others the reasons of the maintenance interrupt.
    """

    vcpu: int
    generation: int
    lrs: tuple[int, ...]
    result: int | None = None
    hcr: int = 1
    link: ClassVar[str] = "guest"


class VcpuKick(Message, frozen=True):
    """A physical interrupt is routed to EL2: leave the guest of this generation."""

    vcpu: int
    generation: int
    link: ClassVar[str] = "guest"


class ExitReason(IntEnum):
    """Why a guest left EL1 (DDI 0487, ESR_EL2.EC)."""

    IRQ = 0
    WFI = 1
    HVC = 2
    SMC = 3
    DATA_ABORT = 4
    MAINTENANCE = 5


class VcpuExit(Message, frozen=True):
    """The guest has left EL1.

    HVC and SMC: `args` are x0-x4 with `immediate`, and `number` is x16 (r12 on AArch32), which
    names a Xen hypercall. DATA_ABORT: `args` are address, width in bytes, 1 for a write, value.
    `lrs` are the list registers and `hcr` is GICH_HCR, with EOICount, as the guest left them.
    """

    vcpu: int
    generation: int
    reason: ExitReason
    args: tuple[int, ...]
    lrs: tuple[int, ...]
    immediate: int = 0
    number: int = 0
    hcr: int = 1
    link: ClassVar[str] = "guest"


class VcpuPut(Message, frozen=True):
    """Take the vCPU's bank out of the PE's EL1; answered by `VcpuState`."""

    tx: int
    vcpu: int
    generation: int
    link: ClassVar[str] = "guest"


class VcpuState(Message, frozen=True):
    """The bank that `VcpuPut` asked for."""

    tx: int
    state: El1State
    link: ClassVar[str] = "guest"


class BankRead(Message, frozen=True):
    """EL2 reads a register of the loaded EL1 bank, by name; answered by `Reply`."""

    tx: int
    vcpu: int
    register: str
    link: ClassVar[str] = "guest"


class BankWrite(Message, frozen=True):
    """EL2 writes a register of the loaded EL1 bank, by name; answered by `Reply`."""

    tx: int
    vcpu: int
    register: str
    value: int
    link: ClassVar[str] = "guest"


class GuestLoad(Message, frozen=True):
    """EL2 reads words of guest memory (copy_from_guest) by IPA; answered by `Replies`."""

    tx: int
    addresses: tuple[int, ...]
    link: ClassVar[str] = "guest"


class GuestStore(Message, frozen=True):
    """EL2 writes words of guest memory (copy_to_guest) by IPA; answered by `Reply`."""

    tx: int
    addresses: tuple[int, ...]
    values: tuple[int, ...]
    link: ClassVar[str] = "guest"


class BankLost(Message, frozen=True):
    """The PE lost power while this vCPU was loaded: its bank is gone."""

    vcpu: int
    generation: int
    link: ClassVar[str] = "guest"


# -- the bench: an operator with a keyboard per console, buttons on the devices and armed points


class SerialInput(Message, frozen=True):
    """The operator types a line on a serial port."""

    line: str
    link: ClassVar[str] = "operator"


class SerialOutput(Message, frozen=True):
    """A serial port has sent a line to the operator's terminal."""

    line: str
    link: ClassVar[str] = "operator"


class RtcAlarm(Message, frozen=True):
    """The operator sets the RTC's alarm this far ahead, as `rtcwake` would."""

    after_ns: int
    link: ClassVar[str] = "operator"


class RaiseLine(Message, frozen=True):
    """The operator drives a device's interrupt line; an edge device pulses it."""

    link: ClassVar[str] = "operator"


class PowerLed(Message, frozen=True):
    """The board's power LED shows the operator what `scp` does: sleeping, waking, on or off."""

    state: str
    link: ClassVar[str] = "operator"


class PointReached(Message, frozen=True):
    """A node stands at an armed point and waits for `PointRelease`."""

    tx: int
    point: str
    link: ClassVar[str] = "operator"


class PointRelease(Message, frozen=True):
    """Go on from the armed point; `answer` may carry an injected return code."""

    tx: int
    answer: int = 0
    link: ClassVar[str] = "operator"


# -- clients: command lines of people at a board that stays up, to the operator


class Operate(Message, frozen=True):
    """A client asks the operator to carry out a step now; answered by `OperateResult`."""

    tx: int
    step: Step
    link: ClassVar[str] = "operator"


class AwaitSteps(Message, frozen=True):
    """A client waits until the scenario's own steps are carried out; answered likewise."""

    tx: int
    link: ClassVar[str] = "operator"


class ReadConsole(Message, frozen=True):
    """A client asks what a console (-1: Xen's) has printed; answered by `OperateResult`.

    `first` counts lines from 0, or back from the end if it is negative. The answer comes as soon as
    there is a line or the power LED changes, at the latest after `within_ms` of board time.
    """

    tx: int
    domain: int
    first: int
    within_ms: int = 0
    link: ClassVar[str] = "operator"


class EndScenario(Message, frozen=True):
    """A client ends an open scenario: the board goes down; only a refusal is answered."""

    tx: int
    link: ClassVar[str] = "operator"


class OperateResult(Message, frozen=True):
    """The operator's answer to a client: what came of it, and the power LED as it is now.

    `status` is the exit status of an `xl` step, -1 without one. `next_line` is the number of the
    first line that the console has not printed yet. `reason` says why `ok` is false; `refused` means
    that nothing was begun.
    """

    tx: int
    ok: bool
    lines: tuple[str, ...] = ()
    status: int = -1
    reason: str = ""
    power: str = ""
    next_line: int = 0
    refused: bool = False
    link: ClassVar[str] = "operator"


# -- call vectors: the driver of a board without software, and the program on its bare PEs


class BarePower(Message, frozen=True):
    """A bare PE's rail has been switched: everything the PE held is gone when it is off."""

    on: bool
    link: ClassVar[str] = "bus"


class BareArrived(Message, frozen=True):
    """A bare PE has come out of EL3 at a physical address, with these x0 to x30."""

    entry: int
    registers: tuple[int, ...]
    link: ClassVar[str] = "bus"


class BareHalted(Message, frozen=True):
    """A bare PE executes nothing more: it has taken an abort."""

    reason: str
    link: ClassVar[str] = "bus"


class BareReady(Message, frozen=True):
    """A bare PE waits for an order; `values` are the results of the last one.

    After a `BareCall` they are x0 to x30, after a read `BareAccess` the value. `abort` says why an
    access was refused.
    """

    tx: int
    values: tuple[int, ...] = ()
    abort: str = ""
    link: ClassVar[str] = "bus"


class BareCall(Message, frozen=True):
    """An order: SMC with these x0 to x30, by a caller as `Smc` describes it."""

    tx: int
    registers: tuple[int, ...]
    secure: bool = False
    aarch32: bool = False
    link: ClassVar[str] = "bus"


class BareAccess(Message, frozen=True):
    """An order: read `width` bytes at a physical address, or write `value` there."""

    tx: int
    address: int
    width: int
    value: int | None = None
    link: ClassVar[str] = "bus"


class BareMask(Message, frozen=True):
    """An order: set or clear DAIF.I."""

    tx: int
    masked: bool
    link: ClassVar[str] = "bus"


class BareTimer(Message, frozen=True):
    """An order: let a comparator of this PE, named by its PPI, fire after a time."""

    tx: int
    intid: int
    after_ns: int
    link: ClassVar[str] = "bus"


class BareTaken(Message, frozen=True):
    """A bare PE has acknowledged an interrupt; answered by `Reply` once its device is silent."""

    tx: int
    intid: int
    source: int
    link: ClassVar[str] = "bus"


Body = (
    Load
    | LoadBurst
    | Store
    | StoreBurst
    | Atomic
    | CompareAndSwap
    | Watch
    | WatchCancel
    | Clean
    | Barrier
    | TlbInvalidate
    | Reply
    | Replies
    | Abort
    | RegRead
    | RegWrite
    | FifoWrite
    | FifoRead
    | FifoData
    | Wire
    | IrqOutput
    | WakeLine
    | VirtualDeactivate
    | Smc
    | SmcReturn
    | Eret
    | SysregRead
    | PowerOn
    | PowerOff
    | SystemSleep
    | CpuSleep
    | CpuFreeze
    | PowerQuery
    | WakeRequests
    | SystemReset
    | MemoryScrub
    | PowerHold
    | SystemPowerOff
    | Rail
    | BlockPower
    | BlockPowered
    | VcpuLoad
    | VcpuRun
    | VcpuKick
    | VcpuExit
    | VcpuPut
    | VcpuState
    | BankRead
    | BankWrite
    | GuestLoad
    | GuestStore
    | BankLost
    | SerialInput
    | SerialOutput
    | RtcAlarm
    | RaiseLine
    | PowerLed
    | PointReached
    | PointRelease
    | Operate
    | AwaitSteps
    | ReadConsole
    | EndScenario
    | OperateResult
    | BarePower
    | BareArrived
    | BareHalted
    | BareReady
    | BareCall
    | BareAccess
    | BareMask
    | BareTimer
    | BareTaken
)
"""Every body that an envelope may carry."""
