"""The few messages that tell a story: the decisive pair, the finding, their causes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bus.journal import Journal
from deploy.lines import Lines
from deploy.shrink.decisive import Pair
from proto.ids import NodeId, cpu_of
from proto.messages import (
    Atomic,
    Body,
    CompareAndSwap,
    Load,
    RegRead,
    RegWrite,
    Reply,
    Smc,
    Store,
)
from proto.psci import Psci
from proto.traces import (
    AffinityState,
    CpuMissing,
    DomainShutdown,
    GuestStarted,
    InterruptLost,
    LineEvent,
    Online,
    PeEntered,
    PeHalted,
    PePower,
    Phase,
    ScenarioEnded,
    SmcIssued,
    SystemPower,
    SystemSuspendDecision,
    TraceBody,
    Unpredictable,
    VpsciCall,
    VpsciResult,
    Watchdog,
)
from proto.turn import MessageId, Received, Send, Trace, Turn

NOTABLE: Final = (
    AffinityState,
    CpuMissing,
    DomainShutdown,
    GuestStarted,
    InterruptLost,
    LineEvent,
    Online,
    PeEntered,
    PeHalted,
    PePower,
    Phase,
    ScenarioEnded,
    SmcIssued,
    SystemPower,
    SystemSuspendDecision,
    Unpredictable,
    VpsciCall,
    VpsciResult,
    Watchdog,
)
"""Traces that are worth a note."""

CAUSES: Final = 6
"""How many messages back from an event that matters."""
NOTES: Final = 12
"""How many notable turns beside them, the latest ones."""
ROWS_MIN: Final = 12
"""With fewer rows the latest notable turns of the whole board are told too."""
LABEL_MAX: Final = 74


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diagram: a message that arrives at `node`, or its timer, and notes.

    `mark` is 1 or 2 for the decisive pair, and 0 otherwise; `proof` says that a finding cites it.
    """

    position: int
    now: int
    src: NodeId | None
    node: NodeId
    label: str
    notes: tuple[str, ...]
    mark: int = 0
    proof: bool = False


def essence(journal: Journal, positions: Sequence[int], pair: Pair | None) -> list[Row]:
    """The rows that tell how a finding came about, in the order of the journal."""
    story = _Story(journal)
    ends = [*positions[:4], *((pair.first, pair.second) if pair else ())]
    last = max(ends, default=len(story.turns) - 1)
    chosen: set[int] = set()
    for end in ends:
        chosen.update(story.causes(end))
    nodes = {story.turns[position].node for position in chosen if position in story.turns}
    chosen.update(story.notable(_family(nodes), last))
    if len(chosen) < ROWS_MIN:
        chosen.update(story.notable(None, last))
    marks = {} if pair is None else {pair.first: 1, pair.second: 2}
    return [
        story.row(position, marks.get(position, 0), position in positions)
        for position in sorted(chosen)
        if position in story.turns
    ]


def _family(nodes: Iterable[NodeId]) -> set[str]:
    """The PEs of the nodes, with their EL3 contexts."""
    family: set[str] = set()
    for node in nodes:
        family.add(node)
        if node.startswith(("pe", "el3.")):
            family |= {f"pe{cpu_of(node)}", f"el3.pe{cpu_of(node)}"}
    return family


class Brief:
    """Messages and traces in few words; everything else as the journal prints it."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def text(self, body: object) -> str:
        """One line for a diagram."""
        match body:
            case Load(address=address):
                return f"Load {self._at(address)}"
            case Store(address=address, value=value):
                return f"Store {self._at(address)} = {value:#x}"
            case CompareAndSwap(address=address, expected=expected, desired=desired):
                return f"CompareAndSwap {self._at(address)} {expected:#x} to {desired:#x}"
            case Atomic(op=operation, address=address, operand=operand):
                return f"Atomic {operation.name} {self._at(address)} {operand:#x}"
            case RegRead(address=address):
                return f"read {self._at(address)}"
            case RegWrite(address=address, value=value):
                return f"write {self._at(address)} = {value:#x}"
            case Reply(value=value):
                return f"{value:#x}"
            case Smc(function=function) | SmcIssued(function=function):
                return f"SMC {_psci(function)}"
            case VpsciCall(domain=domain, vcpu=vcpu, function=function):
                return f"d{domain}v{vcpu} calls {_psci(function)}"
            case VpsciResult(domain=domain, vcpu=vcpu, function=function, code=code):
                return f"d{domain}v{vcpu} {_psci(function)} gives {code}"
            case Phase(label=label, name=name, edge=edge, error=error):
                return f"{label} {name}: {edge}{f' with {error}' if error else ''}"
            case AffinityState(cpu=cpu, state=state):
                return f"PE {cpu} becomes {state}"
            case SystemSuspendDecision(result=result, affinity=affinity):
                return f"SYSTEM_SUSPEND: {result}; PEs are {', '.join(affinity)}"
            case msgspec.Struct():
                return shortened(self._lines.body(body))
        return str(body)

    def _at(self, address: int) -> str:
        return self._lines.there(address).strip("<>") or f"{address:#x}"


def _psci(function: int) -> str:
    try:
        return Psci(function).name
    except ValueError:
        return f"{function:#x}"


class _Story:
    def __init__(self, journal: Journal) -> None:
        self.turns = {
            position: record
            for position, record in enumerate(journal.records)
            if isinstance(record, Turn)
        }
        self._brief = Brief(Lines(journal, own=True))
        self._sent: dict[MessageId, tuple[int, Body]] = {}
        for position, turn in self.turns.items():
            seq = turn.first_seq
            for effect in turn.effects:
                if isinstance(effect, Send):
                    message = MessageId(turn.node, turn.incarnation, seq)
                    self._sent[message] = (position, effect.body)
                    seq += 1

    def causes(self, position: int) -> list[int]:
        """A turn and what led to it, message by message."""
        chain: list[int] = []
        at: int | None = position
        while at is not None and at in self.turns and len(chain) < CAUSES:
            chain.append(at)
            answered = self.turns[at].input
            sent = self._sent.get(answered.message) if isinstance(answered, Received) else None
            at = None if sent is None else sent[0]
        return chain

    def notable(self, nodes: set[str] | None, last: int) -> list[int]:
        """The latest turns, of some nodes or of all, that traced something worth a note."""
        found = [
            position
            for position, turn in self.turns.items()
            if position <= last and (nodes is None or turn.node in nodes) and any(_notes(turn))
        ]
        return found[-NOTES:]

    def row(self, position: int, mark: int, proof: bool) -> Row:
        """A turn as a line of a diagram."""
        turn = self.turns[position]
        src, label = None, "timer"
        if isinstance(turn.input, Received):
            src = turn.input.message.src
            label = shortened(self._brief.text(self._sent[turn.input.message][1]))
        elif hasattr(turn.input, "timer"):
            label = f"timer {turn.input.timer}"
        notes = tuple(shortened(self._brief.text(event)) for event in _notes(turn))
        return Row(position, turn.now, src, turn.node, label, notes, mark, proof)


def _notes(turn: Turn) -> list[TraceBody]:
    return [
        effect.event
        for effect in turn.effects
        if isinstance(effect, Trace) and _is_notable(effect.event)
    ]


def _is_notable(event: TraceBody) -> bool:
    """That a step has begun or failed is news; that it has ended is not."""
    return isinstance(event, NOTABLE) and not (isinstance(event, Phase) and event.edge == "end")


def shortened(text: str) -> str:
    """A label that fits a lane."""
    text = text.replace(", attributes=NORMAL_WB", "")
    return text if len(text) <= LABEL_MAX else f"{text[: LABEL_MAX - 3]}..."
