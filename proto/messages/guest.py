"""Guest entry and exit: a PE and a domain."""

from enum import IntEnum
from typing import ClassVar

from proto.messages.base import Message


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
