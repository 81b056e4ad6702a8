"""The few messages that tell a story: the decisive pair, the finding, their causes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bus.journal import Journal
from deploy.lines import Lines
from deploy.shrink.decisive import Pair
from proto.ids import NodeId, cpu_of
from proto.messages import Body
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
NOTES: Final = 10
"""How many notable turns beside them, the latest ones."""
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


class _Story:
    def __init__(self, journal: Journal) -> None:
        self.turns = {
            position: record
            for position, record in enumerate(journal.records)
            if isinstance(record, Turn)
        }
        self._lines = Lines(journal, own=True)
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

    def notable(self, nodes: set[str], last: int) -> list[int]:
        """The latest turns of some nodes that traced something worth a note."""
        found = [
            position
            for position, turn in self.turns.items()
            if position <= last and turn.node in nodes and any(_notes(turn))
        ]
        return found[-NOTES:]

    def row(self, position: int, mark: int, proof: bool) -> Row:
        """A turn as a line of a diagram."""
        turn = self.turns[position]
        src, label = None, "timer"
        if isinstance(turn.input, Received):
            src = turn.input.message.src
            label = shortened(self._lines.body(self._sent[turn.input.message][1]))
        elif hasattr(turn.input, "timer"):
            label = f"timer {turn.input.timer}"
        notes = tuple(shortened(self._lines.body(event)) for event in _notes(turn))
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
