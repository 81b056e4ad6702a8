"""Who may send which message to whom: the wires of the board, as a table.

A message that no row allows has no wire to travel on. The hub refuses it, whatever its envelope
says, and the simulator treats it as a fault of the sender. Rows that carry a condition look at the
message as well: a domain drives its own timers' lines and no device's.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from proto import messages as m
from proto.board import Board
from proto.gic import PPI_HYP_TIMER, PPI_MAINTENANCE, PPI_PHYS_TIMER, PPI_VIRT_TIMER
from proto.ids import DomainId, NodeId, cpu_of, is_client
from proto.messages import AtomicOp
from proto.platform import (
    RTC_SPI,
    SHARED_INFO,
    SHARED_SIZE,
    TTY_SPI,
    XENSTORE,
    interrupt_sources,
)

Condition = Callable[[Any], bool]
Rules = Mapping[type, Condition | None]
"""The types that one node may send to another, each with its condition or None."""

_NAMES: Final = re.compile(r"(?P<role>pe|el3\.pe|dom|tty)(?P<number>\d+)")
_SINGLE: Final = ("dram", "scp", "gicd", "uart", "rtc", "iommu", "operator")


def role(node: NodeId) -> str:
    """What kind of node this is: `pe`, `el3`, `dom`, `tty`, `client`, its own name, or nothing."""
    if node in _SINGLE:
        return node
    if is_client(node):
        return "client"
    found = _NAMES.fullmatch(node)
    return "" if found is None else found["role"].removesuffix(".pe")


def number(node: NodeId) -> int:
    """The number in a node's name, -1 if it has none."""
    found = _NAMES.fullmatch(node)
    return -1 if found is None else int(found["number"])


class Row(NamedTuple):
    """These types may go from this role to that one.

    `own` wants the same number in both names. `condition` names a check of the message against its
    sender.
    """

    sender: str
    receiver: str
    types: tuple[type, ...]
    own: bool = False
    condition: str = ""


_MEMORY: tuple[type, ...] = (
    *(m.Load, m.LoadBurst, m.Store, m.StoreBurst, m.Atomic, m.CompareAndSwap),
    *(m.Watch, m.WatchCancel, m.Clean),
)
_REGISTERS = (m.RegRead, m.RegWrite)
_ENTRY: tuple[type, ...] = (
    *(m.VcpuLoad, m.VcpuRun, m.VcpuKick, m.VcpuPut, m.BankRead, m.BankWrite, m.BankLost),
    *(m.GuestLoad, m.GuestStore),
)
_ORDERS = (m.BareCall, m.BareAccess, m.BareMask, m.BareTimer, m.Reply)
_REPORTS = (m.BarePower, m.BareArrived, m.BareHalted, m.BareReady, m.BareTaken)

TABLE: Final = (
    # A PE on its interconnect.
    Row("pe", "dram", _MEMORY),
    Row("pe", "gicd", (*_REGISTERS, m.Barrier), condition="non_secure"),
    Row("pe", "gicd", (m.Wire,), condition="timer_line"),
    Row("pe", "gicd", (m.Rail,)),
    Row("pe", "uart", (*_REGISTERS, m.Barrier, m.FifoWrite), condition="non_secure"),
    Row("pe", "iommu", (*_REGISTERS, m.Barrier), condition="non_secure"),
    Row("pe", "pe", (m.TlbInvalidate, m.Reply)),
    Row("pe", "el3", (m.Smc, m.Rail, m.Reply), own=True),
    Row("pe", "dom", _ENTRY),
    Row("pe", "operator", (m.PointReached,)),
    # Firmware.
    Row("el3", "dram", (*_MEMORY, m.MemoryScrub)),
    Row("el3", "gicd", (*_REGISTERS, m.Barrier)),
    Row("el3", "pe", (m.SmcReturn, m.Eret, m.SysregRead, m.Barrier), own=True),
    Row("el3", "scp", (m.PowerOn, m.PowerQuery, m.SystemReset, m.SystemPowerOff)),
    Row("el3", "scp", (m.PowerOff, m.CpuSleep, m.CpuFreeze, m.SystemSleep), condition="own_cpu"),
    Row("el3", "scp", (m.BlockPowered,), condition="own_block"),
    Row("el3", "operator", (m.PointReached,)),
    # The power controller.
    Row("scp", "pe", (m.Rail,)),
    Row("scp", "el3", (m.Reply,)),
    Row("scp", "gicd", (m.BlockPower, m.WakeRequests)),
    Row("scp", "uart", (m.BlockPower,)),
    Row("scp", "iommu", (m.BlockPower,)),
    Row("scp", "operator", (m.PowerLed,)),
    # Memory and interrupts.
    Row("dram", "pe", (m.Reply, m.Replies, m.Abort)),
    Row("dram", "el3", (m.Reply, m.Replies, m.Abort)),
    Row("dram", "dom", (m.Reply, m.Abort)),
    Row("gicd", "pe", (m.Reply, m.Abort, m.IrqOutput)),
    Row("gicd", "el3", (m.Reply, m.Abort)),
    Row("gicd", "scp", (m.WakeLine,)),
    Row("gicd", "scp", (m.BlockPowered,), condition="own_block"),
    # A domain: its vCPUs' entries and exits, its own lines, what is passed through to it.
    Row("dom", "pe", (m.VcpuExit, m.VcpuState, m.Reply, m.Replies, m.Abort)),
    Row("dom", "gicd", (m.Wire,), condition="guest_line"),
    Row("dom", "gicd", (m.VirtualDeactivate,), condition="guest_interrupt"),
    Row("dom", "dram", (m.Atomic,), condition="shared_page"),
    Row("dom", "tty", (*_REGISTERS, m.FifoWrite, m.FifoRead), own=True, condition="non_secure"),
    Row("dom", "rtc", _REGISTERS, condition="hardware_domain"),
    # Devices.
    Row("tty", "dom", (m.Reply, m.Abort, m.FifoData), own=True),
    Row("rtc", "dom", (m.Reply, m.Abort)),
    *(Row(device, "pe", (m.Reply, m.Abort)) for device in ("uart", "iommu")),
    *(Row(device, "gicd", (m.Wire,), condition="device_line") for device in ("uart", "iommu")),
    *(Row(device, "gicd", (m.Wire,), condition="device_line") for device in ("rtc", "tty")),
    *(Row(device, "scp", (m.WakeLine,), condition="device_line") for device in ("rtc", "tty")),
    *(Row(device, "scp", (m.BlockPowered,), condition="own_block") for device in ("uart", "iommu")),
    *(Row(device, "operator", (m.SerialOutput,)) for device in ("uart", "tty")),
    # The bench.
    Row("operator", "tty", (m.SerialInput, m.RaiseLine)),
    Row("operator", "uart", (m.SerialInput, m.RaiseLine)),
    Row("operator", "rtc", (m.RtcAlarm, m.RaiseLine)),
    Row("operator", "iommu", (m.RaiseLine,)),
    Row("operator", "el3", (m.PointRelease,)),
    Row("operator", "pe", (m.PointRelease,)),
    Row("operator", "client", (m.OperateResult,)),
    Row("client", "operator", (m.Operate, m.AwaitSteps, m.ReadConsole, m.EndScenario)),
)
"""Every wire of the board."""

BARE: Final = (
    Row("pe", "operator", _REPORTS),
    Row("operator", "pe", _ORDERS),
    Row("operator", "dram", (m.Load, m.Store)),
    Row("dram", "operator", (m.Reply, m.Abort)),
    Row("operator", "gicd", (m.Wire,)),
    Row("operator", "scp", (m.WakeLine, m.PowerHold)),
    Row("pe", "rtc", _REGISTERS, condition="non_secure"),
    Row("rtc", "pe", (m.Reply, m.Abort)),
)
"""More of them on a board without software, whose driver has the operator's place."""


HARDWARE_DOMAIN: Final = DomainId(0)
XEN_TIMERS: Final = (PPI_HYP_TIMER,)
"""Timers that Xen keeps for itself."""
PE_TIMERS: Final = (PPI_HYP_TIMER, PPI_VIRT_TIMER, PPI_PHYS_TIMER)
"""Timers that a PE has without Xen."""
GUEST_LINES: Final = (PPI_VIRT_TIMER, PPI_MAINTENANCE)
"""Lines that a vCPU's bank drives on the PE that runs it."""


def permissions(board: Board) -> Callable[[NodeId, NodeId], Rules]:
    """For two nodes of this board, what the first may send to the second."""
    lines = {source: intid for intid, source in interrupt_sources(board.domains).items()}
    cpus, domains = board.platform.cpus, board.domains
    conditions: dict[str, Callable[[NodeId, Any], bool]] = {
        "non_secure": _non_secure,
        "timer_line": partial(_timer_line, XEN_TIMERS if board.vectors is None else PE_TIMERS),
        "guest_line": lambda node, body: body.intid in GUEST_LINES and body.cpu in cpus,
        "guest_interrupt": partial(_guest_interrupt, cpus),
        "own_cpu": lambda node, body: body.cpu == cpu_of(node),
        "own_block": lambda node, body: body.block == node,
        "device_line": lambda node, body: body.intid == lines.get(node) and body.cpu == -1,
        "hardware_domain": lambda node, body: number(node) == HARDWARE_DOMAIN and not body.secure,
        "shared_page": partial(_shared_page, domains),
    }

    between: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in TABLE if board.vectors is None else TABLE + BARE:
        between[row.sender, row.receiver].append(row)

    def rules(sender: NodeId, receiver: NodeId) -> Rules:
        same = number(sender) == number(receiver)
        found: dict[type, Condition | None] = {}
        for row in between.get((role(sender), role(receiver)), ()):
            if same or not row.own:
                condition = partial(conditions[row.condition], sender) if row.condition else None
                found.update(dict.fromkeys(row.types, condition))
        return found

    return rules


def permits(rules: Rules, body: object) -> bool:
    """Whether these rules let a message pass."""
    condition = rules.get(type(body), _nothing)
    return condition is None or condition(body)


def _nothing(_body: object) -> bool:
    return False


# -- conditions: a message against its sender


def _non_secure(_node: NodeId, body: Any) -> bool:
    """Secure accesses come from EL3 only."""
    return not getattr(body, "secure", False)


def _timer_line(ppis: Container[int], node: NodeId, body: m.Wire) -> bool:
    """A PE has the comparators of its own generic timers."""
    return body.intid in ppis and body.cpu == cpu_of(node)


def _guest_interrupt(cpus: Container[int], node: NodeId, body: m.VirtualDeactivate) -> bool:
    """What Xen gives a guest as a physical interrupt: its devices' SPIs, of no PE of their own."""
    own = number(node)
    passed = body.intid == TTY_SPI + own or (body.intid == RTC_SPI and own == HARDWARE_DOMAIN)
    return passed and body.cpu in cpus


def _shared_page(domains: Container[int], node: NodeId, body: m.Atomic) -> bool:
    """A domain swaps words of its own shared pages; the store's domain, of every store page."""
    if body.op is not AtomicOp.SWAP:
        return False
    own = number(node)
    if (body.address - SHARED_INFO) // SHARED_SIZE == own:
        return True
    store = (body.address - XENSTORE) // SHARED_SIZE
    return store == own or (own == HARDWARE_DOMAIN and store in domains)
