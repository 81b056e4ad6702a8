"""The driver's hands: orders to PEs, interrupt lines, the always-on timer, memory from outside.

What waits is a generator for `Threads`; what has happened is told by the node.
"""

from collections.abc import Generator

from proto.board import Board
from proto.gic import GICD
from proto.ids import DRAM, GICD_NODE, SCP, BoardNs, CpuIndex, pe_node
from proto.messages import (
    Abort,
    BareAccess,
    BareArrived,
    BareCall,
    BareMask,
    BareReady,
    BareTaken,
    BareTimer,
    Load,
    Reply,
    Store,
    WakeLine,
    Wire,
)
from proto.platform import GICD_BASE
from proto.turn import Send, SetTimer
from proto.units import MS, S
from proto.vectors import entry_address, shared_interrupts
from services.bare.values import Names
from services.bare.views import PeView
from services.bare.waiting import StepFailed, Threads, Until

POWER_GRACE_NS = 100 * MS
FIRMWARE_GRACE_NS = 1 * S
"""How long a step waits for its PE to get power, and to come out of firmware then."""
ORDER_LIMIT_NS = 10 * S
"""How long an order other than a call may take; longer than the bus waits for an answer."""
LINE = "line"
"""Timers of the always-on timer: this and the INTID."""

Order = BareCall | BareAccess | BareMask | BareTimer


class Bench:
    """What the driver has and knows; the steps work with it."""

    def __init__(self, board: Board) -> None:
        assert board.vectors is not None, "a bare board has a case"
        self.names = Names(board.platform)
        self.pes = [PeView(cpu) for cpu in board.platform.cpus]
        self.threads = Threads()
        self.shown: list[str] = []
        """What the power LED has shown since a step asked."""
        self.last_event_ns = 0
        """When something was heard from the board, or a PE was given an order."""
        self.busy_until_ns = 0
        """Until then something will happen by itself: a timer fires, a step's time passes."""
        self._entry = entry_address(board.platform)
        self._memory_map = board.memory_map
        self._first_routes = shared_interrupts(board.vectors)
        self._routes = dict(self._first_routes)
        self._lines: dict[int, bool] = {}
        self._tx = 0
        self._answers: dict[int, Reply | Abort] = {}

    @property
    def now(self) -> int:
        """Board time of this turn."""
        return self.threads.now

    def send(self, send: Send) -> None:
        """Add a message to the turn."""
        self.threads.effects.append(send)

    def busy(self, duration_ns: int) -> int:
        """Something will happen after this time; gives when."""
        until = self.now + duration_ns
        self.busy_until_ns = max(self.busy_until_ns, until)
        return until

    # -- told by the node

    def arrived(self, view: PeView, body: BareArrived) -> None:
        """A PE has come out of EL3, at `$entry` or elsewhere."""
        view.arrive(body, body.entry == self._entry)

    def power_shown(self, state: str) -> None:
        """The power LED has changed; whatever it was, the GIC has lost what steps set up."""
        self.shown.append(state)
        self._routes = dict(self._first_routes)

    def ready(self, view: PeView, body: BareReady) -> None:
        """A PE waits for an order; a call that has just returned SUCCESS makes it the winner."""
        succeeded = view.in_call and view.succeeds and bool(body.values) and body.values[0] == 0
        if succeeded:
            self.names.winner = view.cpu
        view.finish(body.tx, body.values, body.abort)

    def taken(self, view: PeView, body: BareTaken) -> None:
        """A PE has acknowledged an interrupt: its device is silent from now on."""
        view.taken[body.intid, body.source] += 1
        if self._lines.get(body.intid):
            self._drive(body.intid, False)
        self.send(Send(pe_node(view.cpu), Reply(body.tx)))

    def answered(self, body: Reply | Abort) -> None:
        """Memory has answered."""
        self._answers[body.tx] = body

    def timer_fired(self, timer: str) -> bool:
        """The always-on timer has reached its time; False if the name is not one of its."""
        if not timer.startswith(LINE):
            return False
        self._drive(int(timer.removeprefix(LINE)), True)
        return True

    # -- PEs

    def running(self, place: str, cpu: CpuIndex) -> Generator[Until, bool, PeView]:
        """A PE that can be given an order; a step on one that is not running fails."""
        view = self.pes[cpu]
        yield Until(lambda: view.powered, self.now + POWER_GRACE_NS)
        yield Until(lambda: view.is_here or view.has_stopped(), self.now + FIRMWARE_GRACE_NS)
        if view.is_here:
            yield Until(lambda: view.ready_tx is not None, self.now + ORDER_LIMIT_NS)
        if view.ready_tx is None:
            raise StepFailed(place, f"{view.name} is not running: it {view.state}")
        return view

    def order(self, view: PeView, order: Order) -> None:
        """Give a PE that waits an order; the order's `tx` is filled in here."""
        assert view.ready_tx is not None
        assert order.tx == view.ready_tx
        view.ready_tx, view.answer = None, None
        self.last_event_ns = self.now
        self.send(Send(pe_node(view.cpu), order))

    def carry_out(
        self, place: str, view: PeView, order: Order
    ) -> Generator[Until, bool, tuple[int, ...]]:
        """Give a PE an order and wait for what comes of it."""
        self.order(view, order)
        limit_ns = self.now + ORDER_LIMIT_NS
        done = yield Until(lambda: view.answer is not None or view.has_stopped(), limit_ns)
        if view.answer is None:
            why = f"{view.name} {view.state}" if done else "it takes too long"
            raise StepFailed(place, f"{view.name} did not carry out its order: {why}")
        if view.abort:
            raise StepFailed(place, f"{view.name} took an abort: {view.abort}")
        return view.answer

    # -- interrupts

    def route(self, place: str, intid: int, target: CpuIndex) -> Generator[Until, bool, None]:
        """Let an SPI go to a PE; where it goes first, the programs set up by themselves."""
        if self._routes[intid] == target:
            return
        runner = next((view for view in self.pes if view.ready_tx is not None), None)
        if runner is None or runner.ready_tx is None:
            raise StepFailed(place, f"no PE is running that could route INTID {intid} to C{target}")
        address = GICD_BASE + GICD.ITARGETSR.byte(intid)
        yield from self.carry_out(
            place, runner, BareAccess(runner.ready_tx, address, 1, 1 << target)
        )
        self._routes[intid] = target

    def raise_line(self, intid: int) -> None:
        """A device raises its line, until somebody takes the interrupt."""
        self._drive(intid, True)

    def arm_line(self, intid: int, after_ns: int) -> None:
        """The always-on timer raises its line after a time."""
        at_ns = self.busy(after_ns)
        self.threads.effects.append(SetTimer(f"{LINE}{intid}", at_ns, at_ns))

    def _drive(self, intid: int, level: bool) -> None:
        if self._lines.get(intid, False) != level:
            self._lines[intid] = level
            self.send(Send(GICD_NODE, Wire(intid, level)))
            self.send(Send(SCP, WakeLine(intid, level)))

    # -- memory

    def is_memory(self, address: int) -> bool:
        """Whether memory answers at an address, and no device."""
        return self._memory_map.node_at(address) == DRAM

    def load(self, place: str, address: int) -> Generator[Until, bool, int]:
        """Read a cell from outside."""
        answer = yield from self._access(place, Load(self._next_tx(), address))
        return answer.value

    def store(self, place: str, address: int, value: int) -> Generator[Until, bool, None]:
        """Write a cell from outside."""
        yield from self._access(place, Store(self._next_tx(), address, value))

    def _access(self, place: str, body: Load | Store) -> Generator[Until, bool, Reply]:
        self.send(Send(DRAM, body))
        yield Until(lambda: body.tx in self._answers, BoardNs(self.now + ORDER_LIMIT_NS))
        answer = self._answers.pop(body.tx, None)
        if isinstance(answer, Reply):
            return answer
        raise StepFailed(place, answer.reason if answer is not None else "memory does not answer")

    def _next_tx(self) -> int:
        self._tx += 1
        return self._tx
