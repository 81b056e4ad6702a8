"""The turns that properties have looked at, so that a finding can tell what happened where."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from proto.ids import NodeId
from proto.turn import Effect, Send, Trace
from proto.units import MS

KEPT_TURNS: Final = 1 << 16
"""Turns of which a window keeps the latest; a cycle of a board with four PEs has some hundreds."""

TEXT_MAX: Final = 160
"""Characters of one message or trace; a guest's bank has thousands."""

HEXADECIMAL: Final = frozenset({"address", "entry", "pc", "function", "args", "x0"})
"""Fields that are addresses or words made of bit fields."""

Turned = tuple[int, NodeId, NodeId | None, Any, Sequence[Effect]]
"""Board time, node, and what it answers: sender and body; then its effects."""


class Window:
    """The latest turns that concerned an observer, by position."""

    def __init__(self) -> None:
        self._turns: dict[int, Turned] = {}

    def keep(self, position: int, turned: Turned) -> None:
        """A turn has been shown to somebody."""
        turns = self._turns
        if len(turns) >= KEPT_TURNS:
            del turns[next(iter(turns))]
        turns[position] = turned

    def tell(self, positions: Sequence[int]) -> tuple[str, ...]:
        """One line for each of these turns that is still there."""
        turns = self._turns
        return tuple(
            _line(position, turns[position]) for position in positions if position in turns
        )


def _line(position: int, turned: Turned) -> str:
    now, node, src, body, effects = turned
    head = f"record {position}, {now / MS:.6f} ms, {node}"
    if src is not None and body is not None:
        head += f" answers {_shown(body)} of {src}"
    told = [text for effect in effects if (text := _effect(effect))]
    return f"{head}: {'; '.join(told)}" if told else head


def _effect(effect: Effect) -> str:
    """Traces and messages; timers concern the node alone."""
    if isinstance(effect, Trace):
        return _shown(effect.event)
    if isinstance(effect, Send):
        return f"sends {_shown(effect.body)} to {effect.dst}"
    return ""


def _shown(body: msgspec.Struct) -> str:
    """Like a constructor call, without transaction numbers."""
    fields = (
        f"{name}={_field(name, getattr(body, name))}"
        for name in body.__struct_fields__
        if name != "tx"
    )
    text = f"{type(body).__name__}({', '.join(fields)})"
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}...)"


def _field(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_field(name, item) for item in value)})"
    if isinstance(value, Enum):
        return value.name
    if name in HEXADECIMAL and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:#x}"
    return repr(value)
