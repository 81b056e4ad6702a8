"""The memory: values, atomics, bursts, monitored cells, permissions."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.board import Board
from proto.ids import DRAM, BoardNs, Incarnation, NodeId
from proto.messages import (
    Abort,
    Atomic,
    AtomicOp,
    Barrier,
    Body,
    Clean,
    CompareAndSwap,
    IrqOutput,
    Load,
    LoadBurst,
    Replies,
    Reply,
    Store,
    StoreBurst,
    Watch,
    WatchCancel,
)
from proto.node import ProtocolError
from proto.platform import DRAM_BASE, DRAM_SIZE, SRAM_BASE, SRAM_SIZE, MemoryRange
from proto.turn import Envelope, MessageId, Send
from services.dram.node import Dram

CELL, NEXT = DRAM_BASE + 0x100, DRAM_BASE + 0x108
TOP = (1 << 64) - 1
HIGH = 0x8_8000_0000


class Bench:
    """A memory and its senders, without a bus; `ram` is what the platform has besides DRAM."""

    def __init__(self, *ram: MemoryRange) -> None:
        platform = SimpleNamespace(non_secure_ram=ram)
        self.dram = Dram(cast(Board, SimpleNamespace(platform=platform)))

    def send(self, body: Body, src: str = "pe0") -> list[tuple[str, Body]]:
        """Who is told what in the turn that takes this message."""
        sender = MessageId(NodeId(src), Incarnation(1), 0)
        effects = self.dram.on_message(BoardNs(0), Envelope(sender, DRAM, None, body))
        assert all(isinstance(effect, Send) for effect in effects)
        return [(effect.dst, effect.body) for effect in cast(list[Send], effects)]

    def answer(self, body: Body, src: str = "pe0") -> Any:
        """The only answer, which goes to the sender."""
        ((dst, answer),) = self.send(body, src)
        assert dst == src
        return answer


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_cells_read_zero_until_written(bench: Bench) -> None:
    """A fresh cell holds zero, a written one its value."""
    assert bench.answer(Load(1, CELL)) == Reply(1, 0)
    assert bench.answer(Store(2, CELL, 7)) == Reply(2)
    assert bench.answer(Load(3, CELL)) == Reply(3, 7)
    assert bench.answer(Load(4, NEXT)) == Reply(4, 0)


@pytest.mark.parametrize(
    ("op", "before", "operand", "after"),
    [
        (AtomicOp.ADD, 5, 2, 7),
        (AtomicOp.ADD, 5, -6, TOP),
        (AtomicOp.ADD, TOP, 1, 0),
        (AtomicOp.SET, 0b0101, 0b0110, 0b0111),
        (AtomicOp.CLEAR, 0b0101, 0b0110, 0b0001),
        (AtomicOp.SWAP, 5, 9, 9),
    ],
)
def test_atomics_give_the_value_before(
    bench: Bench, op: AtomicOp, before: int, operand: int, after: int
) -> None:
    """A read-modify-write answers with the old value and wraps at 64 bits."""
    bench.send(Store(1, CELL, before))

    assert bench.answer(Atomic(2, op, CELL, operand)) == Reply(2, before)
    assert bench.answer(Load(3, CELL)) == Reply(3, after)


def test_compare_and_swap_writes_only_on_a_match(bench: Bench) -> None:
    """Both outcomes answer with the value before."""
    bench.send(Store(1, CELL, 4))

    assert bench.answer(CompareAndSwap(2, CELL, 3, 9)) == Reply(2, 4)
    assert bench.answer(Load(3, CELL)) == Reply(3, 4)
    assert bench.answer(CompareAndSwap(4, CELL, 4, 9)) == Reply(4, 4)
    assert bench.answer(Load(5, CELL)) == Reply(5, 9)


def test_a_negative_value_is_its_64_bit_pattern(bench: Bench) -> None:
    """A signed number stored, expected or seen is the same as its unsigned pattern."""
    bench.send(Store(1, CELL, -1))

    assert bench.answer(Load(2, CELL)) == Reply(2, TOP)
    assert bench.send(Watch(3, CELL, -1)) == []
    assert bench.send(CompareAndSwap(4, CELL, -1, 0), "pe1") == [
        ("pe1", Reply(4, TOP)),
        ("pe0", Reply(3, 0)),
    ]


def test_bursts_read_and_write_several_cells(bench: Bench) -> None:
    """A burst keeps the order of its addresses."""
    assert bench.answer(StoreBurst(1, (NEXT, CELL), (2, 1))) == Reply(1)
    assert bench.answer(LoadBurst(2, (CELL, NEXT, CELL))) == Replies(2, (1, 2, 1))


def test_a_burst_with_one_bad_address_changes_nothing(bench: Bench) -> None:
    """Refusals come before the first write."""
    assert isinstance(bench.answer(StoreBurst(1, (CELL, 0), (1, 2))), Abort)
    assert isinstance(bench.answer(LoadBurst(2, (CELL, SRAM_BASE))), Abort)
    assert bench.answer(Load(3, CELL)) == Reply(3, 0)


def test_maintenance_and_barrier_are_answered(bench: Bench) -> None:
    """DC CVAC and DSB complete within their turn."""
    assert bench.answer(Clean(1, (CELL, NEXT))) == Reply(1)
    assert isinstance(bench.answer(Clean(2, (CELL, 1))), Abort)
    assert bench.answer(Barrier(3)) == Reply(3)


def test_a_watch_of_a_changed_cell_is_answered_at_once(bench: Bench) -> None:
    """WFE does not sleep when the event is already there."""
    bench.send(Store(1, CELL, 3))

    assert bench.answer(Watch(2, CELL, 0)) == Reply(2, 3)
    assert bench.send(Store(3, CELL, 4)) == [("pe0", Reply(3))]


def test_a_watch_waits_for_another_value(bench: Bench) -> None:
    """A store of the value already seen wakes nobody; the first other one wakes once."""
    assert bench.send(Watch(1, CELL, 0), "pe1") == []
    assert bench.send(Store(2, CELL, 0)) == [("pe0", Reply(2))]
    assert bench.send(Store(3, CELL, 8)) == [("pe0", Reply(3)), ("pe1", Reply(1, 8))]
    assert bench.send(Store(4, CELL, 9)) == [("pe0", Reply(4))]


def test_watches_add_up(bench: Bench) -> None:
    """A second watch of the same sender replaces nothing; each waits for its own change."""
    bench.send(Store(1, CELL, 5))
    for src, tx in (("pe1", 1), ("pe2", 1), ("pe1", 2)):
        assert bench.send(Watch(tx, CELL, 5), src) == []

    assert bench.send(Atomic(9, AtomicOp.ADD, CELL, 1)) == [
        ("pe0", Reply(9, 5)),
        ("pe1", Reply(1, 6)),
        ("pe2", Reply(1, 6)),
        ("pe1", Reply(2, 6)),
    ]


def test_a_burst_wakes_after_all_its_stores(bench: Bench) -> None:
    """A watcher of the first cell of a burst is told once, with the last value."""
    bench.send(Watch(1, CELL, 0), "pe1")

    assert bench.send(StoreBurst(2, (CELL, NEXT, CELL), (1, 2, 3))) == [
        ("pe0", Reply(2)),
        ("pe1", Reply(1, 3)),
    ]


def test_a_cancelled_watch_is_silent(bench: Bench) -> None:
    """Only the sender's own watch of that transaction is forgotten; a late cancel is no error."""
    bench.send(Watch(1, CELL, 0), "pe1")
    bench.send(Watch(1, CELL, 0), "pe2")

    assert bench.send(WatchCancel(1), "pe1") == []
    assert bench.send(Store(2, CELL, 1)) == [("pe0", Reply(2)), ("pe2", Reply(1, 1))]
    assert bench.send(WatchCancel(1), "pe2") == []


def test_a_transaction_watches_once(bench: Bench) -> None:
    """Two watches under one transaction number could not be told apart."""
    bench.send(Watch(1, CELL, 0))

    with pytest.raises(ProtocolError, match="twice"):
        bench.send(Watch(1, NEXT, 0))


@pytest.mark.parametrize("address", [SRAM_BASE, SRAM_BASE + SRAM_SIZE - 8])
def test_secure_sram_is_open_to_el3_alone(bench: Bench, address: int) -> None:
    """EL3 reads and writes it, a PE takes an abort and changes nothing."""
    bodies: tuple[Body, ...] = (
        Load(1, address),
        Store(1, address, 2),
        Atomic(1, AtomicOp.ADD, address, 1),
        CompareAndSwap(1, address, 0, 1),
        Watch(1, address, 0),
    )
    for body in bodies:
        assert "secure" in bench.answer(body).reason

    assert bench.answer(Load(2, address), "el3.pe0") == Reply(2, 0)
    assert bench.answer(Load(3, DRAM_BASE), "el3.pe0") == Reply(3, 0)


@pytest.mark.parametrize(
    "address", [0, DRAM_BASE - 8, DRAM_BASE + DRAM_SIZE, SRAM_BASE + SRAM_SIZE, DRAM_BASE + 4, -8]
)
def test_other_addresses_abort(bench: Bench, address: int) -> None:
    """Outside the memory, or across a cell's border, nothing answers."""
    assert isinstance(bench.answer(Load(1, address), "el3.pe0"), Abort)


def test_a_platform_may_have_more_memory() -> None:
    """Every PE reaches it, and nothing lies behind it."""
    bench = Bench((HIGH, 0x1000))

    assert bench.answer(Store(1, HIGH + 0xFF8, 7)) == Reply(1)
    assert bench.answer(Load(2, HIGH + 0xFF8), "el3.pe1") == Reply(2, 7)
    assert "no memory" in bench.answer(Load(3, HIGH + 0x1000)).reason


def test_what_memory_cannot_take_stops_the_run(bench: Bench) -> None:
    """A wire, or a burst of unequal lengths, is a defect of the sender."""
    with pytest.raises(ProtocolError):
        bench.send(IrqOutput(True))
    with pytest.raises(ProtocolError):
        bench.send(StoreBurst(1, (CELL,), ()))
    with pytest.raises(ProtocolError):
        bench.dram.on_timer(BoardNs(0), "x")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))))
def test_every_watcher_is_answered_exactly_when_its_cell_differs(
    acts: list[tuple[int, int, int]],
) -> None:
    """After each turn nobody is left waiting for a cell that already differs."""
    bench, waiting, cells = Bench(), {}, dict.fromkeys(range(4), 0)
    for tx, (act, cell, value) in enumerate(acts, start=1):
        body = Watch(tx, CELL + 8 * cell, value) if act < 2 else Store(tx, CELL + 8 * cell, value)
        if act < 2:
            waiting[tx] = (cell, value)
        else:
            cells[cell] = value
        answered = {reply.tx for _, reply in bench.send(body) if isinstance(reply, Reply)}
        due = {other for other, (at, seen) in waiting.items() if cells[at] != seen}

        assert answered - {tx if act >= 2 else 0} == due
        waiting = {other: watch for other, watch in waiting.items() if other not in due}
