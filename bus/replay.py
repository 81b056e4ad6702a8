"""Replay: a journal's inputs given again must lead to the journal's effects.

Node replay feeds each node alone what it answered. Forced replay lets the sim world deliver
everything in the recorded order, and so also proves that each delivery was possible. Nodes come
from the caller: this module knows none. What clients did is an input: no board says what a person
wants, so their turns are taken from the journal.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bus.journal import Journal
from bus.world.sim import World
from bus.world.strategies import Diverged, FifoStrategy
from proto.board import Board
from proto.codec import encode
from proto.ids import BoardNs, NodeId, is_client
from proto.node import Node
from proto.turn import (
    CancelTimer,
    Effect,
    Envelope,
    Fired,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
    Turn,
)

Build = Callable[[Board, NodeId], Node]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which a replay and its journal part."""

    position: int
    node: str
    number: int
    expected: str
    got: str

    def __str__(self) -> str:
        return (
            f"record {self.position}, turn {self.number} of {self.node}: "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay came: the turns that agreed, and the first difference, if any."""

    turns: int
    difference: Difference | None


def turns_of(journal: Journal) -> Iterator[tuple[int, Turn]]:
    """The turns of a journal with their positions."""
    for position, record in enumerate(journal.records):
        if isinstance(record, Turn):
            yield position, record


class _Person:
    """A client's node: does again what it did."""

    def __init__(self, node: NodeId) -> None:
        self.id = node
        self.recorded: deque[tuple[Effect, ...]] = deque()

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """It joined and asked."""
        return self.recorded.popleft()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """It was answered, and perhaps asked again."""
        return self.recorded.popleft()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Clients set no timers."""
        raise Diverged(f"timer {timer!r} was not set")


def _people(journal: Journal) -> dict[NodeId, Node]:
    """All clients of a journal, as nodes."""
    people: dict[NodeId, _Person] = {}
    for _, turn in turns_of(journal):
        if is_client(turn.node):
            people.setdefault(turn.node, _Person(turn.node)).recorded.append(turn.effects)
    return dict(people)


def replay_nodes(journal: Journal, build: Build) -> Replayed:
    """Feed each node its recorded inputs in order and compare its effects.

    A node is built when it starts, so a restarted one begins afresh as it did in the run.
    """
    board = journal.header.board
    nodes = _people(journal)
    sent: dict[MessageId, Envelope] = {}
    count = 0
    for position, turn in turns_of(journal):
        if isinstance(turn.input, Start) and not is_client(turn.node):
            nodes[turn.node] = build(board, turn.node)
        expected = turn.effects
        try:
            got = _answer(nodes[turn.node], turn, sent)
        except Exception as error:  # noqa: BLE001 - whatever a node raises is the difference
            return Replayed(count, _difference(position, turn, expected, _raised(error)))
        if not _same(expected, got):
            return Replayed(count, _difference(position, turn, expected, got))
        _note_sends(turn, sent)
        count += 1
    return Replayed(count, None)


def replay_forced(
    journal: Journal, nodes: Mapping[NodeId, Node], record: Callable[[Turn], None]
) -> Replayed:
    """Deliver everything in the recorded order through the sim world.

    Each delivery must be enabled: a message sent and at the head of its link, a timer set and due.
    `record` receives the turns of the replay.
    """
    latencies = journal.header.board.platform.latencies
    world = World({**nodes, **_people(journal)}, latencies, FifoStrategy(), record)
    due: dict[tuple[NodeId, str], int] = {}
    count = 0
    for position, turn in turns_of(journal):
        try:
            _check_due(turn, due)
            got = world.force(turn.node, turn.input, turn.now)
        except Exception as error:  # noqa: BLE001 - whatever a node raises is the difference
            return Replayed(count, _difference(position, turn, turn.effects, _raised(error)))
        if not _same(turn.effects, got):
            return Replayed(count, _difference(position, turn, turn.effects, got))
        _note_timers(turn, due)
        count += 1
    return Replayed(count, None)


def _answer(node: Node, turn: Turn, sent: dict[MessageId, Envelope]) -> Sequence[Effect]:
    now = BoardNs(turn.now)
    match turn.input:
        case Start():
            return node.on_start(now)
        case Fired(timer):
            return node.on_timer(now, timer)
        case Received(message):
            if message not in sent:
                raise Diverged(f"its input {message} was never sent")
            return node.on_message(now, sent.pop(message))


def _note_sends(turn: Turn, sent: dict[MessageId, Envelope]) -> None:
    cause = turn.input.message if isinstance(turn.input, Received) else None
    seq = turn.first_seq
    for effect in turn.effects:
        if isinstance(effect, Send):
            identity = MessageId(turn.node, turn.incarnation, seq)
            sent[identity] = Envelope(identity, effect.dst, cause, effect.body)
            seq += 1


def _check_due(turn: Turn, due: dict[tuple[NodeId, str], int]) -> None:
    """A timer may be late, but not early."""
    if isinstance(turn.input, Fired):
        earliest_ns = due.pop((turn.node, turn.input.timer), None)
        if earliest_ns is None:
            raise Diverged(f"timer {turn.input.timer!r} was not set")
        if turn.now < earliest_ns:
            raise Diverged(f"timer {turn.input.timer!r} was not due before {earliest_ns} ns")


def _note_timers(turn: Turn, due: dict[tuple[NodeId, str], int]) -> None:
    for effect in turn.effects:
        if isinstance(effect, SetTimer):
            due[turn.node, effect.timer] = effect.earliest_ns
        elif isinstance(effect, CancelTimer):
            due.pop((turn.node, effect.timer), None)


def _same(expected: Sequence[Effect], got: Sequence[Effect]) -> bool:
    """Equal as values, or at least as bytes: the journal knows no lists and no enumerations."""
    return tuple(got) == tuple(expected) or encode(tuple(got)) == encode(tuple(expected))


def _difference(
    position: int, turn: Turn, expected: Sequence[Effect], got: Sequence[Effect] | str
) -> Difference:
    if isinstance(got, str):
        return Difference(position, turn.node, turn.number, _text(expected), got)
    for wanted, found in zip(expected, got, strict=False):
        if not _same((wanted,), (found,)):
            return Difference(position, turn.node, turn.number, str(wanted), str(found))
    shared = min(len(expected), len(got))
    return Difference(
        position, turn.node, turn.number, _text(expected[shared:]), _text(got[shared:])
    )


def _text(effects: Sequence[Effect]) -> str:
    return "; ".join(map(str, effects)) or "nothing more"


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
