"""Running nodes: numbering, timers inside their windows, replacement, crashes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import BoardClock
from bus.runner import NodeCrash, Runner
from proto.ids import DRAM, BoardNs, Incarnation, NodeId
from proto.messages import Load
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
)

PE0 = NodeId("pe0")
ONE = Incarnation(1)
MESSAGE = Envelope(MessageId(DRAM, ONE, 9), PE0, None, Load(1, 8))


class Scripted:
    """Returns the effects it was given, one list per turn."""

    id = PE0

    def __init__(self, *script: Sequence[Effect]) -> None:
        self.script = list(script)

    def _next(self) -> Sequence[Effect]:
        return self.script.pop(0) if self.script else []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return self._next()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        return self._next()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        return self._next()


def runner(*script: Sequence[Effect], seed: str = "1") -> Runner:
    return Runner({PE0: Scripted(*script)}, ONE, seed)


def test_turns_and_sends_are_numbered() -> None:
    """number counts turns, first_seq counts sends, empty turns included."""
    send = Send(DRAM, Load(1, 8))
    nodes = runner([send, send], [], [send])
    turns = [
        nodes.start(PE0, BoardNs(1)),
        nodes.deliver(MESSAGE, BoardNs(2)),
        nodes.deliver(MESSAGE, BoardNs(3)),
    ]

    assert [(turn.number, turn.first_seq, turn.now) for turn in turns] == [
        (0, 0, 1),
        (1, 2, 2),
        (2, 2, 3),
    ]
    assert turns[0].input == Start()
    assert turns[1].input == Received(MESSAGE.id)


@given(earliest=st.integers(0, 1000), width=st.integers(0, 1000), seed=st.text(max_size=3))
def test_timers_fire_inside_their_window(earliest: int, width: int, seed: str) -> None:
    """The draw stays inside [earliest, latest]."""
    nodes = runner([SetTimer("t", earliest, earliest + width)], seed=seed)
    nodes.start(PE0, BoardNs(0))
    due = nodes.next_deadline_ns()

    assert due is not None
    assert earliest <= due <= earliest + width
    assert nodes.fire(BoardNs(due - 1)) is None
    fired = nodes.fire(BoardNs(due))
    assert fired is not None
    assert fired.input == Fired("t")
    assert nodes.next_deadline_ns() is None


def test_timers_fire_in_order_and_can_be_replaced_and_cancelled() -> None:
    """A timer set again fires once, at its new time; a cancelled one never."""
    nodes = runner(
        [SetTimer("a", 10, 10), SetTimer("b", 20, 20), SetTimer("c", 30, 30)],
        [SetTimer("a", 40, 40), CancelTimer("b"), CancelTimer("never set")],
    )
    nodes.start(PE0, BoardNs(0))
    nodes.deliver(MESSAGE, BoardNs(5))
    fired = []
    while (turn := nodes.fire(BoardNs(100))) is not None:
        fired.append(turn.input)

    assert fired == [Fired("c"), Fired("a")]


def test_replaced_timers_do_not_pile_up() -> None:
    """Setting one timer again and again keeps the heap bounded."""
    script = [[SetTimer("t", 10**9 + n, 10**9 + n)] for n in range(1000)]
    nodes = runner(*script)
    for _ in script:
        nodes.deliver(MESSAGE, BoardNs(0))

    assert len(nodes._due) < 100


def test_the_same_seed_gives_the_same_draws() -> None:
    """Draws belong to the seed."""
    windows = [[SetTimer(f"t{n}", 0, 10**6) for n in range(5)]]
    deadlines = []
    for seed in ("7/left", "7/left", "8/left"):
        nodes = runner(*windows, seed=seed)
        nodes.start(PE0, BoardNs(0))
        deadlines.append(sorted(entry[0] for entry in nodes._due))

    assert deadlines[0] == deadlines[1] != deadlines[2]


def test_any_exception_is_a_crash_of_its_node() -> None:
    """The reason is one line and names the node; the exception stays attached."""

    class Broken(Scripted):
        def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
            raise KeyError("no\nsuch cell")

    nodes = Runner({PE0: Broken()}, ONE, "1")
    with pytest.raises(NodeCrash) as crash:
        nodes.deliver(MESSAGE, BoardNs(77))

    assert str(crash.value) == "pe0: KeyError: 'no\\nsuch cell'"
    assert (crash.value.now, crash.value.cause) == (77, MESSAGE.id)
    assert isinstance(crash.value.__cause__, KeyError)


def test_board_time_is_shifted_and_stretched() -> None:
    """With time_scale 4, four real nanoseconds make one of the board's."""
    real = [1000]
    clock = BoardClock(4.0, lambda: real[0])
    assert clock.now() == 0
    assert clock.start() == 1000
    real[0] = 1400

    assert clock.now() == 100
    assert clock.seconds_until(350) == pytest.approx(1000 / 1e9)
    assert clock.seconds_until(50) == 0


def test_time_does_not_stand_still() -> None:
    """A time scale of zero or less is refused."""
    with pytest.raises(ValueError, match="time_scale is 0"):
        BoardClock(0)
