"""A board with bare PEs: the real firmware and power controller, everything around them faked."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

import msgspec

from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from proto.board import Board
from proto.ids import OPERATOR, BoardNs, NodeId, el3_node, pe_node
from proto.image import Program
from proto.messages import (
    Barrier,
    BlockPower,
    BlockPowered,
    Eret,
    PointReached,
    PointRelease,
    PowerHold,
    PowerLed,
    Rail,
    RegRead,
    RegWrite,
    Reply,
    Smc,
    SmcReturn,
    SysregRead,
    WakeEnable,
    WakeLine,
    WakeRequests,
)
from proto.platform import XEN_TEXT, Latencies, Platform
from proto.psci import Affinity, from_register
from proto.scenario import DomainSpec, PointAction, Profile, Role, Scenario
from proto.traces import AffinityState, TraceEvent
from proto.turn import Effect, Envelope, Send, SetTimer, Trace, Turn
from services.dram.node import Dram
from services.firmware.node import El3
from services.firmware.scp import Scp

MS = 1_000_000
ENTRY = 0x8100_0000
"""A valid entry point; offsets from it serve to tell entries apart."""

BOOT = XEN_TEXT
"""Where the boot PE enters after cold boot."""

WakeStep = tuple[int, int, bool]
"""Time, INTID, level."""

PeProgram = Callable[["BarePe"], Generator[Any, Any, None]]

LATENCIES = Latencies(
    memory=(10, 2_000),
    power_up=(1_000, 20_000),
    power_down=(100, 20_000),
    system_power=(10_000, 50_000),
    block_power=(100, 20_000),
    cache_flush=(100, 20_000),
)
"""Everything close together, so that steps of different PEs meet in every order."""


class Fake:
    """A node that does nothing of its own."""

    def __init__(self, node: str) -> None:
        self.id = NodeId(node)

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Nothing."""
        return ()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Nothing."""
        raise AssertionError(timer)


class OpenDram(Dram):
    """The board's memory, with a window for tests."""

    @property
    def cells(self) -> dict[int, int]:
        """Address to value of every cell written so far."""
        return self._cells


class WakeSource(Fake):
    """Drives wake lines at set times: (time, INTID, level)."""

    def __init__(self, node: str, script: Sequence[WakeStep] = ()) -> None:
        super().__init__(node)
        self.script = script

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Arm everything."""
        return [SetTimer(str(i), at, at) for i, (at, _, _) in enumerate(self.script)]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Drive one line."""
        _, intid, level = self.script[int(timer)]
        return [Send(NodeId("scp"), WakeLine(intid, level))]


class FakeBlock(WakeSource):
    """A block that remembers register writes and obeys the power controller.

    A script makes it a GIC that kept its state and asks for power by itself.
    """

    def __init__(self, node: str, script: Sequence[WakeStep] = ()) -> None:
        super().__init__(node, script)
        self.on = True
        self.written: list[tuple[NodeId, int, int]] = []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Answer what has an answer."""
        src = envelope.id.src
        match envelope.body:
            case RegRead(tx):
                return [Send(src, Reply(tx, 0))]
            case RegWrite(tx, address, value, posted=posted, secure=secure):
                assert self.on
                assert secure
                self.written.append((src, address, value))
                return [] if posted else [Send(src, Reply(tx))]
            case Barrier(tx):
                return [Send(src, Reply(tx))]
            case BlockPower(on):
                self.on = on
                return [Send(src, BlockPowered(self.id, on))]
        raise AssertionError(envelope.body)


class FakeGic(FakeBlock):
    """A GIC that raises each PE's signal at set times, and tells `scp` if it wants to know.

    A PE's signal falls when the PE has taken it (`BarePe.take`).
    """

    def __init__(
        self, script: Sequence[WakeStep], irqs: Sequence[tuple[int, int]], pes: "list[BarePe]"
    ) -> None:
        super().__init__("gicd", script)
        self.irqs = irqs
        self.pes = pes
        self.enabled: dict[int, WakeEnable] = {}

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Arm everything."""
        irqs = [SetTimer(f"irq.{cpu}.{at}", at, at) for at, cpu in self.irqs]
        return [*super().on_start(now), *irqs]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Raise a PE's signal, or drive a wake line."""
        if not timer.startswith("irq."):
            return super().on_timer(now, timer)
        cpu = int(timer.split(".")[1])
        self.pes[cpu].isr = 1
        return self._tell(cpu)

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """What `scp` wants to know, or what every block does."""
        if isinstance(envelope.body, WakeRequests):
            self.enabled[envelope.body.cpu] = envelope.body.enable
            return self._tell(envelope.body.cpu)
        return super().on_message(now, envelope)

    def _tell(self, cpu: int) -> Sequence[Effect]:
        wanted = self.enabled.get(cpu, WakeEnable.NONE) is not WakeEnable.NONE
        return (
            [Send(NodeId("scp"), WakeLine(40, True, cpu))] if wanted and self.pes[cpu].isr else []
        )


class FakeOperator(Fake):
    """Releases points, with an answer, after a delay; sees the power LED; holds PEs.

    `holds` are (time, CPU index, whether it is held from then on).
    """

    def __init__(
        self, points: Mapping[str, tuple[int, int]], holds: Sequence[tuple[int, int, bool]] = ()
    ) -> None:
        super().__init__(OPERATOR)
        self.holds = holds
        self.points = points
        self.reached: list[str] = []
        self.led: list[str] = []
        self.waiting: dict[str, tuple[NodeId, PointRelease]] = {}

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Arm every hold."""
        return [SetTimer(f"hold.{i}", at, at) for i, (at, _, _) in enumerate(self.holds)]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A PE stands at a point, or the LED changes."""
        body = envelope.body
        if isinstance(body, PowerLed):
            self.led.append(body.state)
            return []
        assert isinstance(body, PointReached)
        answer, hold_ns = self.points[body.point]
        self.reached.append(body.point)
        timer = f"{body.point}#{len(self.reached)}"
        self.waiting[timer] = (envelope.id.src, PointRelease(body.tx, answer))
        return [SetTimer(timer, now + hold_ns, now + hold_ns)]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """The hold at a point is over, or one of a PE begins or ends."""
        if timer.startswith("hold."):
            _, cpu, on = self.holds[int(timer[5:])]
            return [Send(NodeId("scp"), PowerHold(cpu, on))]
        return [Send(*self.waiting.pop(timer))]


class BarePe(Fake):
    """A PE without a hypervisor: at each entry a generator that yields SMCs and delays.

    `yield function, *args` gives the signed x0; `yield ns` lets time pass. A `Smc` is sent as it is
    but for its transaction. The interrupt that is pending is taken by `take`.
    """

    def __init__(self, cpu: int, programs: Mapping[int, PeProgram]) -> None:
        super().__init__(pe_node(cpu))
        self.cpu = cpu
        self.on = False
        self.isr = 0
        self.entered: list[tuple[int, int]] = []
        self.codes: list[int] = []
        self.returns: list[tuple[int, int, int, int]] = []
        self.now = 0
        self._el3 = el3_node(cpu)
        self._programs = programs
        self._running: Generator[Any, Any, None] | None = None
        self._tx = 0

    def take(self) -> None:
        """Take the interrupt that is pending."""
        self.isr = 0

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """The rail, the entry, the return of an SMC, or EL3 looking at ISR_EL1."""
        self.now = now
        match envelope.body:
            case Rail() as rail:
                assert rail.on is not self.on
                self.on, self._running = rail.on, None
                return [Send(self._el3, rail)]
            case Eret(entry, x0):
                assert self.on
                self.entered.append((entry, x0))
                program = self._programs.get(entry)
                if program is None:
                    return []
                self._running = program(self)
                return self._go(None)
            case SmcReturn(tx, results):
                assert tx == self._tx
                self.returns.append(results)
                self.codes.append(from_register(results[0]))
                return self._go(self.codes[-1])
            case SysregRead(tx, "ISR_EL1"):
                return [Send(self._el3, Reply(tx, self.isr))]
        raise AssertionError(envelope.body)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A delay of the program is over, unless its power went first."""
        self.now = now
        return self._go(None) if self.on and timer == str(self._tx) else []

    def _go(self, value: Any) -> list[Effect]:
        if self._running is None:
            return []
        try:
            wish = self._running.send(value)
        except StopIteration:
            self._running = None
            return []
        self._tx += 1
        if isinstance(wish, int):
            return [SetTimer(str(self._tx), self.now + wish, self.now + wish)]
        if isinstance(wish, Smc):
            return [Send(self._el3, msgspec.structs.replace(wish, tx=self._tx))]
        function, *args = wish
        x1, x2, x3 = (*args, 0, 0, 0)[:3]
        return [Send(self._el3, Smc(self._tx, function, (x1, x2, x3)))]


def script(*wishes: Any) -> PeProgram:
    """A program that carries out calls and delays, whatever comes of them."""

    def program(pe: BarePe) -> Generator[Any, Any, None]:
        for wish in wishes:  # noqa: UP028  # a tuple cannot be sent to
            yield wish

    return program


def board(
    points: Sequence[str] = (),
    clusters: tuple[Any, ...] = (2, 2),
    latencies: Latencies = LATENCIES,
    **fields: Any,
) -> Board:
    """A resolved run with these armed points."""
    scenario = Scenario(
        name="bare",
        domains=(DomainSpec(id=0, role=Role.HARDWARE),),
        steps=(),
        points=tuple(PointAction(point=name) for name in points),
    )
    platform = Platform(name="bare", clusters=clusters, latencies=latencies, **fields)
    no_profile = cast(Profile, None)  # versions of Xen; firmware must not look
    return Board(scenario=scenario, platform=platform, profile=no_profile, code="bare")


class Bench:
    """One run: programs by entry address, points as name to (answer, hold), wake-line scripts.

    `irqs` are (time, CPU index), `holds` as `FakeOperator` takes them; further fields go into the
    platform.
    """

    def __init__(
        self,
        programs: Mapping[int, PeProgram],
        *,
        seed: int = 0,
        points: Mapping[str, tuple[int, int]] | None = None,
        wakes: Mapping[str, Sequence[WakeStep]] | None = None,
        relinked: Mapping[str, Program] | None = None,
        irqs: Sequence[tuple[int, int]] = (),
        holds: Sequence[tuple[int, int, bool]] = (),
        clusters: tuple[Any, ...] = (2, 2),
        latencies: Latencies = LATENCIES,
        **fields: Any,
    ) -> None:
        self.board = board(tuple(points or ()), clusters, latencies, **fields)
        cpus = self.board.platform.cpus
        self.pes = [BarePe(cpu, programs) for cpu in cpus]
        self.el3s = [El3(self.board, cpu, relinked) for cpu in cpus]
        self.scp = Scp(self.board)
        self.dram = OpenDram(self.board)
        wakes = wakes or {}
        self.gicd = FakeGic(wakes.get("gicd", ()), irqs, self.pes)
        self.operator = FakeOperator(points or {}, holds)
        self.blocks = [self.gicd, FakeBlock("uart"), FakeBlock("iommu")]
        sources = [WakeSource(node, s) for node, s in wakes.items() if node != "gicd"]
        nodes = [*self.pes, *self.el3s, self.scp, self.dram, self.operator, *self.blocks, *sources]
        self.turns: list[Turn] = []
        self.world = World(
            {node.id: node for node in nodes},
            latencies,
            RandomStrategy(seed),
            self.turns.append,
        )

    def run(self) -> "Bench":
        """Until nothing more can happen."""
        assert self.world.run(60_000 * MS) is Outcome.QUIESCENT
        return self

    def traces(self, kind: type[TraceEvent]) -> list[Any]:
        """All traces of a kind, in order."""
        return [
            effect.event
            for turn in self.turns
            for effect in turn.effects
            if isinstance(effect, Trace) and isinstance(effect.event, kind)
        ]

    def sends(self, node: str, kind: type) -> list[tuple[int, Any]]:
        """All bodies of a kind that a node sent, with their board times."""
        return [
            (turn.now, effect.body)
            for turn in self.turns
            for effect in turn.effects
            if turn.node == node and isinstance(effect, Send) and isinstance(effect.body, kind)
        ]

    def published(self, cpu: int) -> list[str]:
        """The affinity states published of a PE after the cold boot's."""
        return [event.state for event in self.traces(AffinityState) if event.cpu == cpu][1:]

    def affinity(self, cpu: int) -> Affinity:
        """The state of a PE in secure SRAM."""
        cells = self.el3s[0].memory.cpus[cpu]
        return Affinity(self.dram.cells[cells.aff_info_state])
