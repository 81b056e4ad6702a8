"""The weak memory model, by litmus tests: two PEs, a memory, a mailbox, every order of events."""

from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from proto.board import Board
from proto.cells import Cell
from proto.ids import GICD_NODE, BoardNs, NodeId
from proto.image import Image
from proto.machine import Processor, Thread
from proto.messages import Barrier, RegRead, RegWrite, Reply, TlbInvalidate
from proto.platform import DRAM_BASE, GICD_BASE, Latencies, MemoryMap
from proto.store_buffer import StoreBuffer
from proto.traces import StoresLost
from proto.turn import Effect, Envelope, Send, Trace
from proto.weak import LINE, StoreBuffering, pieces
from services.dram.node import Dram

X, Y, Z = Cell(DRAM_BASE), Cell(DRAM_BASE + 8), Cell(DRAM_BASE + 0x100)
BELL, OTHER_BELL = GICD_BASE, GICD_BASE + 4
SEEDS = range(150)
STAY = (0, 2_000)
BUS_TIMEOUT_NS = 1_000_000
LIMIT_NS = 10_000_000

Program = Callable[["Pe"], Coroutine[Any, Any, None]]


class Pe(StoreBuffering, Processor):
    """A PE that writes down what it sees; `weak` off is the same PE without a buffer."""

    weak = True

    def __init__(self, node: NodeId) -> None:
        super().__init__(node, Image("tests.none", 0, "none"), MemoryMap((0,)), BUS_TIMEOUT_NS)
        self.set_up_buffer(STAY)
        self.log: list[Any] = []

    @property
    def is_buffering(self) -> bool:
        return self.weak

    def irq_vector(self) -> Thread:
        raise AssertionError("nobody interrupts")


class PeNode:
    """A PE that runs one program from the start; a `TlbInvalidate` to it is its power cut."""

    def __init__(self, number: int, program: Program, weak: bool) -> None:
        self.id = NodeId(f"pe{number}")
        self.pe: Pe | None = Pe(self.id)
        self.pe.weak = weak
        self.log = self.pe.log
        self._program = program

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        assert self.pe is not None
        return self._turn(now, lambda pe: pe.boot(self._program(pe)))

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        if isinstance(envelope.body, TlbInvalidate):
            self.pe = None
        if isinstance(envelope.body, Barrier):
            body = envelope.body
            return self._turn(now, lambda pe: pe.complete_for(envelope.id.src, body.tx))
        return self._turn(now, lambda pe: pe.answer(envelope.body))

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        return self._turn(now, lambda pe: pe.timer_fired(timer))

    def _turn(self, now: BoardNs, step: Callable[[Pe], object]) -> Sequence[Effect]:
        if self.pe is None:
            return ()
        self.pe.begin(now)
        step(self.pe)
        return self.pe.end()


class Mailbox:
    """A device: what was written to it, in its order; each register reads as the last value."""

    def __init__(self) -> None:
        self.id = GICD_NODE
        self.written: list[int] = []

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        body = envelope.body
        if isinstance(body, RegWrite):
            self.written.append(body.value)
            return () if body.posted else [Send(envelope.id.src, Reply(body.tx))]
        assert isinstance(body, RegRead | Barrier)
        return [Send(envelope.id.src, Reply(body.tx, self.written[-1] if self.written else 0))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        raise AssertionError(timer)


def run(seed: int, *programs: Program, weak: bool = True) -> list[list[Any]]:
    """What each PE saw, and what the mailbox got, in one schedule."""
    platform = SimpleNamespace(non_secure_ram=())
    dram = Dram(cast(Board, SimpleNamespace(platform=platform)))
    mailbox = Mailbox()
    pes = [PeNode(number, program, weak) for number, program in enumerate(programs)]
    nodes = {NodeId(node.id): node for node in (dram, mailbox, *pes)}
    world = World(nodes, Latencies(), RandomStrategy(seed), lambda turn: None)
    assert world.run(LIMIT_NS) is Outcome.QUIESCENT
    return [*(pe.log for pe in pes), mailbox.written]


def outcomes(*programs: Program, weak: bool = True) -> set[tuple[Any, ...]]:
    """What the PEs saw, over many schedules."""
    seen = set()
    for seed in SEEDS:
        *logs, _ = run(seed, *programs, weak=weak)
        seen.add(tuple(value for log in logs for value in log))
    return seen


async def nothing(pe: Pe) -> None:
    """No barrier."""


def store_then_load(mine: Cell, other: Cell, barrier: Program) -> Program:
    async def program(pe: Pe) -> None:
        await pe.store(mine, 1)
        await barrier(pe)
        pe.log.append(await pe.load(other))

    return program


async def smp_mb(pe: Pe) -> None:
    await pe.smp_mb()


async def smp_wmb(pe: Pe) -> None:
    await pe.smp_wmb()


async def dsb(pe: Pe) -> None:
    await pe.barrier()


async def ordered_atomic(pe: Pe) -> None:
    await pe.fetch_add(Z, 1)


async def relaxed_atomic(pe: Pe) -> None:
    await pe.fetch_add(Z, 1, relaxed=True)


@pytest.mark.parametrize("barrier", [nothing, smp_wmb, relaxed_atomic])
def test_sb_both_loads_may_overtake_the_stores(barrier: Program) -> None:
    """SB: without a full barrier both may read what was there before."""
    programs = store_then_load(X, Y, barrier), store_then_load(Y, X, barrier)
    assert (0, 0) in outcomes(*programs)


@pytest.mark.parametrize("barrier", [smp_mb, dsb, ordered_atomic])
def test_sb_with_a_full_barrier(barrier: Program) -> None:
    """SB with DMB, DSB or an ordered atomic: one of the two sees the other."""
    programs = store_then_load(X, Y, barrier), store_then_load(Y, X, barrier)
    assert outcomes(*programs) <= {(0, 1), (1, 0), (1, 1)}


def test_sb_without_a_buffer() -> None:
    """The same programs on a PE that does not buffer: one of the two sees the other."""
    programs = store_then_load(X, Y, nothing), store_then_load(Y, X, nothing)
    assert (0, 0) not in outcomes(*programs, weak=False)


def message(barrier: Program) -> Program:
    async def program(pe: Pe) -> None:
        await pe.store(X, 1)
        await barrier(pe)
        await pe.store(Y, 1)

    return program


async def reader(pe: Pe) -> None:
    """MP's other side: loads are in order, so that it is the writer's barrier that is tested."""
    await pe.wfe(Y, 0)
    pe.log.append(await pe.load(X))


def test_mp_the_flag_may_overtake_the_data() -> None:
    """MP: without a barrier the flag may be seen before the data."""
    assert outcomes(message(nothing), reader) == {(0,), (1,)}


@pytest.mark.parametrize("barrier", [smp_wmb, smp_mb, dsb, ordered_atomic])
def test_mp_with_a_barrier(barrier: Program) -> None:
    """MP with any barrier between the stores: who sees the flag sees the data."""
    assert outcomes(message(barrier), reader) == {(1,)}


def test_lb_loads_do_not_overtake_each_other() -> None:
    """LB: no load sees a store that comes behind it, with or without a buffer."""

    def program(mine: Cell, other: Cell) -> Program:
        async def load_then_store(pe: Pe) -> None:
            pe.log.append(await pe.load(other))
            await pe.store(mine, 1)

        return load_then_store

    assert (1, 1) not in outcomes(program(X, Y), program(Y, X))


def test_coherence_of_one_cell() -> None:
    """Stores to one cell are seen in their order by everybody."""

    async def writer(pe: Pe) -> None:
        for value in (1, 2, 3):
            await pe.store(X, value)

    async def watcher(pe: Pe) -> None:
        seen = 0
        while seen != 3:
            seen = await pe.wfe(X, seen)
            pe.log.append(seen)

    seen = outcomes(writer, watcher)
    assert all(list(values) == sorted(values) for values in seen)
    assert len(seen) > 1


def test_a_pe_sees_its_own_stores() -> None:
    """Loads, bursts, WFE and atomics find what the PE itself has stored, in the buffer or not."""

    async def program(pe: Pe) -> None:
        await pe.store(X, 5)
        pe.log.append(await pe.load(X))
        pe.log += await pe.load_burst((X, Y))
        pe.log.append(await pe.wfe(X, 4))
        pe.log.append(await pe.fetch_add(X, 1, relaxed=True))
        pe.log.append(await pe.load(X))

    assert outcomes(program) == {(5, 5, 0, 5, 5, 6)}


def test_a_store_barrier_without_a_store_is_none() -> None:
    """An empty buffer has nothing to order."""
    buffer = StoreBuffer()
    buffer.fence()
    assert buffer.epoch == 0


@pytest.mark.parametrize(("barrier", "stale"), [(nothing, True), (smp_wmb, False), (dsb, False)])
def test_a_doorbell_may_overtake_memory(barrier: Program, stale: bool) -> None:
    """A posted device write is ordered with stores by a barrier only; DMB is enough for one."""

    async def ringer(pe: Pe) -> None:
        await pe.store(X, 1)
        await barrier(pe)
        pe.post(BELL, 7)

    async def listener(pe: Pe) -> None:
        while await pe.read(BELL) != 7:
            await pe.delay(50)
        pe.log.append(await pe.load(X))

    assert ((0,) in outcomes(ringer, listener)) is stale


def test_an_acknowledged_device_write_may_overtake_memory() -> None:
    """nGnRnE orders a device's accesses among themselves, not with Normal memory."""

    async def ringer(pe: Pe) -> None:
        await pe.store(X, 1)
        await pe.write(BELL, 7)

    async def listener(pe: Pe) -> None:
        while await pe.read(BELL) != 7:
            await pe.delay(50)
        pe.log.append(await pe.load(X))

    assert outcomes(ringer, listener) == {(0,), (1,)}


def test_writes_to_one_device_arrive_in_order() -> None:
    """Posted or not, and a read comes behind what was posted before it."""

    async def program(pe: Pe) -> None:
        pe.post(BELL, 1)
        pe.post(OTHER_BELL, 2)
        await pe.write(BELL, 3)
        pe.post(BELL, 4)
        pe.log.append(await pe.read(BELL))

    for seed in SEEDS:
        assert run(seed, program) == [[4], [1, 2, 3, 4]]


def test_what_has_not_left_dies_with_the_pe() -> None:
    """A power cut loses what is in the buffer, and a DSB before it saves it."""

    def dying(barrier: Program) -> Program:
        async def program(pe: Pe) -> None:
            await pe.store(X, 1)
            await barrier(pe)
            await pe.store(Y, 1)
            await pe.transact(NodeId("pe1"), Barrier)

        return program

    async def killer(pe: Pe) -> None:
        await pe.delay(400)
        pe.emit(Send(NodeId("pe0"), TlbInvalidate(0)))
        await pe.delay(STAY[1] + 1_000)
        pe.log.append(await pe.load(X))

    assert outcomes(dying(nothing), killer) == {(0,), (1,)}
    assert outcomes(dying(dsb), killer) == {(1,)}


def test_a_dsb_of_firmware_completes_what_the_pe_has_stored() -> None:
    """A `Barrier` to the PE is answered when its stores are visible and its posted writes done."""

    async def lower(pe: Pe) -> None:
        await pe.store(X, 1)
        await pe.store(Y, 1)
        pe.post(BELL, 7)

    async def higher(pe: Pe) -> None:
        await pe.delay(1)
        await pe.transact(NodeId("pe0"), Barrier)
        pe.log += [*await pe.load_burst((X, Y)), await pe.read(BELL)]

    assert outcomes(lower, higher) == {(1, 1, 7)}


def test_a_burst_leaves_in_pieces() -> None:
    """A whole line stays together; what is shorter, or lies apart, goes cell by cell."""
    line = [X + 8 * index for index in range(LINE)]
    assert pieces([*line, Z, Z + 8], range(LINE + 2)) == [
        dict(zip(line, range(LINE), strict=True)),
        {Z: LINE},
        {Z + 8: LINE + 1},
    ]


def test_a_store_that_memory_refuses_is_an_serror() -> None:
    """The program has gone on long since: the PE halts, whatever it does."""
    nowhere = Cell(0x10)

    async def program(pe: Pe) -> None:
        await pe.store(nowhere, 1)
        pe.log.append("went on")
        await pe.delay(10 * STAY[1])
        pe.log.append("never")

    assert outcomes(program) == {("went on",)}


def test_what_dies_with_a_pe_is_named() -> None:
    """A power cut names the places whose stores had not left; without any it says nothing."""
    pe = Pe(NodeId("pe0"))

    async def program(pe: Pe) -> None:
        await pe.store(X, 1)
        pe.post(BELL, 7)
        await pe.wfi()

    pe.begin(0)
    pe.lose_stores()
    assert pe.end() == []
    pe.boot(program(pe))
    made = [effect.event for effect in pe.end() if isinstance(effect, Trace)]
    pe.lose_stores()
    assert [(event.addresses, event.values) for event in made] == [((X,), (1,)), ((BELL,), (7,))]
    assert pe.end() == [Trace(StoresLost((X, BELL)))]


Step = tuple[str, int, int]
CELLS = (X, Y, Z)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("store", "load", "burst", "publish", "add", "add relaxed", "swap", "wmb", "mb", "wait")
        ),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=15,
)


@given(STEPS, st.integers(0, 1 << 30))
def test_alone_a_pe_sees_no_difference(steps: list[Step], seed: int) -> None:
    """Any program that runs alone reads what it would read without a buffer; memory ends alike."""

    def program(weak: bool) -> Program:
        async def play(pe: Pe) -> None:
            for what, place, value in steps:
                await _play(pe, what, CELLS[place], value)
            if weak:
                await pe.barrier()
            pe.log.append(await Processor.load_burst(pe, CELLS))

        return play

    assert run(seed, program(True)) == run(seed, program(False), weak=False)


async def _play(pe: Pe, what: str, cell: Cell, value: int) -> None:
    match what:
        case "store":
            await pe.store(cell, value)
        case "load":
            pe.log.append(await pe.load(cell))
        case "burst":
            pe.log.append(await pe.load_burst(CELLS))
        case "publish":
            await pe.publish((cell, Z), (value, value + 1))
        case "add" | "add relaxed":
            pe.log.append(await pe.fetch_add(cell, value, relaxed=what == "add relaxed"))
        case "swap":
            pe.log.append(await pe.compare_and_swap(cell, value, value + 1))
        case "wmb":
            await pe.smp_wmb()
        case "mb":
            await pe.smp_mb()
        case _:
            await pe.delay(value * 300)


STORES = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(0, 2)),
        st.tuples(st.just("post"), st.integers(0, 1)),
        st.just(("fence", 0)),
    ),
    max_size=12,
)


@given(STORES, st.randoms(use_true_random=False))
def test_whatever_leaves_respects_barriers_and_coherence(
    program: list[tuple[str, int]], random: Any
) -> None:
    """For any program and any order of expiry: all leaves, barriers and places keep their order."""
    buffer = StoreBuffer()
    entered: list[tuple[int, int, object]] = []
    epoch = 0
    for number, (what, place) in enumerate(program):
        if what == "fence":
            buffer.fence()
            epoch += 1
            continue
        entered.append((number, epoch, (what, place)))
        if what == "store":
            buffer.enter(number, {place: number})
        else:
            body = RegWrite(0, place, number, posted=True)
            buffer.post(number, NodeId(f"device{place}"), body)
    order = [number for number, _, _ in entered]
    random.shuffle(order)
    left: list[int] = []
    for number in order:
        buffer.expire(number)
        left += _leave(buffer)
    assert sorted(left) == sorted(order)
    at = {number: position for position, number in enumerate(left)}
    for first, first_epoch, first_place in entered:
        for second, second_epoch, second_place in entered:
            ordered = first_epoch < second_epoch or first_place == second_place
            if first < second and ordered:
                assert at[first] < at[second]


def _leave(buffer: StoreBuffer) -> list[int]:
    """What leaves, its acknowledgement coming at once."""
    left: list[int] = []
    while True:
        gone = []
        for entry in buffer.leave():
            gone.append(entry.number)
            if entry.device is None:
                buffer.sent(entry.number, entry)
        for number in gone:
            buffer.landed(number)
        if not gone:
            return left
        left += gone
