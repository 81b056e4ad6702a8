"""Power."""

from enum import IntEnum
from typing import ClassVar

from proto.ids import NodeId
from proto.messages.base import Message


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
