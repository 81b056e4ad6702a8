"""An obviously simple GICv2: one object per interrupt, lists instead of words, no caches.

Written from the register descriptions, independently of the product, to be compared with it.
"""

from dataclasses import dataclass, field

SPURIOUS = 1023


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
    """One CPU interface; `running` is a stack of group priorities with their groups."""

    enable: bool = False
    split: bool = False
    pmr: int = 0
    bpr: int = 2
    running: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


class Reference:
    """The machine: Non-secure accesses, plus the Secure writes of the group registers."""

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

    def at(self, cpu: int, intid: int) -> Interrupt:
        return self.private[cpu][intid] if intid < 32 else self.shared[intid]

    # -- what a PE reads of one interrupt

    def visible(self, cpu: int, intid: int) -> bool:
        return intid < self.intids and self.at(cpu, intid).group == 1

    def field(self, cpu: int, name: str, intid: int) -> int:
        if not self.visible(cpu, intid):
            return 0
        one = self.at(cpu, intid)
        return {
            "enabled": int(one.enabled),
            "pending": int(one.pending),
            "active": int(one.active),
            "priority": one.priority,
            "targets": sum(1 << target for target in one.targets),
            "config": 2 if one.edge else 0,
        }[name]

    # -- what a PE writes to one interrupt

    def set_field(self, cpu: int, name: str, intid: int, value: int) -> None:
        if not self.visible(cpu, intid):
            return
        one = self.at(cpu, intid)
        match name:
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
                one.priority = value // 8 * 8
            case "targets" if intid >= 32:
                one.targets = {cpu for cpu in range(self.pes) if value >> cpu & 1}
            case "config" if intid >= 16:
                one.edge = value >= 2

    def set_group(self, cpu: int, intid: int, group: int) -> None:
        self.at(cpu, intid).group = group

    # -- wires and SGIs

    def wire(self, cpu: int, intid: int, level: bool) -> None:
        one = self.at(cpu, intid)
        if level and not one.line and one.edge:
            one.latch = True
        one.line = level

    def sgi(self, source: int, intid: int, targets: list[int]) -> None:
        for target in targets:
            if self.private[target][intid].group == 1:
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
        size = 2 ** (self.interfaces[cpu].bpr + 1)
        return one.priority // size * size

    def irq(self, cpu: int) -> bool:
        interface, one = self.interfaces[cpu], self.best(cpu)
        if one is None or one.group == 0 or not interface.enable:
            return False
        if one.priority >= interface.pmr:
            return False
        return not interface.running or self.group_priority(cpu, one) < interface.running[-1]

    def iar(self, cpu: int) -> int:
        if not self.irq(cpu):
            return SPURIOUS
        one = self.best(cpu)
        assert one is not None
        self.interfaces[cpu].running.append(self.group_priority(cpu, one))
        self.interfaces[cpu].taken.append(one.intid)
        one.active = True
        if one.intid >= 16:
            one.latch = False
            return one.intid
        source = min(one.sources)
        one.sources.remove(source)
        return one.intid | source << 10

    def hppir(self, cpu: int) -> int:
        one = self.best(cpu)
        if one is None or one.group == 0:
            return SPURIOUS
        return one.intid | (min(one.sources) << 10 if one.sources else 0)

    def rpr(self, cpu: int) -> int:
        running = self.interfaces[cpu].running
        return running[-1] if running else 0xFF

    def eoir(self, cpu: int) -> int | None:
        """End the last taken interrupt, if it is still the Non-secure world's; gives its INTID."""
        interface = self.interfaces[cpu]
        if not interface.taken or self.at(cpu, interface.taken[-1]).group == 0:
            return None
        interface.running.pop()
        intid = interface.taken.pop()
        if not interface.split:
            self.at(cpu, intid).active = False
        return intid
