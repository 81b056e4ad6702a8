"""The power controller: rails of the PEs, power of the blocks, wake lines, reset reasons.

It lies in the always-on domain and obeys EL3 alone. Source: TF-A
drivers/arm/fvp/fvp_pwrc.c (PPONR, PPOFFR, PWKUPR.WEN, PSYSR) for what such a controller offers.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from proto.board import Board
from proto.ids import (
    BOOT_CPU,
    GICD_NODE,
    OPERATOR,
    SCP,
    BoardNs,
    CpuIndex,
    NodeId,
    el3_node,
    pe_node,
)
from proto.messages import (
    BlockPower,
    BlockPowered,
    CpuFreeze,
    CpuSleep,
    PowerHold,
    PowerLed,
    PowerOff,
    PowerOn,
    PowerQuery,
    Rail,
    Reply,
    ResetReason,
    SystemPowerOff,
    SystemReset,
    SystemSleep,
    WakeEnable,
    WakeLine,
    WakeRequests,
)
from proto.node import ProtocolError
from proto.platform import Range
from proto.psci import HwState
from proto.traces import SystemPower
from proto.turn import CancelTimer, Effect, Envelope, Send, SetTimer, Trace
from services.firmware.rails import HW_STATES, PE_TRANSITIONS, PeEvent, PeState

BLOCKS = (GICD_NODE, NodeId("uart"), NodeId("iommu"))
"""The blocks outside the always-on domain."""

NO_INTID = -1


class SystemMode(Enum):
    """What the system as a whole is doing."""

    ON = "on"
    FALLING = "power-down sequence"
    DRAINING = "waiting for the last WFI of PEs that are OFF to firmware"
    BLOCKS_FALLING = "waiting for the blocks to go off"
    SLEEPING = "sleeping"
    BLOCKS_RISING = "waiting for the blocks to come on"
    RESET_FALLING = "waiting for the blocks to go off for a reset"
    RESET_RISING = "waiting for the blocks to come on after a reset"
    GOING_OFF = "waiting for the blocks to go off for good"
    OFF = "off"


FALLING = (SystemMode.FALLING, SystemMode.DRAINING)
"""The power-down of SYSTEM_SUSPEND has begun, and the sleeper still has power."""

DEAF = (
    SystemMode.RESET_FALLING,
    SystemMode.RESET_RISING,
    SystemMode.GOING_OFF,
    SystemMode.OFF,
)
"""No PE has power; what is still on its way was sent before and is too late."""


class Scp:
    """The node `scp`.

    `PowerOn` is answered 0 (the PE will be released from reset for POWER_ON_REQUEST) or 1 (refused:
    a request is under way already, or the system is going down). `PowerOff`, `SystemSleep` and
    `SystemPowerOff` are not answered: their senders have executed their last WFI. `CpuSleep`, and
    on a platform with `late_abandon` `SystemSleep`, are answered if an interrupt comes before the
    cut; after the cut of a `CpuSleep` it resets the PE. The GIC is told for whom it has to ask, so
    an interrupt never starts a PE that is off.

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
        """Who still has to report, and what: blocks, and EL3 contexts at a reset."""
        self._late_abandon = board.platform.late_abandon
        self._sleep_tx: dict[CpuIndex, int] = {}
        """Transactions of the WFIs that an interrupt may still end."""
        self._held: set[CpuIndex] = set()
        self._risen: set[CpuIndex] = set()
        """PEs whose rail would be up if nobody held it."""
        self._boot = ""
        """The last reset: `cold-boot` or `warm-boot`."""
        self._handlers: dict[type, Callable[[BoardNs, Any, NodeId], list[Effect]]] = {
            PowerOn: self._on_power_on,
            PowerOff: self._on_power_off,
            SystemSleep: self._on_system_sleep,
            SystemPowerOff: self._on_system_power_off,
            SystemReset: self._on_system_reset,
            CpuSleep: self._on_cpu_sleep,
            CpuFreeze: self._on_cpu_freeze,
            PowerQuery: self._on_power_query,
            PowerHold: self._on_power_hold,
            WakeLine: self._on_wake_line,
            BlockPowered: self._on_block_powered,
        }
        self._blocks_done: dict[SystemMode, Callable[[], list[Effect]]] = {
            SystemMode.BLOCKS_FALLING: self._fall_asleep,
            SystemMode.BLOCKS_RISING: self._release_sleeper,
            SystemMode.GOING_OFF: self._finish_off,
            SystemMode.RESET_FALLING: self._restart_blocks,
            SystemMode.RESET_RISING: self._boot_again,
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
        if self._mode in DEAF and type(body) not in (BlockPowered, PowerHold):
            self._remember(body, envelope.id.src)
            return ()
        return handler(now, body, envelope.id.src)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A rail has risen or fallen, or the power-down sequence has come to its end."""
        if timer == "system":
            self._mode = SystemMode.DRAINING
            return self._drain()
        kind, _, number = timer.partition(".pe")
        cpu = CpuIndex(int(number))
        if kind == "up":
            self._risen.add(cpu)
            return self._release(cpu)
        effects: list[Effect] = [Send(pe_node(cpu), Rail(False))]
        self._sleep_tx.pop(cpu, None)
        if self._move(cpu, PeEvent.CUT) is PeState.RISING:
            effects.append(_within(f"up.pe{cpu}", now, self._latencies.power_up))
        return effects + self._drain()

    # -- one PE

    def _on_power_on(self, now: BoardNs, body: PowerOn, src: NodeId) -> list[Effect]:
        cpu = CpuIndex(body.cpu)
        refused = self._mode is not SystemMode.ON or not self._can(cpu, PeEvent.POWER_ON)
        effects: list[Effect] = [Send(src, Reply(body.tx, int(refused)))]
        frozen = self._pes[cpu] is PeState.FROZEN
        if not refused and self._move(cpu, PeEvent.POWER_ON) is PeState.RISING:
            effects += self._rise(now, cpu, reset=frozen)
        return effects

    def _rise(self, now: BoardNs, cpu: CpuIndex, reset: bool) -> list[Effect]:
        """Switch a rail on; a PE that still has power has to lose it for its reset."""
        effects: list[Effect] = [Send(pe_node(cpu), Rail(False))] if reset else []
        return [*effects, _within(f"up.pe{cpu}", now, self._latencies.power_up)]

    def _release(self, cpu: CpuIndex) -> list[Effect]:
        """Take a PE out of reset once its rail has risen and nobody holds it."""
        if cpu in self._held or cpu not in self._risen:
            return []
        self._risen.remove(cpu)
        woken = self._pes[cpu] is PeState.WAKING
        self._move(cpu, PeEvent.RISEN)
        reason = ResetReason.WAKE if woken else ResetReason.POWER_ON_REQUEST
        return [Send(pe_node(cpu), Rail(True, reason))]

    def _on_power_hold(self, now: BoardNs, body: PowerHold, src: NodeId) -> list[Effect]:
        cpu = CpuIndex(body.cpu)
        if body.on:
            self._held.add(cpu)
        else:
            self._held.discard(cpu)
        return self._release(cpu)

    def _on_power_query(self, now: BoardNs, body: PowerQuery, src: NodeId) -> list[Effect]:
        return [Send(src, Reply(body.tx, HW_STATES[self._pes[CpuIndex(body.cpu)]]))]

    def _on_cpu_sleep(self, now: BoardNs, body: CpuSleep, src: NodeId) -> list[Effect]:
        cpu = CpuIndex(body.cpu)
        self._sleep_tx[cpu] = body.tx
        if not body.power_down:
            self._move(cpu, PeEvent.STANDBY)
            return [Send(GICD_NODE, WakeRequests(cpu, WakeEnable.INTERFACE))]
        self._move(cpu, PeEvent.SLEEP)
        return [
            Send(GICD_NODE, WakeRequests(cpu, WakeEnable.WAKEUP)),
            _within(f"cut.pe{cpu}", now, self._latencies.block_power),
        ]

    def _on_cpu_freeze(self, now: BoardNs, body: CpuFreeze, src: NodeId) -> list[Effect]:
        cpu = CpuIndex(body.cpu)
        if self._move(cpu, PeEvent.FREEZE) is PeState.RISING:
            return self._rise(now, cpu, reset=True)
        return self._drain()

    def _wake_pe(self, now: BoardNs, cpu: CpuIndex) -> list[Effect]:
        """The GIC asks for a PE: its WFI ends, or its rail rises."""
        enough = Send(GICD_NODE, WakeRequests(cpu, WakeEnable.NONE))
        if cpu == self._sleeper and self._mode in FALLING:
            self._mode = SystemMode.ON
            return [CancelTimer("system"), enough, self._end_wfi(cpu)]
        if not self._can(cpu, PeEvent.WAKE):
            return []  # The request was on its way while the PE lost or got its power otherwise.
        if self._move(cpu, PeEvent.WAKE) is PeState.WAKING:
            return [enough, _within(f"up.pe{cpu}", now, self._latencies.power_up)]
        return [CancelTimer(f"cut.pe{cpu}"), enough, self._end_wfi(cpu)]

    def _end_wfi(self, cpu: CpuIndex) -> Effect:
        return Send(el3_node(cpu), Reply(self._sleep_tx.pop(cpu)))

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
        effects: list[Effect] = [_within("system", now, self._latencies.system_power)]
        if self._late_abandon:
            self._sleep_tx[self._sleeper] = body.tx
            effects.append(Send(GICD_NODE, WakeRequests(body.cpu, WakeEnable.WAKEUP)))
        return effects

    def _drain(self) -> list[Effect]:
        """Cut the system's power once every PE but the sleeper has lost its own, or is frozen."""
        others = [state for cpu, state in self._pes.items() if cpu != self._sleeper]
        if self._mode is not SystemMode.DRAINING or set(others) - {PeState.OFF, PeState.FROZEN}:
            return []
        self._mode = SystemMode.BLOCKS_FALLING
        effects: list[Effect] = []
        if self._sleep_tx.pop(self._sleeper, None) is not None:
            effects.append(Send(GICD_NODE, WakeRequests(self._sleeper, WakeEnable.NONE)))
        for cpu, state in self._pes.items():
            if state is not PeState.OFF:
                self._move(cpu, PeEvent.SYSTEM_CUT)
                effects.append(Send(pe_node(cpu), Rail(False)))
        return [*effects, *self._switch_blocks(False)]

    def _fall_asleep(self) -> list[Effect]:
        self._mode = SystemMode.SLEEPING
        return [*_shown("sleeping"), *self._wake_if_asked()]

    def _on_system_power_off(self, now: BoardNs, body: SystemPowerOff, src: NodeId) -> list[Effect]:
        self._mode = SystemMode.GOING_OFF
        return [*self._cut_everything(), *self._switch_blocks(False)]

    def _on_system_reset(self, now: BoardNs, body: SystemReset, src: NodeId) -> list[Effect]:
        self._mode = SystemMode.RESET_FALLING
        self._boot = "warm-boot" if body.warm else "cold-boot"
        powered = [cpu for cpu, state in self._pes.items() if HW_STATES[state] is not HwState.OFF]
        effects = [*self._cut_everything(report=True), *self._switch_blocks(False, reset=True)]
        # A PE that has not seen its power go yet still writes to memory and to the GIC.
        self._blocks_due |= dict.fromkeys(map(el3_node, powered), False)
        return effects

    def _cut_everything(self, report: bool = False) -> list[Effect]:
        """Every rail goes off, whatever it was doing; EL3 may have to `report` that it has."""
        effects: list[Effect] = [CancelTimer("system")]
        for cpu, state in self._pes.items():
            effects += [CancelTimer(f"up.pe{cpu}"), CancelTimer(f"cut.pe{cpu}")]
            if HW_STATES[state] is not HwState.OFF:
                effects.append(Send(pe_node(cpu), Rail(False, report=report)))
            if (state, PeEvent.WAKE) in PE_TRANSITIONS:
                effects.append(Send(GICD_NODE, WakeRequests(cpu, WakeEnable.NONE)))
            self._pes[cpu] = PeState.OFF
        self._sleep_tx.clear()
        self._risen.clear()
        return effects

    def _finish_off(self) -> list[Effect]:
        self._mode = SystemMode.OFF
        return _shown("off")

    def _restart_blocks(self) -> list[Effect]:
        self._mode = SystemMode.RESET_RISING
        return self._switch_blocks(True)

    def _boot_again(self) -> list[Effect]:
        self._mode = SystemMode.ON
        self._move(BOOT_CPU, PeEvent.RELEASED)
        rail = Send(pe_node(BOOT_CPU), Rail(True, ResetReason.COLD))
        return [rail, *_shown(self._boot), *_shown("on")]

    def _remember(self, body: object, src: NodeId) -> None:
        """Lines keep their level while nobody obeys them."""
        if isinstance(body, WakeLine) and src != GICD_NODE:
            self._wake_lines[body.intid] = body.level

    # -- the system, up

    def _on_wake_line(self, now: BoardNs, body: WakeLine, src: NodeId) -> list[Effect]:
        if body.cpu >= 0:
            return self._wake_pe(now, CpuIndex(body.cpu)) if body.level else []
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

    def _switch_blocks(self, on: bool, reset: bool = False) -> list[Effect]:
        self._blocks_due = dict.fromkeys(BLOCKS, on)
        return [Send(block, BlockPower(on, reset)) for block in BLOCKS]

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
