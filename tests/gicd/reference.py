"""An obviously simple GICv2: one object per interrupt, lists instead of words, no caches.

Written from the register descriptions, independently of the product, to be compared with it.
Priorities are kept as Secure software sees them.
"""

from dataclasses import dataclass, field

SPURIOUS = 1023
ABORT = None
"""An access that is refused."""

ARRAYS = (
    # first offset, size in bytes, bits per interrupt, what it reads, what a write does
    (0x080, 0x80, 1, "group", "group"),
    (0x100, 0x80, 1, "enabled", "set enabled"),
    (0x180, 0x80, 1, "enabled", "clear enabled"),
    (0x200, 0x80, 1, "pending", "set pending"),
    (0x280, 0x80, 1, "pending", "clear pending"),
    (0x300, 0x80, 1, "active", "set active"),
    (0x380, 0x80, 1, "active", "clear active"),
    (0x400, 0x400, 8, "priority", "priority"),
    (0x800, 0x400, 8, "targets", "targets"),
    (0xC00, 0x100, 2, "config", "config"),
    (0xF10, 0x10, 8, "sources", "clear sources"),
    (0xF20, 0x10, 8, "sources", "set sources"),
)
GROUP1_HIDDEN = 1022


def halved(value: int) -> int:
    """What a Non-secure write of a priority becomes: the lower half, 32 levels."""
    return (128 + value // 2) // 8 * 8


def doubled(priority: int) -> int:
    """What a Non-secure read of a kept priority shows."""
    return priority * 2 % 256


@dataclass
class Interrupt:
    """One interrupt as one PE (or all, for an SPI) sees it."""

    intid: int
    group: int = 0
    enabled: bool = False
    latch: bool = False
    line: bool = False
    edge: bool = False
    active: bool = False
    priority: int = 0
    targets: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)

    @property
    def pending(self) -> bool:
        if self.intid < 16:
            return bool(self.sources)
        return self.latch or (self.line and not self.edge)


@dataclass
class Interface:
    """One CPU interface; `running` is a stack of what was acknowledged: priority, group, INTID."""

    enable: list[bool] = field(default_factory=lambda: [False, False])
    split: dict[bool, bool] = field(default_factory=lambda: {False: False, True: False})
    ack_ctl: bool = False
    fiq_en: bool = False
    common_bpr: bool = False
    pmr: int = 0
    bpr: list[int] = field(default_factory=lambda: [2, 3])
    running: list[tuple[int, int, int]] = field(default_factory=list)


class Reference:
    """The machine, for accesses of both worlds."""

    def __init__(self, pes: int, intids: int) -> None:
        self.pes, self.intids = pes, intids
        self.enabled0 = self.enabled1 = False
        self.interfaces = [Interface() for _ in range(pes)]
        self.shared = {intid: Interrupt(intid) for intid in range(32, intids)}
        self.private = [
            {
                intid: Interrupt(intid, enabled=intid < 16, edge=intid < 16, targets={cpu})
                for intid in range(32)
            }
            for cpu in range(pes)
        ]

    def lose_power(self) -> None:
        """Everything but the levels of the wires."""
        fresh = Reference(self.pes, self.intids)
        for cpu in range(self.pes):
            for intid in range(self.intids):
                fresh.at(cpu, intid).line = self.at(cpu, intid).line
        self.__dict__.update(fresh.__dict__)

    def at(self, cpu: int, intid: int) -> Interrupt:
        return self.private[cpu][intid] if intid < 32 else self.shared[intid]

    # -- accesses of the distributor by offset

    @staticmethod
    def array_at(offset: int) -> tuple[int, int, int, str, str] | None:
        return next((row for row in ARRAYS if row[0] <= offset < row[0] + row[1]), None)

    def allowed(self, offset: int, width: int) -> bool:
        if width == 1:
            row = self.array_at(offset)
            return row is not None and row[2] == 8
        return width == 4 and offset % 4 == 0

    def gicd_read(self, cpu: int, offset: int, width: int, secure: bool) -> int | None:
        if not self.allowed(offset, width):
            return ABORT
        row = self.array_at(offset)
        if row is not None:
            first, _, bits, name, _ = row
            intid = (offset - first) * 8 // bits
            return sum(
                self.field(cpu, name, intid + index, secure) << index * bits
                for index in range(width * 8 // bits)
            )
        if offset == 0x000:
            return self.enabled0 + 2 * self.enabled1 if secure else int(self.enabled1)
        if offset == 0x004:
            return self.intids // 32 - 1 + 32 * (self.pes - 1) + 1024
        return {0x008: 0x0200_143B, 0xFE8: 0x2B}.get(offset, 0)

    def gicd_write(self, cpu: int, offset: int, width: int, value: int, secure: bool) -> bool:
        """False if the access is refused."""
        if not self.allowed(offset, width):
            return False
        row = self.array_at(offset)
        if row is not None:
            first, _, bits, _, name = row
            intid = (offset - first) * 8 // bits
            for index in range(width * 8 // bits):
                part = value >> index * bits & (1 << bits) - 1
                self.set_field(cpu, name, intid + index, part, secure)
        elif offset == 0x000:
            if secure:
                self.enabled0 = bool(value & 1)
            self.enabled1 = bool(value & (2 if secure else 1))
        elif offset == 0xF00:
            self.sgir(cpu, value, secure)
        return True

    def sgir(self, cpu: int, value: int, secure: bool) -> None:
        listed = [target for target in range(self.pes) if value >> 16 + target & 1]
        others = [target for target in range(self.pes) if target != cpu]
        reached = [listed, others, [cpu], []][value >> 24 & 3]
        self.sgi(cpu, value & 15, reached, value >> 15 & 1 if secure else 1)

    # -- what a PE reads of one interrupt

    def visible(self, cpu: int, intid: int, secure: bool) -> bool:
        return intid < self.intids and (secure or self.at(cpu, intid).group == 1)

    def field(self, cpu: int, name: str, intid: int, secure: bool) -> int:
        if not self.visible(cpu, intid, secure) or (name == "group" and not secure):
            return 0
        one = self.at(cpu, intid)
        return {
            "group": one.group,
            "enabled": int(one.enabled),
            "pending": int(one.pending),
            "active": int(one.active),
            "priority": one.priority if secure else doubled(one.priority),
            "targets": sum(1 << target for target in one.targets),
            "config": 2 if one.edge else 0,
            "sources": sum(1 << source for source in one.sources),
        }[name]

    # -- what a PE writes to one interrupt

    def set_field(self, cpu: int, name: str, intid: int, value: int, secure: bool) -> None:
        if not self.visible(cpu, intid, secure):
            return
        one = self.at(cpu, intid)
        match name:
            case "group" if secure:
                one.group = value
            case "set enabled" if value:
                one.enabled = True
            case "clear enabled" if value and intid >= 16:
                one.enabled = False
            case "set pending" if value and intid >= 16:
                one.latch = True
            case "clear pending" if value and intid >= 16:
                one.latch = False
            case "set active" if value:
                one.active = True
            case "clear active" if value:
                one.active = False
            case "priority":
                one.priority = value // 8 * 8 if secure else halved(value)
            case "targets" if intid >= 32:
                one.targets = {cpu for cpu in range(self.pes) if value >> cpu & 1}
            case "config" if intid >= 16:
                one.edge = value >= 2
            case "set sources":
                one.sources |= {pe for pe in range(self.pes) if value >> pe & 1}
            case "clear sources":
                one.sources -= {pe for pe in range(self.pes) if value >> pe & 1}

    # -- wires and SGIs

    def wire(self, cpu: int, intid: int, level: bool) -> None:
        one = self.at(cpu, intid)
        if level and not one.line and one.edge:
            one.latch = True
        one.line = level

    def sgi(self, source: int, intid: int, targets: list[int], group: int) -> None:
        for target in targets:
            if self.private[target][intid].group == group:
                self.private[target][intid].sources.add(source)

    # -- CPU interfaces

    def best(self, cpu: int) -> Interrupt | None:
        """Highest priority pending interrupt that the distributor forwards to this PE."""
        forwarded = [
            one
            for one in [*self.private[cpu].values(), *self.shared.values()]
            if one.pending
            and one.enabled
            and not one.active
            and cpu in one.targets
            and (self.enabled1 if one.group else self.enabled0)
        ]
        return min(forwarded, key=lambda one: (one.priority, one.intid), default=None)

    def group_priority(self, cpu: int, one: Interrupt) -> int:
        interface = self.interfaces[cpu]
        own = one.group == 1 and not interface.common_bpr
        size = 2 ** interface.bpr[1] if own else 2 ** (interface.bpr[0] + 1)
        return one.priority // size * size

    def running(self, cpu: int) -> int:
        return min((entry[0] for entry in self.interfaces[cpu].running), default=256)

    def due(self, cpu: int) -> Interrupt | None:
        """What an acknowledge would take."""
        interface, one = self.interfaces[cpu], self.best(cpu)
        if one is None or not interface.enable[one.group] or one.priority >= interface.pmr:
            return None
        return one if self.group_priority(cpu, one) < self.running(cpu) else None

    def irq(self, cpu: int) -> bool:
        one = self.due(cpu)
        return one is not None and (one.group == 1 or not self.interfaces[cpu].fiq_en)

    def hidden(self, cpu: int, one: Interrupt, secure: bool, aliased: bool) -> int | None:
        if not secure or aliased:
            return None if one.group == 1 else SPURIOUS
        if one.group == 1 and not self.interfaces[cpu].ack_ctl:
            return GROUP1_HIDDEN
        return None

    def iar(self, cpu: int, secure: bool = False, aliased: bool = False) -> int:
        one = self.due(cpu)
        if one is None:
            return SPURIOUS
        hidden = self.hidden(cpu, one, secure, aliased)
        if hidden is not None:
            return hidden
        entry = (self.group_priority(cpu, one), one.group, one.intid)
        self.interfaces[cpu].running.append(entry)
        one.active = True
        if one.intid >= 16:
            one.latch = False
            return one.intid
        source = min(one.sources)
        one.sources.remove(source)
        return one.intid | source << 10

    def hppir(self, cpu: int, secure: bool = False, aliased: bool = False) -> int:
        one = self.best(cpu)
        if one is None:
            return SPURIOUS
        hidden = self.hidden(cpu, one, secure, aliased)
        if hidden is not None:
            return hidden
        return one.intid | (min(one.sources) << 10 if one.sources else 0)

    def rpr(self, cpu: int, secure: bool) -> int:
        running = self.running(cpu)
        if running == 256:
            return 255
        if secure:
            return running
        return doubled(running) if running >= 128 else 0

    def pmr(self, cpu: int, secure: bool) -> int:
        pmr = self.interfaces[cpu].pmr
        if secure:
            return pmr
        return doubled(pmr) if pmr >= 128 else 0

    def set_pmr(self, cpu: int, value: int, secure: bool) -> None:
        interface = self.interfaces[cpu]
        if secure:
            interface.pmr = value // 8 * 8
        elif interface.pmr >= 128:
            interface.pmr = halved(value)

    def bpr(self, cpu: int, secure: bool) -> int:
        interface = self.interfaces[cpu]
        if secure:
            return interface.bpr[0]
        return min(7, interface.bpr[0] + 1) if interface.common_bpr else interface.bpr[1]

    def set_bpr(self, cpu: int, value: int, secure: bool) -> None:
        interface = self.interfaces[cpu]
        if secure:
            interface.bpr[0] = max(2, value)
        elif not interface.common_bpr:
            interface.bpr[1] = max(3, value)

    def apr(self, cpu: int, group: int) -> int:
        """Active priorities of a group, one bit for each of 32 levels."""
        levels = {entry[0] // 8 for entry in self.interfaces[cpu].running if entry[1] == group}
        return sum(1 << level for level in levels)

    def last_taken(self, cpu: int, secure: bool, aliased: bool) -> int | None:
        """The interrupt that this access may end in order; None if there is none."""
        mine = [
            entry
            for entry in self.interfaces[cpu].running
            if (secure and not aliased) or entry[1] == 1
        ]
        if not mine or (not (secure and not aliased) and self.at(cpu, mine[-1][2]).group == 0):
            return None
        return mine[-1][2]

    def eoir(self, cpu: int, secure: bool, aliased: bool) -> int | None:
        """End the last taken interrupt of what this world may end; gives its INTID."""
        intid = self.last_taken(cpu, secure, aliased)
        if intid is None:
            return None
        interface = self.interfaces[cpu]
        mine = [entry for entry in interface.running if (secure and not aliased) or entry[1] == 1]
        interface.running.remove(min(mine))
        if not interface.split[secure]:
            self.at(cpu, intid).active = False
        return intid
