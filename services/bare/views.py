"""What the driver knows of a PE, from what it has been told."""

from collections import Counter
from dataclasses import dataclass, field

from proto.ids import CpuIndex
from proto.messages import BareArrived


@dataclass(slots=True)
class PeView:
    """One PE as the driver sees it.

    `ready_tx` is set while the PE waits for an order; `answer` is what came of the last order and
    `abort` why an access was refused. `result` is what came of the last call, in line, `lost_ns`
    when the power was cut during it. `arrivals` are those at `$entry` while it has power,
    `elsewhere` where it went instead. `taken` counts acknowledged interrupts by INTID and source.
    """

    cpu: CpuIndex
    powered: bool = False
    halted: str = ""
    ready_tx: int | None = None
    answer: tuple[int, ...] | None = None
    abort: str = ""
    in_call: bool = False
    result: tuple[int, ...] | None = None
    lost_ns: int | None = None
    arrived: bool = False
    """It has come out of EL3 since it has power."""
    arrivals: list[BareArrived] = field(default_factory=list)
    entries: int = 0
    elsewhere: str = ""
    succeeds: bool = False
    """Whether zero from the last call means SUCCESS."""
    taken: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """As vector files call it."""
        return f"C{self.cpu}"

    @property
    def state(self) -> str:
        """What it is doing, in words."""
        if self.halted:
            return f"has stopped: {self.halted}"
        if not self.powered:
            return "has no power"
        if self.in_call:
            return "is in a call that has not returned"
        return "is running" if self.ready_tx is not None else "has not arrived yet"

    @property
    def is_here(self) -> bool:
        """Whether it executes its program, be it that it still sets up the GIC."""
        return self.arrived and not self.in_call and not self.halted

    def has_stopped(self) -> bool:
        """Whether the order that it was given will never be answered."""
        return not self.powered or bool(self.halted)

    def power(self, on: bool, now: int) -> None:
        """Its rail has been switched; when it falls, nothing that it did comes to an end."""
        if not on and self.in_call:
            self.lost_ns = now
        self.powered, self.arrived, self.in_call = on, False, False
        self.ready_tx, self.halted = None, ""
        self.arrivals.clear()

    def arrive(self, arrived: BareArrived, at_entry: bool) -> None:
        """It has come out of EL3."""
        self.arrived = True
        if at_entry:
            self.arrivals.append(arrived)
            self.entries += 1
        else:
            self.elsewhere = f"{arrived.entry:#x} with x0 {arrived.registers[0]:#x}"

    def begin_call(self, succeeds: bool) -> None:
        """It is told to call: what it did before is known, or does not matter any more."""
        self.in_call, self.result, self.lost_ns, self.succeeds = True, None, None, succeeds
        self.arrivals.clear()
        self.elsewhere = ""

    def finish(self, tx: int, values: tuple[int, ...], abort: str) -> None:
        """It has carried out its order and waits for the next."""
        if self.in_call:
            self.result, self.in_call = values, False
        self.ready_tx, self.answer, self.abort = tx, values, abort

    def count(self, intid: int, source: int | None) -> int:
        """How often it has acknowledged an interrupt, from one source or from any."""
        return sum(
            times
            for (taken, origin), times in self.taken.items()
            if taken == intid and source in (None, origin)
        )

    def forget(self, intid: int, source: int | None) -> None:
        """Count from zero again."""
        for key in list(self.taken):
            if key[0] == intid and source in (None, key[1]):
                del self.taken[key]
