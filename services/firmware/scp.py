"""The power controller: rails of the PEs, power of the blocks, wake lines, reset reasons.

It lies in the always-on domain and obeys EL3 alone. Source: TF-A
drivers/arm/fvp/fvp_pwrc.c (PPONR, PPOFFR, PWKUPR.WEN, PSYSR) for what such a controller offers.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from proto.board import Board
from proto.ids import BOOT_CPU, GICD_NODE, OPERATOR, SCP, BoardNs, CpuIndex, NodeId, pe_node
from proto.messages import (
    BlockPower,
    BlockPowered,
    PowerLed,
    PowerOff,
    PowerOn,
    Rail,
    Reply,
    ResetReason,
    SystemPowerOff,
    SystemSleep,
    WakeLine,
)
from proto.node import ProtocolError
from proto.platform import Range
from proto.traces import SystemPower
from proto.turn import CancelTimer, Effect, Envelope, Send, SetTimer, Trace

BLOCKS = (GICD_NODE, NodeId("uart"), NodeId("iommu"))
"""The blocks outside the always-on domain."""

NO_INTID = -1


class PeState(Enum):
    """What the rail of a PE is doing."""

    OFF = "off"
    RISING = "rising"
    ON = "on"
    ON_LATCHED = "on, with a power-on request for after the coming cut"
    FALLING = "falling"
    FALLING_LATCHED = "falling, with a power-on request for after the cut"


class PeEvent(Enum):
    """What moves the rail of a PE."""

    POWER_ON = "PowerOn"
    RISEN = "the rail has risen"
    POWER_OFF = "PowerOff"
    CUT = "the rail has fallen"
    SYSTEM_CUT = "the system goes to sleep"
    RELEASED = "cold boot, or the system wakes"


PE_TRANSITIONS: dict[tuple[PeState, PeEvent], PeState] = {
    (PeState.OFF, PeEvent.POWER_ON): PeState.RISING,
    (PeState.RISING, PeEvent.RISEN): PeState.ON,
    (PeState.ON, PeEvent.POWER_OFF): PeState.FALLING,
    (PeState.FALLING, PeEvent.CUT): PeState.OFF,
    (PeState.ON, PeEvent.SYSTEM_CUT): PeState.OFF,
    (PeState.OFF, PeEvent.RELEASED): PeState.ON,
    # Firmware publishes OFF before the final WFI, so a CPU_ON may come before or during the cut.
    # The cut is never cancelled: it finishes, then the PE is powered up.
    (PeState.ON, PeEvent.POWER_ON): PeState.ON_LATCHED,
    (PeState.ON_LATCHED, PeEvent.POWER_OFF): PeState.FALLING_LATCHED,
    (PeState.FALLING, PeEvent.POWER_ON): PeState.FALLING_LATCHED,
    (PeState.FALLING_LATCHED, PeEvent.CUT): PeState.RISING,
}
"""Legal moves. A PowerOn that is not here is refused; anything else that is not stops the run."""

POWERED = (PeState.ON, PeState.ON_LATCHED, PeState.FALLING, PeState.FALLING_LATCHED)
"""States in which the rail is on."""


class SystemMode(Enum):
    """What the system as a whole is doing."""

    ON = "on"
    FALLING = "power-down sequence"
    DRAINING = "waiting for the last WFI of PEs that are OFF to firmware"
    BLOCKS_FALLING = "waiting for the blocks to go off"
    SLEEPING = "sleeping"
    BLOCKS_RISING = "waiting for the blocks to come on"
    GOING_OFF = "waiting for the blocks to go off for good"
    OFF = "off"


class Scp:
    """The node `scp`.

    `PowerOn` is answered 0 (the PE will be released from reset for POWER_ON_REQUEST) or 1 (refused:
    a request is under way already, or the system is going down). `PowerOff`, `SystemSleep` and
    `SystemPowerOff` are not answered: their senders have executed their last WFI.

    A wake line in the mask of `SystemSleep` that is high ends the sleep. The GIC's own wake request
    ends it too, whatever the mask says: the mask selects device lines, and `SystemSleep` always
    enables the GIC's output (PWKUPR.WEN).
    """

    def __init__(self, board: Board) -> None:
        self.id: NodeId = SCP
        self._latencies = board.platform.latencies
        self._pes = dict.fromkeys(board.platform.cpus, PeState.OFF)
        self._mode = SystemMode.ON
        self._sleeper = BOOT_CPU
        self._wake_mask: tuple[int, ...] = ()
        self._wake_lines: dict[int, bool] = {}
        self._gic_requests: dict[int, bool] = {}
        self._blocks_due: dict[NodeId, bool] = {}
        self._handlers: dict[type, Callable[[BoardNs, Any, NodeId], list[Effect]]] = {
            PowerOn: self._on_power_on,
            PowerOff: self._on_power_off,
            SystemSleep: self._on_system_sleep,
            SystemPowerOff: self._on_system_power_off,
            WakeLine: self._on_wake_line,
            BlockPowered: self._on_block_powered,
        }
        self._blocks_done: dict[SystemMode, Callable[[], list[Effect]]] = {
            SystemMode.BLOCKS_FALLING: self._fall_asleep,
            SystemMode.BLOCKS_RISING: self._release_sleeper,
            SystemMode.GOING_OFF: self._finish_off,
        }

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Release the boot PE from its cold reset."""
        self._move(BOOT_CPU, PeEvent.RELEASED)
        return [Send(pe_node(BOOT_CPU), Rail(True, ResetReason.COLD))]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A request of firmware, a wake line, or a block's report."""
        body = envelope.body
        handler = self._handlers.get(type(body))
        if handler is None:
            raise ProtocolError(f"scp cannot take {body} from {envelope.id.src}")
        if self._mode in (SystemMode.GOING_OFF, SystemMode.OFF) and type(body) is not BlockPowered:
            return ()  # Nothing switches the system on again; what is still on its way is too late.
        return handler(now, body, envelope.id.src)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A rail has risen or fallen, or the power-down sequence has come to its end."""
        if timer == "system":
            self._mode = SystemMode.DRAINING
            return self._drain()
        kind, _, number = timer.partition(".pe")
        cpu = CpuIndex(int(number))
        if kind == "up":
            self._move(cpu, PeEvent.RISEN)
            return [Send(pe_node(cpu), Rail(True, ResetReason.POWER_ON_REQUEST))]
        effects: list[Effect] = [Send(pe_node(cpu), Rail(False))]
        if self._move(cpu, PeEvent.CUT) is PeState.RISING:
            effects.append(_within(f"up.pe{cpu}", now, self._latencies.power_up))
        return effects + self._drain()

    # -- one PE

    def _on_power_on(self, now: BoardNs, body: PowerOn, src: NodeId) -> list[Effect]:
        cpu = CpuIndex(body.cpu)
        refused = self._mode is not SystemMode.ON or not self._can(cpu, PeEvent.POWER_ON)
        effects: list[Effect] = [Send(src, Reply(body.tx, int(refused)))]
        if not refused and self._move(cpu, PeEvent.POWER_ON) is PeState.RISING:
            effects.append(_within(f"up.pe{cpu}", now, self._latencies.power_up))
        return effects

    def _on_power_off(self, now: BoardNs, body: PowerOff, src: NodeId) -> list[Effect]:
        self._move(CpuIndex(body.cpu), PeEvent.POWER_OFF)
        return [_within(f"cut.pe{body.cpu}", now, self._latencies.block_power)]

    def _can(self, cpu: CpuIndex, event: PeEvent) -> bool:
        return (self._pes[cpu], event) in PE_TRANSITIONS

    def _move(self, cpu: CpuIndex, event: PeEvent) -> PeState:
        if not self._can(cpu, event):
            raise ProtocolError(f"pe{cpu}: {event.value} while its rail is {self._pes[cpu].value}")
        self._pes[cpu] = PE_TRANSITIONS[self._pes[cpu], event]
        return self._pes[cpu]

    # -- the system, down

    def _on_system_sleep(self, now: BoardNs, body: SystemSleep, src: NodeId) -> list[Effect]:
        if self._mode is not SystemMode.ON:
            raise ProtocolError(f"{src} asks for system sleep while the system is {self._mode}")
        self._mode = SystemMode.FALLING
        self._sleeper = CpuIndex(body.cpu)
        self._wake_mask = body.wake_mask
        # The GIC has power now; a request of its own can only be left over from the last sleep.
        self._gic_requests.clear()
        return [_within("system", now, self._latencies.system_power)]

    def _drain(self) -> list[Effect]:
        """Cut the system's power once every PE but the sleeper has lost its own."""
        others = (state for cpu, state in self._pes.items() if cpu != self._sleeper)
        if self._mode is not SystemMode.DRAINING or any(s is not PeState.OFF for s in others):
            return []
        self._mode = SystemMode.BLOCKS_FALLING
        self._move(self._sleeper, PeEvent.SYSTEM_CUT)
        return [Send(pe_node(self._sleeper), Rail(False)), *self._switch_blocks(False)]

    def _fall_asleep(self) -> list[Effect]:
        self._mode = SystemMode.SLEEPING
        return [*_shown("sleeping"), *self._wake_if_asked()]

    def _on_system_power_off(self, now: BoardNs, body: SystemPowerOff, src: NodeId) -> list[Effect]:
        effects: list[Effect] = [CancelTimer("system")]
        for cpu, state in self._pes.items():
            effects += [CancelTimer(f"up.pe{cpu}"), CancelTimer(f"cut.pe{cpu}")]
            if state in POWERED:
                effects.append(Send(pe_node(cpu), Rail(False)))
            self._pes[cpu] = PeState.OFF
        self._mode = SystemMode.GOING_OFF
        return effects + self._switch_blocks(False)

    def _finish_off(self) -> list[Effect]:
        self._mode = SystemMode.OFF
        return _shown("off")

    # -- the system, up

    def _on_wake_line(self, now: BoardNs, body: WakeLine, src: NodeId) -> list[Effect]:
        lines = self._gic_requests if src == GICD_NODE else self._wake_lines
        lines[body.intid] = body.level
        return self._wake_if_asked()

    def _wake_if_asked(self) -> list[Effect]:
        """End the sleep if a wake line of the mask, or a request of the GIC, is high."""
        if self._mode is not SystemMode.SLEEPING:
            return []
        asking = [intid for intid in self._wake_mask if self._wake_lines.get(intid)]
        asking += [intid for intid, level in self._gic_requests.items() if level]
        if not asking:
            return []
        self._mode = SystemMode.BLOCKS_RISING
        return [*_shown("waking", asking[0]), *self._switch_blocks(True)]

    def _release_sleeper(self) -> list[Effect]:
        self._mode = SystemMode.ON
        self._move(self._sleeper, PeEvent.RELEASED)
        return [
            Send(pe_node(self._sleeper), Rail(True, ResetReason.WAKE)),
            *_shown("on"),
        ]

    # -- blocks

    def _switch_blocks(self, on: bool) -> list[Effect]:
        self._blocks_due = dict.fromkeys(BLOCKS, on)
        return [Send(block, BlockPower(on)) for block in BLOCKS]

    def _on_block_powered(self, now: BoardNs, body: BlockPowered, src: NodeId) -> list[Effect]:
        if self._blocks_due.get(body.block) is not body.on:
            raise ProtocolError(f"{src} reports {body}, which nobody asked for")
        del self._blocks_due[body.block]
        return [] if self._blocks_due else self._blocks_done[self._mode]()


def _within(timer: str, now: BoardNs, duration: Range) -> SetTimer:
    """A timer that fires inside a latency range from now."""
    return SetTimer(timer, now + duration[0], now + duration[1])


def _shown(state: str, intid: int = NO_INTID) -> list[Effect]:
    """A system power state, in the journal and on the board's LED."""
    return [Trace(SystemPower(state, intid)), Send(OPERATOR, PowerLed(state))]
