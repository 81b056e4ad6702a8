"""Everything that can travel on the bus, as frozen, typed, array-like MessagePack structs.

The bus carries what an Arm interconnect carries: loads and stores, device register accesses,
interrupt wires, secure monitor calls, power requests, guest entry and exit. "Suspend yourself" is
not a message. `docs/PROTOCOL.md` lists who sends what to whom.

Every class names in `link` the row of the platform's latency table that it travels under. A field
`tx` is the sender's transaction number; the answer repeats it.
"""

from proto.messages.bare import (
    BareAccess,
    BareArrived,
    BareCall,
    BareHalted,
    BareMask,
    BarePower,
    BareReady,
    BareTaken,
    BareTimer,
)
from proto.messages.base import Message
from proto.messages.bench import (
    PointReached,
    PointRelease,
    PowerLed,
    RaiseLine,
    RtcAlarm,
    SerialInput,
    SerialOutput,
)
from proto.messages.client import AwaitSteps, EndScenario, Operate, OperateResult, ReadConsole
from proto.messages.device import FifoData, FifoRead, FifoWrite, RegRead, RegWrite
from proto.messages.guest import (
    BankLost,
    BankRead,
    BankWrite,
    El1State,
    ExitReason,
    GuestLoad,
    GuestStore,
    VcpuExit,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
)
from proto.messages.memory import (
    Abort,
    Atomic,
    AtomicOp,
    Attributes,
    Barrier,
    Clean,
    CompareAndSwap,
    Load,
    LoadBurst,
    Replies,
    Reply,
    Store,
    StoreBurst,
    TlbInvalidate,
    Watch,
    WatchCancel,
)
from proto.messages.power import (
    BlockPower,
    BlockPowered,
    CpuFreeze,
    CpuSleep,
    MemoryScrub,
    PowerHold,
    PowerOff,
    PowerOn,
    PowerQuery,
    Rail,
    ResetReason,
    SystemPowerOff,
    SystemReset,
    SystemSleep,
    WakeEnable,
    WakeRequests,
)
from proto.messages.secure import Eret, Smc, SmcReturn, SysregRead
from proto.messages.wires import IrqOutput, VirtualDeactivate, WakeLine, Wire

__all__ = [
    "VERSION",
    "Abort",
    "Atomic",
    "AtomicOp",
    "Attributes",
    "AwaitSteps",
    "BankLost",
    "BankRead",
    "BankWrite",
    "BareAccess",
    "BareArrived",
    "BareCall",
    "BareHalted",
    "BareMask",
    "BarePower",
    "BareReady",
    "BareTaken",
    "BareTimer",
    "Barrier",
    "BlockPower",
    "BlockPowered",
    "Body",
    "Clean",
    "CompareAndSwap",
    "CpuFreeze",
    "CpuSleep",
    "El1State",
    "EndScenario",
    "Eret",
    "ExitReason",
    "FifoData",
    "FifoRead",
    "FifoWrite",
    "GuestLoad",
    "GuestStore",
    "IrqOutput",
    "Load",
    "LoadBurst",
    "MemoryScrub",
    "Message",
    "Operate",
    "OperateResult",
    "PointReached",
    "PointRelease",
    "PowerHold",
    "PowerLed",
    "PowerOff",
    "PowerOn",
    "PowerQuery",
    "Rail",
    "RaiseLine",
    "ReadConsole",
    "RegRead",
    "RegWrite",
    "Replies",
    "Reply",
    "ResetReason",
    "RtcAlarm",
    "SerialInput",
    "SerialOutput",
    "Smc",
    "SmcReturn",
    "Store",
    "StoreBurst",
    "SysregRead",
    "SystemPowerOff",
    "SystemReset",
    "SystemSleep",
    "TlbInvalidate",
    "VcpuExit",
    "VcpuKick",
    "VcpuLoad",
    "VcpuPut",
    "VcpuRun",
    "VcpuState",
    "VirtualDeactivate",
    "WakeEnable",
    "WakeLine",
    "WakeRequests",
    "Watch",
    "WatchCancel",
    "Wire",
]

VERSION = 2
"""Interface version, carried by every envelope; a change of any message's fields raises it."""

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
